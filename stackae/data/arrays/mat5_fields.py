"""Fields of structures in MATLAB's files of version 5: arrays that are called NAME.field, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stackae.data.arrays.mat5_elements import Elements, Header
from stackae.data.arrays.store import MOST_ARRAYS

STRUCT = 2  # class of arrays
LONGEST_FIELD, DEEPEST = 64, 4


class Field(NamedTuple):
    """An array within structures: its name, the place of a field in each of them, and what it declares."""

    name: str
    path: tuple[int, ...]
    header: Header


def fields_of(elements: Elements, header: Header, name: str, path: tuple[int, ...] = ()) -> Iterator[Field]:
    """The array whose header was read, and those within it where it is one structure, and these structures.

    Raises DataError for a structure that is damaged.
    """
    yield Field(name, path, header)
    if header.kind != STRUCT or header.cells != 1 or len(path) == DEEPEST:
        return
    for place, field in enumerate(_names(elements)):
        inner = elements.header()
        end = elements.end
        yield from fields_of(elements, inner, f"{name}.{field}", (*path, place))
        elements.skip(end)


def header_at(elements: Elements, path: tuple[int, ...]) -> Header:
    """The header of the array at a path, whose content comes next."""
    header = elements.header()
    for place in path:
        _names(elements)
        for _ in range(place):
            elements.header()
            elements.skip(elements.end)
        header = elements.header()
    return header


def _names(elements: Elements) -> list[str]:
    (length,) = elements.content({5: "i4"}, 1).tolist() or [0]
    elements.fits(0 < length <= LONGEST_FIELD, f"names of fields of {length} bytes")
    names = elements.content({1: "i1", 2: "u1"}, length * MOST_ARRAYS).tobytes()
    elements.fits(len(names) % length == 0, "names of fields that are cut short")
    each = [names[start : start + length].partition(b"\0")[0] for start in range(0, len(names), length)]
    return [name.decode("latin-1") for name in each]
