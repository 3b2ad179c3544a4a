"""The fused step is the eager step: the same losses, gradients and weights, for everything that it serves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_cases import (
    DEVICE_STEP,
    HALF,
    assert_equal_training,
    both_steps,
    byte_rows,
    classification,
    fused_step,
    objective,
    rows_of,
    train,
)

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.config import DataConfig, PretrainConfig, TrainingConfig
from stackae.config.activations import ACTIVATIONS
from stackae.config.values import CORRUPTIONS
from stackae.data import load_data
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.pretraining import pretrain_stack

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


CPU_ALONE = st.fixed_dictionaries(
    {
        "weight_l1": st.sampled_from([0.0, 0.01]),
        "max_norm": st.sampled_from([0.0, 0.4]),
        "dropout": st.sampled_from([None, (Dropout(0.2, 1), Dropout(0.0, 2)), (Dropout(0.1, 1), Dropout(0.5, 2))]),
        "emphasis": st.sampled_from([None, Emphasis(1.0, 0.5), Emphasis(2.0, 0.0)]),
    }
)
"""What the step of a GPU does not have."""


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """Everything that a dense layer may be asked to do, in any combination that the configuration allows."""
    activation = draw(st.sampled_from(tuple(ACTIVATIONS)))
    loss = draw(st.sampled_from(["mse", "bce"]))
    penalties = [None, L1Sparsity(0.01)] + [KlSparsity(0.1, 0.3)] * ACTIVATIONS[activation].saturates
    kind = draw(st.sampled_from(CORRUPTIONS))
    alone = draw(st.just({}) if DEVICE_STEP else CPU_ALONE)
    if kind == "gaussian":  # which strikes all inputs
        alone["emphasis"] = None
    return {
        "activation": activation,
        "output_activation": "sigmoid" if loss == "bce" else draw(st.sampled_from(tuple(ACTIVATIONS))),
        "loss": loss,
        "tied": draw(st.booleans()),
        "sparsity": draw(st.sampled_from(penalties)),
        "corruption": Corruption(kind, 0.3 if kind != "none" else 0.0, -0.5, 1.5),
        "contraction": draw(st.sampled_from([0.0, 0.05])),
        **alone,
    }


SHAPES = [(1, 1, 1, 1), (7, 3, 2, 7), (70, 65, 33, 64), (90, 20, 31, 17), (40, 300, 17, 40), (9, 17, 300, 4)]
TRAININGS = st.fixed_dictionaries(
    {"optimizer": st.sampled_from(["sgd", "adam", "adamw"]), "momentum": st.sampled_from([0.0, 0.9])}
)


@FEW
@given(
    case=cases(),
    shape=st.sampled_from(SHAPES),
    training=TRAININGS,
    decay=st.sampled_from([0.0, 1e-2]),
    steps=st.sampled_from([1, 10, 200]),
)
def test_fused_equals_eager_to_rounding(case, shape, training, decay, steps):
    n, width, n_hidden, batch_size = shape
    x = rows_of(n, width)
    pair = both_steps(lambda: objective(x, n_hidden, **case), decay, **training)
    # Gradients of SGD grow with the layer: a rate that does not shrink with it diverges, and magnifies all rounding.
    rate = 0.01 / max(width, n_hidden) if training["optimizer"] == "sgd" else 0.01
    assert_equal_training(pair, n, batch_size, steps, 1e-9, rate)


@FEW
@given(case=cases(), shape=st.sampled_from(SHAPES), steps=st.sampled_from([1, 10]))
def test_in_float32_fused_is_as_near_to_float64_as_eager(case, shape, steps):
    """Products of another library, in another order: both are compared with float64, neither with the other."""
    n, width, n_hidden, batch_size = shape
    single, double = rows_of(n, width, torch.float32), rows_of(n, width)
    pair = both_steps(
        lambda: objective(single, n_hidden, torch.float32, **case),
        optimizer="sgd",
        momentum=0.0,
    )
    truth = objective(double, n_hidden, **case)
    truth_step = fused_step(truth, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    losses = [train(step, n, batch_size, steps) for step in (pair[0][1], pair[1][1], truth_step)]
    batches = -(-n // batch_size)  # of a call
    for single_loss, loss in ((a, b) for each in losses[:2] for a, b in zip(each, losses[2], strict=True)):
        rounding = 1e-6 * math.sqrt(width * batches * loss)  # of a sum of e^2, where each e is known to 5e-7
        assert single_loss == pytest.approx(loss, rel=1e-5, abs=max(rounding, 1e-6 * losses[2][0]))
    for (name, a), b in zip(pair[0][0].named_parameters(), truth.network.parameters(), strict=True):
        scale = max(1.0, b.abs().max().item())
        assert (a.double() - b).abs().max().item() <= 3e-5 * scale, name


LAYERS = [(12, 5), (12, 20, 5), (12, 70, 33, 3), (12, 300)]


@pytest.mark.parametrize("sizes", LAYERS)
@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "silu", "relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fine_tuning_fused_equals_eager_to_rounding(sizes, activation, optimizer):
    x, y = rows_of(90, 12), torch.arange(90) % sizes[-1]
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-3 if optimizer == "adam" else 1e-4)):
        pair = both_steps(
            lambda dtype=dtype: classification(x.to(dtype), y, sizes, dtype, activation),
            1e-3,
            optimizer=optimizer,
        )
        assert_equal_training(pair, 90, 32, 30, tolerance)


def test_extreme_logits_give_a_finite_loss_and_the_gradient_of_eager():
    x, y = rows_of(6, 12) * 1e4, torch.arange(6) % 5
    pair = both_steps(lambda: classification(x, y, (12, 5), torch.float64, "sigmoid"), optimizer="sgd")
    assert_equal_training(pair, 6, 6, 3, 1e-9)


@pytest.mark.parametrize("kind", ["unit", "minmax", "standard"])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_bytes_train_to_the_same_bits_as_the_numbers_they_stand_for(kind, corruption):
    rows = byte_rows(70, 65, kind)
    options = {
        "corruption": Corruption(corruption, 0.3 if corruption != "none" else 0.0),
        "output_activation": "linear",
    }
    trained = []
    for x in (rows, rows[:]):
        one = objective(x, 33, torch.float32, **options)
        losses = train(fused_step(one, TrainingConfig(), 0.0), 70, 16, 20)
        trained.append((losses, [p.clone() for p in one.network.parameters()]))
    assert trained[0][0] == trained[1][0]
    assert all(torch.equal(a, b) for a, b in zip(trained[0][1], trained[1][1], strict=True))


MORE = {"weight_l1": 1e-3, "max_norm": 1.0, "dropout": (Dropout(0.1, 1), Dropout(0.3, 2)), "emphasis": Emphasis(1, 0.5)}


@HALF
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("more", [{}] if DEVICE_STEP else [{}, MORE], ids=len)
def test_bfloat16_products_give_the_loss_and_weights_to_their_precision(shape, tied, more):
    n, width, n_hidden, batch_size = shape
    x = rows_of(n, width, torch.float32)
    noise = Corruption("masking", 0.3)
    case = {"tied": tied, "sparsity": KlSparsity(0.1, 0.3), "corruption": noise, "contraction": 0.1, **more}
    results = []
    for precision in ("fp32", "bf16"):
        one = objective(x, n_hidden, torch.float32, **case)
        config = TrainingConfig(precision=precision, optimizer="sgd", momentum=0.0)
        results.append((train(fused_step(one, config, 0.0), n, batch_size, 20), one.network))
    assert results[1][0] == pytest.approx(results[0][0], rel=2e-2)
    for (name, a), b in zip(results[0][1].named_parameters(), results[1][1].parameters(), strict=True):
        assert (a - b).norm() <= 3e-2 * (1e-3 + a.norm()), name
    assert all(parameter.dtype == torch.float32 for parameter in results[1][1].parameters())


@HALF
def test_bfloat16_products_train_a_classifier():
    x, y = rows_of(90, 12, torch.float32), torch.arange(90) % 300
    losses = []
    for precision in ("fp32", "bf16"):
        one = classification(x, y, (12, 33, 300), torch.float32, "tanh")
        losses.append(train(fused_step(one, TrainingConfig(precision=precision), 0.0), 90, 32, 60))
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)


def test_over_epochs_of_real_digits_the_loss_curves_agree():
    """Within 0.1 % in float32, epoch by epoch, though the products add in another order."""
    data = load_data(DataConfig(data="digits"))
    curves = []
    for engine in ("fused", "eager"):
        config = PretrainConfig.from_options("784,60,20", max_epochs=5, engine=engine, sparsity="kl:0.1:0.1,l1:0.001")
        result = pretrain_stack(data.train.x, config.model_copy(update={"device": "cpu"}))
        curves.append([record.loss for record in result.history])
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
