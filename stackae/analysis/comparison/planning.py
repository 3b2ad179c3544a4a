"""Settle what a comparison fits: its rows and settings, contenders, numbers of labels, and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stackae.analysis.comparison.contenders import (
    ALL,
    PRETRAINED,
    Contender,
    chosen_contenders,
    label_counts,
    seed_count,
)
from stackae.analysis.comparison.networks import unable
from stackae.analysis.comparison.task import Task, check_labels, complete, labelled
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data import Dataset
from stackae.errors import ConfigError, argument, nearest
from stackae.pretraining import settle

BUDGETS = ("epochs", "seconds")
USUAL_WIDTHS = (16, 256)  # of the usual two layers, at least and at most


class Plan(NamedTuple):
    """What a comparison fits: contenders by name, numbers of labels, and seeds; and whom the layers leave out, why."""

    contenders: dict[str, Contender]
    counts: list[int]
    seeds: list[int]
    total: int
    unable: dict[str, str]

    @property
    def draws(self) -> str:
        """The number of draws, for a person."""
        return f"{len(self.seeds)} draw{'s' * (len(self.seeds) > 1)}"


def task_of(
    dataset: Dataset,
    pretrain: PretrainConfig,
    finetune: Mapping[str, Any],
    held_out: float,
    budget: str,
    held: np.ndarray | None = None,
) -> Task:
    """Make the comparison of a data set, whose validation rows are none, and of settings that are not yet settled.

    ``held`` are the rows of its training part that choose epochs, None where a share of them is to be drawn.
    """
    if budget not in BUDGETS:
        raise ConfigError(
            f"{argument('budget')}: expected {' or '.join(BUDGETS)}, got '{budget}'{nearest(budget, BUDGETS)}"
        )
    classes = len(dataset.classes)
    check_labels(dataset.name, dataset.train, dataset.test)
    settled = settle(pretrain, dataset.train.x, dataset.row_shape)
    shared = {name: getattr(settled, name) for name in ("seed", "engine", "device")}
    head = {"head": "classifier" if classes else "regressor"}
    return Task(
        train=complete(dataset.train),
        test=labelled(dataset.test),
        classes=classes,
        pretrain=settled,
        finetune=validated(FinetuneConfig, shared | dict(finetune) | head),
        held_out=held_out,
        held=held,
        budget=budget,
        image_shape=dataset.image_shape,
    )


def usual_layers(width: int) -> str:
    """The layers where none are given: two codes as wide as the rows, of 16 to 256 units."""
    least, most = USUAL_WIDTHS
    units = min(most, max(least, width))
    return f"{width},{units},{units}"


def plan_of(
    task: Task,
    contenders: str | Sequence[str] | None,
    labels: str | Sequence[int | str] | None,
    seeds: str | int,
) -> Plan:
    """Settle what is fitted. Raises ConfigError for what cannot be."""
    chosen = chosen_contenders(contenders, bool(task.classes))
    if task.budget == "seconds" and PRETRAINED not in chosen:
        raise ConfigError(
            f"{argument('budget')} seconds: expected {PRETRAINED} among {argument('contenders')}, whose seconds the "
            f"others get, got {', '.join(chosen)}; add it, or use {argument('budget', 'epochs')}"
        )
    reasons = {name: reason for name in chosen if (reason := unable(name, task.pretrain))}
    if reasons and contenders not in (None, ALL):
        name, reason = next(iter(reasons.items()))
        raise ConfigError(f"{argument('contenders')} {name}: {reason}; leave it out")
    chosen = {name: each for name, each in chosen.items() if name not in reasons}
    known = labelled(task.train).y
    assert known is not None
    total, fewest = len(known), len(np.unique(known.numpy())) if task.classes else 1
    count = seed_count(seeds)
    first = task.pretrain.seed
    return Plan(chosen, label_counts(labels, total, fewest), list(range(first, first + count)), total, reasons)
