"""The step of CUDA's sources: on a GPU (`make gpu-check`), or on the host by an emulation (`make emulate`)."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch
from step_cases import (
    DEVICE,
    DEVICE_STEP,
    assert_equal_training,
    bits,
    both_steps,
    byte_rows,
    classification,
    fused_step,
    objective,
    orders,
    parameters,
    rows_of,
    train,
)
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.config import PretrainConfig, TrainingConfig
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.ops.compiled import DenseLayer, train_step, training
from stackae.pretraining import pretrain_stack

pytestmark = pytest.mark.skipif(not DEVICE_STEP, reason="needs a GPU, or the build of `make emulate`")

ON_GPU = pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU: its memory, or as many blocks as it has room for")
SHAPES = [(256, 130, 70, 256), (40, 300, 17, 40), (9, 17, 300, 4), (70, 65, 33, 64), (45, 300, 70, 45)]
PLAIN = {"optimizer": "sgd", "momentum": 0.0}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rows as they are, but in memory where the step is on a device, and sent over in several parts."""
    monkeypatch.setenv("STACKAE_EMULATED_ELSEWHERE", "1")
    monkeypatch.setenv("STACKAE_PART_BYTES", "16384")
    return lambda rows: rows.to("cpu")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-5), ("tf32", 1e-3), ("bf16", 1e-2)])
@pytest.mark.parametrize("tied", [True, False])
def test_loss_and_gradients_are_those_of_float64_to_the_precision_of_the_products(
    products, shape, precision, error, tied
):
    n, width, n_hidden, batch_size = shape
    noise = Corruption("masking", 0.3)
    case = {"tied": tied, "sparsity": KlSparsity(0.1, 0.3), "corruption": noise, "contraction": 0.1}
    single, double = (
        objective(rows_of(n, width, dtype), n_hidden, dtype, **case) for dtype in (torch.float32, torch.float64)
    )
    before = parameters(single)
    losses = [
        fused_step(one, TrainingConfig(precision=kind, **PLAIN), 0.0)
        .advance(torch.arange(batch_size), batch_size, 0, [1.0])
        .total
        for one, kind in ((single, precision), (double, "fp32"))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=error)
    for old, new, truth in zip(before, parameters(single), parameters(double), strict=True):
        gradient = old.double() - truth
        assert (old.double() - new.double() - gradient).norm() <= error * (gradient.norm() + 1e-3 * old.norm())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_by_the_library_train_as_eager_does(monkeypatch, shape, tied):
    monkeypatch.setenv("STACKAE_CUDA_PRODUCTS", "library")
    n, width, n_hidden, batch_size = shape
    x = rows_of(n, width)
    noise = Corruption("gaussian", 0.2)
    case = {"tied": tied, "sparsity": L1Sparsity(0.01), "activation": "gelu", "corruption": noise, "contraction": 0.05}
    pair = both_steps(lambda: objective(x, n_hidden, **case), 1e-3)
    assert_equal_training(pair, n, batch_size, 30, 1e-9)


@pytest.mark.parametrize("sizes", [(12, 5), (12, 70, 33, 3), (12, 300)])
def test_a_classifier_by_the_library_trains_as_eager_does(monkeypatch, sizes):
    monkeypatch.setenv("STACKAE_CUDA_PRODUCTS", "library")
    x, y = rows_of(90, 12), torch.arange(90) % sizes[-1]
    pair = both_steps(lambda: classification(x, y, sizes, torch.float64, "tanh"), optimizer="sgd")
    assert_equal_training(pair, 90, 32, 30, 1e-9)


def test_another_word_for_the_products_is_refused(monkeypatch):
    monkeypatch.setenv("STACKAE_CUDA_PRODUCTS", "cutlass")
    with pytest.raises(ValueError, match="STACKAE_CUDA_PRODUCTS: expected tiles or library, got 'cutlass'"):
        fused_step(objective(rows_of(8, 4), 3), TrainingConfig(), 0.0)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_rounded_products_want_float32_parameters(precision):
    with pytest.raises(TypeError, match=f"precision {precision}: expected float32 parameters, got Double"):
        fused_step(objective(rows_of(8, 4), 3), TrainingConfig(precision=precision), 0.0)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_rows_that_lie_elsewhere_train_to_the_same_bits(elsewhere, monkeypatch, loss):
    def trained(place: Any) -> tuple[list[float], list[Tensor]]:
        if loss == "mse":
            one = objective(byte_rows(900, 65), 33, torch.float32, corruption=Corruption("masking", 0.3))
            placed = replace(one, x=place(one.x))
        else:
            x, y = rows_of(900, 65, torch.float32), torch.arange(900) % 7
            one = classification(x, y, (65, 33, 7), torch.float32, "sigmoid")
            placed = replace(one, x=place(one.x), y=place(one.y))
        return train(fused_step(placed, TrainingConfig(), 1e-4), 900, 64, 40), parameters(one)

    sent = trained(elsewhere)
    monkeypatch.delenv("STACKAE_EMULATED_ELSEWHERE")
    there = trained(lambda rows: rows)
    assert sent[0] == there[0]
    assert all(torch.equal(a, b) for a, b in zip(sent[1], there[1], strict=True))


def test_a_new_step_may_go_on_with_the_short_batch_that_ends_a_pass(products):
    """Its tiles are those of whole batches, though it sees none."""
    x, rows, rates = byte_rows(300, 130), torch.arange(300), [0.01, 0.01]
    whole, first, second = (objective(x, 70, torch.float32, tied=False) for _ in range(3))
    steps = [fused_step(one, TrainingConfig(), 0.0) for one in (whole, first, second)]
    total = steps[0].advance(rows, 256, 0, rates)
    half = steps[1].advance(rows[:256], 256, 0, rates[:1])
    second.network.load_state_dict(first.network.state_dict())
    for kept, fresh in zip(steps[1].optimizer_state(), steps[2].optimizer_state(), strict=True):
        fresh.copy_(kept)
    assert steps[2].advance(rows[256:], 256, 1, rates[1:], half.total).total == total.total
    assert all(torch.equal(a, b) for a, b in zip(parameters(whole), parameters(second), strict=True))


def test_a_batch_size_that_changes_is_followed():
    x = rows_of(300, 20, torch.float32)
    one, other = objective(x, 10, torch.float32), objective(x, 10, torch.float32)
    step = fused_step(one, TrainingConfig(), 0.0)
    for batch_size, begin in ((100, 0), (30, 3)):
        rows = torch.arange(300)
        count = -(-300 // batch_size)
        step.advance(rows, batch_size, begin, [0.01] * count)
    again = fused_step(other, TrainingConfig(), 0.0)
    again.advance(torch.arange(300), 100, 0, [0.01] * 3)
    for i in range(10):
        again.advance(torch.arange(30 * i, 30 * i + 30), 30, 3 + i, [0.01])
    assert all(torch.equal(a, b) for a, b in zip(parameters(one), parameters(other), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("shape", [(200, 300, 70, 64), pytest.param((2048, 784, 1000, 512), marks=ON_GPU)])
def test_a_training_repeats_bit_for_bit(products, shape, precision):
    n, width, n_hidden, batch_size = shape
    x, case = byte_rows(n, width), {"corruption": Corruption("masking", 0.3), "contraction": 0.1}
    ones = [objective(x, n_hidden, torch.float32, sparsity=KlSparsity(0.1, 0.3), **case) for _ in range(2)]
    config = TrainingConfig(precision=precision)
    losses = [train(fused_step(one, config, 1e-4), n, batch_size, 37, 0.003) for one in ones]
    assert losses[0] == losses[1]
    assert bits(ones[0]) == bits(ones[1])


@ON_GPU
def test_memory_is_flat_over_a_thousand_epochs():
    one = objective(byte_rows(300, 130), 70, torch.float32)
    step = fused_step(one, TrainingConfig(), 0.0)
    order = torch.cat(orders(300, 1))
    step.advance(order, 64, 0, [0.01] * 5)
    before = torch.cuda.memory_allocated()
    for epoch in range(1, 1000):
        step.advance(order, 64, 5 * epoch, [0.01] * 5)
    assert torch.cuda.memory_allocated() == before


def held() -> int:
    """Bytes of a GPU that torch has given out, and that something still refers to."""
    gc.collect()
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


@ON_GPU
def test_memory_is_flat_over_ten_layers():
    """What a stack leaves on the device is its parameters."""
    widths = ",".join(["64", *map(str, range(60, 50, -1))])
    config = PretrainConfig.from_options(widths, max_epochs=2, batch_size=32, device="cuda")
    x = rows_of(300, 64, torch.float32).cpu()
    first = pretrain_stack(x, config)  # torch's own working memory is there from now on
    before = held()
    second = pretrain_stack(x, config)
    added, sizes = held() - before, [each.nbytes for each in second.stack.state_dict().values()]
    assert len(second.stack.layers) == len(first.stack.layers) == 10
    assert added <= sum(-(-size // 512) * 512 for size in sizes)  # in blocks of 512 bytes


ALONE = {
    "momentum_ramp": {"optimizer": "sgd", "momentum_ramp": (0.9, 3, 10)},
    "weight_l1": {"weight_l1": 0.1},
    "max_norm": {"max_norm": 1.0},
    "emphasis": {"emphasis": (1.0, 0.5), "corruption": ("masking", 0.1, 0.0, 1.0)},
    "dropout": {"dropout": (0.1, 0.0, 0)},
    "keeps": {"keeps": 2},
    "share": {"share": 0.1},
    "targets": {"targets": torch.ones(8, 4)},
    "weights of rows": {"weights": torch.ones(8)},
}


@pytest.mark.parametrize("what", ALONE)
def test_what_the_step_of_a_cpu_has_alone_is_refused(what: str) -> None:
    x = torch.zeros(8, 4, device=DEVICE)
    chain = [DenseLayer(torch.zeros(4, 4, device=DEVICE), torch.zeros(4, device=DEVICE), "linear") for _ in range(2)]
    given = {name: value.to(DEVICE) if isinstance(value, Tensor) else value for name, value in ALONE[what].items()}
    with pytest.raises(ValueError, match=f"{what}: expected a training on the CPU, got one on a GPU, whose fused step"):
        train_step(training(layers=chain, x=x, **{"loss": "mse", **given}))
    slower = [each._replace(rate=0.5) for each in chain]
    with pytest.raises(ValueError, match="learning rates and decay of single layers: expected a training on the CPU"):
        train_step(training(layers=slower, x=x, loss="mse"))
