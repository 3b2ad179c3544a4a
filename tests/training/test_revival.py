"""Units that are resampled between two calls of a step, of either engine: it goes on from what they have become."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from step_cases import BUILD, objective, rows_of

from stackae.config import PretrainConfig, TrainingConfig
from stackae.pretraining import pretrain_stack
from stackae.training.resampling import dead_units, resample_units

ROWS, BATCH, DEAD = 48, 16, 3


def trained(engine: str, revived: bool, **training: Any) -> list[torch.Tensor]:
    """Parameters and moments after two epochs of a layer whose first units are dead at first, and maybe resampled."""
    one = objective(rows_of(ROWS, 20), 9, activation="relu", output_activation="linear", tied=False)
    with torch.no_grad():
        one.network.encoder.bias[:DEAD] = -100
    step = BUILD[engine](one, TrainingConfig(**training), 1e-3)
    order, rates = torch.arange(ROWS), [0.01] * 3
    step.advance(order, BATCH, 0, rates)
    dead = dead_units(one.network, one.x)
    assert bool(dead[:DEAD].all())
    if revived:
        resample_units(one.network, one.x, dead, step.optimizer_state(), seed=1, layer=1, epoch=1)
    assert step.advance(order, BATCH, 3, rates).steps == 3
    return [each.detach().clone() for each in (*one.network.parameters(), *step.optimizer_state())]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fused_equals_eager_after_units_are_resampled(optimizer: str) -> None:
    fused, eager = (trained(engine, True, optimizer=optimizer) for engine in BUILD)
    for own, other in zip(fused, eager, strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
    assert not torch.equal(fused[0], trained("fused", False, optimizer=optimizer)[0])


def test_a_layer_that_revives_its_units_learns_alike_by_both_steps() -> None:
    x, curves = rows_of(200, 20, torch.float32).cpu(), []
    for engine in ("fused", "eager"):
        options = {"activation": "relu", "revive": "resample", "initial_weights": "normal:0.001", "learning_rate": 0.05}
        config = PretrainConfig.from_options("20,40", max_epochs=6, engine=engine, device="cpu", **options)
        result = pretrain_stack(x, config)
        assert result.steps[1].fused == (engine == "fused")
        assert any(record.dead for record in result.history)
        curves.append([record.loss for record in result.history])
    assert curves[0] == pytest.approx(curves[1], rel=1e-2)
