"""The page beside an exported file: what it is, how to call it, and how near it comes to stackae."""

from __future__ import annotations

from stackae.data.tables.columns import Taken
from stackae.documents import to_json
from stackae.errors import legible
from stackae.exporting.columns import Input
from stackae.exporting.described import Described, type_of
from stackae.exporting.verified import BOUND, Verified

MOST_NAMES = 40
WHAT = {
    "encoder": "gives the codes of rows",
    "decoder": "reconstructs rows from their codes",
    "autoencoder": "reconstructs rows",
    "head": "gives the answers of a fine-tuned head",
    "scorer": "scores how unusual rows are",
}


def card(name: str, one: Described, verified: Verified, int8: Verified | None) -> str:
    """The page in Markdown, for a file of that name."""
    document = one.document()
    lines = [
        f"# {legible(name)}",
        "",
        f"This file {WHAT[one.part.name]}. stackae {document['stackae']} made it of a network of "
        f"{legible(str(document.get('layers', '')), 400)} units. It opens without stackae; scaling and filling of "
        "missing cells are inside.",
        "",
        "## Inputs",
        "",
        "| name | type | shape | what |",
        "|---|---|---|---|",
        *[_row(each, one) for each in one.inputs],
        "",
        *_features(one),
        "## Outputs",
        "",
        "| name | shape | what |",
        "|---|---|---|",
        *[
            _line(each["name"], _shape(each["shape"]), _cell(each["meaning"]) + _names(each.get("names", [])))
            for each in document["outputs"]
        ],
        "",
        "## Call it",
        "",
        "```python",
        *snippet(name, one),
        "```",
        "",
        "## How near it comes",
        "",
        *_measured(verified, int8),
        "",
        "## Its own description",
        "",
        'The file holds this document too, under the key "stackae" of its metadata.',
        "",
        "```json",
        to_json(document, indent=1) if len(one.features) <= MOST_NAMES else to_json(document),
        "```",
    ]
    return "\n".join(lines) + "\n"


def snippet(name: str, one: Described) -> list[str]:
    """Lines of Python that run the file on one row."""
    outputs = ", ".join(each.name for each in one.part.outputs)
    if name.lower().endswith(".pt2"):
        return [
            "import torch",
            "",
            f"model = torch.export.load({name!r}).module()",
            f"x = torch.zeros(1, {one.part.width}, dtype=torch.{type_of(one.part.dtype)})",
            f"{outputs}{',' * (len(one.part.outputs) == 1)} = model(x)",
        ]
    if not name.lower().endswith(".onnx"):
        return _of_arrays(name)
    dtype = f"np.{type_of(one.part.dtype)}"
    given = [
        f"    {each.name!r}: np.zeros((1, {each.width}), {dtype}),"
        if each.column is None
        else f"    {each.name!r}: np.array([[{_example(each.column)}]], {'object' if each.texts else dtype}),"
        for each in one.inputs
    ]
    return [
        "import numpy as np",
        "import onnxruntime",
        "",
        f"session = onnxruntime.InferenceSession({name!r})",
        "row = {",
        *given,
        "}",
        f"{outputs}{',' * (len(one.part.outputs) == 1)} = session.run(None, row)",
    ]


def _of_arrays(name: str) -> list[str]:
    """Lines that read the steps and their arrays, which docs/export.md computes with."""
    if name.lower().endswith(".npz"):
        read = [
            "import numpy as np",
            "",
            f"arrays = np.load({name!r})",
            'steps = json.loads(str(arrays["stackae"]))["steps"]',
        ]
    else:
        read = [
            "from safetensors import safe_open",
            "",
            f'with safe_open({name!r}, "numpy") as file:',
            '    steps = json.loads(file.metadata()["stackae"])["steps"]',
            "    arrays = {key: file.get_tensor(key) for key in file.keys()}",
        ]
    return ["import json", *read]


def _example(column: Taken) -> str:
    return repr(column.categories[0] if column.categories else float(column.low or 0.0))


def _row(each: Input, one: Described) -> str:
    kind = "string" if each.texts else type_of(one.part.dtype)
    categories = () if each.column is None else each.column.categories
    return _line(_cell(each.name), kind, _shape(["batch", each.width]), _cell(each.meaning) + _names(categories))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _features(one: Described) -> list[str]:
    if one.by_column or not one.features:
        return []
    return [f"Columns: {_listed(one.features)}.", ""]


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(_cell(name) for name in names[:MOST_NAMES])
    return f"{shown}, and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else shown


def _names(names: tuple[str, ...] | list[str]) -> str:
    return f": {_listed(names)}" if names else ""


def _cell(text: str) -> str:
    return legible(text, 200).replace("|", "\\|").replace("`", "'")


def _shape(shape: list[object]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"


def _measured(verified: Verified, int8: Verified | None) -> list[str]:
    batches = ", ".join(f"{size:,}" for size in verified.batches)
    lines = [
        f"Opened again and run on {verified.rows:,} real rows, in batches of {batches}, before it was written. The "
        f"largest difference from stackae's own numbers is {verified.largest:.1e} ({BOUND:g} is allowed), relative to "
        "the largest value of an output; of a reconstruction, to that of its column, at least to the column's scale; "
        "of errors, to 1 at least.",
    ]
    if verified.ties:
        lines += [
            f"Of {verified.ties:,} rows a unit or neighbour lay on a tie, where stackae itself gives either answer.",
        ]
    if int8 is not None:
        lines += [
            "",
            f"Its weights are 8-bit integers: the largest difference is {int8.largest:.1e}"
            + (f", and {int8.changed:.2%} of the rows have other labels." if int8.changed is not None else "."),
        ]
    return lines
