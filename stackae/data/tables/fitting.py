"""An encoding for a table: what each column is taken for, by its content and by what is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stackae.config import DataConfig
from stackae.data.tables import kinds
from stackae.data.tables.cells import numbers_of, texts_of
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.frame import Frame
from stackae.data.tables.kinds import Fault, Found
from stackae.data.tables.roles import Roles, listed, roles_of
from stackae.errors import DataError, argument, legible

SHOWN_FAULTS = 10


class RefusedCells(DataError):
    """Cells that keep a table from being taken; ``cells`` says how many."""

    def __init__(self, message: str, *more: str, cells: int) -> None:
        super().__init__(message, *more)
        self.cells = cells


def fitted(frame: Frame, config: DataConfig) -> Encoding:
    """What every column of the frame is taken for: the vocabulary of a run, from all rows.

    Raises:
        DataError: a column that is not there, no feature, and cells for which columns are refused: the first ten by
            file, line, column and value, with their total (RefusedCells).
    """
    roles = roles_of(frame.name, frame.names, config)
    found = [_found(frame, index, roles, config) for index in range(len(frame.columns))]
    faults = [fault for each in found for fault in each.faults]
    if config.missing == "refuse":
        faults += [fault for index, each in enumerate(found) for fault in _missing(frame, index, each.taken)]
    if faults:
        raise refused(frame, faults)
    encoding = Encoding(tuple(each.taken for each in found))
    if not encoding.names:
        others = listed([each.name for each in encoding.columns])
        raise DataError(
            f"{frame.name}: expected a column for a feature besides the target, got none (columns {others}); add "
            f"features, or keep a column of text by {argument('categorical')}"
        )
    return encoding


def _found(frame: Frame, index: int, roles: Roles, config: DataConfig) -> Found:
    name = frame.columns[index].name
    if index in roles.targets:
        numbers = config.target_kind == "numbers"
        return Found(Taken(name, "target", "as asked for"), _faults(frame, index) if numbers else [])
    if index in roles.ids:
        return Found(Taken(name, "id", "as asked for"))
    if index in roles.left_out:
        return Found(Taken(name, "left out", roles.left_out[index]))
    if index in roles.ordinal:
        found = Found(kinds.ordinal(frame, index, roles.ordinal[index]))
    elif index in roles.categorical:
        found = Found(kinds.category(frame, index))
    else:
        found = kinds.recognised(frame, index)
    indicated = config.missing == "indicator" and found.taken.missing > 0 and found.taken.width > 0
    return found._replace(taken=replace(found.taken, indicator=True)) if indicated else found


def _faults(frame: Frame, index: int) -> list[Fault]:
    """Cells of a target of numbers that are none."""
    _, faulty = numbers_of(frame.columns[index], frame)
    if not faulty.any():
        return []
    cells = texts_of(frame.columns[index]).cells()
    return [Fault(row, index, cells[row], "is not a number") for row in np.flatnonzero(faulty).tolist()]


def _missing(frame: Frame, index: int, taken: Taken) -> list[Fault]:
    if not taken.missing or not taken.width:
        return []
    column = frame.columns[index]
    absent = column.values < 0 if column.stored == "texts" else ~np.isfinite(column.values)
    return [Fault(row, index, "", "is missing") for row in np.flatnonzero(absent).tolist()]


def refused(frame: Frame, faults: list[Fault]) -> RefusedCells:
    """The error that names the first of these cells and how many there are, with the options that help."""
    shown = sorted(faults)[:SHOWN_FAULTS]
    lines = frame.lines([each.row for each in shown]) if frame.lines is not None else None
    places = [f":{line}" for line in lines] if lines is not None else [f", row {frame.numbers[each.row]}" for each in shown]
    told = [f"{frame.name}{place}: {cell_of(frame, each)}" for place, each in zip(places, shown, strict=True)]
    if len(faults) > SHOWN_FAULTS:
        told.append(f"{len(faults)} problems in all, the first {SHOWN_FAULTS} are shown")
    names = legible(",".join(dict.fromkeys(frame.columns[each.column].name for each in sorted(faults, key=_column))), 400)
    if all(each.wrong == "is missing" for each in faults):
        told.append(f"fill such cells by {argument('missing', 'mean')}, or leave columns out by {argument('drop')}")
    else:
        word = legible(next((each.text for each in shown if each.text), "WORD"))
        told.append(
            f"take such cells for missing by {argument('missing_values')} '{word}', the columns for categories by "
            f"{argument('categorical')} '{names}', or leave them out by {argument('drop')} '{names}'"
        )
    return RefusedCells(*told, cells=len(faults))


def _column(fault: Fault) -> int:
    return fault.column


def cell_of(frame: Frame, fault: Fault) -> str:
    """The cell and what is wrong with it, in words."""
    cell = f"'{legible(fault.text)}' " if fault.text else ""
    return f"column '{legible(frame.columns[fault.column].name)}' ({fault.column + 1}): {cell}{fault.wrong}"
