"""Files of arrays that mean harm, or are none: each is refused in a sentence, before it is believed."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_files import arrays_in, message, write

X = np.zeros((12, 5))


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(name: bytes, kind: int, shape: tuple[int, ...], *elements: bytes, flags: int = 0) -> bytes:
    head = element(6, struct.pack("<II", kind | flags << 8, 0)) + element(5, struct.pack(f"<{len(shape)}i", *shape))
    return element(14, head + element(1, name) + b"".join(elements))


def mat(path: Path, *elements: bytes) -> Path:
    return write(path, b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + b"".join(elements))


def packed(content: bytes) -> bytes:
    body = zlib.compress(content)
    return struct.pack("<II", 15, len(body)) + body


FAR, STARTS = (element(5, np.array(each, "<i4").tobytes()) for each in ([9], [0, 1, 1]))
ONES = element(9, np.ones(6).tobytes())
FOUR = element(5, struct.pack("<i", 4))  # bytes of the name of a field
PLAIN = matrix(b"", 6, (3, 2), ONES)
SHORT = struct.pack("<II", 14, 8) + matrix(b"", 6, (3, 2), ONES)[8:]


@pytest.mark.parametrize(
    ("elements", "sentence"),
    [
        ([], "got no arrays; save the rows as x"),
        ([matrix(b"x", 6, (3, 2), ONES, flags=8)], "x: expected an array of real numbers, got complex"),
        ([matrix(b"x", 3, (1, 1))], "x: expected an array of real numbers, got object"),
        ([matrix(b"x", 2, (1, 1), element(5, bytes(4)))], "expected a MATLAB array, got names of fields of 0 bytes"),
        ([matrix(b"x", 2, (1, 1), FOUR, element(1, b"abcde"))], "got names of fields that are cut short"),
        ([matrix(b"x", 2, (1, 1), FOUR, element(1, b"abc\0"), ONES)], "array, got an element of type 9"),
        ([matrix(b"x", 2, (1, 1), FOUR, element(1, b"abc\0"), SHORT)], "got an element beyond the one that holds it"),
        ([matrix(b"x", 2, (1, 1), FOUR, element(1, b"abc\0" * 2), PLAIN, PLAIN)], "x.abc: expected a name of its"),
        ([matrix(b"x", 16, (1, 1))], "x: expected an array of real numbers, got function"),
        ([matrix(b"x", 6, (0, 2), element(9, b""))], "x: expected at least one element and at most 4 dimensions"),
        ([matrix(b"x", 6, (1,) * 5 + (6,), ONES)], "x: expected at least one element and at most 4 dimensions"),
        ([matrix(b"x", 6, (3, 4), ONES)], "x: expected 12 numbers of shape (3, 4), got 6"),
        ([matrix(b"x", 6, (3, 1), ONES)], "x: expected a MATLAB array, got an element of 48 bytes"),
        ([matrix(b"x", 6, (-3, -2), ONES)], "expected a MATLAB array, got an array of shape (-3, -2)"),
        ([matrix(b"x", 6, (1 << 30, 1 << 30), ONES)], "x: expected no more cells than"),
        ([packed(matrix(b"x", 6, (1 << 20, 1 << 20), ONES))], "x: expected no more cells than"),
        ([packed(matrix(b"x", 6, (300, 200), ONES))], "x: expected no more cells than"),
        ([packed(matrix(b"x", 6, (30, 20), ONES))], "x: expected 600 numbers of shape (30, 20), got 6"),
        ([matrix(b"x", 6, (3, 2), ONES)] * 2, "x: expected a name of its own for each array"),
        ([matrix(b"n" * 256, 6, (3, 2), ONES)], "expected a MATLAB array, got an element of 256 bytes"),
        ([element(3, bytes(8))], "expected arrays, got an element of type 3"),
        ([struct.pack("<II", 14, 1 << 30)], "got an element of type 14 and 1,073,741,824 bytes at byte 128"),
        ([matrix(b"x", 5, (3, 2), element(5, bytes(8)), element(5, bytes(4)), ONES)], "expected a sparse matrix"),
        ([matrix(b"x", 5, (3, 2), FAR, STARTS, ONES)], "x: expected a sparse matrix of shape (3, 2), got"),
    ],
)  # fmt: skip
def test_a_mat_file_that_means_harm(tmp_path: Path, elements: list[bytes], sentence: str) -> None:
    assert sentence in message(arrays_in, mat(tmp_path / "a.mat", *elements))


def test_cells_that_are_no_texts(tmp_path: Path) -> None:
    x, text = matrix(b"x", 6, (3, 2), ONES), matrix(b"", 4, (1, 2), element(4, "ab".encode("utf-16-le")))
    deep = matrix(b"", 6, (1, 1), element(9, bytes(8)))
    for cell, sentence in (
        (deep, "got cells of numbers"),
        (matrix(b"", 1, (1, 1), deep), "got cells of cell"),
        (matrix(b"", 4, (2, 2), element(4, bytes(8))), "expected cells of one text"),
        (matrix(b"", 4, (1, 2), element(4, b"\0\xd8\0\xdc")), "got characters that are no text"),
    ):
        path = mat(tmp_path / "a.mat", x, matrix(b"y", 1, (3, 1), text, text, cell))
        assert sentence in message(arrays_in, path)
    assert arrays_in(mat(tmp_path / "a.mat", x, matrix(b"y", 1, (3, 1), text, text, text))).classes == ("ab",)


@pytest.mark.parametrize(
    ("content", "got"),
    [(b"short", "a file of 5 bytes"), (b"1 2 3 " * 40, "text"), (bytes(200), "another kind of file, or version 4")],
)
def test_what_is_no_mat_file(tmp_path: Path, content: bytes, got: str) -> None:
    text = message(arrays_in, write(tmp_path / "a.mat", content))
    assert text.endswith(f"expected a MATLAB file of version 5, 7 or 7.3, got {got}; save it by save -v7")


def linked(file: h5py.File) -> None:
    file["x"] = h5py.ExternalLink("/etc/passwd", "/x")
    file["soft"] = h5py.SoftLink("/x")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 2), "f8")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3, 2))
    file.create_virtual_dataset("x", layout)


def hollow(file: h5py.File) -> None:
    file.create_dataset("x", (1 << 40, 8), "f8", chunks=(1024, 8))
    file["x"][:3] = 1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (linked, "expected one array of rows, or one named x, got no arrays"),
        (virtual, "/x: expected numbers in this very file, got a virtual dataset"),
        (
            lambda file: file.create_dataset("x", (3, 2), "f8", external=[("/etc/passwd", 0, 48)]),
            "/x: expected numbers in this very file, got a dataset in another file",
        ),
        (lambda file: file.create_dataset("x", data=X, compression="lzf"), "/x: expected a dataset that is plain or"),
        (hollow, "/x: expected no more numbers than 65,536 stored bytes can hold"),
        (lambda file: file.create_dataset("x", data=X * 1j), "/x: expected an array of real numbers, got complex128"),
        (lambda file: file.create_dataset("x", (0, 3), "f8"), "/x: expected at least one element"),
        (lambda file: file.create_dataset("x", data=np.float64(3)), "/x: expected at least one element"),
    ],
)
def test_an_hdf5_file_that_means_harm(tmp_path: Path, make: Callable[[h5py.File], object], sentence: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        make(file)
    assert sentence in message(arrays_in, tmp_path / "a.h5")


def test_sparse_matrices_that_mean_harm(tmp_path: Path) -> None:
    path, data = tmp_path / "a.npz", np.ones(2)

    def of(form: object, shape: object, **parts: object) -> str:
        np.savez(path, format=form, shape=shape, data=data, **parts)
        return message(arrays_in, path)

    row = {"indices": [0, 1], "indptr": [0, 1, 2]}
    assert "in one of the forms csr, csc, bsr, coo, dia, got 'lil'; save matrix.tocsr()" in of(b"lil", (2, 2), **row)
    assert "expected a sparse matrix of shape (2, 2), got" in of(b"bsr", (2, 2), **row)
    assert "bytes available; save matrix.tocsr()" in of(b"dia", (1, 1 << 20), offsets=np.zeros(1 << 18, np.int64))
    assert "expected a sparse matrix of shape (2, 2), got" in of(b"dia", (2, 2), offsets=[0, 0])
    assert "got 'csr'; save matrix.tocsr()" in of(b"csr", (2, 2))
    assert "expected a sparse matrix with rows and columns, got shape [2]" in of(b"csr", [2], **row)
    assert "got 9,223,372,036,854,775,808 bytes to be held" in of(b"csr", (1 << 30, 1 << 30), **row)
    assert "a sparse matrix is made dense: give fewer rows" in of(b"csr", (1 << 30, 1 << 30), **row)
    assert "expected a sparse matrix of shape (2, 2), got" in of(b"csr", (2, 2), indices=[0, 9], indptr=[0, 1, 2])
    assert "expected a sparse matrix of shape (2, 2), got" in of(b"csr", (2, 2), indices=[0, 1], indptr=[0, 9, 2])
    assert "expected a sparse matrix of shape (2, 2), got" in of(b"coo", (2, 2), row=[0, 7], col=[0, 1])
