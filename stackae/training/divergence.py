"""Errors of a network that diverged: where it happened, and the most likely cause."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stackae.data.rows import Rows
from stackae.errors import DivergedError, argument

SHOWN_ROWS = 5
LARGE = 100.0  # inputs beyond it need scaling; noise this many times larger than the inputs drowns them
OUTWEIGHS = 1e4  # a penalty this many times the reconstruction loss outweighs it
STEEP = 1e3  # initial weights should be smaller
OVERFLOWS = 1e15  # a gradient whose square nearly overflows float32


@dataclass(frozen=True)
class Magnitudes:
    """The magnitude of each part of a layer's step, on the rows of one batch.

    Attributes:
        inputs: the largest |x|.
        seen: the largest |x̃|.
        reconstruction: the loss without penalties.
        penalties: the weighted penalties, by the names of their options.
        weight_decay: its coefficient.
        layer: the layer's number; the inputs of all but layer 1 are codes of the layer below.
        init: the initialization of the weights.
    """

    inputs: float
    seen: float
    reconstruction: float
    penalties: Mapping[str, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    layer: int = 1
    init: str = "random"


class Cause(NamedTuple):
    """A cause in words, and the setting to lower; "" where no training setting would help."""

    sentence: str
    setting: str


def _scaled() -> str:
    return f"scale the data ({argument('scale', 'minmax', 'standard')})"


class Failure(NamedTuple):
    """The stage, epoch and learning rate at which a network diverged."""

    stage: str
    title: str
    epoch: int
    learning_rate: float


def failed_step(
    failure: Failure, step: int, rows: Sequence[int], found: Magnitudes, largest_weight: float
) -> DivergedError:
    """Make the error of step number ``step`` (from 0) on these rows, which the step refused."""
    shown = ", ".join(map(str, rows[:SHOWN_ROWS])) + (", ..." if len(rows) > SHOWN_ROWS else "")
    cause = cause_of(found, largest_weight, failure.learning_rate, first=step == 0)
    return DivergedError(
        f"{failure.title}: expected a finite loss and finite updates, got NaN or Inf at step {step} in epoch "
        f"{failure.epoch} at learning rate {failure.learning_rate:.3g}, on training rows {shown}; the largest of these "
        f"inputs is {found.inputs:.3g}, the largest weight was {largest_weight:.3g}: {cause.sentence}",
        stage=failure.stage,
        epoch=failure.epoch,
        step=step,
        rows=list(rows),
        learning_rate=failure.learning_rate,
        largest_input=found.inputs,
        largest_weight=largest_weight,
        setting=cause.setting,
    )


def failed_validation(failure: Failure, loss: float, learning_rate: float, held_out: Rows | None) -> DivergedError:
    """Make the error of a validation loss that is not finite; the epoch ended at ``learning_rate``."""
    largest = 0.0 if held_out is None else max(abs(float(held_out.min())), abs(float(held_out.max())))
    lower = f"lower {argument('learning_rate')}, or {_scaled()}"
    if not largest <= LARGE:
        first = f"{_scaled()}, or lower {argument('learning_rate')}"
        lower = f"{first}: the largest number of the validation rows is {largest:.3g}"
    return DivergedError(
        f"{failure.title}: expected a finite loss of validation, got {loss:.4g} after epoch {failure.epoch} at "
        f"learning rate {failure.learning_rate:.3g}; {lower}",
        stage=failure.stage,
        epoch=failure.epoch,
        learning_rate=learning_rate,
        setting="learning_rate",
    )


def cause_of(found: Magnitudes, largest_weight: float, learning_rate: float, *, first: bool) -> Cause:
    """Name the part that is out of proportion to the others, or else the learning rate.

    Of several, the first on the way through a step is named: noise, penalties, decay, initialization. ``first`` says
    that the first step failed: only then is the initialization a cause.
    """
    if not found.seen <= LARGE * max(1.0, found.inputs):
        return Cause(f"noise makes {found.seen:.3g} of them; lower {argument('corruption')}", "corruption")
    for name, penalty in found.penalties.items():
        if math.isfinite(found.reconstruction) and not penalty <= OUTWEIGHS * max(1.0, found.reconstruction):
            sizes = f"the penalty is {penalty:.3g} beside a reconstruction loss of {found.reconstruction:.3g}"
            return Cause(f"{sizes}; lower {argument(name)}", name)
    decay = found.weight_decay
    if decay > max(1.0, learning_rate) and (decay * learning_rate >= 1 or decay * largest_weight >= OVERFLOWS):
        return Cause(f"weight decay {decay:.3g} outweighs the loss; lower {argument('weight_decay')}", "weight_decay")
    if first and found.init != "random" and not largest_weight <= STEEP:
        start, remedy = argument("init", found.init), argument("init", "random")
        return Cause(f"weights began as large as that by {start}; use {remedy}, or {_scaled()}", "")
    if not found.inputs <= LARGE:
        if found.layer > 1:
            below = f"they are codes of layer {found.layer - 1}"
            bounded = f"use {argument('activation', 'sigmoid', 'tanh')} there"
            return Cause(f"{below}; lower {argument('learning_rate')}, or {bounded}", "learning_rate")
        return Cause(f"{_scaled()}, or lower {argument('learning_rate')}", "learning_rate")
    return Cause(f"lower {argument('learning_rate')}, or {_scaled()}", "learning_rate")
