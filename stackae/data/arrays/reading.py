"""Rows and labels from files that hold arrays by name: .npy, .npz, .mat and HDF5."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.arrays.store import Declared, Store, called, found_in, opened_store, told
from stackae.data.formats import Tell, ignored, place_of
from stackae.data.formats.npy import LABELS, NUMBERS, as_source
from stackae.data.label_shapes import plain_labels
from stackae.data.labels import classes_of_arrays
from stackae.data.source import Source, in_memory
from stackae.data.spool.pieces import as_rows
from stackae.data.targets import targets_of_arrays
from stackae.errors import DataError, argument, legible

ROWS, TARGETS = ("x", "X", "x_train", "X_train"), ("y", "Y", "y_train", "Y_train")
TEST_ROWS, TEST_TARGETS = ("x_test", "X_test"), ("y_test", "Y_test")


class Asked(NamedTuple):
    """What of a file is read: the array ``inside`` that holds the rows ("": the obvious one); the array, or the file,
    of the targets, whether it has to be there, and whether targets are numbers; whether each place of a cube is a
    row; whether cells that a sparse matrix does not store are missing; and where rows are while they are used."""

    inside: str = ""
    target: str | None = None
    required: bool = True
    numbers: bool = False
    pixels: bool = False
    masked: bool = False
    storage: str = "memory"

    @property
    def kinds(self) -> str:
        return NUMBERS if self.numbers else LABELS


ALL = Asked()


class Part(NamedTuple):
    """Rows as they are stored, (n, ...), how messages call them, their targets, and clean rows of the same shape."""

    label: str
    x: np.ndarray
    y: np.ndarray | None
    clean: np.ndarray | None = None


def load_arrays(path: Path, asked: Asked = ALL, tell: Tell = ignored) -> Source:
    """Rows and labels of a file of arrays.

    Rows are ``asked.inside``, or x (X, x_train, X_train), or the one array that may be rows. Labels are
    ``asked.target``, an array of the file or a file of its own, or y (Y, y_train, Y_train); x_test and y_test go with
    x; x_clean and x_test_clean are what is to be made of x and x_test. Labels are whole numbers (-1, NaN: none) or
    texts (empty: none), of shape (n,), (n, 1) or one-hot (n, k); where numbers are wanted, (n,) or (n, k) numbers.
    ``tell`` is told the share that is written to the cache. Raises DataError for arrays that are missing, damaged, too
    large, or do not fit each other.
    """
    with opened_store(path) as store:
        name = _rows(store, asked)
        x, told = store.read_rows(name, asked.storage, tell)
        y, notes = _targets(store, name, x, asked)
        notes = (*store.notes, *told, *notes)
        parts = [Part(called(path, name), x, y, _clean(store, name))]
        if name in ROWS:
            parts += _test_part(store, asked)
        sparse = store.arrays[name].sparse
    if sparse:
        parts, told_so = _of_sparse(parts, asked.masked)
        notes = (told_so, *notes)
    given, parts = parts, [_arranged(part, asked.pixels) for part in parts]
    first, *tests = [as_source(part.x, path, part.label) for part in parts]
    for test in tests:
        if (test.row_shape, test.image_shape) != (first.row_shape, first.image_shape):
            shapes = f"expected rows of shape {parts[0].x.shape[1:]} as in {name}, got {parts[1].x.shape[1:]}"
            raise DataError(f"{parts[1].label}: {shapes}; save both with the same shape")
        first = first._replace(x_test=test.x)
    if any(part.clean is not None for part in given):
        clean, *others = [_clean_rows(part, path, asked.pixels) for part in given]
        first = first._replace(clean=clean, test_clean=others[0] if others else None)
    named = f"{path}:{asked.inside}" if asked.inside else str(path)
    first = first._replace(name=named, x=as_rows(first.x), notes=(*first.notes, *notes))
    first = first if first.x_test is None else first._replace(x_test=as_rows(first.x_test))
    return _with_targets(first, parts, asked.numbers)


def _first(store: Store, names: Iterable[str]) -> str | None:
    return next((found for name in names if (found := store.find(name)) is not None), None)


def _rows(store: Store, asked: Asked) -> str:
    """The name of the array that holds the rows."""
    if asked.inside:
        return found_in(store, "data", asked.inside)
    conventional = _first(store, ROWS)
    if conventional is not None or store.names == [""]:
        return conventional or ""
    names = [name for name in store.names if name != asked.target and store.declared(name).numeric]
    tables = [name for name in names if store.declared(name).axes > 1]
    columns = [name for name in names if store.declared(name).axes == 1]
    if len(tables) == 1 or (not tables and len(columns) == 1):
        return (tables or columns)[0]
    some = [*tables, *columns, *names]
    remedy = "save the rows as x"
    if some:
        remedy = f"name it, as {argument('data', f'{store.path.name}:{legible(some[0], 100)}')}"
    raise DataError(f"{store.path}: expected one array of rows, or one named x, got {told(store)}; {remedy}")


def _targets(store: Store, rows: str, x: np.ndarray, asked: Asked) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The targets of the rows as they are stored, and what there is to say of them."""
    lacking: tuple[str, ...] = ()
    if asked.target is not None:
        own = store.find(asked.target)
        place = None if own is not None else place_of(asked.target)
        if place is not None and place.format.store is not None and place.path.exists():
            return _of_file(place.path, place.inside, asked), ()
        if own is not None or asked.required:
            return store.read(found_in(store, "target", asked.target), asked.kinds), ()
        if store.names != [""]:
            absent = f"{store.path}: has no array {legible(asked.target, 100)}, the target of the run"
            lacking = (f"{absent}: its rows are taken as unlabelled",)
    name = _first(store, TARGETS)
    if name is not None and (rows in ROWS or _fits(store.declared(name), x)):
        return store.read(name, asked.kinds), ()
    others = [each for each in store.names if each != rows and _fits(store.declared(each), x)]
    if rows in ROWS or lacking or not others or x.size == len(x):  # one column beside others is a signal
        return None, lacking
    remedy = f"name them by {argument('target', legible(others[0], 100))}"
    return None, (f"{store.path}: rows are {told(store, [rows])}; labels may be {told(store, others)}: {remedy}",)


def _of_file(path: Path, inside: str, asked: Asked) -> np.ndarray:
    """The targets in a file of their own: the array that is named, or y, or the only one."""
    with opened_store(path) as store:
        name = found_in(store, "target", inside) if inside else _first(store, TARGETS) or _rows(store, ALL)
        return store.read(name, asked.kinds)


def _fits(declared: Declared, x: np.ndarray) -> bool:
    """Whether such an array may hold a label for each row, or for each place of a cube."""
    counts = (len(x), x.size // x.shape[-1]) if x.ndim > 2 else (len(x),)
    return declared.size > 1 and (declared.size in counts or declared.shape[:1] == (len(x),))


def _test_part(store: Store, asked: Asked) -> list[Part]:
    """The test part that goes with x, if any. Raises DataError for targets without rows."""
    name = _first(store, TEST_ROWS)
    own = asked.target is not None and store.find(asked.target) is not None
    targets = _first(
        store, (f"{asked.target}_test",) if own else () if asked.target and asked.required else TEST_TARGETS
    )
    if name is None:
        if targets is not None:
            raise DataError(
                f"{store.path}: expected x_test along with {targets}, got {targets} alone; save the rows it belongs to"
            )
        return []
    y = None if targets is None else store.read(targets, asked.kinds)
    return [Part(called(store.path, name), store.read_rows(name, asked.storage)[0], y, _clean(store, name))]


def _clean(store: Store, rows: str) -> np.ndarray | None:
    """The clean rows of these, if any."""
    name = store.find(f"{rows}_clean") if rows else None
    return None if name is None else store.read(name, NUMBERS)


def _clean_rows(part: Part, path: Path, pixels: bool) -> np.ndarray:
    """The clean rows of a part, arranged as its rows are. Raises DataError where they are missing or do not fit."""
    x, clean = part.x.shape, None if part.clean is None else part.clean.shape
    if part.clean is None or clean != x:
        raise DataError(
            f"{part.label}: expected clean rows {part.label.rpartition(' ')[2]}_clean of shape {x}, got "
            f"{'none' if clean is None else clean}; save a clean row for each"
        )
    rows = as_source(_arranged(part._replace(x=part.clean), pixels).x, path, part.label).x
    return in_memory(rows, part.label)


def _held(part: Part, what: str) -> np.ndarray:
    """The rows of a part, which ``what`` needs in memory. Raises ConfigError where they are in a file."""
    return in_memory(as_rows(part.x), part.label, what)


def _of_sparse(parts: list[Part], masked: bool) -> tuple[list[Part], str]:
    """Rows of a sparse matrix, with NaN for cells of 0 where those are ``masked``; and what there is to say of it."""
    label, x = parts[0].label, parts[0].x
    known = f"{label}: a sparse matrix with {np.count_nonzero(x):,} of {len(x):,} x {x.size // len(x):,} cells"
    if not masked:
        return parts, f"{known} that are not 0; {argument('missing', 'mask')} takes the others as missing"
    wanted = argument("missing", "mask")
    kept = [part._replace(x=np.where(_held(part, wanted) == 0, np.nan, part.x)) for part in parts]
    return kept, f"{known}; the others are missing"


def _arranged(part: Part, pixels: bool) -> Part:
    """The part with a row per label: the first axis, by ``pixels`` all but the last, or, as MATLAB has it, the last."""
    label, x, y, _ = part
    if pixels:
        if x.ndim < 3:
            raise DataError(
                f"{argument('pixels')}: expected a cube of shape (height, width, bands), got {label} of shape "
                f"{x.shape}, whose rows are places already; leave it out"
            )
        if y is not None and y.shape == x.shape[:-1]:
            y = y.reshape(-1)
        return Part(label, x.reshape(-1, x.shape[-1]), y)
    if x.ndim > 2 and y is not None:
        if y.shape == x.shape[:-1]:
            raise DataError(
                f"{label}: expected a label per row, got one per place of a cube of shape {x.shape}; make each place "
                f"a row by {argument('pixels')}"
            )
        if y.size == max(y.shape) == x.shape[-1] != len(x):
            x = np.moveaxis(_held(part, "rows along the last axis"), -1, 0)
    return Part(label, x, y)


def _with_targets(source: Source, parts: list[Part], numbers: bool) -> Source:
    """The source with the targets of its one or two parts."""
    name, known = source.name, [part.y for part in parts if part.y is not None]
    if not known:
        return source
    if numbers:
        columns = [
            part.y.reshape(-1, 1) if part.y.shape == (1, len(part.x)) else part.y
            for part in parts
            if part.y is not None
        ]
        targets, found = targets_of_arrays(name, columns)
        source = source._replace(targets=targets)
    else:
        labels = [plain_labels(name, part.y, len(part.x)) for part in parts if part.y is not None]
        classes, found = classes_of_arrays(name, labels)
        source = source._replace(classes=classes)
    places = iter(found)
    first, *others = [None if part.y is None else next(places) for part in parts]
    return source._replace(y=first, y_test=others[0] if others else None)
