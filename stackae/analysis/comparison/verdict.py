"""The outcome of a comparison: errors by contender and number of labels, differences, and sentences that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stackae.analysis.comparison.contenders import PRETRAINED, RANDOM, Contender
from stackae.analysis.comparison.intervals import Bootstrap, Interval
from stackae.analysis.comparison.task import Cell, Fit

MOST_NAMED = 3  # contenders in one clause


class Measured(NamedTuple):
    """A contender with a number of labels: its error in the mean over draws, and that of each draw.

    ``errors`` has one entry where no draw changes the result. ``seconds`` are those of the labelled training, and
    ``before`` those of the unsupervised one, in the mean over draws.
    """

    contender: str
    labels: int
    error: float
    errors: tuple[float, ...]
    seconds: float
    before: float
    epochs: int

    @property
    def spread(self) -> float:
        """The standard deviation of the error over the draws; 0 for one."""
        return float(np.std(self.errors, ddof=1)) if len(self.errors) > 1 else 0.0


class Difference(NamedTuple):
    """The error of ``contender`` less that of ``other``, with the same labels and rows, and its 95 % interval."""

    contender: str
    other: str
    labels: int
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Attributes:
        rows: one entry per contender and number of labels.
        differences: of each contender to random weights, and to the best contender of scikit-learn.
        verdicts: a sentence per number of labels, fewest first.
    """

    rows: tuple[Measured, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """All sentences, a line each."""
        return "\n".join(self.verdicts)

    def row(self, contender: str, labels: int) -> Measured:
        """Return the entry of a contender with that many labels; KeyError where there is none."""
        for each in self.rows:
            if (each.contender, each.labels) == (contender, labels):
                return each
        raise KeyError((contender, labels))


def comparison_of(
    contenders: Mapping[str, Contender], total: int, classes: bool, fits: Mapping[Cell, Fit]
) -> Comparison:
    """Summarize the fits of a comparison. ``total`` is how many labels there are: "all" in a sentence."""
    rows: list[Measured] = []
    differences: list[Difference] = []
    verdicts = []
    for labels in sorted({cell.labels for cell in fits}):
        found = {name: _of(name, labels, fits) for name in contenders}
        mine = [_measured(name, labels, each) for name, each in found.items()]
        bootstrap = Bootstrap({name: np.stack([fit.errors for fit in each]) for name, each in found.items()})
        best = _best(mine, contenders)
        for other in (RANDOM, best):
            names = [name for name in contenders if name != other] if other in contenders else []
            differences += [
                Difference(name, str(other), labels, *bootstrap.difference(name, str(other))) for name in names
            ]
        rows += mine
        count = "all" if labels == total else f"{labels:,}"
        verdicts.append(_sentence(count, {each.contender: each for each in mine}, contenders, bootstrap, classes))
    return Comparison(tuple(rows), tuple(differences), tuple(verdicts))


def _of(name: str, labels: int, fits: Mapping[Cell, Fit]) -> list[Fit]:
    return [fit for cell, fit in sorted(fits.items()) if (cell.contender, cell.labels) == (name, labels)]


def _measured(name: str, labels: int, fits: Sequence[Fit]) -> Measured:
    errors = tuple(float(fit.errors.mean(dtype=np.float64)) for fit in fits)
    seconds, before = (float(np.mean(each)) for each in zip(*((fit.seconds, fit.before) for fit in fits), strict=True))
    return Measured(name, labels, float(np.mean(errors)), errors, seconds, before, max(fit.epochs for fit in fits))


def _best(rows: Sequence[Measured], contenders: Mapping[str, Contender]) -> str | None:
    """Return the contender of scikit-learn with the lowest error; its choice by test rows favors it."""
    others = [each for each in rows if not contenders[each.contender].network]
    return min(others, key=lambda each: each.error).contender if others else None


def _sentence(
    count: str, rows: Mapping[str, Measured], contenders: Mapping[str, Contender], bootstrap: Bootstrap, classes: bool
) -> str:
    what = "the error" if classes else "the unexplained variance"
    with_labels = f"with {count} label{'s' * (count != '1')}"
    if PRETRAINED not in rows:
        first = min(rows.values(), key=lambda each: each.error)
        return f"{with_labels} {contenders[first.contender].title} has the lowest {what[4:]}, {percent(first.error)}"
    own = rows[PRETRAINED].error
    clauses = [_against_random(with_labels, what, rows, bootstrap)]
    others = {name: bootstrap.difference(PRETRAINED, name) for name in rows if name not in (PRETRAINED, RANDOM)}
    clauses += _against_others(own, others, rows, contenders)
    return "; ".join(clauses)


def _against_random(with_labels: str, what: str, rows: Mapping[str, Measured], bootstrap: Bootstrap) -> str:
    own = rows[PRETRAINED].error
    if RANDOM not in rows:
        return f"{with_labels} pretraining reaches {what} {percent(own)}"
    other, found = rows[RANDOM].error, bootstrap.difference(PRETRAINED, RANDOM)
    if not (found.lower or found.higher):
        return (
            f"{with_labels} the difference between pretraining and random weights is within noise "
            f"({percent(own)} and {percent(other)}, {interval(found)})"
        )
    verb = "lowers" if found.lower else "raises"
    return f"{with_labels} pretraining {verb} {what} from {100 * other:.1f} to {percent(own)} ({interval(found)})"


def _against_others(
    own: float, others: Mapping[str, Interval], rows: Mapping[str, Measured], contenders: Mapping[str, Contender]
) -> list[str]:
    """Say which others are better than pretraining, and which are as good and simpler."""
    ranked = sorted(others, key=lambda name: rows[name].error)
    better = [name for name in ranked if others[name].higher]
    simpler = {name: found for name, found in others.items() if contenders[name].trains == "none"}
    alike = [name for name in ranked if name in simpler and not (simpler[name].lower or simpler[name].higher)]
    clauses = []
    if better:
        told = [f"{contenders[name].title} ({percent(rows[name].error)})" for name in better[:MOST_NAMED]]
        clauses.append(f"{listed(told)} {_are(better, contenders)} better")
    if alike:
        told = [contenders[name].title for name in alike[:MOST_NAMED]]
        clauses.append(f"{listed(told)} {_are(alike, contenders)} as good and simpler")
    best = next((name for name in ranked if name in simpler), None)
    if best is not None and not better and not alike:
        clauses.append(f"the best of the simpler ones, {contenders[best].title}, has {percent(rows[best].error)}")
    return clauses


def _are(names: Sequence[str], contenders: Mapping[str, Contender]) -> str:
    return "are" if len(names) > 1 or contenders[names[0]].plural else "is"


def listed(words: Sequence[str]) -> str:
    """Join words as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def interval(found: Interval) -> str:
    """Format an interval in percentage points."""
    return f"interval {100 * found.low:+.1f} to {100 * found.high:+.1f} points"
