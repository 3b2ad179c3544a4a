"""What a run folder keeps that a report shows: its summary, curves, evaluation, scores, and a comparison beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import RunConfig
from stackae.errors import RunError, suggested
from stackae.runs.checkpoints import history_of, newest_state
from stackae.runs.manifest import read_file
from stackae.runs.records import ExplainedFile
from stackae.runs.run import Run
from stackae.runs.summary import Summary, last_trainings, summarize
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.reporting.diary import Command, commands_of
from stackae.workflows.reporting.measured import Measured, measured

LARGEST_SCORES, LARGEST_COMPARISON, MOST_COMPARISONS = 1 << 26, 1 << 22, 50
SCORES = "scores.csv"


class Scores(NamedTuple):
    """scores.csv of the run: the score of each row, which are flagged, and which are known anomalies, if any are."""

    scores: list[float]
    flagged: list[bool]
    anomalous: list[bool | None] | None


class Facts(NamedTuple):
    """All that a report shows of one run.

    ``epochs`` are the records of each stage's last training; ``evaluation`` is the newest of `stackae evaluate`, and
    ``comparison`` the content of a compare.json of the same data, if there is one.
    """

    run: Run
    summary: Summary
    config: RunConfig
    epochs: list[dict[str, Any]]
    explained: ExplainedFile | None
    evaluation: dict[str, Any] | None
    commands: list[Command]
    scores: Scores | None
    comparison: dict[str, Any] | None
    measured: Measured

    @property
    def finished(self) -> bool:
        return self.summary.status == "complete"

    @property
    def name(self) -> str:
        return self.run.path.name

    def epochs_of(self, stage: str) -> list[dict[str, Any]]:
        return [record for record in self.epochs if record["stage"] == stage]

    @property
    def stages(self) -> list[str]:
        """Return the stages that have epochs, in the order of their training."""
        return list(dict.fromkeys(record["stage"] for record in self.epochs))

    @property
    def head(self) -> str | None:
        """Return the head that was trained last; None where none was."""
        finetune = self.config.finetune
        return finetune.head if finetune is not None and self.run.has_head(finetune.head) else None

    @property
    def figures(self) -> Mapping[str, Any]:
        """Return the head's metrics on its test part: measured now, or else those of the newest evaluation of it."""
        found = self.measured.figures
        if found or self.evaluation is None or self.evaluation.get("part") != "test":
            return found
        own = (self.config.finetune_data or self.config.data).data
        return self.evaluation if Path(str(self.evaluation.get("data"))).name == Path(own).name else {}


def facts_of(run: Run, callbacks: Callbacks) -> Facts:
    """Gather what a report shows. Raises RunError if the run is damaged."""
    summary = summarize(run.path)
    if summary.config is None:
        raise RunError(f"{summary.detail}; mend it by `{suggested('resume', run.path)}`")
    records: Sequence[dict[str, Any]]
    if summary.status == "complete":
        records = list(run.each_metric())
        epochs = last_trainings(record for record in records if record["event"] == "epoch")
    else:
        records, epochs = [], last_trainings(each.to_dict() for each in history_of(newest_state(run.path), 0))
    evaluations = [record for record in records if record["event"] == "evaluation"]
    return Facts(
        run,
        summary,
        summary.config,
        epochs,
        run.explained_record() if summary.status == "complete" else None,
        evaluations[-1] if evaluations else None,
        commands_of(run.path),
        scores_of(run),
        comparison_of(run, summary.config),
        measured(run, summary.config, summary.status == "complete", callbacks),
    )


def scores_of(run: Run) -> Scores | None:
    """Read the scores that the run keeps; None where it keeps none, or more than a report can show."""
    if not run.holds(SCORES):
        return None
    with suppress(RunError, ValueError, KeyError):
        table = csv.DictReader(io.StringIO(run.read(SCORES, LARGEST_SCORES).decode()))
        rows = [row for row in table if row["score"]]
        known = bool(rows) and "anomaly" in rows[0]
        marks = {"1": True, "0": False}
        return Scores(
            [float(row["score"]) for row in rows],
            [row["flagged"] == "1" for row in rows],
            [marks.get(row["anomaly"]) for row in rows] if known else None,
        )
    return None


def comparison_of(run: Run, config: RunConfig) -> dict[str, Any] | None:
    """Find the newest compare.json of the same data and target, in ./compare or beside the folder of the runs."""
    data = config.finetune_data or config.data
    places = dict.fromkeys((Path("compare").absolute(), run.path.parent.parent / "compare"))
    found = [path for place in places if place.is_dir() for path in place.glob("*/compare.json")]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[:MOST_COMPARISONS]:
        with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            document = json.loads(read_file(path, LARGEST_COMPARISON))
            own = document["settings"]["data"]
            if (own["data"], own["target"]) == (data.data, data.target) and _is_complete(document):
                return dict(document)
    return None


def _is_complete(document: dict[str, Any]) -> bool:
    """Whether a comparison has what is shown of it, in the types that it has there."""
    rows = document["contenders"]
    numbers = [row[name] for row in rows for name in ("labels", "error")] + [document["test_rows"], document["labels"]]
    texts = [*document["verdicts"], document["measure"], *(row["contender"] for row in rows)]
    return bool(rows) and all(isinstance(x, (int, float)) for x in numbers) and all(isinstance(x, str) for x in texts)
