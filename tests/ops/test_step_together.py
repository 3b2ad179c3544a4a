"""Networks that train together in the step of CUDA's sources: a launch has blocks of each, and none sees another."""

from __future__ import annotations

import math

import pytest
import torch
from step_cases import DEVICE_STEP, bits, byte_rows, fused_step, objective, orders, parameters, rows_of

from stackae.autoencoders.corruption import Corruption
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.ops.compiled import train_together
from stackae.ops.step import Batches
from stackae.training.fused import kernel_training

pytestmark = pytest.mark.skipif(not DEVICE_STEP, reason="needs a GPU, or the build of `make emulate`")


def test_networks_that_train_together_get_the_bits_that_each_gets_alone(products):
    x = byte_rows(300, 130)
    cases = [
        {"seed": 1, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)},
        {"seed": 2, "sparsity": KlSparsity(0.2, 0.1), "corruption": Corruption("gaussian", 0.1)},
        {"seed": 3, "sparsity": L1Sparsity(0.01), "corruption": Corruption("masking", 0.5), "contraction": 0.1},
        {"seed": 4, "sparsity": None, "corruption": Corruption()},
    ]
    rates = [[0.01] * 24, [0.003] * 24, [0.03] * 24, [0.01] * 24]
    ways = [torch.cat(orders(300, 16))[start:][: 24 * 200] for start in range(4)]
    apart, together = ([objective(x, 70, torch.float32, **case) for case in cases] for _ in range(2))
    alone = [
        fused_step(one, TrainingConfig(), 1e-4).advance(way, 200, 5, rate)
        for one, way, rate in zip(apart, ways, rates, strict=True)
    ]
    step = train_together([kernel_training(one, TrainingConfig(), 1e-4) for one in together])
    assert step.advance([Batches(way, rate) for way, rate in zip(ways, rates, strict=True)], 200, 5) == alone
    for one, other in zip(apart, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


def test_a_network_that_fails_or_has_no_rows_disturbs_no_other(products):
    good, bad = rows_of(64, 20, torch.float32), rows_of(64, 20, torch.float32)
    bad[40] = float("nan")
    ones = [objective(x, 10, torch.float32) for x in (good, bad, good, good, good)]
    step = train_together([kernel_training(one, TrainingConfig(), 0.0) for one in ones])
    some, none = Batches(torch.arange(64), [0.1] * 4), Batches(torch.arange(0), [])
    progress = step.advance([some, some, none, some, some._replace(learning_rates=[0.1, 1e38, 0.1, 0.1])], 16, 0)
    assert [each.steps for each in progress] == [4, 2, 0, 4, 1]
    assert progress[0].total == progress[3].total
    assert not math.isfinite(progress[1].total)
    assert progress[2].total == 0
    fresh = objective(good, 10, torch.float32)
    alone = fused_step(fresh, TrainingConfig(), 0.0)
    alone.advance(torch.arange(64), 16, 0, [0.1] * 4)
    two = objective(good, 10, torch.float32)
    fused_step(two, TrainingConfig(), 0.0).advance(torch.arange(32), 16, 0, [0.1] * 2)
    one_step = objective(good, 10, torch.float32)
    fused_step(one_step, TrainingConfig(), 0.0).advance(torch.arange(16), 16, 0, [0.1])
    wanted = [fresh, two, objective(good, 10, torch.float32), fresh, one_step]
    for one, other in zip(ones, wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


def test_members_of_another_shape_are_refused():
    ones = [objective(rows_of(8, 4), width) for width in (3, 5)]
    with pytest.raises(ValueError, match="training 2: expected the shape, activations, loss, optimiser"):
        train_together([kernel_training(one, TrainingConfig(), 0.0) for one in ones])


@pytest.mark.parametrize("place", [lambda order: order, torch.clone], ids=["shared", "copied"])
def test_one_order_for_several_is_as_good_as_copies_of_it(products, place):
    """Its row numbers are sent once, for all that are given the same tensor; a part of it is another."""
    x, order = byte_rows(300, 65), torch.cat(orders(300, 2))
    given = [place(order), place(order), place(order[:256]), order.flip(0)]
    cases = [{"seed": seed, "corruption": Corruption("masking", 0.3)} for seed in range(len(given))]
    apart, together = ([objective(x, 33, torch.float32, **case) for case in cases] for _ in range(2))
    batches = [Batches(rows, [0.01] * math.ceil(len(rows) / 64)) for rows in given]
    alone = [
        fused_step(one, TrainingConfig(), 0.0).advance(rows.clone(), 64, 0, rates)
        for one, (rows, rates, _) in zip(apart, batches, strict=True)
    ]
    step = train_together([kernel_training(one, TrainingConfig(), 0.0) for one in together])
    assert step.advance(batches, 64, 0) == alone
    assert [bits(one) for one in together] == [bits(one) for one in apart]
