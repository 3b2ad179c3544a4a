"""Stacks and heads that are trained on from the weights that they have."""

from __future__ import annotations

import pytest
import torch

from stackae.config import FinetuneConfig, PretrainConfig
from stackae.data import Part
from stackae.errors import ConfigError, DataError
from stackae.finetuning import finetune_stack
from stackae.pretraining import pretrain_stack

X = torch.rand(90, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * 3).long()
STILL = 1e-12  # a learning rate at which nothing moves


def config(**settings: object) -> PretrainConfig:
    return PretrainConfig.from_options("6,4,3", **{"max_epochs": 2, "batch_size": 30, "device": "cpu", **settings})


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_stack_goes_on_from_its_weights(engine: str, tied: bool) -> None:
    first = pretrain_stack(X, config(engine=engine, tied=tied, init="pca", seed=1)).stack
    still = config(engine=engine, tied=tied, init="pca", learning_rate=STILL, seed=2)
    gone_on = pretrain_stack(X, still, start=first).stack
    assert all(torch.allclose(a, gone_on.state_dict()[name], atol=1e-6) for name, a in first.state_dict().items())
    anew = pretrain_stack(X, still).stack
    assert not all(torch.allclose(a, anew.state_dict()[name], atol=1e-3) for name, a in first.state_dict().items())


def test_what_it_starts_from_stays_as_it_is() -> None:
    first = pretrain_stack(X, config()).stack
    before = {name: each.clone() for name, each in first.state_dict().items()}
    pretrain_stack(X, config(learning_rate=0.1), start=first)
    assert all(torch.equal(each, before[name]) for name, each in first.state_dict().items())


def test_a_start_of_another_shape_is_refused() -> None:
    first = pretrain_stack(X, config(tied=True)).stack
    for other in (config(tied=False), PretrainConfig.from_options("6,5,3", max_epochs=1, tied=True)):
        with pytest.raises(ConfigError, match=r"start: expected a stack whose layer 1 has the shape .* train anew"):
            pretrain_stack(X, other, start=first)


def test_a_head_goes_on_and_learns_from_rows_of_one_class() -> None:
    stack, own = pretrain_stack(X, config()).stack, {"max_epochs": 3, "train": "all", "unlabelled": "none"}
    settings = FinetuneConfig(**own, device="cpu", learning_rate=0.05)
    first = finetune_stack(stack, Part(X, Y), settings, n_classes=3).model
    still = settings.model_copy(update={"learning_rate": STILL})
    same = finetune_stack(stack, Part(X, Y), still, n_classes=3, start=first).model
    assert all(torch.allclose(each, same.state_dict()[name], atol=1e-6) for name, each in first.state_dict().items())
    alone = Part(X[Y == 1], Y[Y == 1])
    model = finetune_stack(stack, alone, settings, n_classes=3, start=first).model
    with torch.no_grad():
        assert model.predict_proba(alone.x)[:, 1].mean() > first.predict_proba(alone.x)[:, 1].mean()
    with pytest.raises(DataError, match="expected at least two classes"):
        finetune_stack(stack, alone, settings, n_classes=3)


def test_a_regressor_that_goes_on_keeps_the_units_of_its_targets() -> None:
    stack = pretrain_stack(X, config()).stack
    settings = FinetuneConfig(head="regressor", max_epochs=3, train="all", unlabelled="none", device="cpu")
    y = 100 + 10 * X[:, :1].double()
    first = finetune_stack(stack, Part(X, y), settings).model
    still = settings.model_copy(update={"learning_rate": STILL})
    other = finetune_stack(stack, Part(X, y + 1000), still, start=first).model
    with torch.no_grad():
        assert torch.allclose(first.predict(X), other.predict(X)) and first.predict(X).mean() < 200
