"""Fine-tuning by the fused step is that by the eager one: every head, its weights, its noise, and its layers' rates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_cases import DEVICE_STEP, assert_equal_training, bits, both_steps, byte_rows, objective, rows_of, train
from torch import Tensor

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.autoencoders.dense import Dense
from stackae.config import FinetuneConfig
from stackae.data.paired import PairedRows
from stackae.models.heads.classifier import ClassificationObjective, Classifier
from stackae.models.heads.multilabel import MultilabelClassifier, MultilabelObjective
from stackae.models.heads.reconstruction import Decoders, DeepAutoencoder, UnrolledObjective
from stackae.models.heads.regressor import RegressionObjective, Regressor
from stackae.ops.engine import StepChoice
from stackae.ops.step import Batches, StepResult
from stackae.training.head import make_step

pytestmark = pytest.mark.skipif(DEVICE_STEP, reason="the step is CUDA's here, which has none of this")

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROWS, WIDTH, OUT, BATCH = 45, 12, 5, 16
STEPS = 3  # of an epoch
HEADS = ("classifier", "weighted", "sigmoid", "weighted sigmoid", "regressor", "multilabel", "reconstruction")


def gaps(y: Tensor) -> Tensor:
    """Some of them unknown, and one row but for one number."""
    y = y.clone()
    y[::4, 1], y[3, 1:] = torch.nan, torch.nan
    return y


def head_objective(head: str, widths: tuple[int, ...], activation: str, dtype: torch.dtype, **given: Any) -> Any:
    """An objective on new encoders of these widths under a head of OUT outputs, or on as many decoders."""
    x = rows_of(ROWS, WIDTH, dtype)
    sizes = (WIDTH, *widths)
    encoders = [
        Dense.initialised(n, m, activation, seed=4, layer=number)
        for number, (n, m) in enumerate(zip(sizes, widths, strict=False), start=1)
    ]
    top = Dense.initialised(sizes[-1], OUT, "linear", seed=4, layer=9)
    y, numbers = torch.arange(ROWS) % OUT, gaps(rows_of(ROWS, OUT))
    weight = torch.tensor([0.25, 1.0, 4.0, 0.0, 1.5]) if head.startswith("weighted") else None
    if head == "regressor":
        one: Any = RegressionObjective(Regressor(encoders, top).to(dtype), x, numbers)
    elif head == "multilabel":
        one = MultilabelObjective(MultilabelClassifier(encoders, top).to(dtype), x, (numbers > 0.5) + numbers * 0)
    elif head == "reconstruction":
        decoders = [
            Dense.initialised(m, n, activation, seed=4, layer=20 + number)
            for number, (n, m) in enumerate(zip(sizes, widths, strict=False))
        ]
        one = UnrolledObjective(DeepAutoencoder(encoders, Decoders(reversed(decoders))).to(dtype), x, x)
    else:
        outputs = "sigmoid" if head.endswith("sigmoid") else "softmax"
        one = ClassificationObjective(Classifier(encoders, top).to(dtype), x, y, weight=weight, outputs=outputs)
    return replace(one, seed=3, **given)


class Alone:
    """The step of one network, as a ``TrainStep``."""

    def __init__(self, one: Any, config: FinetuneConfig, fused: bool, epochs: int = 6) -> None:
        self._step = make_step(one, config, StepChoice(fused, ""), epochs, STEPS)

    def advance(self, rows: Tensor, batch_size: int, step: int, rates: list[float], total: float = 0.0) -> StepResult:
        return self._step.advance([Batches(rows, rates, total)], batch_size, step)[0]

    def optimizer_state(self) -> list[Tensor]:
        return self._step.optimizer_state()[0]


def both(make: Any, config: FinetuneConfig) -> list[tuple[Any, Alone]]:
    return [(one.network, Alone(one, config, fused)) for fused in (True, False) for one in [make()]]


@st.composite
def configs(draw: Any) -> FinetuneConfig:
    optimizer = draw(st.sampled_from(["sgd", "adam", "adamw"]))
    return FinetuneConfig(
        train=draw(st.sampled_from(["all", "gradual"])),
        layer_decay=draw(st.sampled_from([1.0, 0.5])),
        decaying=draw(st.sampled_from(["all", "head"])),
        optimizer=optimizer,
        momentum=draw(st.sampled_from([0.0, 0.9])),
        momentum_ramp=draw(st.sampled_from(["none", "0.8:1", "0.5:3"])) if optimizer == "sgd" else "none",
        weight_decay=draw(st.sampled_from([0.0, 1e-2])),
    )


NOISES = st.fixed_dictionaries(
    {
        "corruption": st.sampled_from([Corruption(), Corruption("masking", 0.3), Corruption("gaussian", 0.1)]),
        "dropout": st.sampled_from([None, (Dropout(0.2, 1), Dropout(0.0, 2)), (Dropout(0.0, 1), Dropout(0.4, 2))]),
        "max_norm": st.sampled_from([0.0, 0.5]),
    }
)


@FEW
@given(
    head=st.sampled_from(HEADS),
    widths=st.sampled_from([(7,), (20, 6), (9, 33, 3)]),
    activation=st.sampled_from(["sigmoid", "relu", "gelu"]),
    config=configs(),
    noise=NOISES,
)
def test_fused_equals_eager_to_rounding(head, widths, activation, config, noise):
    pair = both(lambda: head_objective(head, widths, activation, torch.float64, **noise), config)
    assert_equal_training(pair, ROWS, BATCH, 6 * STEPS, 1e-9)


@pytest.mark.parametrize("head", HEADS)
def test_in_float32_too(head):
    noise = {"dropout": (Dropout(0.2, 1), Dropout(0.3, 2)), "max_norm": 0.7}
    config = FinetuneConfig(optimizer="sgd", momentum=0.0, train="gradual", layer_decay=0.7)
    pair = both(lambda: head_objective(head, (20, 6), "sigmoid", torch.float32, **noise), config)
    assert_equal_training(pair, ROWS, BATCH, 6 * STEPS, 1e-4)


@pytest.mark.parametrize("head", ["classifier", "reconstruction"])
def test_a_layer_that_stands_still_keeps_its_bits_and_adam_counts_from_its_own_beginning(head):
    one = head_objective(head, (7, 6), "sigmoid", torch.float32)
    step = Alone(one, FinetuneConfig(train="gradual"), fused=True)
    before = bits(one)
    train(step, ROWS, BATCH, STEPS)
    after, still = bits(one), 4  # two encoders of a weight and a bias each, which come first
    assert after[:still] == before[:still]
    assert all(a != b for a, b in zip(after[still:], before[still:], strict=True))
    assert not any(bool(moment.any()) for moment in step.optimizer_state()[: 2 * still])


@pytest.mark.parametrize("stop", [1, 4, 7, 11])
def test_a_new_step_goes_on_bit_for_bit(stop):
    config = FinetuneConfig(train="gradual", layer_decay=0.5, decaying="head")
    noise = {"corruption": Corruption("masking", 0.3), "dropout": (Dropout(0.2, 1), Dropout(0.3, 2)), "max_norm": 0.6}
    whole, first, second = (head_objective("weighted", (9, 6), "relu", torch.float32, **noise) for _ in range(3))
    steps = [Alone(one, config, fused=True) for one in (whole, first, second)]
    order, rates = torch.arange(ROWS).repeat(12)[: 12 * BATCH], [0.01] * 12
    steps[0].advance(order, BATCH, 0, rates)
    steps[1].advance(order[: stop * BATCH], BATCH, 0, rates[:stop])
    second.network.load_state_dict(first.network.state_dict())
    for kept, fresh in zip(steps[1].optimizer_state(), steps[2].optimizer_state(), strict=True):
        fresh.copy_(kept)
    steps[2].advance(order[stop * BATCH :], BATCH, stop, rates[stop:])
    assert bits(whole) == bits(second)


@pytest.mark.parametrize("engine", [True, False])
def test_a_target_that_is_not_finite_moves_nothing(engine):
    one = head_objective("regressor", (7,), "sigmoid", torch.float32)
    one.y[20, 2] = torch.inf
    step = Alone(one, FinetuneConfig(), fused=engine)
    before = bits(one)
    assert step.advance(torch.arange(16, 32), BATCH, 0, [0.01]).steps == 0
    assert bits(one) == before


def pairs_of(kind: str) -> PairedRows:
    x = rows_of(ROWS, WIDTH)
    return PairedRows(x.flip(0), x) if kind == "noisy" else PairedRows(gaps(x).nan_to_num(0.3), gaps(x))


@pytest.mark.parametrize("kind", ["noisy", "gaps"])
@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("emphasis", [None, Emphasis(1.0, 0.5)])
def test_targets_beside_rows(kind, loss, emphasis):
    pairs = pairs_of(kind)
    given = {"loss": loss, "corruption": Corruption("masking", 0.2), "tied": False, "emphasis": emphasis}
    pair = both_steps(lambda: replace(objective(pairs.inputs, 7, **given), x=pairs), 1e-3)
    assert_equal_training(pair, ROWS, BATCH, 12, 1e-9)
    unrolled = both_steps(
        lambda: replace(
            head_objective("reconstruction", (7, 4), "sigmoid", torch.float64, loss=loss), x=pairs, target=pairs
        )
    )
    assert_equal_training(unrolled, ROWS, BATCH, 12, 1e-9)


def test_decoders_alone_reconstruct_the_rows_whose_codes_they_read():
    """The rows may be bytes, and the codes are numbers."""
    rows, codes = byte_rows(ROWS, WIDTH), rows_of(ROWS, 4, torch.float32)

    def make() -> Any:
        one = head_objective("reconstruction", (7, 4), "sigmoid", torch.float32)
        return replace(one, network=one.network.head_alone(), x=codes, target=rows)

    assert_equal_training(both_steps(make, optimizer="sgd"), ROWS, BATCH, 12, 1e-4)
