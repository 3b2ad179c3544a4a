"""What several runs are compared by: a value of each per measure, how it is written, and whether more is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stackae.pages.scales import duration, number, percent
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.reporting.verdicts import LayerFound, Verdict


class Judged(NamedTuple):
    """A run with its verdicts, and the class of its color."""

    facts: Facts
    layers: list[LayerFound]
    head: Verdict
    whole: Verdict
    color: str


class Measure(NamedTuple):
    """A row of the table: a value per run, how it is written, and whether more is better (None: neither)."""

    name: str
    values: list[float | None]
    shown: Callable[[float | None], str]
    more: bool | None = True


def measures_of(judged: Sequence[Judged]) -> list[Measure]:
    """Return what is known of at least one run, the results of heads first."""
    figures = [each.facts.figures for each in judged]
    shares = [[one.share for one in each.layers if one.share is not None] for each in judged]
    top_units = [each.layers[-1].units for each in judged]
    found = [
        Measure("test accuracy", [one.get("accuracy") for one in figures], lambda value: percent(value, 2)),
        Measure(
            "balanced accuracy", [one.get("balanced_accuracy") for one in figures], lambda value: percent(value, 2)
        ),
        Measure("test R², mean", [_mean_r2(one) for one in figures], number),
        Measure("all labels right", [one.get("subset_accuracy") for one in figures], lambda value: percent(value, 2)),
        Measure(
            "variance explained, top layer",
            [one[-1].explained if one else None for one in shares],
            lambda value: percent(value, 2),
        ),
        Measure(
            "PCA of equal width",
            [one[-1].pca_explained if one else None for one in shares],
            lambda value: percent(value, 2),
            None,
        ),
        Measure("validation loss, top layer", [each.facts.summary.validation_loss for each in judged], number, None),
        Measure(
            "effective rank, top code",
            [None if one is None else one.effective_rank for one in top_units],
            lambda value: number(value, 3),
            None,
        ),
        Measure("units that hardly vary", [_dead(each.layers) for each in judged], number, False),
        Measure("epochs", [float(len(each.facts.epochs)) for each in judged], number, None),
        Measure(
            "training time",
            [_seconds(each.facts) for each in judged],
            lambda value: "–" if value is None else duration(value),
            None,
        ),
    ]
    return [each for each in found if any(value is not None for value in each.values)]


def _mean_r2(figures: Mapping[str, Any]) -> float | None:
    known = [each["r2"] for each in figures.get("targets", []) if each.get("r2") is not None]
    return sum(known) / len(known) if known else None


def _dead(layers: Sequence[LayerFound]) -> float | None:
    known = [each for each in layers if each.dead is not None]
    return float(sum(round((each.dead or 0) * each.config.n_hidden) for each in known)) if known else None


def _seconds(facts: Facts) -> float | None:
    return sum(stage.seconds for command in facts.commands for stage in command.stages) or None


def difference_of(gap: float, measure: Measure) -> str:
    """Write a difference with its sign, that of shares in points of a hundred."""
    shown = measure.shown(abs(gap)).replace(" %", " points")
    return shown if shown.startswith("0.00 ") or not gap else f"{'+' if gap > 0 else '−'}{shown}"
