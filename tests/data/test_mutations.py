"""Every reader under random and mutated files: a sound source or a DataError, without a warning, in bounded memory."""

from __future__ import annotations

import gzip
import io
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import idx_bytes, laws, load_text, mutated, npy_bytes, write
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import coo_array, csc_array, csr_array, save_npz

from stackae.config import DataConfig
from stackae.data import Source
from stackae.data.arrays.reading import load_arrays
from stackae.data.formats.idx import read_idx
from stackae.data.formats.text_frame import read_frame
from stackae.data.provenance import Known, KnownData, matched
from stackae.data.source import checked
from stackae.data.tables.sources import encoded
from stackae.errors import DataError

CAP = 24 << 20
SECONDS = 10


def of_idx(path: Path) -> Source:
    array = read_idx(path)
    return Source("idx", array.reshape(len(array), -1).view(np.uint8))


def npz_bytes(save: Callable[..., None], **arrays: object) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def mat_bytes(packed: bool = False, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=packed)
    return buffer.getvalue()


def h5_bytes(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip")
    return buffer.getvalue()


def of_target(path: Path) -> Source:
    return load_text(path, "y")


def for_run(path: Path) -> Source:
    """A table of which a run that knows the columns b and a reads what it can."""
    config = DataConfig(data=str(path), target="y")
    known = Known("run", 2, KnownData(config, columns=("b", "a")))
    frame = read_frame(path)
    encoding, targets, _ = matched(frame, config, known, False)
    return encoded(frame, encoding, targets, config).source


X, Y = np.arange(24, dtype=np.uint8).reshape(6, 4), [0, 1, -1, 1, 0, 2]
TEXTS = np.array(["a", "", "b", "a", "c", "b"])
KINDS_OF_NPZ = [(save, y) for save in (np.savez, np.savez_compressed) for y in (Y, TEXTS)]
KINDS_OF_NPY = [("u1", "C"), (">f8", "F"), ("<f2", "C"), ("?", "F")]
VALID = {
    "idx": (of_idx, [idx_bytes(np.zeros(shape), code) for code in (0x08, 0x0B, 0x0E) for shape in ((6,), (2, 3, 4))]),
    "idx-gz": (of_idx, [gzip.compress(idx_bytes(X.reshape(6, 2, 2))), gzip.compress(idx_bytes(X)) + bytes(5)]),
    "npy": (load_arrays, [npy_bytes(X.astype(*kind)) for kind in KINDS_OF_NPY]),
    "npz": (load_arrays, [npz_bytes(save, x=X, y=y, x_test=X, y_test=y) for save, y in KINDS_OF_NPZ]),
    "mat": (load_arrays, [mat_bytes(x=X, y=y, z=1j) for y in (Y, TEXTS)] + [mat_bytes(True, x=csc_array(X), y=Y)]),
    "sparse.npz": (load_arrays, [npz_bytes(save_npz, matrix=each(X)) for each in (csr_array, csc_array, coo_array)]),
    "h5": (load_arrays, [h5_bytes(x=X, y=Y), h5_bytes(x=X.astype(">f8"), y=np.array([b"a", b"b"] * 3))]),
    "csv": (load_text, [b'a,"b c"\n1,2.5\n-3e4,"4"\n', b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n", "ä\n1_0\n".encode()]),
    "csv-target": (of_target, [b'a,y\n1,cat\n2,\n3,"do\ng"\n', "a,y\r1,é\r2,1.0\r3,1".encode()]),
    "txt": (load_text, [b'a "b c"\n1  2.5\n', b"a;b\r\n1;2\r\n", b"a\tb\n1\t2\n", b"a, b\n1, 2\n"]),
    "csv-run": (for_run, [b"b,a,y,c\n1,2,cat,x\nnan,3,,x\n5,6,dog,\n", b"a,b\n1,2\n3\n4,5\n", b",a,b\n0,1,2\n"]),
}  # fmt: skip


@contextmanager
def capped() -> Iterator[None]:
    """Only while a file is read: what draws the files would be slower by far."""
    tracemalloc.start()
    try:
        yield
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < CAP


def bounded_read(reader: str, path: Path) -> None:
    started = time.monotonic()
    try:
        with capped():
            source = checked(VALID[reader][0](path))
    except DataError as error:
        text = str(error)
        assert str(path) in text and len(text) < 5000 and text.replace("\n", "").isprintable()
    else:
        assert source.x.ndim == 2 and source.x.dtype in (np.uint8, np.float32, np.float64)
        assert not np.isinf(source.x).any() and (source.gaps or np.isfinite(source.x).all())
        assert source.y is None or source.y.max(initial=-1) < len(source.classes)
    assert time.monotonic() - started < SECONDS


@pytest.mark.parametrize("reader", VALID)
def test_mutated_and_random_files(tmp_path: Path, reader: str) -> None:
    files = VALID[reader][1]
    begun = st.tuples(st.sampled_from(files), st.integers(0, 12), st.binary(max_size=300))
    noise = begun.map(lambda parts: parts[0][: parts[1]] + parts[2])

    @settings(laws, max_examples=400)
    @given(mutated(files) | noise)
    def law(content: bytes) -> None:
        bounded_read(reader, write(tmp_path / f"file.{reader}", content))

    law()


@pytest.mark.parametrize("reader", VALID)
def test_the_files_to_start_from_are_valid(tmp_path: Path, reader: str) -> None:
    read, files = VALID[reader]
    taken = [read(write(tmp_path / f"file.{reader}", content)) for content in files if b"1_0" not in content]
    assert all(len(source.x) for source in taken)
