"""numpy's .npz files: an archive of arrays, each read as a .npy file is."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stackae.data.formats.archive import Member, members_of
from stackae.data.formats.npy import NUMBERS, as_source, read_array
from stackae.data.labels import classes_of_arrays
from stackae.data.source import Source
from stackae.data.targets import targets_of_arrays
from stackae.errors import DataError, legible

LABELS = "biuUS"  # kinds of numpy's dtypes
KINDS = {"x": NUMBERS, "y": LABELS, "x_test": NUMBERS, "y_test": LABELS}
WITH_TARGETS = dict.fromkeys(KINDS, NUMBERS)


def load_npz(path: Path, numbers: bool = False) -> Source:
    """Rows and labels of a .npz file: x, and where they exist y, x_test and y_test.

    x is as in a .npy file; y is (n,) integers (-1: no label) or strings (empty: no label); where ``numbers`` are
    wanted, (n,) or (n, k) real numbers (NaN: missing). Raises DataError as load_npy does, when x is missing, and when
    the arrays do not fit each other.
    """
    arrays = _read_members(path, WITH_TARGETS if numbers else KINDS)
    source = as_source(arrays["x"], path, f"{path}: x")
    if "x_test" in arrays:
        test = as_source(arrays["x_test"], path, f"{path}: x_test")
        if (test.row_shape, test.image_shape) != (source.row_shape, source.image_shape):
            shapes = f"expected rows of shape {arrays['x'].shape[1:]} as in x, got {arrays['x_test'].shape[1:]}"
            raise DataError(f"{path}: x_test: {shapes}; save both with the same shape")
        source = source._replace(x_test=test.x)
    names = [name for name in ("y", "y_test") if name in arrays]
    if names and numbers:
        targets, columns = targets_of_arrays(str(path), [arrays[name] for name in names])
        numbered = dict(zip(names, columns, strict=True))
        source = source._replace(targets=targets, y=numbered.get("y"), y_test=numbered.get("y_test"))
    elif names:
        classes, indices = classes_of_arrays(str(path), [arrays[name] for name in names])
        found = dict(zip(names, indices, strict=True))
        source = source._replace(classes=classes, y=found.get("y"), y_test=found.get("y_test"))
    if source.y_test is not None and source.x_test is None:
        raise DataError(f"{path}: expected x_test along with y_test, got y_test alone; save the rows it belongs to")
    return source


def _read_members(path: Path, kinds: dict[str, str]) -> dict[str, np.ndarray]:
    with members_of(path, kinds) as members:
        if "x" not in members:
            names = ", ".join(legible(name) for name in list(members)[:20]) or "no arrays"
            more = f" and {len(members) - 20} more" if len(members) > 20 else ""
            raise DataError(
                f"{path}: expected an array named x, got {names}{more}; save it by numpy.savez(path, x=rows, y=labels)"
            )
        return {name: _read_member(members[name], path, name, kinds[name]) for name in kinds if name in members}


def _read_member(member: Member, path: Path, name: str, kinds: str) -> np.ndarray:
    with member.open() as stream:
        return read_array(stream, member.size, f"{path}: {name}", kinds)
