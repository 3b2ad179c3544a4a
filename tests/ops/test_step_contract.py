"""What a step promises beside its numbers: the same bits, no allocation, refusals, and when it is taken."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from step_cases import (
    DEVICE_STEP,
    HALF,
    byte_rows,
    classification,
    fused_step,
    objective,
    orders,
    rows_of,
    train,
)
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from stackae.autoencoders.corruption import Corruption, Dropout
from stackae.config import TrainingConfig
from stackae.errors import SetupError
from stackae.objectives.penalties import KlSparsity
from stackae.ops.compiled import DenseLayer, products, train_step, training
from stackae.ops.engine import choose_step

CASE = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "contraction": 0.1}
if not DEVICE_STEP:
    CASE |= {"weight_l1": 1e-3, "max_norm": 0.5, "dropout": (Dropout(0.1, 1), Dropout(0.3, 2))}


def trained_bits(threads: int, cuts: list[int], **training: Any) -> list[Tensor]:
    """The parameters after 24 steps, handed over in calls that end at the given steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        case = {**CASE, "corruption": Corruption("gaussian", 0.3)}
        one = objective(byte_rows(300, 130), 70, torch.float32, **case)
        step = fused_step(one, TrainingConfig(**training), 1e-4)
        order = torch.cat(orders(300, 16))
        for begin, end in itertools.pairwise([0, *cuts, 24]):
            step.advance(order[begin * 200 : end * 200], 200, begin, [0.01] * (end - begin))
        return [parameter.detach().clone() for parameter in one.network.parameters()]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_how_many_steps_a_call_takes_does_not_change_a_bit(optimizer):
    whole = trained_bits(1, [], optimizer=optimizer)
    for cuts in ([1], [23], [5, 6, 7, 20]):
        assert all(torch.equal(a, b) for a, b in zip(whole, trained_bits(1, cuts, optimizer=optimizer), strict=True))


@pytest.mark.parametrize(
    "training", [{"optimizer": "sgd"}, {}, {"optimizer": "adamw"}, pytest.param({"precision": "bf16"}, marks=HALF)]
)
@pytest.mark.parametrize("stop", [1, 11, 23])
def test_a_new_step_goes_on_bit_for_bit_where_another_stopped(training, stop):
    order, rates = torch.cat(orders(300, 16)), [0.01] * 24
    case = {**CASE, "corruption": Corruption("gaussian", 0.3)}
    whole, first, second = (objective(byte_rows(300, 130), 70, torch.float32, **case) for _ in range(3))
    steps = [fused_step(one, TrainingConfig(**training), 1e-4) for one in (whole, first, second)]
    steps[0].advance(order, 200, 0, rates)
    steps[1].advance(order[: stop * 200], 200, 0, rates[:stop])
    second.network.load_state_dict(first.network.state_dict())
    for kept, fresh in zip(steps[1].optimizer_state(), steps[2].optimizer_state(), strict=True):
        fresh.copy_(kept)
    steps[2].advance(order[stop * 200 :], 200, stop, rates[stop:])
    states = [one.network.state_dict() for one in (whole, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(a, b) for a, b in zip(steps[0].optimizer_state(), steps[2].optimizer_state(), strict=True))


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=HALF)])
def test_the_whole_step_gives_the_same_bits_for_any_number_of_threads(precision):
    one = trained_bits(1, [], precision=precision)
    for threads in (2, 3, 4):
        assert all(torch.equal(a, b) for a, b in zip(one, trained_bits(threads, [], precision=precision), strict=True))


def test_weights_changed_from_outside_are_what_the_next_step_starts_from():
    x = rows_of(64, 20, torch.float32)
    first, second = (objective(x, 10, torch.float32, tied=False) for _ in range(2))
    step = fused_step(first, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    train(step, 64, 16, 4)
    with torch.no_grad():
        for parameter, source in zip(first.network.parameters(), second.network.parameters(), strict=True):
            parameter.copy_(source)
    fresh = fused_step(second, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    assert train(step, 64, 16, 4) == train(fresh, 64, 16, 4)


def test_autograd_notices_that_a_step_changed_the_weights():
    one = objective(rows_of(8, 4, torch.float32), 3, torch.float32)
    loss = one.network(one.x).sum()
    fused_step(one, TrainingConfig(), 0.0).advance(torch.arange(8), 8, 0, [0.1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def counted(call: Any) -> tuple[int, int]:
    """How many pieces of memory torch hands out or takes back during a call, and how many ops it dispatches."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        call()
    memory = sum(event.name == "[memory]" for event in profiler.events())
    return memory, len(profiler.events()) - memory


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_after_the_first_batch_nothing_is_allocated_and_little_dispatched(loss):
    x = byte_rows(256, 100)
    if loss == "mse":
        noise = Corruption("masking", 0.3)
        case = {"corruption": noise, **CASE}
        step = fused_step(objective(x, 50, torch.float32, **case), TrainingConfig(), 1e-4)
    else:
        one = classification(x, torch.arange(256) % 7, (100, 50, 7), torch.float32, "sigmoid")
        step = fused_step(one, TrainingConfig(), 1e-4)
    order, rates = torch.arange(256), [0.01] * 4
    step.advance(order, 64, 0, rates)
    allocated, dispatched = counted(lambda: step.advance(order, 64, 4, rates))
    assert allocated == 0
    assert dispatched == 0
    assert all(count > 0 for count in counted(lambda: torch.ones(3).add_(1)))  # that such things are seen at all


def test_a_batch_whose_loss_is_not_finite_moves_nothing():
    x = rows_of(64, 20, torch.float32)
    x[40] = float("nan")
    one = objective(x, 10, torch.float32)
    step = fused_step(one, TrainingConfig(), 0.0)
    assert step.advance(torch.arange(16), 16, 0, [0.1]).steps == 1
    before = [parameter.clone() for parameter in one.network.parameters()]
    total, steps = step.advance(torch.arange(32, 64), 16, 1, [0.1, 0.1])
    assert steps == 0 and not math.isfinite(total)
    assert all(torch.equal(a, b) for a, b in zip(before, one.network.parameters(), strict=True))


def test_a_wider_batch_or_more_threads_than_before_are_taken():
    x = rows_of(100, 20, torch.float32)  # so few that a device has the same tiles for both
    one, other = objective(x, 10, torch.float32), objective(x, 10, torch.float32)
    step, fresh = (fused_step(each, TrainingConfig(), 0.0) for each in (one, other))
    step.advance(torch.arange(10), 10, 0, [0.01])
    step.advance(torch.arange(100), 100, 1, [0.01])
    fresh.advance(torch.arange(10), 100, 0, [0.01])
    fresh.advance(torch.arange(100), 100, 1, [0.01])
    assert all(torch.equal(a, b) for a, b in zip(*(o.network.parameters() for o in (one, other)), strict=True))


W, B, C, X = torch.zeros(3, 4), torch.zeros(3), torch.zeros(4), torch.zeros(8, 4)
CHAIN = [DenseLayer(W, B, "sigmoid"), DenseLayer(None, C, "linear", 0)]


@pytest.mark.parametrize(
    ("layers", "x", "options", "message"),
    [
        ([], X, {}, "layers: expected at least one, got none"),
        ([DenseLayer(None, B, "sigmoid")], X, {}, r"layer 1: expected a weight \(n_out, n_in\), or tied_to an earlier"),
        ([DenseLayer(W, C, "sigmoid")], X, {}, r"layer 1: expected a bias of shape \(3,\)"),
        ([DenseLayer(W, B.double(), "sigmoid")], X, {}, "layer 1: expected parameters of one type"),
        ([DenseLayer(torch.zeros(4, 3).t(), B, "sigmoid")], X, {}, "layer 1: expected contiguous parameters"),
        ([CHAIN[0], CHAIN[0]], X, {}, "layer 2: expected to read 3 outputs of the layer below, got 4"),
        ([CHAIN[0]], X, {}, "layers: expected a reconstruction of 4 features, got 3"),
        (CHAIN, X[:, :2], {}, r"x: expected shape \(n, 4\), got \[8, 2\]"),
        (CHAIN, X.t().contiguous().t(), {}, "x: expected contiguous rows"),
        (CHAIN, X.double(), {}, "x: expected uint8, float32 or Float, got Double"),
        (CHAIN, X.to(torch.uint8), {}, r"offset and scale: expected float32 of shape \(4,\) beside bytes"),
        (CHAIN, X, {"loss": "hinge"}, "loss: expected one of mse, bce, cross_entropy, got 'hinge'"),
        (CHAIN, X, {"optimizer": "lion"}, "optimizer: expected one of sgd, adam, adamw, got 'lion'"),
        (CHAIN, X, {"seed": -1}, "seed and layer: expected a seed of at least 0"),
        (CHAIN, X, {"corruption": ("fog", 0.1, 0.0, 1.0)}, "kind: expected none, gaussian, masking"),
        (CHAIN, X, {"corruption": ("masking", 1.1, 0.0, 1.0)}, "level: expected a probability between 0 and 1"),
        ([CHAIN[0]], X, {"loss": "cross_entropy"}, "layers: expected linear logits on top"),
        (
            [CHAIN[0]],
            X,
            {"sparsity": ("l1", 0.5, 0.1)},
            "sparsity and contraction: expected a code between two layers, got one layer",
        ),
        ([CHAIN[0]], X, {"contraction": 0.1}, "contraction: expected a code between two layers, got one layer"),
        (CHAIN, X, {"sparsity": ("l1", 0.5, -0.1)}, "contraction: expected weights of at least 0, got -0.1 and 0"),
        (CHAIN, X, {"sparsity": ("l2", 0.5, 0.1)}, "sparsity: expected one of none, kl, l1, got 'l2'"),
        (CHAIN, X, {"weight_l1": -0.1}, "weight_l1 and max_norm: expected numbers of at least 0, got -0.1 and 0"),
        (
            [CHAIN[0]._replace(begins=3), CHAIN[1]],
            X,
            {"weight_l1": 0.1},
            "weight_l1: expected layers that all move from the first step on, got one that begins with step 3",
        ),
        (
            CHAIN,
            X,
            {"dropout": (0.1, 1.0, 1)},
            "dropout: expected probabilities of at least 0 and below 1, got 0.1 and",
        ),
        (CHAIN, X, {"dropout": (0.0, 0.1, 2)}, "dropout: expected that of the outputs of fewer than 2 layers, got 2"),
        (CHAIN, X, {"dropout": (0.1, 0.0, 0), "layer": 1 << 20}, "layer: expected one below 1048574 beside dropout"),
        (
            CHAIN,
            X,
            {"emphasis": (1.0, 0.5), "corruption": ("gaussian", 0.1, 0.0, 1.0)},
            "emphasis: expected noise that strikes some inputs and leaves others, got gaussian",
        ),
        (
            CHAIN,
            X,
            {"optimizer": "adam", "momentum_ramp": (0.9, 3, 10)},
            "momentum_ramp: expected epochs of at least one step, and optimizer sgd, got 3 epochs of 10 steps",
        ),
        (CHAIN, X, {"weights": torch.ones(7)}, r"weights: expected Float of shape \(8,\) beside x"),
        (CHAIN, X, {"targets": torch.ones(8, 3)}, r"targets: expected shape \(n, 4\), got \[8, 3\]"),
        (CHAIN, X, {"targets": torch.ones(7, 4)}, "targets: expected 8 rows beside x, got 7"),
        (CHAIN, X, {"keeps": 4}, "keeps: expected 0 to 3 units of the code, got 4"),
        (CHAIN, X, {"keeps": -1}, "keeps: expected 0 to 3 units of the code, got -1"),
        (CHAIN * 2, X, {"keeps": 2}, "keeps: expected an autoencoder of one layer each way, got 4 layers and loss mse"),
        (
            CHAIN,
            X,
            {"keeps": 2, "contraction": 0.1},
            "sparsity and contraction: expected a code of which all units are",
        ),
        (CHAIN, X, {"share": 1.0}, "share: expected at least 0 and below 1, and 0 beside keeps, got 1"),
        (CHAIN, X, {"share": -0.1}, "share: expected at least 0 and below 1, and 0 beside keeps, got -0.1"),
        (CHAIN, X, {"share": 0.1, "keeps": 2}, "share: expected at least 0 and below 1, and 0 beside keeps, got 0.1"),
        (CHAIN, X, {"share": 0.1, "contraction": 0.1}, "sparsity and contraction: expected a code of which all units"),
        (CHAIN, X, {"auxiliary": (2, 9, 0.1)}, "auxiliary: expected a code that keeps few units, got keeps 0"),
        (
            CHAIN,
            X,
            {"keeps": 2, "auxiliary": (2, 0, 0.1)},
            "1 to 16777216 rows and a weight of at least 0, got 2, 0",
        ),
        (CHAIN, X, {"keeps": 2, "auxiliary": (-1, 9, 0.1)}, "auxiliary: expected at least 0 units, 1 to 16777216 rows"),
        (
            [CHAIN[0]._replace(rate=0.5), CHAIN[1]],
            X,
            {"keeps": 2},
            "learning rates and decay of single layers: expected a code of which all units are kept, got keeps or",
        ),
        (CHAIN, X, {"contraction": -0.1}, "expected weights of at least 0, got 0 and -0.1"),
        (CHAIN, X, {"sparsity": ("kl", 1.5, 0.1)}, r"sparsity: expected a target mean activation in \(0, 1\), got 1.5"),
        (
            [CHAIN[0]._replace(activation="relu"), CHAIN[1]],
            X,
            {"sparsity": ("kl", 0.1, 0.1)},
            "sparsity: expected a sigmoid or tanh code, got relu",
        ),
        ([DenseLayer(W, B, "linear")], X, {"loss": "cross_entropy"}, r"labels: expected int64 of shape \(8,\)"),
        (
            [DenseLayer(W, B, "linear")],
            X,
            {"loss": "cross_entropy", "labels": torch.arange(8)},
            "labels: expected 0 to 2, got 7",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named_in_one_sentence(layers, x, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        train_step(training(layers=layers, x=x, **{"loss": "mse", **options}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((torch.arange(8).int(), 4, 0, [0.1, 0.1]), r"rows: expected int64 indices of shape \(k,\)"),
        ((torch.arange(9), 9, 0, [0.1]), "rows: expected indices of 8 rows, got 8"),
        ((torch.arange(8), 4, 0, [0.1]), "learning_rates: expected one for each of 2 batches, got 1"),
        ((torch.arange(8), 0, 0, [0.1]), "batch_size and step: expected at least 1 and at least 0"),
    ],
)
def test_a_call_that_does_not_fit_is_named_in_one_sentence(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        train_step(training(layers=CHAIN, x=X, loss="mse")).advance(*call)


# ---- which step is taken


def test_the_fused_step_is_taken_where_there_is_one_and_the_reason_is_given_where_not(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_step("auto", cpu) == (True, f"fp32, products by {products()}", "")
    assert choose_step("fused", cpu).fused
    assert choose_step("eager", cpu) == (False, "engine eager, requested", "")
    monkeypatch.setattr("stackae.ops.compiled.products", lambda device, precision: {"cuda": "tiles"}.get(device))
    assert choose_step("auto", cuda, "tf32") == (True, "tf32, products by tiles", "")
    monkeypatch.setattr("stackae.ops.compiled.products", lambda device, precision: None)
    assert choose_step("auto", cuda) == (
        False,
        "the extension was built without a step for cuda; its ops are fused",
        "",
    )


@pytest.mark.parametrize(
    ("engine", "device", "precision", "message"),
    [
        ("eager", "cpu", "bf16", r"precision bf16: expected the fused step, got engine='eager' \(requested\)"),
        (
            "auto",
            "cpu",
            "tf32",
            "precision tf32: expected a CUDA device, got device='cpu'; use precision='fp32'",
        ),
        ("auto", "cpu", "bf16", "precision bf16: expected a processor with avx512_bf16 or amx_bf16 and a torch that"),
        ("auto", "cuda", "bf16", "precision bf16: expected an extension that was built with a step for cuda, got one"),
    ],
)
def test_products_that_there_are_not_are_refused(monkeypatch, engine, device, precision, message):
    monkeypatch.setattr("stackae.ops.compiled.products", lambda *asked: None)
    with pytest.raises(SetupError, match=message):
        choose_step(engine, torch.device(device), precision)
