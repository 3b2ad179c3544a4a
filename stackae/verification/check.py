"""Checks of what this installation computes, and what becomes of them: figures, each with a bound that it must keep."""

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
"""Standard errors that a mean of draws may be off. The draws are the same ones each time: none of this is left to luck.
"""


class Case(NamedTuple):
    """One comparison: it holds where ``measured`` is at most ``bound``; NaN never is. ``shown`` says more of it."""

    name: str
    measured: float
    bound: float
    shown: str = ""

    @property
    def holds(self) -> bool:
        return self.measured <= self.bound

    @property
    def strain(self) -> float:
        """How far it is to its bound: above 1 it fails."""
        if not self.holds:
            return math.inf if math.isnan(self.measured) or self.bound == 0 else self.measured / self.bound
        return self.measured / self.bound if self.bound else 0.0


class NotHereError(Exception):
    """What a check is of does not exist on this machine, or in this build: the reason."""


@dataclass(frozen=True)
class Check:
    """One row of what `stackae verify` prints.

    Attributes:
        group: what ``--only`` calls it, with others of its kind.
        name: what is checked.
        compared: what is compared with what.
        figure: what ``measured`` is: a relative error, standard errors, how many.
        measure: its cases, at least one. Raises NotHereError where there is nothing to check.
        remedy: what to do where it fails, beside reporting it.
        threads: whether it runs on as many threads as are set; others run on one, as their networks are so small that
            threads would wait for each other longer than they work, and on a busy machine far longer.
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
    """What became of a check: its case that came nearest to its bound, or went furthest beyond.

    Attributes:
        state: passed, failed or skipped.
        reason: why it was skipped, or in one sentence what failed and what to do; "" where it passed.
        worst, shown: the name of that case, and what it says of itself.
        measured, bound: None where nothing was measured.
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
    """Measures all cases of a check. An error inside is an outcome too: a check that failed.

    Threads, default type and the global random state are afterwards as they were.
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
    """Each outcome as soon as it is there."""
    return map(run, checks)


def chosen(checks: Sequence[Check], groups: str | None) -> list[Check]:
    """The checks of the groups that a comma list names; all of them without one.

    Raises:
        ConfigError: a name that no group has.
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
