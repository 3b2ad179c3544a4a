"""An encoding for a table: what each column is taken for, by its content and by what is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stackae.config import DataConfig
from stackae.data.tables import kinds
from stackae.data.tables.cells import is_missing
from stackae.data.tables.columns import Encoding, Taken
from stackae.data.tables.frame import Frame
from stackae.data.tables.kinds import Found
from stackae.data.tables.refusals import Fault, refused
from stackae.data.tables.roles import Roles, listed, roles_of
from stackae.errors import DataError, argument


def fitted(frame: Frame, config: DataConfig) -> Encoding:
    """What every column of the frame is taken for: the vocabulary of a run, from all rows.

    Raises DataError for a column that is not there, for no feature, and for cells that keep a column from being taken:
    the first ten by file, line, column and value, with their total.
    """
    encoding, faults = surveyed(frame, config)
    check_fitted(frame, encoding, faults)
    return encoding


def check_fitted(frame: Frame, encoding: Encoding, faults: list[Fault]) -> None:
    """Raises DataError for the faults of ``surveyed`` columns, and for no feature."""
    if faults:
        raise refused(frame, faults)
    if not encoding.names:
        raise DataError(
            f"{frame.name}: expected a column for a feature besides the target, got none of {listed(frame.names)}; add "
            f"features, or keep a column of text by {argument('categorical')}"
        )


def surveyed(frame: Frame, config: DataConfig) -> tuple[Encoding, list[Fault]]:
    """What the columns are taken for, and the cells that keep them from it. Raises DataError as ``roles_of`` does."""
    roles = roles_of(frame.name, frame.names, config)
    columns, faults = list[Taken](), list[Fault]()
    for index in range(len(frame.columns)):
        taken, faulty = _found(frame, index, roles, config)
        columns.append(taken)
        if config.missing == "refuse" and taken.missing and taken.width:
            absent = is_missing(frame.columns[index])
            faulty = absent if faulty is None else absent | faulty
        if faulty is not None:
            faults += [Fault(row, index) for row in np.flatnonzero(faulty).tolist()]
    return Encoding(tuple(columns)), faults


def _found(frame: Frame, index: int, roles: Roles, config: DataConfig) -> Found:
    column = frame.columns[index]
    if index in roles.targets:
        target = Found(Taken(column.name, "target", "as asked for"))
        return target if config.target_kind == "classes" else target._replace(faulty=kinds.number(frame, column, "")[1])
    if index in roles.ids:
        return Found(Taken(column.name, "id", "as asked for"))
    if index in roles.left_out:
        return Found(Taken(column.name, "left out", roles.left_out[index]))
    if index in roles.ordinal:
        found = Found(kinds.ordinal(column, roles.ordinal[index]))
    elif index in roles.categorical:
        found = Found(kinds.category(frame.name, column))
    else:
        found = kinds.recognised(frame, column)
    indicated = config.missing == "indicator" and found.taken.missing > 0 and found.taken.width > 0
    return found._replace(taken=replace(found.taken, indicator=True)) if indicated else found
