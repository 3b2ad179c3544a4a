"""Stages of a check on a GPU machine: commands, each within its time, one after the other or side by side.

``Runner`` says a line a stage as it ends, keeps what they print in one file, and goes on whatever becomes of one. All
that it prints stays below MOST characters: verdicts first, then the first errors of what failed. Of the standard
library alone, so that it runs wherever Python does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_output import Printed, first_errors, last_line, text_of

GRACE = 4.0
"""Seconds that a command has to say what it was at, once its time is out; then its process group is killed."""
FEWEST_SECONDS = 2.0
"""With less than that left, a stage does not begin."""
OK, FAILED, SKIPPED = "ok", "failed", "skipped"
NOTHING: Mapping[str, str] = {}


class Stage(NamedTuple):
    """A command and the seconds that it may take.

    ``needs``: the stage without which it cannot run. ``unless``: why it is not to run, where that is known beforehand.
    ``noted``: its last line says something, and stands beside its verdict.
    """

    name: str
    limit: float
    command: Sequence[str]
    environment: Mapping[str, str] = NOTHING
    needs: str | None = "library"
    unless: str = ""
    noted: bool = True


class Outcome(NamedTuple):
    """What became of a stage; ``why`` of one that failed or was skipped, ``errors`` its first ones."""

    stage: Stage
    verdict: str
    why: str = ""
    seconds: float = 0.0
    text: str = ""
    errors: str = ""

    @property
    def line(self) -> str:
        """Verdict and reason, and in a word what it found."""
        said = f"{self.stage.name}: {self.verdict}{f' ({self.why})' if self.why else ''}"
        if self.verdict == SKIPPED:
            return said
        note = last_line(self.text) if self.stage.noted else ""
        return f"{said}, {self.seconds:.1f} s{f': {note}' if note else ''}"


class Process:
    """A stage that runs, in a process group of its own, of which nothing outlives it."""

    def __init__(self, stage: Stage, limit: float, log: Path, environment: Mapping[str, str]) -> None:
        self.stage, self.limit = stage, limit
        self._log, self._began, self._interrupted = log, time.monotonic(), False
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                stage.command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**environment, **stage.environment},
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        """Asked again and again; where its time is out it is interrupted, and killed if that does not end it."""
        pid, took = self._process.pid, time.monotonic() - self._began
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None or took > self.limit + GRACE:
            self.end()
            return True
        if took > self.limit and not self._interrupted:
            self._interrupted = True
            self._process.send_signal(signal.SIGINT)  # pytest then sums up, and Python shows where it was
        return False

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def outcome(self) -> Outcome:
        seconds, code = time.monotonic() - self._began, self._process.returncode
        text = text_of(self._log)
        if code == 0 and not self._interrupted:
            return Outcome(self.stage, OK, "", seconds, text)
        why = f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        if self._interrupted:
            why = f"out of time after {self.limit:.3g} s"
        return Outcome(self.stage, FAILED, why, seconds, text, first_errors(text))


class Runner:
    """Runs stages and remembers what became of them. Files in ``out``: logs.txt, in the order of the stages."""

    def __init__(self, out: Path, environment: Mapping[str, str]) -> None:
        self.out, self._environment = out, environment
        self.outcomes: dict[str, Outcome] = {}
        self.printed = Printed()
        self._began = time.monotonic()
        out.mkdir(parents=True, exist_ok=True)
        (out / "logs.txt").write_text("")

    def run(self, groups: Iterable[Sequence[Stage]], until: float) -> None:
        """The groups in turn, the stages of one side by side; none goes on for longer than ``until`` seconds from the
        beginning of the first, but for the moment in which it is ended."""
        with tempfile.TemporaryDirectory() as folder:
            for group in groups:
                self._run_group(group, until, Path(folder))
                with (self.out / "logs.txt").open("a", errors="replace") as file:
                    file.writelines(self._logged(self.outcomes[stage.name]) for stage in group)

    def show_errors(self, most: int) -> None:
        """The first errors of every stage that failed, in equal shares of so many characters."""
        failed = [each for each in self.outcomes.values() if each.errors and each.errors != last_line(each.text)]
        for each in failed:
            self.printed.say(f"\n== {each.stage.name}, first errors\n{each.errors}", most // len(failed))

    def finish(self, name: str) -> int:
        """Writes ``name`` and summary.txt; returns the exit status: 1 if any stage failed."""
        rows = [
            {"name": each.stage.name, "verdict": each.verdict, "why": each.why, "seconds": round(each.seconds, 2)}
            | {"command": shlex.join(each.stage.command), "note": last_line(each.text), "errors": each.errors}
            for each in self.outcomes.values()
        ]
        document = {"seconds": round(time.monotonic() - self._began, 1), "stages": rows}
        (self.out / name).write_text(json.dumps(document, indent=1) + "\n")
        (self.out / "summary.txt").write_text(self.printed.text)
        return int(any(each.verdict == FAILED for each in self.outcomes.values()))

    def _run_group(self, group: Sequence[Stage], until: float, folder: Path) -> None:
        running: list[Process] = []
        try:
            for stage in group:
                started = self._start(stage, until, folder / f"{stage.name}.log")
                if isinstance(started, Process):
                    running.append(started)
                else:
                    self._note(started)
            while running:
                for process in [each for each in running if each.has_ended()]:
                    running.remove(process)
                    self._note(process.outcome())
                time.sleep(0.02)
        finally:
            for process in running:
                process.end()

    def _start(self, stage: Stage, until: float, log: Path) -> Process | Outcome:
        left = until - (time.monotonic() - self._began)
        needed = self.outcomes.get(stage.needs or "")
        if stage.unless:
            return Outcome(stage, SKIPPED, stage.unless)
        if needed is not None and needed.verdict != OK:
            return Outcome(stage, SKIPPED, f"needs {stage.needs}, which {_became(needed)}")
        if left < FEWEST_SECONDS:
            return Outcome(stage, SKIPPED, "out of time")
        try:
            return Process(stage, min(stage.limit, left), log, self._environment)
        except OSError as error:
            return Outcome(stage, FAILED, f"{stage.command[0]}: {error.strerror}")

    def _note(self, outcome: Outcome) -> None:
        self.outcomes[outcome.stage.name] = outcome
        self.printed.say(outcome.line, most=240)

    @staticmethod
    def _logged(outcome: Outcome) -> str:
        return f"== {outcome.line}\n$ {shlex.join(outcome.stage.command)}\n{outcome.text}\n\n"


def _became(outcome: Outcome) -> str:
    return "failed" if outcome.verdict == FAILED else "was skipped"
