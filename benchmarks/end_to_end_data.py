"""The files that all sides of benchmarks.end_to_end read: MNIST's, or the embedded digits where it is absent."""

from __future__ import annotations

import gzip
import shutil
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stackae.config import DataConfig
from stackae.data.division import VALIDATION, divided
from stackae.data.formats.digits import load_digits
from stackae.data.formats.idx import load_idx_folder

ROWS = {"train": 60_000, "t10k": 10_000}
IMAGES, LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
MNIST, DIGITS = "MNIST", "embedded digits, repeated to the size of MNIST"


def prepare(data_root: Path, folder: Path, rows: int | None = None) -> str:
    """Fills ``folder`` from DATA_ROOT/MNIST/raw if there is such a folder, else from the digits; says which.

    With ``rows`` from so many digits, and as many for the test, in any case.
    """
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    if rows:
        _write_digits(raw, dict.fromkeys(ROWS, rows))
        return f"embedded digits, {rows:,} rows"
    if (data_root / "MNIST" / "raw").exists():
        _unpack(data_root, raw)
        return MNIST
    _write_digits(raw, ROWS)
    return DIGITS


def held_out_rows(folder: Path) -> list[int]:
    """The validation rows that stackae chooses."""
    source = load_idx_folder("mnist", folder)
    held = np.flatnonzero(divided(source, DataConfig())[: len(source.x)] == VALIDATION)
    return [int(row) for row in held]


def _unpack(data_root: Path, raw: Path) -> None:
    """Unzipped, as torchvision wants them."""
    for name in (f"{part}-{kind}" for part in ROWS for kind in (IMAGES, LABELS)):
        plain = data_root / "MNIST" / "raw" / name
        zipped = plain.with_name(name + ".gz")
        if plain.exists():
            (raw / name).symlink_to(plain.resolve())
        elif zipped.exists():
            with gzip.open(zipped) as packed, (raw / name).open("wb") as file:
                shutil.copyfileobj(packed, file)
        else:
            sys.exit(f"{plain}: expected this file, plain or .gz, got no such file; name its folder by --data-root")


def _write_digits(raw: Path, sizes: Mapping[str, int]) -> None:
    digits = load_digits()
    images, labels = np.asarray(digits.x, np.uint8), np.asarray(digits.y, np.uint8)
    for part, rows in sizes.items():
        chosen = np.arange(rows) % len(images)
        _write_idx(raw / f"{part}-{IMAGES}", images[chosen].reshape(rows, 28, 28))
        _write_idx(raw / f"{part}-{LABELS}", labels[chosen])


def _write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    path.write_bytes(header + array.tobytes())
