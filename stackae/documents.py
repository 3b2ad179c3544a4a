"""JSON that every parser reads: without Infinity, NaN or lone surrogates."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any


def to_json(document: Any, indent: int | None = None) -> str:
    """Write the document as JSON.

    A number that is not finite becomes null, a byte of a name that is not UTF-8 an escape, a named tuple an object.
    """
    return json.dumps(_finite(document), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, (str, Path)):
        return str(value).encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {_finite(name): _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
