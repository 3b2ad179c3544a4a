"""What an exported file says of itself: one JSON document, the same in every format, and a page beside the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from stackae.data.provenance import KnownData
from stackae.documents import to_json
from stackae.exporting.columns import Input, inputs_of
from stackae.exporting.parts import Output, Part

KEY = "stackae"
"""Under which the document is kept in the metadata of a file."""


@dataclass(frozen=True)
class Described:
    """A part with the names of its inputs: columns of a table by name where texts are read, else one of features."""

    part: Part
    inputs: tuple[Input, ...]
    features: tuple[str, ...]
    origin: Mapping[str, Any]

    @property
    def by_column(self) -> bool:
        return self.inputs[0].column is not None

    def document(self) -> dict[str, Any]:
        """As JSON data."""
        from stackae import __version__

        part = self.part
        return {
            "stackae": __version__,
            "part": part.name,
            **self.origin,
            "inputs": [_of_input(each, part) for each in self.inputs],
            "features": list(self.features),
            "outputs": [_of_output(each) for each in part.outputs],
        }

    def text(self) -> str:
        return to_json(self.document())


def described(part: Part, known: KnownData, origin: Mapping[str, Any], texts: bool) -> Described:
    """The part with its inputs: with ``texts``, columns of a table that are not all plain numbers by their names."""
    width, encoding = part.width, known.encoding
    features = known.columns if part.reads == "rows" and len(known.columns) == width else ()
    if texts and part.reads == "rows" and encoding is not None and not encoding.plain and len(encoding.names) == width:
        return Described(part, (*inputs_of(encoding, [each.name for each in part.outputs]),), features, origin)
    what = (
        f"codes of {width} units" if part.reads == "codes" else "rows in the units of the data, one feature per column"
    )
    one = Input("codes" if part.reads == "codes" else "x", False, width, what)
    return Described(part, (one,), features, {**origin, **_columns(known, width)} if part.reads == "rows" else origin)


def _columns(known: KnownData, width: int) -> dict[str, Any]:
    """How the columns of a table are features, where some are no plain numbers."""
    encoding = known.encoding
    if encoding is None or encoding.plain or len(encoding.names) != width:
        return {}
    columns = [
        {"name": each.name, "kind": each.kind, "categories": each.categories, "features": each.features}
        for each in encoding.featured
    ]
    return {"columns": columns}


def _of_input(each: Input, part: Part) -> dict[str, Any]:
    kind = "string" if each.texts else type_of(part.dtype)
    column = {} if each.column is None else {"kind": each.column.kind, "categories": list(each.column.categories)}
    return {"name": each.name, "type": kind, "shape": ["batch", each.width], "meaning": each.meaning, **column}


def _of_output(each: Output) -> dict[str, Any]:
    shape: list[Any] = [] if each.width == 0 else ["batch"] if each.width is None else ["batch", each.width]
    return {
        "name": each.name,
        "shape": shape,
        "meaning": each.meaning,
        **({"names": list(each.names)} if each.names else {}),
    }


def type_of(dtype: torch.dtype) -> str:
    """float32 or float64."""
    return str(dtype).removeprefix("torch.")
