"""IDX files, the format of MNIST and its kin: magic bytes 0 0 TYPE NDIM, big-endian sizes, big-endian numbers."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.data.formats.bounded import DEFLATE_LIMIT, GZIP, Gunzip, Stream, check_size, opened, read_body, read_up_to
from stackae.data.memory import check_memory
from stackae.data.source import Source, bytes_held, native
from stackae.data.spool.pieces import Mappable, Pieces, as_rows, on_disk, rows_of_stream
from stackae.data.spool.spooled import Origin
from stackae.data.stored.array import stays_on_disk
from stackae.errors import DataError, argument

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 8
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FOLDERS = {"mnist": ("MNIST", DIGIT_NAMES), "fashion-mnist": ("FashionMNIST", FASHION_NAMES)}


class IdxFile(NamedTuple):
    """An open IDX file that was gzipped or not, its bytes from after the header on, and what that declares."""

    path: Path
    stream: Stream
    dtype: np.dtype
    shape: tuple[int, ...]
    gzipped: bool

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.shape)

    @property
    def bytes_held(self) -> int:
        """What its rows take in memory."""
        return bytes_held(self.dtype, math.prod(self.shape))


@contextmanager
def opened_idx(path: Path) -> Iterator[IdxFile]:
    """An IDX file, gzipped or not (recognised by its first bytes), while it is open.

    Raises DataError when the magic bytes, the sizes or the number of bytes do not fit.
    """
    name = str(path)
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        gzipped = file.read(2) == GZIP
        file.seek(0)
        stream: Stream = Gunzip(file) if gzipped else file
        dtype, shape = _read_header(stream, name)
        found = IdxFile(path, stream, dtype, shape, gzipped)
        count = math.prod(shape) * dtype.itemsize
        if not gzipped:
            check_size(name, found.start + count, size)
        elif found.start + count > DEFLATE_LIMIT * size:
            raise DataError(
                f"{name}: expected {found.start + count} bytes as its header declares, got a gzip file of {size} bytes "
                "that cannot hold them; fetch it again"
            )
        yield found


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file in the machine's byte order.

    Raises DataError as ``opened_idx``, and when there is less memory than the file asks for; no more is ever held than
    the file really has.
    """
    with opened_idx(path) as found:
        check_memory(str(path), found.bytes_held)
        body = read_body(found.stream, math.prod(found.shape) * found.dtype.itemsize, str(path), found.start)
    return native(np.frombuffer(body, found.dtype).reshape(found.shape))


def read_idx_rows(path: Path, storage: str) -> np.ndarray:
    """The array of an IDX file, mapped where its ``storage`` is on disk. Raises DataError as ``read_idx``."""
    with opened_idx(path) as found:
        on_it, whole, dtype = stays_on_disk(storage, found.bytes_held), found.shape, found.dtype
        plain = None if found.gzipped or not dtype.isnative else Mappable(path, found.start)
    if not on_it:
        return read_idx(path)

    def read() -> Iterator[np.ndarray]:
        with opened_idx(path) as found:
            shape = (whole[0], math.prod(whole[1:]))
            yield from rows_of_stream(found.stream, found.dtype, shape, str(path), found.start)

    pieces = Pieces(str(path), whole, dtype.newbyteorder("="), read, plain)
    return on_disk(pieces, Origin(str(path), (path,))).rows.reshape(whole)


def _read_header(stream: Stream, name: str) -> tuple[np.dtype, tuple[int, ...]]:
    magic = bytes(read_up_to(stream, 4, name))
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_DIMENSIONS:
        raise DataError(
            f"{name}: expected an IDX file (bytes 00 00, a type 08 to 0e, 1 to {MAX_DIMENSIONS} dimensions), "
            f"got the first bytes {magic.hex(' ') or 'none'}; give the original file"
        )
    sizes = read_up_to(stream, 4 * magic[3], name, 4)
    if len(sizes) < 4 * magic[3]:
        check_size(name, 4 + 4 * magic[3], 4 + len(sizes))
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise DataError(f"{name}: expected at least one element, got sizes {shape}; give a file that holds data")
    return np.dtype(DTYPES[magic[2]]), shape


def load_idx_folder(name: str, root: Path, storage: str = "memory") -> Source:
    """``mnist`` or ``fashion-mnist`` from ROOT/MNIST/raw or ROOT/FashionMNIST/raw: x (60000, 784) uint8 and labels.

    Raises DataError when a file is missing or damaged, or when images and labels do not belong together.
    """
    folder, classes = FOLDERS[name]
    raw = root / folder / "raw"
    images, labels = _read_part(raw, "train", folder, storage)
    test_images, test_labels = _read_part(raw, "t10k", folder, storage)
    return Source(
        name=name,
        x=as_rows(images.reshape(len(images), -1)),
        y=labels,
        classes=classes,
        x_test=as_rows(test_images.reshape(len(test_images), -1)),
        y_test=test_labels,
        image_shape=images.shape[1:],
    )


def _read_part(raw: Path, part: str, folder: str, storage: str) -> tuple[np.ndarray, np.ndarray]:
    image_path = _find(raw / f"{part}-images-idx3-ubyte", folder)
    label_path = _find(raw / f"{part}-labels-idx1-ubyte", folder)
    images, labels = read_idx_rows(image_path, storage), read_idx(label_path)
    if images.ndim != 3:
        raise DataError(f"{image_path}: expected images of shape (n, h, w), got {images.shape}; fetch it again")
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise DataError(
            f"{label_path}: expected labels of shape (n,) uint8, got {labels.shape} {labels.dtype}; fetch it again"
        )
    if len(images) != len(labels):
        raise DataError(
            f"{label_path}: expected {len(images)} labels, one an image of {image_path.name}, got {len(labels)}; "
            "fetch both files again"
        )
    return images, labels.astype(np.int64)


def _find(path: Path, folder: str) -> Path:
    for candidate in (path, path.with_name(path.name + ".gz")):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"{path.absolute()}: expected this file in torchvision's layout, plain or .gz, got no such file; "
        f"give the folder that holds {folder}/raw by {argument('data_root')} DIR, or ask for "
        f"torchvision:{folder} to download it"
    )
