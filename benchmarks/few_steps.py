"""A few steps of small networks, for compute-sanitizer: every precision and kind of noise, ragged edges.

    compute-sanitizer --tool memcheck python -m benchmarks.few_steps

Autoencoders and a classifier, by the step's own products and by the library's; then rows that lie on the host and are
sent over, on a GPU more than one part of them. Losses must be finite; whether they are right is for the tests.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest.mock import patch

import torch
from torch import Tensor

from benchmarks.cases import PRECISIONS, PRODUCTS, StepCase
from benchmarks.machine import machine
from benchmarks.step_contenders import RATE, training
from stackae import ops
from stackae.ops.step import Batches

SHAPES = ((1, 1, 1), (7, 5, 3), (64, 64, 64), (70, 65, 33), (20, 200, 130))
KINDS = ("none", "masking", "gaussian", "salt-and-pepper")
CLASSIFIER, CLASSIFIED = (65, 33, 7), 70
"""Its widths and its batch, which is no multiple of a warp."""
SENT = StepCase("70x65-33", 70, 65, 33, corruption="masking")
SENT_IN_PARTS = StepCase("500x4096-8", 500, 4096, 8)
MEMBERS, EPOCHS, BATCHES = 2, 5, 2.5
PARTS = 6.5
"""Batches of SENT_IN_PARTS: for two networks more than the 64 MiB of a part."""


class Few(NamedTuple):
    """Steps of one kind: how a network of a seed is told to the step, where its products are computed, and how."""

    name: str
    precision: str
    choice: str
    batch: int
    rows: int
    told: Callable[[int, Callable[[Tensor], Tensor]], ops.Training]  # of a seed, and of where rows are put
    epochs: int = EPOCHS


def losses(few: Few) -> list[float]:
    """Of every epoch, over all networks; the last batch of an epoch is a short one where it can be."""
    step = ops.train_together([few.told(seed, Tensor.contiguous) for seed in range(MEMBERS)], few.precision)
    a_epoch = math.ceil(few.rows / few.batch)
    return [
        sum(
            each.total
            for each in step.advance([Batches(torch.randperm(few.rows), [RATE] * a_epoch)] * MEMBERS, few.batch, first)
        )
        for first in range(0, few.epochs * a_epoch, a_epoch)
    ]


def autoencoder(case: StepCase, precision: str, choice: str, device: torch.device, batches: float = BATCHES) -> Few:
    rows = max(case.batch, int(batches * case.batch))
    x = torch.rand(rows, case.n_visible, generator=torch.Generator().manual_seed(1)).to(device)
    name = f"{case.name}, {precision}, {choice}, {case.corruption}{', tied, contraction' * case.tied}"
    return Few(name, precision, choice, case.batch, rows, lambda seed, put: training(case, put(x), seed, device))


def classifier(precision: str, choice: str, device: torch.device) -> Few:
    """A chain below a softmax."""
    rows = int(BATCHES * CLASSIFIED)
    x = torch.rand(rows, CLASSIFIER[0], generator=torch.Generator().manual_seed(1)).to(device)
    labels = (torch.arange(rows) % CLASSIFIER[-1]).to(device)

    def told(seed: int, put: Callable[[Tensor], Tensor]) -> ops.Training:
        return ops.training(layers=_chain(seed, device), x=put(x), loss="cross_entropy", labels=put(labels))

    name = f"{CLASSIFIED}x{'-'.join(map(str, CLASSIFIER))}, {precision}, {choice}, classifier"
    return Few(name, precision, choice, CLASSIFIED, rows, told)


def _chain(seed: int, device: torch.device) -> list[ops.DenseLayer]:
    generator = torch.Generator().manual_seed(seed)
    activations = itertools.chain(["sigmoid"] * (len(CLASSIFIER) - 2), ["linear"])
    return [
        ops.DenseLayer(
            (torch.rand(m, n, generator=generator) - 0.5).to(device), torch.zeros(m, device=device), activation
        )
        for (n, m), activation in zip(itertools.pairwise(CLASSIFIER), activations, strict=True)
    ]


def on_the_host(few: Few) -> Few:
    """The same, its rows and labels left in memory."""
    return few._replace(name=f"{few.name}, rows on the host", told=lambda seed, _: few.told(seed, Tensor.cpu))


def planned(device: torch.device, precisions: list[str]) -> Iterator[Few]:
    kinds = itertools.cycle(itertools.product(KINDS, (False, True)))
    for precision, choice in itertools.product(precisions, PRODUCTS.values()):
        for shape in SHAPES:
            kind, tied = next(kinds)
            case = StepCase(f"{shape[0]}x{shape[1]}-{shape[2]}", *shape, kind, tied, contraction=0.1 * tied)
            yield autoencoder(case, precision, choice, device)
        yield classifier(precision, choice, device)


def planned_on_the_host(device: torch.device, precisions: list[str]) -> Iterator[Few]:
    for precision, choice in itertools.product(precisions, PRODUCTS.values()):
        yield on_the_host(autoencoder(SENT, precision, choice, device))
        yield on_the_host(classifier(precision, choice, device))
    if device.type == "cuda":
        few = autoencoder(SENT_IN_PARTS, precisions[0], "tiles", device, PARTS)
        yield on_the_host(few._replace(epochs=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    asked = parser.parse_args()
    machine(asked.device)
    torch.manual_seed(0)
    precisions = [each for each in PRECISIONS if ops.products(asked.device.type, each) is not None]
    assert precisions, f"{asked.device}: expected products in one of {', '.join(PRECISIONS)}, got none"
    run(planned(asked.device, precisions))
    with patch.dict(os.environ, STACKAE_EMULATED_ELSEWHERE="1"):  # else the emulation has no elsewhere
        run(planned_on_the_host(asked.device, precisions))


def run(planned: Iterator[Few]) -> None:
    for few in planned:
        print(f"{few.name}:", end=" ", flush=True)  # beforehand, or a crash would not say where it was
        with patch.dict(os.environ, STACKAE_CUDA_PRODUCTS=few.choice):
            found = losses(few)
        print(f"{found[0]:.4f} to {found[-1]:.4f}", flush=True)
        assert all(map(math.isfinite, found)), found


if __name__ == "__main__":
    main()
