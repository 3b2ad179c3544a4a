"""A run in a few figures: what was asked, how far it is, what it reached."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import RunConfig
from stackae.errors import RunError
from stackae.runs.checkpoints import history_of, newest_state
from stackae.runs.places import seed_runs, unfinished
from stackae.runs.run import Run
from stackae.runs.state import State


class StageSummary(NamedTuple):
    """A trained stage, or one that is being trained: its epochs so far, and the best of them."""

    stage: str
    epochs: int
    kept_epoch: int
    loss: float
    validation_loss: float | None
    validation_error: float | None
    corrupted_validation_loss: float | None


class Summary(NamedTuple):
    """One run; ``status`` is complete, unfinished or damaged, ``detail`` says where or why."""

    path: Path
    status: str
    detail: str
    config: RunConfig | None
    stages: Sequence[StageSummary]
    accuracy: float | None
    seeds: int


def summarise(path: Path) -> Summary:
    """Of a run folder or a folder of seeds, of which the first stands for all; never raises for a damaged one."""
    seeds = seed_runs(path)
    try:
        if unfinished(path):
            return _of_state(path, newest_state(path), len(seeds))
        run = Run(seeds[0] if seeds else path)
        records = run.metrics()
        evaluated = [record["accuracy"] for record in records if "accuracy" in record]
        stages = stage_summaries(last_trainings([record for record in records if record["event"] == "epoch"]))
        return Summary(path, "complete", "", run.config, stages, evaluated[-1] if evaluated else None, len(seeds))
    except RunError as error:
        return Summary(path, "damaged", str(error), None, [], None, len(seeds))


def _of_state(path: Path, state: State, seeds: int) -> Summary:
    config, records = state.work.settings[0], [record.to_dict() for record in history_of(state, 0)]
    where = "not begun"
    if state.stage is not None:
        where = f"{state.stage.name}, epoch {state.stage.epoch}"
    elif state.ended:
        where = f"after {list(state.ended)[-1]}"
    return Summary(path, "unfinished", where, config, stage_summaries(records), None, seeds)


def by_stage(records: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Records of epochs by their stage, in the order of the stages."""
    stages: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        stages.setdefault(record["stage"], []).append(record)
    return stages


def last_trainings(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The epochs of each stage's last training, in the order of the stages."""
    latest: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record["epoch"] == 1:
            latest[record["stage"]] = []
        latest.setdefault(record["stage"], []).append(record)
    return [record for stage in latest.values() for record in stage]


def stage_summaries(records: Sequence[dict[str, Any]]) -> list[StageSummary]:
    """Of records of epochs, stage by stage."""
    found = []
    for stage, own in by_stage(records).items():
        kept = next(record for record in reversed(own) if record["best"])
        names = ("loss", "validation_loss", "validation_error", "corrupted_validation_loss")
        figures: dict[str, Any] = {name: kept.get(name) for name in names}  # older versions wrote fewer
        found.append(StageSummary(stage, len(own), kept["epoch"], **figures))
    return found


def bytes_on_disk(path: Path) -> int:
    """Of every file in the folder, checkpoints included."""
    total, folders = 0, [str(path)]
    while folders:  # one by one: os.walk and rglob call themselves once a level
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):  # given up by a training since it was listed
                    found = entry.stat(follow_symlinks=False)
                    total += found.st_size if stat.S_ISREG(found.st_mode) else 0
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.path)
    return total
