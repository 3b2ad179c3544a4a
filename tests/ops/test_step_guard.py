"""What is not finite never gets into parameters or moments: a step that would bring it there is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from step_cases import (
    BUILD,
    DEVICE_STEP,
    ENGINES,
    bits,
    classification,
    eager_step,
    objective,
    rows_of,
)
from torch import Tensor

from stackae.autoencoders.corruption import Corruption, Dropout
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity
from stackae.ops.compiled import train_together
from stackae.ops.step import Batches
from stackae.training.fused import kernel_training
from stackae.training.step import OneByOne

TRAININGS = [
    {"optimizer": "adam"},
    {"optimizer": "adamw"},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "momentum": 0.0},
]
OPTIMISERS = pytest.mark.parametrize("training", TRAININGS, ids=lambda each: "-".join(map(str, each.values())))
CASE = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)}
if not DEVICE_STEP:
    CASE |= {"weight_l1": 1e-3, "max_norm": 0.5, "dropout": (Dropout(0.0, 1), Dropout(0.3, 2))}
BATCH, COUNT = 16, 5
RATES = [0.01] * COUNT
ORDER = torch.arange(COUNT * BATCH)


def clean() -> Tensor:
    return rows_of(COUNT * BATCH, 20, torch.float32)


def memory(step: Any) -> list[bytes]:
    return [moment.cpu().numpy().tobytes() for moment in step.optimizer_state()]


def assert_finite(one: Any, step: Any) -> None:
    assert all(bool(each.isfinite().all()) for each in (*one.network.parameters(), *step.optimizer_state()))


@ENGINES
@OPTIMISERS
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_batch_with_a_bad_number_moves_nothing_and_ends_the_call(engine, training, bad):
    x = clean()
    x[3 * BATCH + 5, 7] = bad
    one, other = (objective(x, 10, torch.float32, **CASE) for _ in range(2))
    step, stopped = (BUILD[engine](each, TrainingConfig(**training), 1e-4) for each in (one, other))
    total, steps = step.advance(ORDER, BATCH, 0, RATES)
    assert steps == 3 and not math.isfinite(total)
    assert stopped.advance(ORDER[: 3 * BATCH], BATCH, 0, RATES[:3]).steps == 3
    assert bits(one) == bits(other)
    assert memory(step) == memory(stopped)
    again = [each.advance(ORDER[: 2 * BATCH], BATCH, 3, RATES[:2], 1.5) for each in (step, stopped)]
    assert again[0] == again[1] and again[0].steps == 2
    assert bits(one) == bits(other)


@ENGINES
@OPTIMISERS
def test_a_contraction_that_is_not_finite_moves_nothing(engine, training):
    """The weights' squared norms are beyond float32; where codes are saturated, the reconstruction does not show it."""
    one = objective(clean(), 10, torch.float32, tied=False, contraction=0.1)
    with torch.no_grad():
        one.network.encoder.weight.fill_(1e25)
    step = BUILD[engine](one, TrainingConfig(**training), 1e-4)
    before, moments = bits(one), memory(step)
    total, steps = step.advance(ORDER, BATCH, 0, RATES)
    assert steps == 0 and not math.isfinite(total)
    assert bits(one) == before and memory(step) == moments


def huge_classification(sizes: tuple[int, ...]) -> Any:
    """Rows of 1e25 from the third batch on. Their loss is a logit, and finite; their gradient's square is not."""
    x = clean()
    x[2 * BATCH :] *= 1e25
    return classification(x, torch.arange(len(x)) % 4, sizes, torch.float32, "linear")


@ENGINES
@OPTIMISERS
@pytest.mark.parametrize("sizes", [(20, 4), (20, 7, 4)])
def test_a_finite_loss_whose_step_is_not_leaves_all_finite_and_ends_the_call(engine, training, sizes):
    one, other = huge_classification(sizes), huge_classification(sizes)
    step, stopped = (BUILD[engine](each, TrainingConfig(**training), 1e-4) for each in (one, other))
    rates = [0.01] * 2 + [0.01 if "adam" in training["optimizer"] else 1e25] * 3
    total, steps = step.advance(ORDER, BATCH, 0, rates)
    assert steps == 2 and math.isfinite(total) and total > 1e20
    assert_finite(one, step)
    assert stopped.advance(ORDER[: 3 * BATCH], BATCH, 0, rates[:3]) == (total, 2)
    assert bits(one) == bits(other) and memory(step) == memory(stopped)  # nothing moved after it
    if engine == "eager":  # all of the step is taken back
        fresh = huge_classification(sizes)
        BUILD[engine](fresh, TrainingConfig(**training), 1e-4).advance(ORDER[: 2 * BATCH], BATCH, 0, rates[:2])
        assert bits(one) == bits(fresh)
    assert step.advance(ORDER[:BATCH], BATCH, 5, [0.0]).steps == 1  # it may be asked again


@ENGINES
@OPTIMISERS
def test_a_learning_rate_out_of_all_bounds_leaves_all_finite(engine, training):
    one = objective(clean(), 10, torch.float32, output_activation="linear", tied=False)
    step = BUILD[engine](one, TrainingConfig(**training), 1e-4)
    assert step.advance(ORDER, BATCH, 0, [1e38] * COUNT).steps < COUNT
    assert_finite(one, step)


@ENGINES
def test_a_square_that_overflows_alone_is_kept_out(engine):
    """An infinite second moment leaves Adam's parameter where it is: it shows in itself alone."""
    x = torch.full((BATCH, 20), 3e21, device=clean().device)
    one = classification(x, torch.arange(BATCH) % 4, (20, 4), torch.float32, "linear")
    step = BUILD[engine](one, TrainingConfig(), 0.0)
    total, steps = step.advance(torch.arange(BATCH), BATCH, 0, [0.01])
    assert steps == 0 and math.isfinite(total)
    assert_finite(one, step)
    assert not step.optimizer_state()[0].any() and not step.optimizer_state()[1].any()


@ENGINES
@OPTIMISERS
def test_the_others_of_a_population_go_on_untouched(engine, training):
    config = TrainingConfig(**training)
    bad = clean()
    bad[2 * BATCH] = math.nan
    rows, rates = [clean(), bad, clean(), clean()], [RATES, RATES, [1e38] * COUNT, RATES]
    cases = [{**CASE, "seed": seed, "output_activation": "linear"} for seed in range(4)]
    together, alone = (
        [objective(x, 10, torch.float32, **case) for x, case in zip(rows, cases, strict=True)] for _ in range(2)
    )
    if engine == "fused":
        step: Any = train_together([kernel_training(each, config, 1e-4) for each in together])
    else:
        step = OneByOne([eager_step(each, config, 1e-4) for each in together])
    batches = [Batches(ORDER, each) for each in rates]
    progress = step.advance(batches, BATCH, 0)
    steps = [BUILD[engine](each, config, 1e-4) for each in alone]
    for one, own, given, found in zip(steps, alone, batches, progress, strict=True):
        assert str(one.advance(given.rows, BATCH, 0, given.learning_rates)) == str(found)  # NaN is NaN
        assert_finite(own, one)
    assert [each.steps for each in progress][:2] == [COUNT, 2]
    assert progress[2].steps < COUNT and progress[3].steps == COUNT
    assert [bits(each) for each in together] == [bits(each) for each in alone]
    moments = [[moment.cpu().numpy().tobytes() for moment in own] for own in step.optimizer_state()]
    assert moments == [memory(each) for each in steps]
    again = step.advance([Batches(ORDER[:BATCH], [0.0])] * 4, BATCH, COUNT)  # a new call begins anew
    assert [again[place].steps for place in (0, 1, 3)] == [1, 1, 1]


@OPTIMISERS
@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
def test_wherever_in_a_tile_it_is_one_number_is_kept_and_the_others_move(training, n):
    """The fused step is masked: the last column of the weight has a step that is not finite, the others have theirs."""
    x = rows_of(BATCH, n, torch.float32)
    x[3, n - 1] = 1e38
    one = classification(x, torch.arange(BATCH) % 4, (n, 4), torch.float32, "linear")
    with torch.no_grad():
        one.network.head.weight[:, n - 1] = 0
    step = BUILD["fused"](one, TrainingConfig(**training), 0.0)
    before = one.network.head.weight.detach().clone()
    rate = 0.01 if "adam" in training["optimizer"] else 1e3
    assert step.advance(torch.arange(BATCH), BATCH, 0, [rate]).steps == 0
    assert_finite(one, step)
    after = one.network.head.weight.detach()
    assert torch.equal(after[:, n - 1], before[:, n - 1])
    assert bool((after != before)[:, : n - 1].any(dim=0).all())
