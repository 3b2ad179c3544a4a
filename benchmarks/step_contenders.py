"""The training step of a case in every way that is compared: fused, eager, captured in a CUDA graph, products alone."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.cases import StepCase
from benchmarks.timing import Run
from benchmarks.usual import RHO, contraction, kl, noise
from stackae import ops
from stackae.ops.step import Batches

RATE, BETA = 1e-3, 0.1

Network = list[Tensor]  # weight, bias, decoder weight (if untied), decoder bias
Loss = Callable[[Sequence[Tensor], Tensor, StepCase], Tensor]
BatchLoss = Callable[[Sequence[Tensor], Tensor, Tensor, StepCase], Tensor]


def network(case: StepCase, device: torch.device) -> Network:
    generator = torch.Generator().manual_seed(0)
    scale = (6 / (case.n_visible + case.n_hidden)) ** 0.5
    weights = [
        (2 * torch.rand(*shape, generator=generator) - 1) * scale
        for shape in ((case.n_hidden, case.n_visible), (case.n_visible, case.n_hidden))
    ]
    decoder = [] if case.tied else [weights[1]]
    parameters = [weights[0], torch.zeros(case.n_hidden), *decoder, torch.zeros(case.n_visible)]
    return [parameter.to(device) for parameter in parameters]


def training(case: StepCase, x: Tensor, seed: int = 0, device: torch.device | None = None) -> ops.Training:
    """A new network of the case, on a device or that of x, and its rows x (n, n_visible)."""
    weight, bias, *decoder, decoder_bias = network(case, device or x.device)
    return ops.training(
        layers=[
            ops.DenseLayer(weight, bias, "sigmoid"),
            ops.DenseLayer(decoder[0] if decoder else None, decoder_bias, "sigmoid", 0 if case.tied else -1),
        ],
        x=x,
        loss="mse",
        corruption=(case.corruption, 0.3, 0.0, 1.0),
        sparsity=("kl", RHO, BETA),
        contraction=case.contraction,
        seed=seed,
    )


def fused_step(case: StepCase, x: Tensor, order: Tensor, precision: str, members: int = 1) -> Run:
    """A call of ``advance`` over all of ``order`` (on the CPU), for so many networks at once."""
    step = ops.train_together([training(case, x, seed) for seed in range(members)], precision)
    steps = len(order) // case.batch
    batches, done = [Batches(order, [RATE] * steps)] * members, itertools.count(0, steps)

    def run() -> None:
        progress = step.advance(batches, case.batch, next(done))
        if any(each.steps < steps for each in progress):
            raise ArithmeticError(f"expected {steps} steps, or some are left out of the time; got {progress[:4]}")

    return run


def usual_loss(parameters: Sequence[Tensor], x: Tensor, case: StepCase) -> Tensor:
    """Denoising, squared error and the penalties as they are usually written."""
    weight, bias, *decoder, decoder_bias = parameters
    h = torch.sigmoid(F.linear(noise(x, case.corruption), weight, bias))
    z = torch.sigmoid(F.linear(h, decoder[0] if decoder else weight.t(), decoder_bias))
    loss = F.mse_loss(z, x, reduction="sum") / len(x) + BETA * kl(h, RHO)
    return loss + case.contraction * contraction(h, weight) if case.contraction else loss


def half_loss(parameters: Sequence[Tensor], x: Tensor, case: StepCase) -> Tensor:
    """The same under autocast to bfloat16."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16):
        return usual_loss(parameters, x, case)


def of_rows(loss: Loss) -> BatchLoss:
    """The loss of some rows of x, gathered first."""

    def gathered(parameters: Sequence[Tensor], x: Tensor, rows: Tensor, case: StepCase) -> Tensor:
        return loss(parameters, x.index_select(0, rows), case)

    return gathered


@contextlib.contextmanager
def library_precision(precision: str) -> Iterator[None]:
    """What eager and compiled float32 products are computed in meanwhile: tf32 where that is asked for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


class UsualStep:
    """zero_grad, loss, backward, Adam: over the batches of ``order`` in turn, again and again.

    Its tensors' addresses never change, which torch.compile is told, or its graphs would copy them at every step.
    """

    def __init__(
        self, case: StepCase, x: Tensor, order: Tensor, loss: BatchLoss, *, fused: bool, capturable: bool = False
    ) -> None:
        self._case, self._x, self._order, self._loss = case, x, order, loss
        self._parameters = [parameter.requires_grad_() for parameter in network(case, x.device)]
        for each in (x, *self._parameters):
            torch._dynamo.mark_static_address(each)
        # None is torch's own choice, several tensors a kernel on CUDA; False would be one tensor a kernel
        self._optimizer = torch.optim.Adam(self._parameters, lr=RATE, fused=fused or None, capturable=capturable)

    def step(self, rows: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(self._loss(self._parameters, self._x, rows, self._case))
        self._optimizer.step()

    def eager(self, steps: int) -> Run:
        """So many steps a call."""
        batches = itertools.cycle(torch.split(self._order, self._case.batch))

        def run() -> None:
            for rows in itertools.islice(batches, steps):
                self.step(rows)

        return run

    def graphed(self, steps: int) -> Run:
        """So many steps a call, in one CUDA graph; their rows' numbers are copied in before each replay."""
        chunks = itertools.cycle(torch.split(self._order, steps * self._case.batch))
        table = next(chunks).clone()

        def work() -> None:
            for rows in torch.split(table, self._case.batch):
                self.step(rows)

        graph = Captured(work)

        def run() -> None:
            table.copy_(next(chunks))
            graph()

        return run


class Captured:
    """``work`` as a CUDA graph; it ran on a stream of its own before, so that nothing is set up or compiled meanwhile.

    It keeps ``work``, whose tensors the graph knows by address alone.
    """

    def __init__(self, work: Run) -> None:
        self._work = work
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch has no types for it
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(beside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            work()

    def __call__(self) -> None:
        self._graph.replay()


def products(case: StepCase, steps: int, device: torch.device, dtype: torch.dtype = torch.float32) -> Run:
    """The five products of a step by torch.mm(out=), so many times: of MKL or cuBLAS, and nothing else."""
    b, n, m = case.batch, case.n_visible, case.n_hidden
    shapes = ((m, n), (b, n), (b, m))
    weight, x, h = (torch.rand(rows, columns, device=device).to(dtype) for rows, columns in shapes)
    factors = [(x, weight.t()), (h, weight), (x, weight.t()), (h.t(), x), (h.t(), x)]
    outs = [(left @ right).contiguous() for left, right in factors]

    def run() -> None:
        for _ in range(steps):
            for (left, right), out in zip(factors, outs, strict=True):
                torch.mm(left, right, out=out)

    return run


def graphed_products(case: StepCase, steps: int, device: torch.device, precision: str) -> Run:
    """``products`` in one CUDA graph."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return Captured(products(case, steps, device, dtype))


def pairs(matrix: Tensor) -> Tensor:
    """Its memory as a right factor of brgemm: what lies where does not matter to the time."""
    return matrix.contiguous().view(len(matrix) // 2, -1, 2)


def own_products(case: StepCase, steps: int) -> Run:
    """The five products by the fused step's matmul, of operands as they lie there; of bfloat16, as it lays them."""
    b, n, m = case.batch, case.n_visible, case.n_hidden
    x, h = torch.rand(b, n), torch.rand(b, m)
    encoder, decoder = torch.rand(m, n), torch.rand(n, m)
    factors = [(x, encoder.t()), (h, decoder.t()), (x, decoder), (x.t(), h), (h.t(), x)]
    outs = [torch.empty(len(left), right.shape[1]) for left, right in factors]
    if case.bfloat16:
        factors = [(left.bfloat16().contiguous(), pairs(right.bfloat16())) for left, right in factors]

    def run() -> None:
        for _ in range(steps):
            for (left, right), out in zip(factors, outs, strict=True):
                ops.bare_product(left, right, out)

    return run
