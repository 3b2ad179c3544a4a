"""How near an exported file comes to stackae itself, on real rows."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.data.paired import PairedRows
from stackae.data.rows import Rows, subset
from stackae.errors import VerificationError
from stackae.exporting.described import Described
from stackae.exporting.parts import Output
from stackae.exporting.programs import Runs

BATCHES = (1, 7, 256)
BOUND = 1e-5
JITTER, DRAWS = 1e-6, 64  # relative, of a row that may lie on a tie


class Verified(NamedTuple):
    """The largest difference of each output in batches of these sizes, of ``rows`` rows.

    A difference is relative to the largest absolute value that its output has on these rows; of a reconstruction, to
    that of its column, but at least the column's scale, and of errors, to 1 at least, a scaled unit. ``ties`` are rows
    of which stackae itself gives both answers when they are moved by rounding. ``changed`` is the share of rows with
    other labels, None without labels.
    """

    rows: int
    batches: tuple[int, ...]
    differences: dict[str, float]
    ties: int = 0
    changed: float | None = None

    @property
    def largest(self) -> float:
        return max(self.differences.values())


def compared(one: Described, run: Runs, raw: np.ndarray, rows: Rows, bound: float | None = BOUND) -> Verified:
    """Compare what ``run`` gives for raw rows (n, width) with what stackae gives for the same ``rows``, n >= 1.

    Rows are taken one after the other, and again from the first where a batch is larger. Without a bound, differences
    are measured, and none is an error.

    Raises:
        VerificationError: an output differs by more than the bound, or is of another shape.
    """
    outputs = one.part.outputs
    differences, ties, changed = {each.name: 0.0 for each in outputs if not each.decides}, 0, 0
    every = subset(rows, torch.from_numpy(np.arange(max(BATCHES)) % len(raw)))
    units = [_unit(output, theirs) for output, theirs in zip(outputs, _answer(one, every), strict=True)]
    for size in BATCHES:
        places = np.arange(size) % len(raw)
        batch = subset(rows, torch.from_numpy(places))
        given, wanted = run(raw[places]), _answer(one, batch)
        for place, (output, mine, theirs) in enumerate(zip(outputs, given, wanted, strict=True)):
            if output.decides:
                other = _others(output, mine, theirs)
                changed += int(other.sum())
                apart = np.where(other & ~_even(output, mine, wanted[place + 1]), 1.0, 0.0)
                _check(output, float(apart.max()), size, bound)
                continue
            unit = units[place]
            apart = _apart(mine, theirs, unit)
            if bound is not None and len(apart) == size:
                on_tie = [
                    apart[row] > bound and _on_tie(one, place, mine[row], batch, row, unit) for row in range(size)
                ]
                ties += int(sum(on_tie))
                apart = np.where(on_tie, 0.0, apart)
            _check(output, float(apart.max()), size, bound)
            differences[output.name] = max(differences[output.name], float(apart.max()))
    decided = any(each.decides for each in outputs)
    return Verified(
        min(len(raw), max(BATCHES)), BATCHES, differences, ties, changed / sum(BATCHES) if decided else None
    )


def _answer(one: Described, rows: Rows) -> list[Tensor]:
    with torch.no_grad():
        return [each.cpu() for each in one.part.original(rows)]


def _check(output: Output, difference: float, size: int, bound: float | None) -> None:
    if bound is not None and not difference <= bound:
        raise VerificationError(
            f"export: expected a file whose {output.name} differs from stackae's by at most {bound:g} of its scale, "
            f"got {difference:.2g} in a batch of {size}; nothing was written: report it with `stackae doctor`"
        )


def _others(output: Output, mine: np.ndarray, theirs: Tensor) -> np.ndarray:
    """(n,) whether the decision of a row is another one."""
    other: np.ndarray = (_numbers(output, mine) != theirs.numpy()).reshape(len(mine), -1).any(axis=1)
    return other


def _even(output: Output, mine: np.ndarray, probabilities: Tensor) -> np.ndarray:
    """(n,) whether stackae's own probabilities leave the decision of a row open, but for the bound."""
    p, chosen = probabilities.numpy(), _numbers(output, mine)
    if output.choice:
        taken = np.take_along_axis(p, chosen[:, None], axis=1)[:, 0]
        return np.asarray(taken >= p.max(axis=1) - 2 * BOUND)
    return np.asarray(np.where(chosen > 0, p >= 0.5 - BOUND, p <= 0.5 + BOUND).all(axis=1))


def _numbers(output: Output, mine: np.ndarray) -> np.ndarray:
    """Names of classes as their numbers."""
    if mine.dtype.kind not in "OU":
        return mine
    return np.array([output.names.index(name) for name in mine.tolist()], dtype=np.int64)


def _unit(output: Output, theirs: Tensor) -> np.ndarray:
    """What a difference is measured in: one number, or one per column."""
    finite = np.nan_to_num(theirs.double().abs().numpy(), nan=0.0, posinf=0.0)
    if output.unit is None:
        return np.asarray(finite.max() or 1.0)
    found: np.ndarray = np.maximum(finite.max(axis=0), output.unit.double().numpy())
    return found


def _apart(mine: np.ndarray, theirs: Tensor, unit: np.ndarray) -> np.ndarray:
    """(n,) the largest difference of each row; Inf where the two are of other shapes, or one alone is not finite."""
    wanted, given = theirs.double().numpy(), np.asarray(mine, dtype=np.float64)
    if given.shape != wanted.shape:
        return np.full(1, math.inf)
    same = (given == wanted) | (np.isnan(given) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.nan_to_num(np.abs(given - wanted) / unit, nan=math.inf, posinf=math.inf))
    largest: np.ndarray = np.atleast_1d(apart).reshape(len(np.atleast_1d(apart)), -1).max(axis=1)
    return largest


def _on_tie(one: Described, place: int, mine: np.ndarray, batch: Rows, row: int, unit: np.ndarray) -> bool:
    """Whether stackae answers for a row, when its numbers are moved by rounding, what the file does for it.

    Units of top-k codes, and neighbours of the anomaly score, that are equal but for rounding change places there.
    """
    x = batch[row : row + 1].repeat(DRAWS, 1)
    rows: Rows = x * (1 + JITTER * torch.randn(x.shape, generator=torch.Generator().manual_seed(row)))
    if isinstance(batch, PairedRows) and isinstance(rows, Tensor):
        rows = PairedRows(rows, batch.targets[row : row + 1].repeat(DRAWS, 1))
    found = _answer(one, rows)[place]
    return bool((_apart(np.repeat(mine[None], DRAWS, axis=0), found, unit) <= BOUND).any())
