"""Resuming: a training that is stopped and resumed by the commands' checkpointer ends bit-identical."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator, Mapping
from math import inf
from pathlib import Path

from torch import nn

from stackae.config import DataConfig, PretrainConfig, RunConfig
from stackae.errors import RunError, StoppedError
from stackae.pretraining import PretrainResult, pretrain_stack, settle
from stackae.runs import DiskCheckpointer, Folder, Requests, Work, latest
from stackae.training.checkpointing import Snapshot, StageResult
from stackae.verification.check import Case, Check
from stackae.verification.subjects import CPU, EAGER_REMEDY, need_step, rows_of

MOST_STOPS = 100  # after this many stops, training makes no progress


class Stopping:
    """A checkpointer that wraps the one on disk and requests a stop at its n-th pause; 0 for never."""

    def __init__(self, checkpointer: DiskCheckpointer, requests: Requests, pauses: int) -> None:
        self._checkpointer, self._requests, self._left = checkpointer, requests, pauses

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        return self._checkpointer.begin(stage, networks)

    def ready(self) -> None:
        self._checkpointer.ready()

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        self._left -= 1
        if self._left == 0:
            self._requests.stop = signal.SIGINT
        self._checkpointer.pause(stage, snapshot, epoch_ended)

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        self._checkpointer.end(stage, results)


def cases(engine: str) -> Iterator[Case]:
    """Stop at every second pause, and at every fifth; count the weights and records that differ."""
    if engine == "fused":
        need_step(CPU)
    x = rows_of(96, 12).float()
    config = PretrainConfig.from_options(
        "12,8,5",
        max_epochs=3,
        batch_size=16,
        device="cpu",
        engine=engine,
        activation="tanh,relu",
        sparsity="kl:0.1:0.1,top-k:2",
        revive="none,auxiliary:2:24",
        corruption="masking:0.3,gaussian:0.1",
    )
    config = settle(config, x)

    def train(folder: Path, pauses: int) -> PretrainResult:
        requests = Requests()
        work = Work(
            command="pretrain", runs=("",), settings=(RunConfig(data=DataConfig(), pretrain=config),), data="0" * 64
        )
        left = latest(folder, "pretrain", _damaged)
        checkpointer = DiskCheckpointer(Folder(folder), work, left, every=1e9, requests=requests)
        return pretrain_stack(x, config, validation=x[:24], checkpointer=Stopping(checkpointer, requests, pauses))

    with tempfile.TemporaryDirectory(prefix="stackae-verify-") as folder:
        wanted = train(_new(Path(folder), "undisturbed"), 0)
        for pauses in (2, 5):
            own, found, stops = _new(Path(folder), f"every-{pauses}"), None, 0
            while found is None and stops < MOST_STOPS:
                try:
                    found = train(own, pauses)
                except StoppedError:
                    stops += 1
            differ = inf if found is None or not stops else _differing(found, wanted)
            yield Case(f"stopped {stops} times", differ, 0)


def _differing(found: PretrainResult, wanted: PretrainResult) -> int:
    count: int = sum(
        int((a != b).sum()) if a.shape == b.shape else max(a.numel(), b.numel())
        for a, b in zip(found.stack.parameters(), wanted.stack.parameters(), strict=True)
    )
    losses = [[(each.stage, each.epoch, each.loss, each.best) for each in one.history] for one in (found, wanted)]
    others = sum(int(a != b) for a, b in zip(*losses, strict=False))
    return count + others + abs(len(losses[0]) - len(losses[1]))


def _new(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def _damaged(error: RunError) -> None:
    raise error


_COMPARED = "a training that was stopped and gone on with to end as one that was not"
_FIGURE = "numbers that differ"

CHECKS = (
    Check("resuming", "fused", _COMPARED, _FIGURE, lambda: cases("fused"), EAGER_REMEDY),
    Check("resuming", "eager", _COMPARED, _FIGURE, lambda: cases("eager")),
)
