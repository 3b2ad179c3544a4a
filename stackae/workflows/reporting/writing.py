"""Write the report of one run, or of several side by side."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stackae.errors import ConfigError, suggested
from stackae.errors import shown as relative
from stackae.runs.durable import make_folder
from stackae.runs.places import free_file, open_run
from stackae.runs.pointer import LATEST, RUNS
from stackae.runs.run import Run
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.outputs import check_out, write_content
from stackae.workflows.reporting.facts import facts_of
from stackae.workflows.reporting.pair import MOST_RUNS, pair_page
from stackae.workflows.reporting.single import single_page
from stackae.workflows.stacks import following

NAME = "report.html"
MOST_BYTES = 2 << 20  # of a page, so that it can be mailed
SUFFIXES = (".html", ".htm")


class ReportResult(NamedTuple):
    """The page that was written, of which runs, what it says, and the command that follows."""

    runs: list[Path]
    file: Path
    found: dict[str, Any]
    next_command: str

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae report`."""
        return {"report": self.file, "runs": self.runs, **self.found}


def report_runs(
    runs: Sequence[Run | Path | str] = (),
    *,
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> ReportResult:
    """Write one page of HTML on a run, or on several side by side, that needs neither a network nor other files.

    It says whether the training worked, with numbers, and shows curves, filters, reconstructions, codes, the head on
    its test rows, timings and settings. What the folder does not keep is measured anew on the run's rows, if they can
    be read; nothing is trained.

    Args:
        runs: run folders, at most MOST_RUNS; none is the newest complete run.
        out: an .html file to write; None is report.html in the folder of the run, and for several runs
            runs/report.html, or the next free name. ``force`` replaces an existing one.
        callbacks: receive notes and progress.

    Raises:
        ConfigError: too many runs, or a file that cannot be written. RunError: no such run, or a damaged one.
        DiskError: the file could not be written.
    """
    callbacks = callbacks or Callbacks()
    if len(runs) > MOST_RUNS:
        raise ConfigError(f"runs: expected at most {MOST_RUNS} to lay side by side, got {len(runs)}; name fewer")
    path = None if out is None else Path(out)
    if path is not None:
        check_out(path, SUFFIXES, must_be_new=not force)
    opened = [open_run(each) for each in runs] or [open_run(None)]
    paths = [each.path for each in opened]
    if len(set(paths)) < len(paths):
        raise ConfigError(f"runs: expected different ones, got {relative(paths[0])} more than once; name it once")
    facts = [facts_of(each, callbacks) for each in opened]
    for each in facts:
        if each.measured.why_not:
            callbacks.note(f"note        {each.name}: not measured on its rows: {each.measured.why_not}")
    callbacks.busy("writing the page")
    content, found = single_page(facts[0]) if len(facts) == 1 else pair_page(facts)
    own = opened[0] if path is None and len(facts) == 1 else None
    if path is None and own is not None:
        path = own.path / NAME
    elif path is None:
        make_folder(RUNS)
        path = free_file(RUNS / NAME)
    write_content(path, content, own)
    return ReportResult(paths, path, found, _next(opened, [each.finished for each in facts], facts[0].head))


def _next(runs: Sequence[Run], finished: Sequence[bool], head: str | None) -> str:
    """Return a command that follows: what resumes a run, learns from its labels, or reads what was learned."""
    first = runs[0]
    if not all(finished):
        return suggested("resume", relative(runs[list(finished).index(False)].path))
    if len(runs) > 1:
        return "stackae runs list"
    chosen = [] if LATEST.resolve() == first.path else ["--run", relative(first.path)]
    if head is None:
        return " ".join([following(first), *map(shlex.quote, map(str, chosen))])
    return suggested("encode", "--weights", "finetuned", *chosen)
