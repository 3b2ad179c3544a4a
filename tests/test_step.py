"""The fused step is the eager step: the same losses, gradients and weights, for everything that it serves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.classifier import Classifier
from stackae.config import DataConfig, PretrainConfig, TrainingConfig
from stackae.corruption import Corruption
from stackae.data import load_data
from stackae.data.rows import ByteRows, Rows
from stackae.data.scaling import Scaling
from stackae.engine import choose_step
from stackae.errors import SetupError
from stackae.fields import ACTIVATIONS, CORRUPTIONS
from stackae.ops import DenseLayer, cpu_train_step, products
from stackae.penalties import KlSparsity, L1Sparsity
from stackae.pretrain import pretrain_stack
from stackae.random import Purpose, uniform
from stackae.training.fused import fused_classification, fused_reconstruction
from stackae.training.optimizers import make_optimizer
from stackae.training.step import ClassificationObjective, EagerStep, ReconstructionObjective

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rows_of(n: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return uniform((n, width), seed=9, purpose=Purpose.SPLIT).to(dtype)


def objective(x: Rows, n_hidden: int, dtype: torch.dtype = torch.float64, **given: Any) -> ReconstructionObjective:
    """An objective on a new autoencoder, whose weights depend on the shape alone."""
    autoencoder = Autoencoder(
        x.shape[1],
        n_hidden,
        activation=given.pop("activation", "sigmoid"),
        output_activation=given.pop("output_activation", "sigmoid"),
        tied=given.pop("tied", True),
        seed=5,
    )
    defaults = {"loss": "mse", "corruption": Corruption(), "sparsity": None, "seed": 3, "layer": 2}
    return ReconstructionObjective(autoencoder.to(dtype), x, **{**defaults, **given})


def both_steps(make: Any, build: Any, weight_decay: float = 0.0, **training: Any):
    """(module, step) for the fused and the eager step, each on a network of its own."""
    config = TrainingConfig(**training)
    fused, eager = make(), make()
    modules = [each.autoencoder if isinstance(each, ReconstructionObjective) else each.model for each in (fused, eager)]
    optimizer = make_optimizer(modules[1], config, 0.0, weight_decay)
    return (modules[0], build(fused, config, weight_decay)), (modules[1], EagerStep(eager, optimizer))


def orders(n: int, epochs: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(n, generator=generator) for _ in range(epochs)]


def train(step: Any, n: int, batch_size: int, steps: int, rate: float = 0.01) -> list[float]:
    """The loss of each call; calls hold one epoch of batches, or what remains of the steps."""
    per_epoch, done, losses = -(-n // batch_size), 0, []
    for order in orders(n, -(-steps // per_epoch)):
        count = min(per_epoch, steps - done)
        rates = [rate / (1 + done + i) ** 0.5 for i in range(count)]
        losses.append(step.advance(order[: count * batch_size], batch_size, done, rates))
        done += count
    return losses


def assert_equal_training(pair: Any, n: int, batch_size: int, steps: int, tolerance: float) -> None:
    (fused, fused_step), (eager, eager_step) = pair
    fused_losses, eager_losses = (train(step, n, batch_size, steps) for step in (fused_step, eager_step))
    assert fused_losses == pytest.approx(eager_losses, rel=tolerance)
    for (name, a), b in zip(fused.named_parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}")


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """Everything that a dense layer may be asked to do, in any combination that the configuration allows."""
    activation = draw(st.sampled_from(ACTIVATIONS))
    loss = draw(st.sampled_from(["mse", "bce"]))
    penalties = [None, L1Sparsity(0.01)] + [KlSparsity(0.1, 0.3)] * (activation in ("sigmoid", "tanh"))
    kind = draw(st.sampled_from(CORRUPTIONS))
    return {
        "activation": activation,
        "output_activation": "sigmoid" if loss == "bce" else draw(st.sampled_from(ACTIVATIONS)),
        "loss": loss,
        "tied": draw(st.booleans()),
        "sparsity": draw(st.sampled_from(penalties)),
        "corruption": Corruption(kind, 0.3 if kind != "none" else 0.0, -0.5, 1.5),
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
    pair = both_steps(lambda: objective(x, n_hidden, **case), fused_reconstruction, decay, **training)
    assert_equal_training(pair, n, batch_size, steps, 1e-9)


@FEW
@given(case=cases(), shape=st.sampled_from(SHAPES), steps=st.sampled_from([1, 10]))
def test_in_float32_fused_is_as_near_to_float64_as_eager(case, shape, steps):
    """Products of another library, in another order: both are compared with float64, neither with the other."""
    n, width, n_hidden, batch_size = shape
    single, double = rows_of(n, width, torch.float32), rows_of(n, width)
    pair = both_steps(
        lambda: objective(single, n_hidden, torch.float32, **case),
        fused_reconstruction,
        optimizer="sgd",
        momentum=0.0,
    )
    truth = objective(double, n_hidden, **case)
    truth_step = fused_reconstruction(truth, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    losses = [train(step, n, batch_size, steps) for step in (pair[0][1], pair[1][1], truth_step)]
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    assert losses[1] == pytest.approx(losses[2], rel=1e-5)
    for (name, a), b in zip(pair[0][0].named_parameters(), truth.autoencoder.parameters(), strict=True):
        scale = max(1.0, b.abs().max().item())
        assert (a.double() - b).abs().max().item() <= 3e-5 * scale, name


LAYERS = [(12, 5), (12, 20, 5), (12, 70, 33, 3), (12, 300)]


def classification(x: Rows, y: Tensor, sizes: tuple[int, ...], dtype: torch.dtype, activation: str):
    widths = list(itertools.pairwise(sizes))
    layers = [
        Dense.initialised(n_in, n_out, activation if number < len(widths) else "linear", seed=4, layer=number)
        for number, (n_in, n_out) in enumerate(widths, start=1)
    ]
    return ClassificationObjective(Classifier(layers[:-1], layers[-1]).to(dtype), x, y)


@pytest.mark.parametrize("sizes", LAYERS)
@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_fine_tuning_fused_equals_eager_to_rounding(sizes, activation, optimizer):
    x, y = rows_of(90, 12), torch.arange(90) % sizes[-1]
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-3 if optimizer == "adam" else 1e-4)):
        pair = both_steps(
            lambda dtype=dtype: classification(x.to(dtype), y, sizes, dtype, activation),
            fused_classification,
            1e-3,
            optimizer=optimizer,
        )
        assert_equal_training(pair, 90, 32, 30, tolerance)


def test_extreme_logits_give_a_finite_loss_and_the_gradient_of_eager():
    x, y = rows_of(6, 12) * 1e4, torch.arange(6) % 5
    pair = both_steps(
        lambda: classification(x, y, (12, 5), torch.float64, "sigmoid"), fused_classification, optimizer="sgd"
    )
    assert_equal_training(pair, 6, 6, 3, 1e-9)


def byte_rows(n: int, width: int, kind: str = "unit") -> ByteRows:
    raw = (rows_of(n, width) * 255).to(torch.uint8)
    return ByteRows(raw, Scaling.fit(kind, raw))


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
        losses = train(fused_reconstruction(one, TrainingConfig(), 0.0), 70, 16, 20)
        trained.append((losses, [p.clone() for p in one.autoencoder.parameters()]))
    assert trained[0][0] == trained[1][0]
    assert all(torch.equal(a, b) for a, b in zip(trained[0][1], trained[1][1], strict=True))


HALF = pytest.mark.skipif(products(bfloat16=True) is None, reason="this processor has no bfloat16 products")


@HALF
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tied", [True, False])
def test_bfloat16_products_give_the_loss_and_weights_to_their_precision(shape, tied):
    n, width, n_hidden, batch_size = shape
    x = rows_of(n, width, torch.float32)
    case = {"tied": tied, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("masking", 0.3)}
    results = []
    for precision in ("fp32", "bf16"):
        one = objective(x, n_hidden, torch.float32, **case)
        config = TrainingConfig(precision=precision, optimizer="sgd", momentum=0.0)
        results.append((train(fused_reconstruction(one, config, 0.0), n, batch_size, 20), one.autoencoder))
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
        losses.append(train(fused_classification(one, TrainingConfig(precision=precision), 0.0), 90, 32, 60))
    assert losses[1] == pytest.approx(losses[0], rel=2e-2)


def trained_bits(threads: int, cuts: list[int], **training: Any) -> list[Tensor]:
    """The parameters after 24 steps, handed over in calls that end at the given steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        case = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)}
        one = objective(byte_rows(300, 130), 70, torch.float32, **case)
        step = fused_reconstruction(one, TrainingConfig(**training), 1e-4)
        order = torch.cat(orders(300, 16))
        for begin, end in itertools.pairwise([0, *cuts, 24]):
            step.advance(order[begin * 200 : end * 200], 200, begin, [0.01] * (end - begin))
        return [parameter.detach().clone() for parameter in one.autoencoder.parameters()]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_how_many_steps_a_call_takes_does_not_change_a_bit(optimizer):
    whole = trained_bits(1, [], optimizer=optimizer)
    for cuts in ([1], [23], [5, 6, 7, 20]):
        assert all(torch.equal(a, b) for a, b in zip(whole, trained_bits(1, cuts, optimizer=optimizer), strict=True))


@pytest.mark.parametrize("training", [{"optimizer": "sgd"}, {}, {"optimizer": "adamw"}, {"precision": "bf16"}])
@pytest.mark.parametrize("stop", [1, 11, 23])
def test_a_new_step_goes_on_bit_for_bit_where_another_stopped(training, stop):
    if training.get("precision") == "bf16" and products(bfloat16=True) is None:
        pytest.skip("this processor has no bfloat16 products")
    order, rates = torch.cat(orders(300, 16)), [0.01] * 24
    case = {"tied": False, "sparsity": KlSparsity(0.1, 0.3), "corruption": Corruption("gaussian", 0.3)}
    whole, first, second = (objective(byte_rows(300, 130), 70, torch.float32, **case) for _ in range(3))
    steps = [fused_reconstruction(one, TrainingConfig(**training), 1e-4) for one in (whole, first, second)]
    steps[0].advance(order, 200, 0, rates)
    steps[1].advance(order[: stop * 200], 200, 0, rates[:stop])
    second.autoencoder.load_state_dict(first.autoencoder.state_dict())
    for kept, fresh in zip(steps[1].moments(), steps[2].moments(), strict=True):
        fresh.copy_(kept)
    steps[2].advance(order[stop * 200 :], 200, stop, rates[stop:])
    states = [one.autoencoder.state_dict() for one in (whole, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert all(torch.equal(a, b) for a, b in zip(steps[0].moments(), steps[2].moments(), strict=True))


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=HALF)])
@pytest.mark.skipif(products() == "ATen", reason="ATen's products depend on the number of threads")
def test_the_whole_step_gives_the_same_bits_for_any_number_of_threads(precision):
    one = trained_bits(1, [], precision=precision)
    for threads in (2, 3, 4):
        assert all(torch.equal(a, b) for a, b in zip(one, trained_bits(threads, [], precision=precision), strict=True))


def test_weights_changed_from_outside_are_what_the_next_step_starts_from():
    x = rows_of(64, 20, torch.float32)
    first, second = (objective(x, 10, torch.float32, tied=False) for _ in range(2))
    step = fused_reconstruction(first, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    train(step, 64, 16, 4)
    with torch.no_grad():
        for parameter, source in zip(first.autoencoder.parameters(), second.autoencoder.parameters(), strict=True):
            parameter.copy_(source)
    fresh = fused_reconstruction(second, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
    assert train(step, 64, 16, 4) == train(fresh, 64, 16, 4)


def test_autograd_notices_that_a_step_changed_the_weights():
    one = objective(rows_of(8, 4, torch.float32), 3, torch.float32)
    loss = one.autoencoder(one.x).sum()
    fused_reconstruction(one, TrainingConfig(), 0.0).advance(torch.arange(8), 8, 0, [0.1])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def counted(call: Any) -> tuple[int, int]:
    """How many pieces of memory torch hands out or takes back during a call, and how many ops it dispatches."""
    with torch.profiler.profile(profile_memory=True, acc_events=True) as profile:
        call()
    memory = sum(event.name == "[memory]" for event in profile.events())
    return memory, len(profile.events()) - memory


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_after_the_first_batch_nothing_is_allocated_and_little_dispatched(loss):
    x = byte_rows(256, 100)
    if loss == "mse":
        case = {"sparsity": KlSparsity(0.1, 0.1), "corruption": Corruption("masking", 0.3), "tied": False}
        step = fused_reconstruction(objective(x, 50, torch.float32, **case), TrainingConfig(), 1e-4)
    else:
        one = classification(x, torch.arange(256) % 7, (100, 50, 7), torch.float32, "sigmoid")
        step = fused_classification(one, TrainingConfig(), 1e-4)
    order, rates = torch.arange(256), [0.01] * 4
    step.advance(order, 64, 0, rates)
    allocated, dispatched = counted(lambda: step.advance(order, 64, 4, rates))
    assert allocated == 0
    assert dispatched <= (0 if products() != "ATen" else 4 * 40)
    assert all(count > 0 for count in counted(lambda: torch.ones(3).add_(1)))  # that such things are seen at all


def test_a_batch_whose_loss_is_not_finite_moves_nothing():
    x = rows_of(64, 20, torch.float32)
    x[40] = float("nan")
    one = objective(x, 10, torch.float32)
    step = fused_reconstruction(one, TrainingConfig(), 0.0)
    assert torch.isfinite(torch.tensor(step.advance(torch.arange(16), 16, 0, [0.1])))
    before = [parameter.clone() for parameter in one.autoencoder.parameters()]
    assert not torch.isfinite(torch.tensor(step.advance(torch.arange(32, 64), 16, 1, [0.1, 0.1])))
    assert all(torch.equal(a, b) for a, b in zip(before, one.autoencoder.parameters(), strict=True))


def test_a_wider_batch_or_more_threads_than_before_are_taken():
    x = rows_of(300, 20, torch.float32)
    one, other = objective(x, 10, torch.float32), objective(x, 10, torch.float32)
    step, fresh = (fused_reconstruction(each, TrainingConfig(), 0.0) for each in (one, other))
    step.advance(torch.arange(10), 10, 0, [0.01])
    step.advance(torch.arange(300), 300, 1, [0.01])
    fresh.advance(torch.arange(10), 300, 0, [0.01])
    fresh.advance(torch.arange(300), 300, 1, [0.01])
    assert all(torch.equal(a, b) for a, b in zip(*(o.autoencoder.parameters() for o in (one, other)), strict=True))


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
        (CHAIN, X, {"optimizer": "lion"}, "rule: expected one of sgd, adam, adamw, got 'lion'"),
        (CHAIN, X, {"seed": -1}, "seed and layer: expected a seed of at least 0"),
        (CHAIN, X, {"corruption": ("fog", 0.1, 0.0, 1.0)}, "kind: expected none, gaussian, masking"),
        (CHAIN, X, {"corruption": ("masking", 1.1, 0.0, 1.0)}, "level: expected a probability between 0 and 1"),
        ([CHAIN[0]], X, {"loss": "cross_entropy"}, "layers: expected linear logits on top"),
        ([DenseLayer(W, B, "linear")], X, {"loss": "cross_entropy"}, r"labels: expected int64 of shape \(8,\)"),
        (
            [DenseLayer(W, B, "linear")],
            X,
            {"loss": "cross_entropy", "labels": torch.arange(8)},
            "labels: expected 0 to 2, got 3 in row 3",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named_in_one_sentence(layers, x, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cpu_train_step(layers, x, **{"loss": "mse", **options})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ((torch.arange(8).int(), 4, 0, [0.1, 0.1]), r"rows: expected int64 indices of shape \(k,\)"),
        ((torch.arange(0), 4, 0, []), "at least one"),
        ((torch.arange(9), 9, 0, [0.1]), "rows: expected indices of 8 rows, got 8"),
        ((torch.arange(8), 4, 0, [0.1]), "learning_rates: expected one for each of 2 batches, got 1"),
        ((torch.arange(8), 0, 0, [0.1]), "batch_size and step: expected at least 1 and at least 0"),
    ],
)
def test_a_call_that_does_not_fit_is_named_in_one_sentence(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        cpu_train_step(CHAIN, X, loss="mse").advance(*call)


def test_over_epochs_of_real_digits_the_loss_curves_agree():
    """Within 0.1 % in float32, epoch by epoch, though the products add in another order."""
    data = load_data(DataConfig(data="digits"))
    curves = []
    for engine in ("fused", "eager"):
        config = PretrainConfig.from_options("784,60,20", max_epochs=5, engine=engine, sparsity="kl:0.1:0.1,l1:0.001")
        result = pretrain_stack(data.train.x, config.model_copy(update={"device": "cpu"}))
        curves.append([record.loss for record in result.history])
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)


# ---- which step is taken


def test_the_fused_step_is_taken_on_the_cpu_and_the_reason_is_given_where_it_is_not():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert choose_step("auto", cpu) == (True, f"fp32, products by {products()}")
    assert choose_step("fused", cpu).fused
    assert choose_step("eager", cpu) == (False, "engine eager, asked for")
    assert choose_step("auto", cuda) == (
        False,
        "the fused step runs on the CPU alone, not on cuda yet; its ops are fused",
    )


def test_bfloat16_products_are_refused_where_there_are_none(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    with pytest.raises(SetupError, match="precision bf16: expected the fused step on a CPU, got --engine eager"):
        choose_step("eager", cpu, "bf16")
    with pytest.raises(SetupError, match="precision bf16: expected the fused step on a CPU, got --device cuda"):
        choose_step("auto", cuda, "bf16")
    monkeypatch.setattr("stackae.ops.products", lambda half: None)
    with pytest.raises(SetupError, match="expected a processor with avx512_bf16 or amx_bf16 and a torch that uses it"):
        choose_step("auto", cpu, "bf16")
