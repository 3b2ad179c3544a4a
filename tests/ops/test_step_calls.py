"""A pass may be cut into calls anywhere, and another step may go on where one stopped: the same bits."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from step_cases import (
    BUILD,
    ENGINES,
    bits,
    byte_rows,
    classification,
    eager_step,
    objective,
    orders,
    rows_of,
)

from stackae.autoencoders.corruption import Corruption
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity
from stackae.ops.compiled import train_together
from stackae.ops.step import Batches
from stackae.training.fused import kernel_training
from stackae.training.step import OneByOne

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CASE = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)}

ROWS, BATCH = 300, 32
COUNT = -(-ROWS // BATCH)
CUTS = st.sets(st.integers(1, COUNT - 1))


def in_calls(step: Any, cuts: set[int]) -> float:
    """The total of a pass of COUNT steps, handed over in calls that end after the given ones."""
    (order,) = orders(ROWS, 1)
    total = 0.0
    for begin, end in itertools.pairwise([0, *sorted(cuts), COUNT]):
        rates = [0.01 / (1 + i) for i in range(begin, end)]
        total, steps = step.advance(order[begin * BATCH : end * BATCH], BATCH, begin, rates, total)
        assert steps == end - begin
    return total


def assert_cuts_do_not_matter(make: Any, build: Any, cuts: set[int]) -> None:
    one, other = make(), make()
    totals = [in_calls(build(each, TrainingConfig(), 1e-4), where) for each, where in ((one, set()), (other, cuts))]
    assert totals[0] == totals[1]
    assert bits(one) == bits(other)


@ENGINES
@FEW
@given(cuts=CUTS)
@example(cuts=set(range(1, COUNT)))
def test_the_total_of_a_reconstruction_does_not_depend_on_the_cuts(engine, cuts):
    x = byte_rows(ROWS, 65)
    assert_cuts_do_not_matter(lambda: objective(x, 33, torch.float32, **CASE), BUILD[engine], cuts)


@ENGINES
@FEW
@given(cuts=CUTS)
@example(cuts=set(range(1, COUNT)))
def test_the_total_of_a_classification_does_not_depend_on_the_cuts(engine, cuts):
    x, y = rows_of(ROWS, 20, torch.float32), torch.arange(ROWS) % 7

    def make() -> Any:
        return classification(x, y, (20, 33, 7), torch.float32, "tanh")

    assert_cuts_do_not_matter(make, BUILD[engine], cuts)


@ENGINES
def test_members_add_to_their_own_totals_and_one_without_rows_keeps_its(engine):
    x = byte_rows(ROWS, 65)
    ones = [objective(x, 33, torch.float32, **{**CASE, "seed": seed}) for seed in range(3)]
    alone = [objective(x, 33, torch.float32, **{**CASE, "seed": seed}) for seed in range(3)]
    if engine == "fused":
        step: Any = train_together([kernel_training(one, TrainingConfig(), 1e-4) for one in ones])
    else:
        step = OneByOne([eager_step(one, TrainingConfig(), 1e-4) for one in ones])
    (order,) = orders(ROWS, 1)
    some, none = Batches(order, [0.01] * COUNT, 7.25), Batches(order[:0], [], 2.5)
    assert step.advance([none, none, none], BATCH, 0) == [(2.5, 0)] * 3
    progress = step.advance([some, none, some._replace(total=-1.0)], BATCH, 0)
    assert progress[1] == (2.5, 0)
    for place, begun in ((0, 7.25), (2, -1.0)):
        build = BUILD[engine](alone[place], TrainingConfig(), 1e-4)
        assert progress[place] == build.advance(order, BATCH, 0, [0.01] * COUNT, begun)
    for one, other in zip(ones, alone, strict=True):
        if one is not ones[1]:
            assert bits(one) == bits(other)


# ---- going on where another step stopped

STEPS = 6
TRAININGS = [{"optimizer": "adam"}, {"optimizer": "adamw"}, {"optimizer": "sgd", "momentum": 0.9}]


def copied(source: Any, source_step: Any, target: Any, target_step: Any) -> None:
    target.network.load_state_dict(source.network.state_dict())
    for kept, fresh in zip(source_step.optimizer_state(), target_step.optimizer_state(), strict=True):
        fresh.copy_(kept)


def relayed(engines: list[str], tied: bool, dtype: torch.dtype, **training: Any) -> tuple[Any, Any, float]:
    """The objective and step that took the last of STEPS steps, and their total; each leg by a new step."""
    config, (order,) = TrainingConfig(**training), orders(STEPS * BATCH, 1)
    legs = [len(list(group)) for _, group in itertools.groupby(engines)]
    x, total = rows_of(STEPS * BATCH, 65, dtype), 0.0
    last: tuple[Any, Any] | None = None
    for begin, end in itertools.pairwise(itertools.accumulate(legs, initial=0)):
        one = objective(x, 33, dtype, **{**CASE, "tied": tied})
        step = BUILD[engines[begin].split()[0]](one, config, 1e-4)
        if last is not None:
            copied(*last, one, step)
        rates = [0.01 / (1 + i) for i in range(begin, end)]
        total = step.advance(order[begin * BATCH : end * BATCH], BATCH, begin, rates, total).total
        last = one, step
    assert last is not None
    return *last, total


@ENGINES
@pytest.mark.parametrize("training", TRAININGS, ids=str)
@pytest.mark.parametrize("tied", [True, False])
def test_a_new_step_goes_on_bit_for_bit_from_parameters_and_moments(engine, training, tied):
    whole, whole_step, total = relayed([engine] * STEPS, tied, torch.float32, **training)
    for stop in range(1, STEPS):
        legs = [engine + " first"] * stop + [engine] * (STEPS - stop)
        one, step, relayed_total = relayed(legs, tied, torch.float32, **training)
        assert relayed_total == total
        assert bits(one) == bits(whole)
        assert all(torch.equal(a, b) for a, b in zip(step.optimizer_state(), whole_step.optimizer_state(), strict=True))


@pytest.mark.parametrize("training", TRAININGS, ids=str)
@pytest.mark.parametrize("tied", [True, False])
def test_the_engines_go_on_from_each_other(training, tied):
    whole, whole_step, total = relayed(["fused"] * STEPS, tied, torch.float64, **training)
    legs = ["fused"] * 2 + ["eager"] * 3 + ["fused"]
    one, step, relayed_total = relayed(legs, tied, torch.float64, **training)
    assert relayed_total == pytest.approx(total, rel=1e-12)
    mine, theirs = (
        [*one.network.parameters(), *each.optimizer_state()] for one, each in ((one, step), (whole, whole_step))
    )
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@ENGINES
def test_moments_are_those_of_each_parameter_in_order_and_there_before_the_first_step(engine):
    for tied in (True, False):
        one = objective(rows_of(8, 5, torch.float32), 3, torch.float32, tied=tied)
        step = BUILD[engine](one, TrainingConfig(), 0.0)
        shapes = [each.shape for each in one.parameters for _ in range(2)]
        assert [moment.shape for moment in step.optimizer_state()] == shapes
        assert not any(moment.any() for moment in step.optimizer_state())
        step.advance(torch.arange(8), 8, 0, [0.01])
        assert all(moment.any() for moment in step.optimizer_state())


@ENGINES
def test_of_sgd_the_first_moment_is_the_velocity_and_the_second_stays_zero(engine):
    one = objective(rows_of(8, 5, torch.float32), 3, torch.float32)
    step = BUILD[engine](one, TrainingConfig(optimizer="sgd", momentum=0.9), 0.0)
    step.advance(torch.arange(8), 8, 0, [0.01])
    assert all(moment.any() for moment in step.optimizer_state()[0::2])
    assert not any(moment.any() for moment in step.optimizer_state()[1::2])
