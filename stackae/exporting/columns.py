"""Columns of a table as inputs of a graph: their texts and numbers as ONNX nodes, and as cells that are tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from stackae.data.tables.cells import TRUTH
from stackae.data.tables.columns import Encoding, Taken

ML = "ai.onnx.ml"
OF_TEXTS = ("boolean", "category", "ordinal")
MEANING = {
    "number": "a number, NaN where it is missing",
    "time": "seconds since 1970, UTC, NaN where it is missing",
    "boolean": 'one of the categories, or another word for them (yes, no, true, false, 1, 0), "" where it is missing',
    "category": 'one of the categories, "" where it is missing; any other text is like a missing one',
    "ordinal": 'one of the categories, "" where it is missing',
}


class Input(NamedTuple):
    """An input of a graph: (batch, width), texts or numbers, with what is to be known of the column that it is."""

    name: str
    texts: bool
    width: int
    meaning: str
    column: Taken | None = None


def inputs_of(encoding: Encoding, taken_names: Sequence[str]) -> list[Input]:
    """One per column of the table, by its name, which is none of the outputs'."""
    found = []
    for column in encoding.featured:
        name = column.name
        while name in taken_names:
            name += "_in"
        found.append(Input(name, column.kind in OF_TEXTS, 1, MEANING[column.kind], column))
    return found


def cells_of(inputs: Sequence[Input], x: np.ndarray) -> dict[str, np.ndarray]:
    """The cells (n, 1) that become features x (n, d) in the data's own units: texts of categories, "" for missing."""
    found, start = dict[str, np.ndarray](), 0
    for each in inputs:
        assert each.column is not None
        features = x[:, start : start + each.column.width]
        start += each.column.width
        found[each.name] = _texts(each.column, features) if each.texts else features[:, :1]
    return found


def _texts(column: Taken, features: np.ndarray) -> np.ndarray:
    every = np.array([*column.categories, ""], dtype=object)
    if column.kind == "category":
        one_hot = features[:, : len(column.categories)] > 0
        places = np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), -1)
    else:
        places = np.where(np.isnan(features[:, 0]), -1, np.nan_to_num(features[:, 0])).astype(np.int64)
    return every[places][:, None]


def nodes_of(inputs: Sequence[Input], output: str, double: bool) -> list[Any]:
    """The nodes that make features (batch, d) of the inputs: in the order of the columns, those of a missing cell as
    ``stackae.data.tables.encoding`` has them."""
    from onnx import TensorProto, helper

    number = TensorProto.DOUBLE if double else TensorProto.FLOAT
    nodes, parts = list[Any](), list[str]()
    for place, each in enumerate(inputs):
        column, at = each.column, f"column_{place}"
        assert column is not None
        value, missing = each.name, f"{at}_missing"
        if each.texts:
            value = f"{at}_value"
            nodes += _of_texts(column, each.name, value, number)
        if column.indicator and column.kind == "category":
            nodes += _looked_up(each.name, missing, {"": 1.0}, 0.0, number)
        elif column.indicator:
            nodes += [
                helper.make_node("IsNaN", [value], [f"{at}_nan"]),
                helper.make_node("Cast", [f"{at}_nan"], [missing], to=number),
            ]
        parts += [value, missing] if column.indicator else [value]
    return [*nodes, helper.make_node("Concat", parts, [output], axis=1)]


def _of_texts(column: Taken, name: str, value: str, number: int) -> list[Any]:
    from onnx import helper

    if column.kind == "category":
        hot, flat = f"{value}_hot", f"{value}_flat"
        return [
            helper.make_node("OneHotEncoder", [name], [hot], domain=ML, cats_strings=list(column.categories), zeros=1),
            helper.make_node("Flatten", [hot], [flat], axis=1),
            helper.make_node("Cast", [flat], [value], to=number),
        ]
    places: dict[str, float] = {text: float(place) for place, text in enumerate(column.categories)}
    if column.kind == "boolean":
        spelled = [(form(word), float(truth)) for word, truth in TRUTH.items() for form in (str, str.title, str.upper)]
        places = dict(spelled) | places
    return _looked_up(name, value, places, float("nan"), number)


def _looked_up(name: str, value: str, places: dict[str, float], otherwise: float, number: int) -> list[Any]:
    from onnx import helper

    found = f"{value}_found"
    keys, values = list(places), list(places.values())
    return [
        helper.make_node(
            "LabelEncoder", [name], [found], domain=ML, keys_strings=keys, values_floats=values, default_float=otherwise
        ),
        helper.make_node("Cast", [found], [value], to=number),
    ]
