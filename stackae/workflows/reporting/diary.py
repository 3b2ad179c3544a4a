"""What log.txt tells a report: which commands wrote to a run, with which versions, and how long each stage took.

The log is for people, and may be cut, changed or missing: what is not understood is skipped, and nothing depends on it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from stackae.runs.manifest import open_plain
from stackae.workflows.callbacks import NAME, STAGE_TOOK

MOST_BYTES = 1 << 23  # of the log that are read, its newest
LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4})  (.*)")
PROCESS = re.compile(r", process \d+$")


class StageTook(NamedTuple):
    """A stage as the log names it, its epochs, and their seconds."""

    title: str
    epochs: int
    seconds: float


class Command(NamedTuple):
    """A command that wrote to the run: when it began, its line, versions and machine, its seconds, its stages, and
    whether it came to its end."""

    begun: datetime
    line: str
    versions: str
    seconds: float
    stages: tuple[StageTook, ...]
    done: bool

    @property
    def typed(self) -> bool:
        """Whether it is a line that a shell can be given."""
        return self.line.startswith("stackae ")


def commands_of(folder: Path) -> list[Command]:
    """Read the commands of the folder's log, oldest first; none where there is no log."""
    text = ""
    with suppress(OSError, ValueError), open_plain(folder / NAME) as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - MOST_BYTES))
        text = file.read().decode(errors="replace")
    found: list[Command] = []
    for line in text.splitlines():
        if match := LINE.fullmatch(line):
            with suppress(ValueError):  # of a time that there is not
                _add(found, datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S%z"), match[2])
    return found


def _add(found: list[Command], time: datetime, words: str) -> None:
    if words.startswith("$ "):
        found.append(Command(time, words[2:], "", 0.0, (), False))
        return
    if not found or found[-1].done:
        return
    last = found[-1]._replace(seconds=max(0.0, (time - found[-1].begun).total_seconds()))
    if not last.versions and words.startswith("stackae ") and "torch" in words:
        last = last._replace(versions=PROCESS.sub("", words))
    elif took := STAGE_TOOK.fullmatch(words):
        last = last._replace(stages=(*last.stages, StageTook(took[1], int(took[2]), float(took[3]))))
    found[-1] = last._replace(done=words == "done")
