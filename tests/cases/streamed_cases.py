"""Files of one set of rows in every form that is read from disk: each a function that writes them into a folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from data_files import npy_bytes, write
from scipy import sparse

Writer = Callable[[Path, np.ndarray], str]
"""Writes rows below a folder, and gives what ``data`` is to be."""


def npy(folder: Path, x: np.ndarray) -> str:
    np.save(folder / "x.npy", x)
    return str(folder / "x.npy")


def npz(folder: Path, x: np.ndarray) -> str:
    np.savez(folder / "x.npz", other=np.arange(3), x=x)
    return str(folder / "x.npz")


def npz_packed(folder: Path, x: np.ndarray) -> str:
    np.savez_compressed(folder / "x.npz", x=x)
    return str(folder / "x.npz")


def npz_of_columns(folder: Path, x: np.ndarray) -> str:
    return npz(folder, np.asfortranarray(x))


def hdf5(folder: Path, x: np.ndarray, **options: object) -> str:
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("group/rows", data=x, **options)
    return str(folder / "x.h5")


def hdf5_packed(folder: Path, x: np.ndarray) -> str:
    return hdf5(folder, x, chunks=(min(7, len(x)), *x.shape[1:]), compression="gzip", shuffle=True)


def mat73(folder: Path, x: np.ndarray, **options: object) -> str:
    """As MATLAB writes version 7.3: HDF5 behind 512 bytes, each array with its axes turned around."""
    with h5py.File(folder / "x.mat", "w", userblock_size=512) as file:
        file.create_dataset("rows", data=x.T, **options)
    head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    write(folder / "x.mat", head.ljust(512, b"\0") + (folder / "x.mat").read_bytes()[512:])
    return str(folder / "x.mat")


def mat73_packed(folder: Path, x: np.ndarray) -> str:
    return mat73(folder, x, chunks=(*x.T.shape[:-1], min(5, len(x))), compression="gzip")


def hdf5_of_userblock(folder: Path, x: np.ndarray) -> str:
    with h5py.File(folder / "x.h5", "w", userblock_size=1024) as file:
        file["x"] = x
    return str(folder / "x.h5")


def of_sparse(form: str) -> Writer:
    def written(folder: Path, x: np.ndarray) -> str:
        with warnings.catch_warnings(action="ignore"):  # that so many diagonals are slow
            sparse.save_npz(folder / "x.npz", sparse.coo_array(x.reshape(len(x), -1)).asformat(form))
        return str(folder / "x.npz")

    return written


def shards(folder: Path, x: np.ndarray) -> str:
    """Uneven ones, of which the tenth is after the ninth."""
    (folder / "shards").mkdir(parents=True)
    for number, part in enumerate(np.array_split(x, 11)):
        write(folder / "shards" / f"part-{number}.npy", npy_bytes(part))
    return str(folder / "shards")


ARRAYS: dict[str, Writer] = {
    "npy": npy,
    "npy-big-endian": lambda folder, x: npy(folder, x.astype(x.dtype.newbyteorder(">"))),
    "npy-of-columns": lambda folder, x: npy(folder, np.asfortranarray(x)),
    "npz": npz,
    "npz-packed": npz_packed,
    "npz-of-columns": npz_of_columns,
    "hdf5": hdf5,
    "hdf5-packed": hdf5_packed,
    "hdf5-userblock": hdf5_of_userblock,
    "mat73": mat73,
    "mat73-packed": mat73_packed,
    "shards": shards,
}
SPARSE: dict[str, Writer] = {form: of_sparse(form) for form in ("csr", "csc", "coo", "bsr", "dia")}
MAPPED = {"npy", "npz", "hdf5"}
"""Those whose rows are read where they lie."""
