"""A pass may be cut into calls anywhere: its weights and its total are the same, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from step_cases import (
    byte_rows,
    classification,
    eager_step,
    fused_classification,
    fused_reconstruction,
    module_of,
    objective,
    orders,
    rows_of,
)
from torch import Tensor

from stackae.batches import Batches
from stackae.config import TrainingConfig
from stackae.corruption import Corruption
from stackae.ops import train_together
from stackae.penalties import KlSparsity
from stackae.training.fused import reconstruction
from stackae.training.step import OneByOne

FEW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CASE = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)}
RECONSTRUCTION = {"fused": fused_reconstruction, "eager": eager_step}
CLASSIFICATION = {"fused": fused_classification, "eager": eager_step}
ENGINES = pytest.mark.parametrize("engine", ["fused", "eager"])

ROWS, BATCH = 300, 32
COUNT = -(-ROWS // BATCH)
CUTS = st.sets(st.integers(1, COUNT - 1))


def parameters(one: Any) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module_of(one).parameters()]


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
    assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


@ENGINES
@FEW
@given(cuts=CUTS)
@example(cuts=set(range(1, COUNT)))
def test_the_total_of_a_reconstruction_does_not_depend_on_the_cuts(engine, cuts):
    x = byte_rows(ROWS, 65)
    assert_cuts_do_not_matter(lambda: objective(x, 33, torch.float32, **CASE), RECONSTRUCTION[engine], cuts)


@ENGINES
@FEW
@given(cuts=CUTS)
@example(cuts=set(range(1, COUNT)))
def test_the_total_of_a_classification_does_not_depend_on_the_cuts(engine, cuts):
    x, y = rows_of(ROWS, 20, torch.float32), torch.arange(ROWS) % 7

    def make() -> Any:
        return classification(x, y, (20, 33, 7), torch.float32, "tanh")

    assert_cuts_do_not_matter(make, CLASSIFICATION[engine], cuts)


@ENGINES
def test_members_add_to_their_own_totals_and_one_without_rows_keeps_its(engine):
    x = byte_rows(ROWS, 65)
    ones = [objective(x, 33, torch.float32, **{**CASE, "seed": seed}) for seed in range(3)]
    alone = [objective(x, 33, torch.float32, **{**CASE, "seed": seed}) for seed in range(3)]
    if engine == "fused":
        step: Any = train_together([reconstruction(one, TrainingConfig(), 1e-4) for one in ones])
    else:
        step = OneByOne([eager_step(one, TrainingConfig(), 1e-4) for one in ones])
    (order,) = orders(ROWS, 1)
    some, none = Batches(order, [0.01] * COUNT, 7.25), Batches(order[:0], [], 2.5)
    assert step.advance([none, none, none], BATCH, 0) == [(2.5, 0)] * 3
    progress = step.advance([some, none, some._replace(total=-1.0)], BATCH, 0)
    assert progress[1] == (2.5, 0)
    for place, begun in ((0, 7.25), (2, -1.0)):
        build = RECONSTRUCTION[engine](alone[place], TrainingConfig(), 1e-4)
        assert progress[place] == build.advance(order, BATCH, 0, [0.01] * COUNT, begun)
    for one, other in zip(ones, alone, strict=True):
        if one is not ones[1]:
            assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))
