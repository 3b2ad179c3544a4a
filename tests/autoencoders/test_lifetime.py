"""Lifetime sparsity: each unit keeps its largest values over a batch in training, and all of them afterwards."""

from __future__ import annotations

import pytest
import torch

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.selection import lifetime
from stackae.config import LayerConfig, PretrainConfig, SparsityConfig
from stackae.errors import ConfigError
from stackae.objectives.kinds import build
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.pretraining import pretrain_stack
from stackae.training.choice import layer_steps

X = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
GIVEN = {
    "init": "random",
    "tied": True,
    "loss": "mse",
    "activation": "relu",
    "output_activation": "linear",
    "corruption": "none",
    "sparsity": "lifetime:0.1",
}


@pytest.mark.parametrize(("share", "kept"), [(0.05, 2), (0.1, 4), (0.001, 1), (0.5, 20)])
def test_each_unit_keeps_its_largest_values_and_no_others(share: float, kept: int) -> None:
    h = torch.rand(40, 5, generator=torch.Generator().manual_seed(1)) + 0.1
    found = lifetime(h, share)
    assert ((found > 0).sum(dim=0) == kept).all()
    for unit in range(5):
        assert torch.equal(found[:, unit].sort().values[-kept:], h[:, unit].sort().values[-kept:])


def test_training_reconstructs_from_what_is_kept_and_codes_keep_all() -> None:
    layer = LayerConfig(n_hidden=8, **GIVEN)
    one = build(6, layer, seed=0, number=1)
    objective = ReconstructionObjective.of(one, X, layer, Corruption(), seed=0, number=1)
    wanted = (one.decode(lifetime(one.code(X), 0.1)) - X).square().sum() / len(X)
    torch.testing.assert_close(objective(torch.arange(40), 0), wanted)
    assert torch.equal(one.encode(X), one.code(X))
    assert not one.not_dense(decoding=False)
    assert one.anew(0, 1).kept(one.code(X), training=True).count_nonzero() <= 4 * 8


@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_it_learns_by_both_steps(engine: str) -> None:
    given = {**GIVEN, "engine": engine, "device": "cpu"}
    config = PretrainConfig.from_options("6,8", **given, max_epochs=40, batch_size=20, learning_rate=0.01)
    result = pretrain_stack(X, config)
    assert layer_steps(result.config)[1].fused == (engine == "fused")
    assert result.history[-1].loss < 0.7 * result.history[0].loss


def test_a_share_is_written_as_it_is_read_and_refused_where_it_is_none() -> None:
    assert SparsityConfig.model_validate("lifetime:0.05").model_dump() == "lifetime:0.05"
    with pytest.raises(ConfigError, match=r"sparsity: expected lifetime:SHARE, such as lifetime:0.05, got 'lifetime'"):
        LayerConfig(n_hidden=2, sparsity="lifetime")
    with pytest.raises(ConfigError, match=r"sparsity lifetime:0.1: expected a code in which 0 says that a unit is sil"):
        LayerConfig(n_hidden=2, sparsity="lifetime:0.1", activation="sigmoid")
