"""Run checks of this installation: each measures cases, compares them with their bounds, and has an outcome."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch

from stackae.errors import ConfigError, argument, nearest

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
SIGMAS = 5.0
"""Standard errors that a mean of draws may be off. The draws are the same each time, so no check fails at random."""


class Case(NamedTuple):
    """One comparison, which holds where ``measured`` <= ``bound`` (never for NaN); ``shown`` has details to print."""

    name: str
    measured: float
    bound: float
    shown: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.bound

    @property
    def strain(self) -> float:
        """measured / bound: the case fails above 1."""
        if not self.holds:
            return math.inf if math.isnan(self.measured) or self.bound == 0 else self.measured / self.bound
        return self.measured / self.bound if self.bound else 0.0


class NotHereError(Exception):
    """This machine, or this build, does not have what the check needs; the message is the reason for skipping."""


@dataclass(frozen=True)
class Check:
    """One row of the output of `stackae verify`.

    Attributes:
        group: the name by which ``--only`` selects it, with others of its kind.
        name: the thing that is checked.
        compared: the expectation: what is compared with what.
        figure: the kind of number that ``measured`` is: a relative error, standard errors, a count.
        measure: yields its cases, at least one. Raises NotHereError where there is nothing to check.
        remedy: what to do where it fails, besides reporting it.
        threads: True to run on as many threads as are set. Other checks run on one thread, as their networks are so
            small that threads would spend more time waiting for each other than working.
    """

    group: str
    name: str
    compared: str
    figure: str
    measure: Callable[[], Iterable[Case]]
    remedy: str = ""
    threads: bool = False


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check, with its worst case: the one nearest to its bound, or furthest beyond.

    Attributes:
        state: passed, failed or skipped.
        reason: why it was skipped, or in one sentence what failed and what to do; "" where it passed.
        worst, shown: the name and the details of the worst case.
        measured, bound: those of the worst case; None where nothing was measured.
    """

    check: Check
    state: str
    reason: str
    seconds: float
    cases: int = 0
    worst: str = ""
    measured: float | None = None
    bound: float | None = None
    shown: str = ""


def run(check: Check) -> Outcome:
    """Measure all cases of a check. An exception inside becomes the outcome of a failed check.

    The number of threads, the default dtype and the global random state are restored afterwards.
    """
    started = time.perf_counter()
    try:
        with _left_alone(), torch.enable_grad():
            if not check.threads:
                torch.set_num_threads(1)
            cases = list(check.measure())
    except NotHereError as missing:
        return Outcome(check, SKIPPED, str(missing), time.perf_counter() - started)
    except Exception as error:
        found = f"got {type(error).__name__}: {str(error) or 'without a message'}".split("\n")[0]
        return Outcome(check, FAILED, _sentence(check, found), time.perf_counter() - started)
    seconds = time.perf_counter() - started
    if not cases:
        return Outcome(check, FAILED, _sentence(check, "got no case to compare"), seconds)
    worst = max(cases, key=lambda case: case.strain)
    found = f"measured {worst.measured:.3g} for {worst.name}" + (f" ({worst.shown})" if worst.shown else "")
    reason = "" if worst.holds else _sentence(check, found, f", {check.figure} of at most {worst.bound:.3g}")
    state = PASSED if worst.holds else FAILED
    return Outcome(check, state, reason, seconds, len(cases), worst.name, worst.measured, worst.bound, worst.shown)


def run_all(checks: Sequence[Check]) -> Iterator[Outcome]:
    """Run the checks; yield each outcome as soon as it is known."""
    return map(run, checks)


def chosen(checks: Sequence[Check], groups: str | None) -> list[Check]:
    """Select the checks of the groups in a comma-separated list; all of them for None.

    Raises:
        ConfigError: a name that is not a group.
    """
    known = list(dict.fromkeys(check.group for check in checks))
    wanted = known if groups is None else [word.strip() for word in groups.split(",")]
    for word in wanted:
        if word not in known:
            raise ConfigError(
                f"{argument('only')}: expected names out of {', '.join(known)}, got '{word}'{nearest(word, known)}"
            )
    return [check for check in checks if check.group in wanted]


def _sentence(check: Check, found: str, bound: str = "") -> str:
    remedy = f"; {check.remedy}" if check.remedy else ""
    return (
        f"{check.group}, {check.name}: expected {check.compared}{bound}, {found}{remedy}; report it together with what "
        "`stackae doctor` prints"
    )


@contextmanager
def _left_alone() -> Iterator[None]:
    threads, kind = torch.get_num_threads(), torch.get_default_dtype()
    state = torch.random.get_rng_state()
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(kind)
        torch.random.set_rng_state(state)
