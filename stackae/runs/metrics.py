"""metrics.jsonl of a run folder: read strictly, append, and repair with a report of what is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from stackae.errors import RunError, argument
from stackae.runs.folder import Folder
from stackae.runs.manifest import Entry, read_file
from stackae.runs.records import LARGEST, each_record, sealed, unsealed
from stackae.runs.salvage import known_blocks, mended

NAME = "metrics.jsonl"


def read_metrics(run: Folder) -> list[dict[str, Any]]:
    """Read all records, oldest first. Raises RunError if the file is damaged."""
    return list(each_metric(run))


def each_metric(run: Folder) -> Iterator[dict[str, Any]]:
    """Yield the records of ``read_metrics`` one by one."""
    try:
        yield from each_record(_content(run))
    except ValueError as error:
        raise RunError(
            f"{run.path / NAME}: expected an epoch or an evaluation a line, got {error}; "
            f"train the run again with {argument('force')}"
        ) from None


def metrics_with(
    run: Folder, records: Iterable[dict[str, Any]], new: bool, report: Callable[[str], None] | None
) -> bytes:
    """Return the content of metrics.jsonl with these records appended.

    Records that are not ``new`` (epochs of a completed training) are added only if missing. Of a damaged file, the
    readable lines are kept; ``report`` is called with a sentence per loss.

    Raises:
        RunError: the file is damaged, and the records are new.
    """
    lines = [sealed(record) for record in records]
    added = b"".join(line + b"\n" for line in lines)
    try:
        old = _content(run)
        whole = bool(old) or not (run.path / NAME).exists()
    except RunError:
        if new:
            raise
        old, whole = b"", False
    if new or whole:
        plain = b"".join(unsealed(line) + b"\n" for line in lines)
        return old if not new and (added in old or plain in old) else old + added
    return _mended(run, lines, report)


def _content(run: Folder) -> bytes:
    return run.read(NAME, LARGEST) if run.holds(NAME) else b""


def _mended(run: Folder, lines: list[bytes], report: Callable[[str], None] | None) -> bytes:
    """Recover a damaged file with the lines of a complete training, and report each loss."""
    damaged, path, listed = b"", run.path / NAME, tuple[Entry, ...]()
    with suppress(OSError, ValueError):
        damaged = read_file(path, LARGEST)
    with suppress(RunError):
        listed = run.manifest.files.get(NAME, ())
    found = mended(damaged, known_blocks(run.path, lines))
    content = b"".join(line + b"\n" for line in found.lines)
    if report is not None and Entry.of(content) not in listed:
        for each in found.lost:
            report(f"{path}: {each}")
        held = max((entry.size for entry in listed), default=0)
        if len(content) < held:
            report(f"{path}: held {held:,} bytes, and holds {len(content):,} again: evaluations in the rest are lost")
    return content
