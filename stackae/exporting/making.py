"""Pack a part in a format, open it again, compare it with stackae on real rows, and describe it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stackae.data.loading import part_of_rows
from stackae.data.provenance import KnownData
from stackae.data.rows import Rows
from stackae.data.scaling import Scaling
from stackae.data.source import Source, in_memory
from stackae.data.stored.array import rows_at
from stackae.errors import ConfigError, DataError, argument
from stackae.exporting.card import card
from stackae.exporting.described import described
from stackae.exporting.formats import FORMATS
from stackae.exporting.parts import Part
from stackae.exporting.verified import BATCHES, Verified, compared

MOST_ROWS = max(BATCHES)


class Exported(NamedTuple):
    """A file and the page beside it, by name, and how near it comes to stackae; with weights of 8 bits, how near."""

    files: dict[str, bytes]
    document: dict[str, Any]
    verified: Verified
    int8: Verified | None


class Tried(NamedTuple):
    """Rows (n, d) in their own units, and as networks read them."""

    raw: np.ndarray
    rows: Rows

    @classmethod
    def of(cls, source: Source, scaling: Scaling) -> Tried:
        """As many rows of the source as are tried at once, at even distances. Raises DataError where it has none."""
        x, clean = (
            (source.x, source.clean) if len(source.x) or source.x_test is None else (source.x_test, source.test_clean)
        )
        if not len(x):
            raise DataError(f"{source.name}: expected rows to try the file on, got none; name others")
        taken = np.arange(min(len(x), MOST_ROWS)) * len(x) // min(len(x), MOST_ROWS)
        raw = in_memory(rows_at(x, taken), source.name, "rows")
        pairs = None if clean is None else in_memory(rows_at(clean, taken), source.name, "rows")
        return cls(raw, part_of_rows(raw, None, np.arange(len(raw)), scaling, pairs).x)


def made(part: Part, path: Path, known: KnownData, origin: Mapping[str, Any], tried: Tried, int8: bool) -> Exported:
    """The files for this path, verified.

    Raises:
        VerificationError: what the file gives is too far from stackae's own. SetupError: a package is missing.
        ConfigError: weights of 8 bits in a format without.
    """
    form = FORMATS[path.suffix.lower()]
    form.check()
    if int8 and not form.int8:
        raise ConfigError(
            f"{argument('int8')}: expected an .onnx file, got {path.name}; leave it out, or choose another"
        )
    one = described(part, known, origin, form.texts)
    if part.reads == "codes":
        tried = _codes(part, tried)
    content = form.pack(one)
    verified = compared(one, form.opened(content, one), tried.raw, tried.rows)
    loss = None
    if int8:
        content = form.pack(one, True)
        loss = compared(one, form.opened(content, one), tried.raw, tried.rows, None)
    page = card(path.name, one, verified, loss).encode()
    return Exported({path.name: content, f"{path.name}.md": page}, one.document(), verified, loss)


def _codes(part: Part, tried: Tried) -> Tried:
    assert part.coded is not None
    with torch.no_grad():
        codes = part.coded(tried.rows).cpu()
    return Tried(codes.numpy(), codes)
