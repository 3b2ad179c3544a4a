"""The fused step of a code that keeps few units, against the eager one and against that of a code that keeps all.

    python -m benchmarks.sparse [--json FILE] [--append] [--threads N] [--rounds N] [--only TEXT] [--leave-out NAME]

An untied autoencoder, relu code and linear output, squared error, Adam, on rows that lie in memory. The first contender
is the fused step, and a ratio is the time of another / its time. eager: autograd over the compiled ops, the step that
these codes take on a GPU; eager, fused Adam: torch alone, with torch.topk and torch.optim.Adam(fused=True); dense: the
fused step of the same layers that keeps all units; product: x W^T alone, by torch.mm(out=), the one dense matmul of the
step. A call takes ``STEPS`` steps. Where a row has an auxiliary loss, half of the units are dead. bytes: what the step
asks torch for at its first batch, beside parameters and optimizer state; dense_code: the bytes of a batch of codes of
all units.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import machine, save
from benchmarks.timing import Comparison, Run, compare
from stackae.autoencoders.dense import Autoencoder
from stackae.config import TrainingConfig
from stackae.objectives.auxiliary import Auxiliary
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops import train_step
from stackae.training.fused import kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep, TrainStep

STEPS, RATE = 2, 1e-3


class SparseCase(NamedTuple):
    """batch x n_visible-n_hidden, of which ``keeps`` units are kept."""

    batch: int
    n_visible: int
    n_hidden: int
    keeps: int
    tied: bool = False
    over_batch: bool = False
    share: float = 0.0
    auxiliary: int = 0

    @property
    def name(self) -> str:
        kind = f"{'batch-' * self.over_batch}top-k:{self.keeps}" if self.keeps else f"lifetime:{self.share:g}"
        more = [*["tied"] * self.tied, *([f"auxiliary:{self.auxiliary}"] if self.auxiliary else [])]
        return ", ".join([f"{self.batch}x{self.n_visible}-{self.n_hidden}", kind, *more])


MEASURED = (
    SparseCase(256, 784, 4096, 32),
    SparseCase(256, 784, 4096, 32, tied=True),
    SparseCase(256, 784, 4096, 32, over_batch=True),
    SparseCase(64, 784, 1024, 20),
    SparseCase(256, 784, 16384, 32),
    SparseCase(256, 4096, 32768, 64),
    SparseCase(256, 784, 4096, 32, auxiliary=64),
    SparseCase(256, 784, 4096, 32, auxiliary=392),
    SparseCase(256, 784, 4096, 0, share=0.01),
    SparseCase(256, 784, 4096, 0, share=0.05),
    SparseCase(256, 784, 4096, 0, share=0.2),
)
SILENT = 1000  # rows, after which a unit is dead


def autoencoder(case: SparseCase, few: bool = True) -> Autoencoder:
    made = Autoencoder(
        case.n_visible,
        case.n_hidden,
        activation="relu",
        output_activation="linear",
        tied=case.tied,
        keeps=case.keeps if few else 0,
        over_batch=case.over_batch and few,
        share=case.share if few else 0.0,
    )
    if case.auxiliary:
        with torch.no_grad():
            made.encoder.bias[case.n_hidden // 2 :] = -100.0
    return made


def auxiliary(case: SparseCase, one: Autoencoder) -> Auxiliary | None:
    """The loss of the upper half of the units, which are dead from the first step on."""
    if not case.auxiliary:
        return None
    made = Auxiliary(case.auxiliary, SILENT, one.encoder.bias)
    made.silent[case.n_hidden // 2 :] = SILENT
    return made


def rows(case: SparseCase) -> Tensor:
    return torch.rand(STEPS * case.batch, case.n_visible, generator=torch.Generator().manual_seed(1))


def objective(case: SparseCase, few: bool = True) -> ReconstructionObjective:
    one = autoencoder(case, few)
    return ReconstructionObjective(one, rows(case), auxiliary=auxiliary(case, one) if few else None)


def fused(case: SparseCase, few: bool = True) -> TrainStep:
    made = objective(case, few)
    step = train_step(kernel_training(made, TrainingConfig(), 0.0))
    if made.auxiliary is not None:
        step.optimizer_state()[-1].copy_(made.auxiliary.silent)
    return step


def eager(case: SparseCase) -> TrainStep:
    made = objective(case)
    return EagerStep(made, make_optimizer(made.network, TrainingConfig(), RATE, 0.0))


def advancing(step: TrainStep, case: SparseCase) -> Run:
    order, done = torch.arange(STEPS * case.batch), itertools.count(0, STEPS)

    def run() -> None:
        if step.advance(order, case.batch, next(done), [RATE] * STEPS).steps < STEPS:
            raise ArithmeticError(f"{case.name}: expected {STEPS} steps, got fewer")

    return run


def usual(case: SparseCase) -> Run:
    """The step as a script has it, by torch alone."""
    one, x = autoencoder(case), rows(case)
    optimizer, dead = torch.optim.Adam(one.parameters(), lr=RATE, fused=True), auxiliary(case, one)

    def run() -> None:
        for batch in torch.split(x, case.batch):
            optimizer.zero_grad(set_to_none=True)
            a = F.linear(batch, one.encoder.weight, one.encoder.bias)
            z = F.linear(one.kept(torch.relu(a), training=True), one.decoder_matrix, one.decoder_bias)
            loss = F.mse_loss(z, batch, reduction="sum") / len(batch)
            if dead is not None:
                loss = loss + dead(a, one.decoder_matrix, (batch - z).detach())
            torch.autograd.backward(loss)
            optimizer.step()

    return run


def product(case: SparseCase) -> Run:
    x, weight = torch.rand(case.batch, case.n_visible), torch.rand(case.n_hidden, case.n_visible)
    out = torch.empty(case.batch, case.n_hidden)

    def run() -> None:
        for _ in range(STEPS):
            torch.mm(x, weight.t(), out=out)

    return run


CONTENDERS: dict[str, Callable[[SparseCase], Run]] = {
    "fused": lambda case: advancing(fused(case), case),
    "eager": lambda case: advancing(eager(case), case),
    "eager, fused Adam": usual,
    "dense": lambda case: advancing(fused(case, few=False), case),
    "product": product,
}


def asked_bytes(case: SparseCase) -> int:
    """What the fused step asks torch for in its first call."""
    run = CONTENDERS["fused"](case)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
        run()
    return sum(max(0, each.self_cpu_memory_usage) for each in profiler.events())


def entry(case: SparseCase, results: list[Comparison]) -> dict[str, Any]:
    return {
        "case": case.name,
        **case._asdict(),
        "fused_us_per_step": results[0].microseconds / STEPS,
        "ratios": {each.name: each.ratio for each in results[1:-1]},
        "noise": results[-1].interval,
        "bytes": asked_bytes(case),
        "dense_code": 4 * case.batch * case.n_hidden,
        "detail": {each.name: each._asdict() for each in results},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every row")
    parser.add_argument("--append", action="store_true", help="keep what FILE has, and measure the rest")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose name holds one of these")
    parser.add_argument("--leave-out", nargs="+", default=[], metavar="NAME", help="contenders that are not measured")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    about = {**machine(torch.device("cpu")), "threads": asked.threads, "rounds": asked.rounds, "steps_a_call": STEPS}
    entries = json.loads(asked.json.read_text())["rows"] if asked.append and asked.json.exists() else []
    known = {row["case"] for row in entries}
    for case in MEASURED:
        if case.name in known or not any(text in case.name for text in asked.only):
            continue
        runs = {name: make(case) for name, make in CONTENDERS.items() if name not in asked.leave_out}
        entries.append(entry(case, compare(runs, rounds=asked.rounds, sample_ms=2, device=torch.device("cpu"))))
        found = entries[-1]
        ratios = ", ".join(f"{name} {ratio:.2f}" for name, ratio in found["ratios"].items())
        print(f"{case.name:44} | {found['fused_us_per_step'] / 1e3:8.2f} ms a step | {ratios}", flush=True)
        if asked.json:
            save(asked.json, about, entries)
    print(f"{len(entries)} rows measured")


if __name__ == "__main__":
    main()
