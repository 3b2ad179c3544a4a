"""dense_act, corrupt and sparsity_kl against their twins in float64, and against the laws that define them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from stackae.config.activations import ACTIVATIONS as TABLE
from stackae.ops import compiled as ops
from stackae.ops import reference

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
RELATIVE_ERROR = {torch.float32: 2e-6, torch.float64: 1e-14, torch.bfloat16: 2e-2}
SHAPES = [
    (256, 784, 300),
    (70, 1100, 530),
    (20, 50, 60),
    (32, 50, 60),
    (130, 37, 301),
    (1, 1, 1),
    (64, 16, 256),
    (65, 3, 257),
    (0, 5, 4),
    (7, 0, 3),
    (5, 4, 0),
]
ACTIVATIONS = list(reference.ACTIVATIONS)
KL_SHAPES = [(256, 300), (1, 1), (65, 257), (64, 256), (1000, 3), (4, 0)]

NOISES = ["none", "gaussian", "masking", "salt-and-pepper"]

pytestmark = pytest.mark.parametrize("device", DEVICES)


def random(*shape: int, dtype: torch.dtype, device: str, seed: int = 0, spread: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(*shape, generator=generator, dtype=torch.float64) * spread).to(dtype).to(device)


def distance(found: Tensor, truth: Tensor) -> float:
    assert found.shape == truth.shape
    scale = truth.double().norm().item() or 1.0
    return (found.double() - truth.double()).norm().item() / scale


def layer(shape: tuple[int, int, int], dtype: torch.dtype, device: str) -> tuple[Tensor, Tensor, Tensor]:
    batch, n_in, n_out = shape
    x = random(batch, n_in, dtype=dtype, device=device, seed=1)
    weight = random(n_out, n_in, dtype=dtype, device=device, seed=2, spread=max(n_in, 1) ** -0.5)
    return x, weight, random(n_out, dtype=dtype, device=device, seed=3)


@pytest.mark.parametrize("dtype", RELATIVE_ERROR)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_dense_act_and_its_gradients_equal_the_reference_in_float64(shape, activation, dtype, device):
    given = [t.requires_grad_() for t in layer(shape, dtype, device)]
    exact = [t.detach().double().requires_grad_() for t in given]
    y, truth = ops.dense_act(*given, activation), reference.dense_act(*exact, activation)
    away_from_kinks = torch.nn.functional.linear(*exact).abs() > 1e-3  # there rounding may choose the other slope
    grad_y = random(*y.shape, dtype=dtype, device=device, seed=4) * (away_from_kinks | (dtype == torch.bfloat16))
    gradients = torch.autograd.grad(y, given, grad_y)
    truths = torch.autograd.grad(truth, exact, grad_y.double())
    assert y.dtype == dtype
    assert y.is_contiguous()
    assert distance(y, truth) <= RELATIVE_ERROR[dtype]
    for found, wanted in zip(gradients, truths, strict=True):
        assert distance(found, wanted) <= 3 * RELATIVE_ERROR[dtype]


@pytest.mark.parametrize("activation", ["sigmoid", "gelu", "linear"])
def test_dense_act_takes_any_strides_and_no_bias(activation, device):
    x = random(40, 50, dtype=torch.float64, device=device)[::2, ::5].requires_grad_()
    weight = random(10, 30, dtype=torch.float64, device=device, seed=1).t().requires_grad_()
    y, truth = ops.dense_act(x, weight, None, activation), reference.dense_act(x, weight, None, activation)
    assert distance(y, truth) <= 1e-14
    grad_y = torch.ones((), dtype=torch.float64, device=device).expand(y.shape)  # as y.sum().backward() gives
    for found, wanted in zip(
        torch.autograd.grad(y, [x, weight], grad_y), torch.autograd.grad(truth, [x, weight], grad_y), strict=True
    ):
        assert distance(found, wanted) <= 1e-14


def through(activation: str, x: Tensor) -> Tensor:
    """f(x) for a column x: a 1 x 1 identity layer."""
    return ops.dense_act(x[:, None], torch.ones(1, 1, dtype=x.dtype, device=x.device), None, activation)[:, 0]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 4e-15)])
def test_every_activation_is_accurate_relative_to_its_value(activation, dtype, tolerance, device):
    tail = 12.0 if activation == "gelu" else 80.0  # beyond, the lower tail leaves the normal floats
    x = torch.cat([torch.linspace(-tail, 80.0, 40001), torch.logspace(-30, 0, 2001), -torch.logspace(-30, 0, 2001)])
    x = x.to(dtype).to(device)
    truth = reference.ACTIVATIONS[activation](x.cpu().double())
    if activation == "gelu":  # torch's own is not accurate in the tail
        truth = x.cpu().double() * torch.special.erfc(-x.cpu().double() * 0.5**0.5) / 2
        tolerance *= 100 if dtype == torch.float32 else 10  # e^(-x*x/2) magnifies the rounding of x*x
    error = (through(activation, x).cpu().double() - truth).abs()
    assert bool((error <= tolerance * truth.abs()).all())


def test_sigmoid_is_accurate_relative_to_its_complement(device):
    x = torch.linspace(-15, 15, 10001, dtype=torch.float64, device=device)
    complement = 1 - through("sigmoid", x)
    truth = torch.sigmoid(-x)
    assert bool(((complement - truth).abs() <= 2e-16 + 1e-15 * truth).all())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_stays_nan_and_infinity_reaches_the_limit(activation, device):
    x = torch.tensor([float("nan"), float("inf"), -float("inf")], device=device)
    found, wanted = through(activation, x), reference.ACTIVATIONS[activation](x)
    assert bool(found[0].isnan())
    assert found[1].item() == (1.0 if TABLE[activation].saturates else float("inf"))
    if not wanted[2].isnan():  # -inf * 0 has no value
        assert found[2].item() == pytest.approx(wanted[2].item(), abs=1e-37)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_any_order_equal_finite_differences(activation, device):
    x, weight, bias = (t.requires_grad_() for t in layer((5, 4, 3), torch.float64, device))

    def call(*given):
        return ops.dense_act(*given, activation)

    assert gradcheck(call, (x, weight, bias))
    assert gradgradcheck(call, (x, weight, bias))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_ops_obey_the_rules_of_torch_library(activation, device):
    x, weight, bias = (t.requires_grad_() for t in layer((6, 4, 3), torch.float32, device))
    h = torch.rand(6, 3, device=device).requires_grad_()
    library = torch.ops.stackae
    y, kept = library.dense_act_forward(x, weight, bias, activation)
    penalty, means = library.sparsity_kl_forward(h, 0.1)
    kept = (kept if kept.numel() else y).detach()
    cases = [
        (library.dense_act, (x, weight, bias, activation)),
        (library.dense_act_forward, (x, weight, None, activation)),
        (library.dense_act_backward, (kept, kept, x.detach(), weight.detach(), activation, True, True)),
        (library.dense_act_backward, (kept, kept, x.detach(), weight.detach(), activation, False, False)),
        *((library.corrupt, (x, kind, 0.4, 0.0, 1.0, 3, 1, 2)) for kind in NOISES),
        (library.sparsity_kl, (h, 0.1)),
        (library.sparsity_kl_forward, (h, 0.1)),
        (library.sparsity_kl_backward, (penalty.detach(), h.detach(), means.detach(), 0.1)),
    ]
    for op, arguments in cases:
        torch.library.opcheck(op.default, arguments)


def objective(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    h = ops.dense_act(x, weight, bias, "sigmoid")
    return (ops.dense_act(h, weight.t(), None, "gelu") - x).square().sum() + ops.sparsity_kl(h, 0.1)


def test_torch_compile_computes_the_same_loss_and_gradients(device):
    given = [t.requires_grad_() for t in layer((33, 20, 7), torch.float64, device)]
    compiled = torch.compile(objective, fullgraph=True, backend="aot_eager")
    loss, wanted = compiled(*given), objective(*given)
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-14)
    for found, truth in zip(torch.autograd.grad(loss, given), torch.autograd.grad(wanted, given), strict=True):
        assert distance(found, truth) <= 1e-14


def test_torch_export_keeps_the_op_and_a_free_batch_size(device):
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            _, self.weight, self.bias = layer((1, 6, 4), torch.float32, device)

        def forward(self, x: Tensor) -> Tensor:
            return ops.dense_act(x, self.weight, self.bias, "tanh")

    batch = torch.export.Dim("batch", min=2)
    example = random(5, 6, dtype=torch.float32, device=device)
    program = torch.export.export(Layer(), (example,), dynamic_shapes={"x": {0: batch}})
    x = random(9, 6, dtype=torch.float32, device=device, seed=7)
    assert "stackae.dense_act" in str(program.graph)
    assert torch.equal(program.module()(x), Layer()(x))


@pytest.mark.parametrize("dtype", RELATIVE_ERROR)
@pytest.mark.parametrize("shape", KL_SHAPES)
def test_sparsity_kl_and_its_gradient_equal_the_reference_in_float64(shape, dtype, device):
    h = torch.sigmoid(random(*shape, dtype=torch.float64, device=device, spread=3.0)).to(dtype).requires_grad_()
    exact = h.detach().double().requires_grad_()
    penalty, truth = ops.sparsity_kl(h, 0.05), reference.sparsity_kl(exact, 0.05)
    assert penalty.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = max(RELATIVE_ERROR[dtype] / 100 if dtype == torch.bfloat16 else RELATIVE_ERROR[dtype], 1e-13)
    assert penalty.item() == pytest.approx(truth.item(), rel=tolerance, abs=tolerance)
    found, wanted = torch.autograd.grad(penalty, h)[0], torch.autograd.grad(truth, exact)[0]
    assert distance(found, wanted) <= max(RELATIVE_ERROR[dtype], 1e-13)


def test_sparsity_kl_gradients_of_any_order_equal_finite_differences(device):
    h = torch.sigmoid(random(6, 4, dtype=torch.float64, device=device)).requires_grad_()
    assert gradcheck(lambda code: ops.sparsity_kl(code, 0.2), (h,))
    assert gradgradcheck(lambda code: ops.sparsity_kl(code, 0.2), (h,))


@pytest.mark.parametrize("dtype", RELATIVE_ERROR)
@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("shape", [(37, 784), (3, 64), (5, 65), (130, 1), (1, 1), (0, 5), (4, 0)])
def test_corrupt_draws_what_the_reference_draws(shape, kind, dtype, device):
    x = random(*shape, dtype=dtype, device=device)
    given = (kind, 0.4, -1.5, 2.5, 2**40 + 7, 3, 2**33 + 1)
    found, wanted = ops.corrupt(x, *given), reference.corrupt(x, *given)
    assert found.shape == x.shape and found.dtype == dtype and found.is_contiguous()
    if kind == "gaussian":  # float32 noise, by another order of operations
        assert distance(found, wanted) < max(1e-6, RELATIVE_ERROR[dtype])
    else:
        assert torch.equal(found, wanted)


def test_corrupt_takes_any_strides_and_leaves_its_input_alone(device):
    wide = random(80, 74, dtype=torch.float32, device=device)
    for x in (wide.t(), wide[::2], wide[:, 1::3]):
        before = x.clone()
        assert torch.equal(
            ops.corrupt(x, "masking", 0.5, 0.0, 1.0, 1), ops.corrupt(before, "masking", 0.5, 0.0, 1.0, 1)
        )
        assert torch.equal(x, before)


@pytest.mark.parametrize("kind", NOISES)
def test_corrupt_has_the_gradient_of_the_entries_it_leaves(kind, device):
    x = random(5, 70, dtype=torch.float64, device=device).requires_grad_()

    def call(x):
        return ops.corrupt(x, kind, 0.4, -1.0, 2.0, 1, 2, 3)

    assert gradcheck(call, (x,))
    assert gradgradcheck(call, (x,))


def test_gaussian_noise_is_normal_and_independent_of_its_neighbours(device):
    z = ops.corrupt(torch.zeros(4000, 256, device=device), "gaussian", 1.0, 0.0, 0.0, 5).double()
    n = z.numel()
    moments = [(z**power).mean().item() for power in (1, 2, 3, 4)]
    spread = [math.sqrt(variance / n) for variance in (1, 2, 15, 96)]  # of the moments of a normal number
    for found, wanted, error in zip(moments, (0, 1, 0, 3), spread, strict=True):
        assert found == pytest.approx(wanted, abs=5 * error)
    for shift in (1, 16, 32, 64):  # the next entry, lane, half of a pair and chunk
        assert (z[:, shift:] * z[:, :-shift]).mean().item() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert z.abs().max().item() > 4.5  # the tail is there


def test_sparsity_kl_is_zero_at_the_target_and_positive_elsewhere(device):
    h = torch.tensor([[0.1, 0.3], [0.3, 0.1]], dtype=torch.float64, device=device)
    assert ops.sparsity_kl(h, 0.2).item() == pytest.approx(0.0, abs=1e-15)
    assert ops.sparsity_kl(h, 0.3).item() > 0


def test_the_penalty_adds_over_units_and_is_of_the_mean_not_the_mean_of_penalties(device):
    h = torch.rand(50, 6, dtype=torch.float64, device=device)
    units = sum(ops.sparsity_kl(h[:, [j]], 0.1).item() for j in range(6))
    assert ops.sparsity_kl(h, 0.1).item() == pytest.approx(units, rel=1e-12)
    rows = sum(ops.sparsity_kl(h[[i]], 0.1).item() for i in range(50)) / 50
    assert ops.sparsity_kl(h, 0.1).item() < rows  # Jensen: KL is convex in rho_hat


@pytest.mark.parametrize("dtype", RELATIVE_ERROR)
def test_every_finite_code_gives_a_finite_penalty_and_gradient(dtype, device):
    largest = torch.finfo(dtype).max
    for value in (0.0, 1.0, -1.0, 2.0, largest, -largest, torch.finfo(dtype).tiny, 1e-40):
        h = torch.full((70, 3), value, dtype=dtype, device=device).requires_grad_()
        penalty = ops.sparsity_kl(h, 0.05)
        (gradient,) = torch.autograd.grad(penalty, h)
        assert bool(penalty.isfinite()), value
        assert bool(gradient.isfinite().all()), value
    mixed = torch.tensor([[largest], [-largest], [largest]], dtype=dtype, device=device)
    assert bool(ops.sparsity_kl(mixed, 0.05).isfinite())


def test_a_dead_unit_is_pulled_up_and_a_saturated_one_down(device):
    h = torch.tensor([[0.0, 1.0]], device=device).repeat(8, 1).requires_grad_()
    (gradient,) = torch.autograd.grad(ops.sparsity_kl(h, 0.05), h)
    assert bool((gradient[:, 0] < -1e20).all())
    assert bool((gradient[:, 1] > 1e20).all())


def test_the_complement_does_not_cancel(device):
    h = (1 - torch.full((1000, 1), 3e-7, dtype=torch.float64)).float().to(device)
    complement = (1 - h.double()).mean().item()
    wanted = 0.05 * torch.log(torch.tensor(0.05)) + 0.95 * torch.log(torch.tensor(0.95 / complement))
    assert ops.sparsity_kl(h, 0.05).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_our_passes_give_the_same_bits_for_any_number_of_threads(device):
    x, weight, bias = (
        t.to(device) for t in layer((1000, 1, 700), torch.float32, "cpu")
    )  # n_in 1: the product is exact
    grad_y = random(1000, 700, dtype=torch.float32, device=device, seed=9)
    ones, eye = torch.ones(1000, 700, device=device), torch.eye(700, device=device)  # exact, too
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            y, _ = torch.ops.stackae.dense_act_forward(x, weight, bias, "sigmoid")
            gradients = torch.ops.stackae.dense_act_backward(grad_y, y, ones, eye, "sigmoid", True, False)
            penalty, means = torch.ops.stackae.sparsity_kl_forward(y, 0.05)
            noisy = ops.corrupt(y, "gaussian", 0.3, 0.0, 1.0, 1)
            results.append((y, *gradients, penalty, means, noisy))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


BAD_CALLS = [
    ("dense_act(x, weight[:, :3], bias, 'tanh')", ValueError, r"weight: expected shape \(n_out, 4\) to match x"),
    ("dense_act(x[0], weight, bias, 'tanh')", ValueError, r"x: expected shape \(batch, n_in\), got \[4\]"),
    ("dense_act(x, weight, bias[:2], 'tanh')", ValueError, r"bias: expected shape \(3,\) to match weight"),
    ("dense_act(x, weight.double(), bias, 'tanh')", TypeError, r"weight: expected the dtype of x \(Float\)"),
    ("dense_act(x.int(), weight, bias, 'tanh')", TypeError, r"x: expected float32, float64 or bfloat16, got Int"),
    ("dense_act(x, weight, bias, 'tanhh')", ValueError, r"activation: expected one of sigmoid, .*, got 'tanhh'"),
    ("corrupt(x, 'fog', 0.1, 0.0, 1.0, 0)", ValueError, r"kind: expected none, gaussian, .*, got 'fog'"),
    ("corrupt(x, 'masking', 1.5, 0.0, 1.0, 0)", ValueError, r"level: expected a probability between 0 and 1, got 1.5"),
    ("corrupt(x, 'gaussian', -1.0, 0.0, 1.0, 0)", ValueError, r"level: expected a standard deviation of at least 0"),
    ("corrupt(x[0], 'masking', 0.5, 0.0, 1.0, 0)", ValueError, r"x: expected shape \(batch, n_visible\), got \[4\]"),
    ("corrupt(x, 'masking', 0.5, 0.0, 1.0, -1)", ValueError, r"seed and step: expected numbers of at least 0, got -1"),
    ("corrupt(x, 'masking', 0.5, 0.0, 1.0, 0, 1 << 24)", ValueError, r"layer: expected 0 to 16777215, got 16777216"),
    ("sparsity_kl(x, 0.0)", ValueError, r"rho: expected a target mean activation in \(0, 1\), got 0"),
    ("sparsity_kl(x, 1.5)", ValueError, r"rho: expected a target mean activation in \(0, 1\), got 1.5"),
    ("sparsity_kl(x[:0], 0.1)", ValueError, r"h: expected shape \(batch, n_hidden\) with at least one row"),
    ("sparsity_kl(x[0], 0.1)", ValueError, r"h: expected shape \(batch, n_hidden\) with at least one row"),
]


@pytest.mark.parametrize(("code", "kind", "message"), BAD_CALLS)
def test_bad_arguments_are_named_in_one_sentence(code, kind, message, device):
    x, weight, bias = layer((5, 4, 3), torch.float32, device)
    called = {name: getattr(ops, name) for name in ("dense_act", "corrupt", "sparsity_kl")}
    names = {"x": x, "weight": weight, "bias": bias, **called}
    with pytest.raises(kind, match=message):
        eval(code, names)


def test_the_gradient_must_fit_what_forward_kept(device):
    y = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"grad_y: expected the shape of kept, \[3, 2\], got \[2, 3\]"):
        torch.ops.stackae.dense_act_backward(y.t(), y, torch.zeros(3, 4), torch.zeros(2, 4), "sigmoid", True, True)
    with pytest.raises(ValueError, match=r"kept: expected shape \(3, 5\) to match x and weight, got \[3, 2\]"):
        torch.ops.stackae.dense_act_backward(y, y, torch.zeros(3, 4), torch.zeros(5, 4), "sigmoid", True, True)
