"""Summarize a run: its settings, its progress and its metrics."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import RunConfig
from stackae.config.heads import HEADS
from stackae.errors import RunError
from stackae.metrics import with_interval
from stackae.models.files import layer_name
from stackae.runs.checkpoints import history_of, newest_state
from stackae.runs.places import seed_runs, unfinished
from stackae.runs.run import Run
from stackae.runs.state import State

MOST_POINTS = 2000  # kept of a longer curve, at least


class StageSummary(NamedTuple):
    """A stage that is trained or in training: its epochs so far, and the best of them."""

    stage: str
    epochs: int
    kept_epoch: int
    loss: float
    validation_loss: float | None
    validation_error: float | None
    corrupted_validation_loss: float | None
    explained: float | None = None
    pca_explained: float | None = None


class Summary(NamedTuple):
    """One run; ``status`` is complete, unfinished or damaged, and ``detail`` says where or why."""

    path: Path
    status: str
    detail: str
    config: RunConfig | None
    stages: Sequence[StageSummary]
    accuracy: float | None
    accuracy_rows: int | None
    seeds: int

    @property
    def validation_loss(self) -> float | None:
        """Return the validation loss of the last pretrained layer."""
        layers = [stage for stage in self.stages if stage.stage not in HEADS]
        return layers[-1].validation_loss if layers else None

    @property
    def n_bytes(self) -> int:
        """Return the size of all files in the folder, including checkpoints."""
        return bytes_on_disk(self.path)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as the JSON document of `stackae runs`."""
        config = self.config
        return {
            "run": str(self.path),
            "status": self.status,
            "detail": self.detail,
            "data": config.data.data if config else None,
            "layer_sizes": list(config.pretrain.layer_sizes) if config else None,
            "seeds": self.seeds,
            "stages": list(self.stages),
            **with_interval("accuracy", self.accuracy, self.accuracy_rows or 0),
            "accuracy_rows": self.accuracy_rows,
        }


def summarize(path: Path) -> Summary:
    """Summarize a run folder, or a folder of seeds by its first run; never raises for a damaged one."""
    seeds = seed_runs(path)
    try:
        if unfinished(path):
            return _of_state(path, newest_state(path), len(seeds))
        run = Run(seeds[0] if seeds else path)
        tally, measured = _Tally(), dict[str, Any]()
        for record in run.each_metric():
            tally.add(record)
            measured = record if "accuracy" in record else measured
        accuracy = measured.get("accuracy"), measured.get("labelled_rows")
        return Summary(path, "complete", "", run.config, _with_shares(tally.stages(), run), *accuracy, len(seeds))
    except RunError as error:
        return Summary(path, "damaged", str(error), None, [], None, None, len(seeds))


def _with_shares(stages: list[StageSummary], run: Run) -> list[StageSummary]:
    shares = {layer_name(each.layer): each for each in run.explained()}
    return [
        each._replace(explained=shares[each.stage].explained, pca_explained=shares[each.stage].pca_explained)
        if each.stage in shares
        else each
        for each in stages
    ]


def _of_state(path: Path, state: State, seeds: int) -> Summary:
    config, records = state.work.settings[0], [record.to_dict() for record in history_of(state, 0)]
    where = "not begun"
    if state.stage is not None:
        where = f"{state.stage.name}, epoch {state.stage.epoch}"
    elif state.ended:
        where = f"after {list(state.ended)[-1]}"
    return Summary(path, "unfinished", where, config, stage_summaries(records), None, None, seeds)


class _Tally:
    """Count the epochs of each stage's last training, and find its best epoch."""

    def __init__(self) -> None:
        self._epochs: dict[str, int] = {}
        self._best: dict[str, dict[str, Any]] = {}

    def add(self, record: dict[str, Any]) -> None:
        if "epoch" not in record or "stage" not in record:
            return
        stage = record["stage"]
        self._epochs[stage] = 1 if record["epoch"] == 1 else self._epochs.get(stage, 0) + 1
        if record["best"]:
            self._best[stage] = record

    def stages(self) -> list[StageSummary]:
        names = ("loss", "validation_loss", "validation_error", "corrupted_validation_loss")
        found = []
        for stage, best in self._best.items():
            figures: dict[str, Any] = {name: best.get(name) for name in names}  # older versions wrote fewer fields
            found.append(StageSummary(stage, self._epochs[stage], best["epoch"], **figures))
        return found


def stage_summaries(records: Iterable[dict[str, Any]]) -> list[StageSummary]:
    """Summarize each stage's last training from the records of its epochs."""
    tally = _Tally()
    for record in records:
        tally.add(record)
    return tally.stages()


class _Curve:
    """The epochs of a training, thinned to every 2nd, 4th, ... if long; the first, best and last are kept."""

    def __init__(self) -> None:
        self._step, self._records = 1, list[dict[str, Any]]()
        self._best: dict[str, Any] | None = None

    def add(self, record: dict[str, Any]) -> None:
        if self._records and self._records[-1]["epoch"] % self._step and self._records[-1]["epoch"] != 1:
            self._records.pop()
        self._records.append(record)
        self._best = record if record["best"] else self._best
        if len(self._records) > 2 * MOST_POINTS:
            self._step *= 2
            own = self._records
            self._records = [each for each in own if each["epoch"] % self._step == 0 or each in (own[0], own[-1])]

    def points(self) -> list[dict[str, Any]]:
        """Return the kept epochs in order, the best one among them."""
        best = [] if self._best is None or self._best in self._records else [self._best]
        return sorted(self._records + best, key=lambda record: int(record["epoch"]))


def last_trainings(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the epochs of each stage's last training, in stage order; more than 4,000 are thinned for plotting."""
    latest: dict[str, _Curve] = {}
    for record in records:
        if record["epoch"] == 1 or record["stage"] not in latest:
            latest[record["stage"]] = _Curve()
        latest[record["stage"]].add(record)
    return [record for curve in latest.values() for record in curve.points()]


def bytes_on_disk(path: Path) -> int:
    """Return the size of all files in the folder, including checkpoints."""
    total, folders = 0, [str(path)]
    while folders:  # a loop, since os.walk and rglob recurse once per level
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # a training removed it meanwhile
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_size if stat.S_ISREG(found.st_mode) else 0
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
    return total
