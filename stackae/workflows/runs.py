"""List, show, verify and compare runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stackae.errors import RunError, shown, suggested
from stackae.plots import curves as losses
from stackae.runs.checkpoints import numbered
from stackae.runs.differences import Difference, differences
from stackae.runs.durable import make_folder, write_whole
from stackae.runs.lock import writer
from stackae.runs.places import all_runs, free_file, named_run
from stackae.runs.pointer import RUNS
from stackae.runs.run import Run
from stackae.runs.summary import Summary, bytes_on_disk, summarize
from stackae.runs.verify import damages
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.outputs import check_out
from stackae.workflows.pictures import epochs_of


class RunContents(NamedTuple):
    """One run: its stages and settings, and the names of its files and checkpoints."""

    summary: Summary
    files: list[str]
    checkpoints: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae runs show`."""
        config = self.summary.config
        settings = None if config is None else config.model_dump(mode="json", exclude_none=True)
        rest = {"settings": settings, "files": self.files, "checkpoints": self.checkpoints}
        return self.summary.to_dict() | rest


class VerifiedRun(NamedTuple):
    """A run, its damages, and the process that writes to it now."""

    path: Path
    damages: list[RunError]
    writer: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the run's entry in the JSON document of `stackae runs verify`."""
        return {"run": str(self.path), "damaged": [str(each) for each in self.damages]}


class Comparison(NamedTuple):
    """Two complete runs, the settings that differ, and the picture of their curves."""

    runs: tuple[Summary, Summary]
    settings: list[Difference]
    picture: Path

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae runs compare`."""
        return self._asdict() | {"runs": [each.to_dict() for each in self.runs]}


def list_runs(root: Path | str = RUNS) -> list[Summary]:
    """Summarize the runs in a folder, newest first; a damaged one says so in its status."""
    return [summarize(path) for path in all_runs(Path(root))]


def show_run(run: Path | str | None = None) -> RunContents:
    """Summarize a run, by default the newest. Raises RunError if there is none, or its records are damaged."""
    path = named_run(run)
    summary = summarize(path)
    if summary.config is None:
        raise RunError(summary.detail)
    files = sorted(file.name for file in path.iterdir() if file.is_file())
    return RunContents(summary, files, [checkpoint.name for _, checkpoint in numbered(path)])


def verify_runs(
    run: Path | str | None = None, *, everything: bool = False, callbacks: Callbacks | None = None
) -> list[VerifiedRun]:
    """Compare every file of a run, and of its checkpoints, with its SHA-256.

    Args:
        run: a run folder; None is the newest run.
        everything: verify every run in ./runs instead.

    Raises:
        RunError: there is no such run. Damages are in the result, not raised.
    """
    found = []
    for path in all_runs() if everything else [named_run(run)]:
        (callbacks or Callbacks()).busy(f"{shown(path.absolute())}: {bytes_on_disk(path):,} bytes")
        found.append(VerifiedRun(path, damages(path), writer(path)))
    return found


def raise_damages(verified: list[VerifiedRun]) -> None:
    """Raise RunError if a file is damaged."""
    damaged = [each for each in verified if each.damages]
    if damaged:
        remedy = f"`{suggested('resume', damaged[0].path)}` makes them again"
        if damaged[0].writer:
            remedy = f"stop {damaged[0].writer}, which writes to it now; then {remedy}"
        raise RunError(
            f"{', '.join(str(each.path) for each in damaged)}: expected files as they were written, got "
            f"{sum(len(each.damages) for each in damaged)} damaged; {remedy}"
        )


def compare_runs(
    first: Path | str, second: Path | str, *, out: Path | str | None = None, force: bool = False
) -> Comparison:
    """Compare two complete runs: their settings, the results of each stage, and their curves in one picture.

    Args:
        out: a .png file to write; None is runs/compare.png, or the next free name.

    Raises:
        ConfigError: the file cannot be written. RunError: there is no such run, or one is not complete.
    """
    path = None if out is None else Path(out)
    if path is not None:
        check_out(path, (".png",), must_be_new=not force)
    both = [summarize(named_run(each)) for each in (first, second)]
    for summary in both:
        if summary.config is None or summary.status != "complete" or summary.seeds:
            what = f"a folder of {summary.seeds} runs" if summary.seeds else f"one that is {summary.status}"
            raise RunError(f"{summary.path}: expected a complete run, got {what}; name another")
    found = differences(*(summary.config for summary in both if summary.config is not None))
    curves = {str(shown(summary.path)): epochs_of(Run(summary.path)) for summary in both}
    picture = losses.loss_curves_compared(curves)
    if path is None:
        make_folder(RUNS)
        path = free_file(RUNS / "compare.png")
    write_whole(path, picture)
    return Comparison((both[0], both[1]), found, path)
