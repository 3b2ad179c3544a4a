"""The fused step against the eager one over the same compiled ops, setting by setting.

    python -m benchmarks.step_settings [--json FILE] [--threads N] [--rounds N] [--only TEXT]

A layer is 784-300, a head stands on 784-300 and has ten outputs; batches of 256 rows, four steps a call, Adam. ratio:
the eager step's time / the fused step's, with the 95 % interval; extra: the fused step's time / that of the same layer
or head without the setting.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.machine import machine, save
from benchmarks.timing import Run, compare
from stackae.autoencoders.dense import Autoencoder
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.data.paired import PairedRows
from stackae.data.rows import Rows
from stackae.models.heads import HEADS
from stackae.models.heads.base import HeadTask
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice
from stackae.ops.step import Batches
from stackae.training import head, layer
from stackae.training.head import HeadReplica
from stackae.training.layer import LayerReplica, Reads
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep, OneByOne, ReplicasStep

BATCH, STEPS, OUTPUTS, RATE = 256, 4, 10, 1e-4
MANY = 10**6  # epochs, of which no call leaves the first part
CPU = torch.device("cpu")
LAYER_SETTINGS: dict[str, Mapping[str, Any]] = {
    "a layer": {},
    "masking noise": {"corruption": "masking:0.3"},
    "masking noise, emphasis": {"corruption": "masking:0.3", "emphasis": "1:0.5"},
    "dropout": {"dropout": "0.2:0.5"},
    "L1 norm of weights": {"weight_l1": 1e-5},
    "max-norm": {"max_norm": 1.0},
    "gaps in the rows": {},
}
HEAD_SETTINGS: dict[str, Mapping[str, Any]] = {
    "classifier": {},
    "classifier, dropout": {"dropout": "0.2:0.5"},
    "classifier, max-norm": {"max_norm": 1.0},
    "classifier, class weights": {"class_weight": "balanced"},
    "classifier, sigmoid outputs": {"outputs": "sigmoid"},
    "classifier, layer decay": {"layer_decay": 0.5},
    "classifier, gradual, its first part": {"train": "gradual"},
    "regressor": {"head": "regressor"},
    "multilabel": {"head": "multilabel"},
}


class Settings(NamedTuple):
    """A row: its name, what it is compared with, and its step by the engine."""

    name: str
    plain: str
    step: Callable[[bool], ReplicasStep]


def rows() -> Tensor:
    return torch.rand(STEPS * BATCH, 784, generator=torch.Generator().manual_seed(1))


def gaps(x: Tensor) -> PairedRows:
    """The rows with a tenth of their cells missing."""
    absent = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.1
    return PairedRows(x.masked_fill(absent, 0.5), x.masked_fill(absent, torch.nan))


def of_a_layer(options: Mapping[str, Any], x: Rows, fused: bool) -> ReplicasStep:
    usual = {"corruption": "none", "activation": "sigmoid", "output_activation": "sigmoid", "tied": "false"}
    trained = {"loss": "mse", "init": "random", "learning_rate": 0.001, "contraction": 0, "max_epochs": 1}
    config = PretrainConfig.from_options("784,300", device="cpu", **{**usual, **trained, **options})
    replica = LayerReplica.new(0, config, 1, Reads.of(x, None), CPU)
    if fused:
        return layer.make_step([replica])
    optimizer = make_optimizer(replica.network, config, 0.001, replica.weight_decay)
    return OneByOne([EagerStep(replica.objective, optimizer)])


def of_a_head(options: Mapping[str, Any], x: Tensor, fused: bool) -> ReplicasStep:
    config = validated(FinetuneConfig, {"device": "cpu", "train": "all", **options})
    classes = torch.arange(len(x)) % OUTPUTS
    y = classes if config.row.targets == "classes" else (x[:, :OUTPUTS] > 0.5).double()
    stack = StackedAutoencoder([Autoencoder(784, 300)])
    prepared = HEADS[config.head].prepared(HeadTask(stack, Part(x, y), None, config, OUTPUTS))
    objective = HeadReplica.new(prepared, config).objective
    return head.make_step(objective, config, StepChoice(fused, ""), MANY, STEPS)


def planned() -> Iterator[Settings]:
    x = rows()
    for name, options in LAYER_SETTINGS.items():
        of = gaps(x) if name == "gaps in the rows" else x
        yield Settings(name, next(iter(LAYER_SETTINGS)), partial(of_a_layer, options, of))
    for name, options in HEAD_SETTINGS.items():
        yield Settings(name, next(iter(HEAD_SETTINGS)), partial(of_a_head, options, x))


def run_of(step: ReplicasStep) -> Run:
    order, done = torch.randperm(STEPS * BATCH, generator=torch.Generator().manual_seed(2)), itertools.count(0, STEPS)
    batches = [Batches(order, [RATE] * STEPS)]

    def run() -> None:
        if step.advance(batches, BATCH, next(done))[0].steps < STEPS:
            raise ArithmeticError(f"expected {STEPS} steps, got fewer: some was refused")

    return run


def measure(row: Settings, plain: Settings, rounds: int) -> dict[str, Any]:
    runs = {"fused": run_of(row.step(True)), "eager": run_of(row.step(False)), "plain": run_of(plain.step(True))}
    fused, eager, without, noise = compare(runs, rounds=rounds, sample_ms=2, device=CPU)
    return {
        "case": row.name,
        "fused_us": round(fused.microseconds / STEPS, 1),
        "ratio": round(eager.ratio, 3),
        "interval": [round(each, 3) for each in eager.interval],
        "extra": round(1 / without.ratio, 3),
        "noise": [round(each, 3) for each in noise.interval],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="rows whose name holds one of these")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    about = {**machine(CPU), "threads": asked.threads, "rounds": asked.rounds, "steps_a_call": STEPS}
    every = {row.name: row for row in planned()}
    entries = []
    for name, row in every.items():
        if not any(text in name for text in asked.only):
            continue
        entries.append(measure(row, every[row.plain], asked.rounds))
        print(
            "{case:36} {fused_us:8} us  ratio {ratio} {interval}  extra {extra}  noise {noise}".format(**entries[-1]),
            flush=True,
        )
        if asked.json:
            save(asked.json, about, entries)


if __name__ == "__main__":
    main()
