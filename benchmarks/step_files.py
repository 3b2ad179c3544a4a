"""The rows of benchmarks.step as its files have them: what was compiled stands in rows, or in a file, of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FILES = ("step.json", "step_compiled.json")


def document_of(folder: Path, names: Sequence[str]) -> Row | None:
    """The first of these files that there is, with the rows of all of them; None where there is none."""
    documents = [json.loads(path.read_text()) for path in (folder / name for name in names) if path.exists()]
    if not documents:
        return None
    return {**documents[0], "rows": [row for document in documents for row in document["rows"]]}


def by_case(rows: Sequence[Row]) -> dict[str, Row]:
    """A row a case, with what was compiled in it."""
    found: dict[str, Row] = {}
    for part in ("cases", "compiled"):
        for row in (row for row in rows if row.get("part", "cases") == part):
            found[row["case"]] = _joined(found[row["case"]], row) if row["case"] in found else row
    return found


def _joined(row: Row, compiled: Row) -> Row:
    """The first row, and what only the second one has; ratios are to the fused step, or they are not taken."""
    failed = {**compiled.get("failed", {}), **row.get("failed", {})}
    if compiled.get("first") != "fused":
        return {**row, "failed": failed}
    if row.get("first") != "fused":
        return {**compiled, "failed": failed}
    both = {name: {**row[name], **compiled[name], **row[name]} for name in ("ratios", "detail")}
    return {**row, **both, "failed": failed}
