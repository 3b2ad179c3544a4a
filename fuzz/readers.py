"""Coverage-guided fuzzing of every file reader: python fuzz/readers.py READER [options of libFuzzer].

A reader may return data or raise a StackaeError for any bytes. Any other exception, a call of more than five seconds,
and more than CAP bytes beyond the memory at the start are findings. `make fuzz` runs all readers.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import atheris
import h5py
import numpy as np
from numpy.lib import _format_impl as numpy_format
from PIL import Image
from scipy import sparse
from scipy.io import savemat

with atheris.instrument_imports(
    include=[
        "stackae.data",
        "stackae.config",
        "stackae.config.values",
        "stackae.runs",
        "stackae.models.files",
        "stackae.analysis.calibration",
        "zipfile",
    ]
):
    import zipfile

    import run_files

    from stackae.config import DataConfig, RunConfig, read_tables
    from stackae.config.values import validated
    from stackae.data.arrays.reading import load_arrays
    from stackae.data.formats.idx import read_idx
    from stackae.data.formats.parquet import read_frame as read_parquet
    from stackae.data.formats.text_frame import read_frame
    from stackae.data.labels import classes_of_arrays, classes_of_texts
    from stackae.data.pictures.reading import load_images
    from stackae.data.provenance import Known, KnownData, matched
    from stackae.data.source import Source, checked
    from stackae.data.tables.sources import encoded, source_of
    from stackae.errors import StackaeError

for function in ("_read_array_header", "descr_to_dtype", "_filter_header"):
    setattr(numpy_format, function, atheris.instrument_func(getattr(numpy_format, function)))

CAP = 512 << 20
SECONDS = 5
BUILD = Path("build/fuzz")
FOLDER = Path(tempfile.mkdtemp(prefix="stackae-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
FILE = FOLDER / "file"


class Reader(NamedTuple):
    """The function that reads the bytes, valid seed files, dictionary words, and the maximum file size."""

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    longest: int = 1 << 12


def from_file(load: Callable[[Path], object], suffix: str = "") -> Callable[[bytes], object]:
    path = FILE.with_suffix(suffix)

    def read(content: bytes) -> object:
        path.write_bytes(content)
        return load(path)

    return read


def whole(source: Source) -> None:
    """Check a source as training does, and assert what its docstring promises."""
    rows = checked(source)
    assert rows.x.ndim == 2 and rows.x.size and rows.x.dtype in (np.uint8, np.float32, np.float64)
    assert np.isfinite(rows.x).all() or (source.gaps and not np.isinf(rows.x).any())
    assert rows.y is None or (len(rows.y) == len(rows.x) and rows.y.max(initial=-1) < len(rows.classes))


def load_text(path: Path, target: str | None = None) -> Source:
    config = DataConfig(data=str(path), target=target)
    return source_of(read_frame(path), config)


def read_for_run(path: Path) -> None:
    """Read a table for a run that was trained on columns "b c" and "a" of such a table: its readable rows."""
    config = DataConfig(data=str(path), target="y")
    known = Known("run", 2, KnownData(config, columns=("b c", "a")))
    frame = read_frame(path)
    encoding, targets, _ = matched(frame, config, known, False)
    source, numbers, bad, count = encoded(frame, encoding, targets, config)
    whole(source)
    assert source.column_names == ("b c", "a") and len(numbers) == len(source.x) and len(bad) <= count
    assert not {*numbers.tolist()} & {each.row for each in bad}


def read_columns(path: Path) -> None:
    """Read a table of text as it stands: its columns are of one length, its lines ascend."""
    frame = read_frame(path)
    lines = frame.lines(range(len(frame.numbers))) if frame.lines else []
    assert {len(column.values) for column in frame.columns} == {len(lines)} and lines == sorted(set(lines))


def parquet_seeds() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"a": [1, None, 3], "b": [0.5, 1.5, None], "c": ["x", "y", None], "d": [True, None, False]})
    files = []
    for compression in ("none", "zstd", "snappy"):
        buffer = io.BytesIO()
        parquet.write_table(table, buffer, compression=compression)
        files.append(buffer.getvalue())
    return files


def read_packed_idx(path: Path) -> None:
    """Compress the fuzzer's bytes first: it cannot guess the checksum of a gzip file."""
    path.write_bytes(gzip.compress(path.read_bytes(), 1))
    read_idx(path)


def repaired(path: Path) -> None:
    """Set the checksums of an archive's uncompressed members to the right values, then load it."""
    content = bytearray(path.read_bytes())
    with contextlib.suppress(Exception), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            if info.compress_type == zipfile.ZIP_STORED and 0 <= info.header_offset < len(content):
                _repair(content, info)
    path.write_bytes(content)
    whole(load_arrays(path))


def _repair(content: bytearray, info: zipfile.ZipInfo) -> None:
    start = info.header_offset + 30 + sum(struct.unpack_from("<HH", content, info.header_offset + 26))
    sum_of_body = struct.pack("<I", zipfile.crc32(content[start : start + info.file_size]))
    content[info.header_offset + 14 : info.header_offset + 18] = sum_of_body
    place = content.find(b"PK\x01\x02")
    while place >= 0:
        if struct.unpack_from("<I", content, place + 42)[0] == info.header_offset:
            content[place + 16 : place + 20] = sum_of_body
        place = content.find(b"PK\x01\x02", place + 1)


def read_labels(content: bytes) -> None:
    """Read labels as the cells of a column, and as arrays of each type."""
    classes_of_texts("labels", content.decode("utf-8", "replace").split(","))
    for dtype in ("i1", "u8", "S3", "U1", "?"):
        size = len(content) // np.dtype(dtype).itemsize
        if size:
            classes_of_arrays("labels", [np.frombuffer(content, dtype, size)])


def read_config(path: Path) -> None:
    """Read a configuration as --config does, and as a run folder does."""
    validated(RunConfig, dict(read_tables(path)))


def idx_seeds() -> list[bytes]:
    codes = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
    shapes = [(6,), (3, 2), (2, 3, 4), (1,) * 8]
    return [
        struct.pack(f">4B{len(shape)}I", 0, 0, code, len(shape), *shape) + np.zeros(shape, dtype).tobytes()
        for code, dtype in codes.items()
        for shape in shapes
    ]


def npy_seeds() -> list[bytes]:
    arrays = [np.zeros((3, 2), dtype) for dtype in ("u1", ">i2", "<f2", "f4", ">f8", "?", "g", "c8", "M8[s]", "U2")]
    arrays += [np.zeros((2, 3, 4)), np.zeros((2, 3, 4, 1), order="F"), np.asfortranarray(np.ones((3, 2)))]
    files = []
    for array in arrays:
        buffer = io.BytesIO()
        np.save(buffer, array)
        files.append(buffer.getvalue())
        if array.dtype == np.float32:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, array, version=(2, 0))
            files.append(buffer.getvalue())
    return files


def npz_seeds() -> list[bytes]:
    x = np.arange(8, dtype=np.uint8).reshape(4, 2)
    files = []
    for save in (np.savez, np.savez_compressed):
        for y in (None, [0, 1, -1, 1], ["a", "", "b", "a"], np.array([b"a", b"b", b"", b"a"])):
            buffer = io.BytesIO()
            save(buffer, x=x, **({} if y is None else {"y": y, "x_test": x, "y_test": y}))
            files.append(buffer.getvalue())
    return files


def mat_seeds() -> list[bytes]:
    x, files = np.arange(8.0).reshape(4, 2), []
    for packed in (False, True):
        for arrays in (
            {"x": x, "y": [1, 2, 1, 2]},
            {"x": x > 2, "y": ["a", "b"] * 2},
            {"x": sparse.csc_array(x), "z": 1j},
            {"s": {"name": "a", "x": x, "t": {"y": x}}},
        ):
            buffer = io.BytesIO()
            savemat(buffer, arrays, do_compression=packed)
            files.append(buffer.getvalue())
    return files


def sparse_seeds() -> list[bytes]:
    files = []
    for form in (sparse.csr_array, sparse.csc_array, sparse.coo_array, sparse.bsr_array, sparse.dia_array):
        buffer = io.BytesIO()
        sparse.save_npz(buffer, form(np.eye(3)), compressed=False)
        files.append(buffer.getvalue())
    return files


def hdf5_seeds() -> list[bytes]:
    files = []
    for settings in ({}, {"compression": "gzip", "shuffle": True, "fletcher32": True}):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as file:
            file.create_dataset("x", data=np.arange(8.0).reshape(4, 2), **settings)
            file.create_dataset("y", data=[1, 2, 1, 2])
        files.append(buffer.getvalue())
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["x"], file["y"] = np.arange(8.0).reshape(4, 2), np.array(["a", "bc", "a", ""], h5py.string_dtype())
    files.append(buffer.getvalue())
    return files


def picture_seeds() -> list[bytes]:
    files = []
    for pixels in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8)):
        for kind in ("PNG", "JPEG", "BMP", "TIFF", "PPM"):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, kind)
            files.append(buffer.getvalue())
    return files


def csv_seeds() -> list[bytes]:
    table = 'a,"b c",y\n1,2.5,cat\n-3e4,"4",dog\n0,1e-9,\n'
    return [
        table.encode(), table.replace("\n", "\r\n").encode("utf-8-sig"), table.replace("\n", "\r").encode(),
        table.encode("utf-16"), b"a,b\n1\n1,2,3\nnan,inf\n1e300,1_0\n\n\n", b'a\n"1\n', "ä\n１\n".encode(),
    ]  # fmt: skip


def txt_seeds() -> list[bytes]:
    """The tables of ``csv_seeds`` with each delimiter that the header line of a .txt may have."""
    return [seed.replace(b",", each.encode()) for seed in csv_seeds() for each in ",;\t| "]


def config_seeds() -> list[bytes]:
    return [
        b'[data]\ndata = "digits"\nscale = "auto"\n[pretrain]\nn_visible = 4\n[[pretrain.layers]]\nn_hidden = 2\n'
        b'corruption = "masking:0.3"\nsparsity = "kl:0.05:0.1"\nmax_epochs = "auto"\n',
        b'[data]\n[pretrain]\nn_visible = 4\nlayers = [{n_hidden = 2, loss = "bce"}]\n[finetune]\ntrain = "head"\n',
    ]


NUMPY_WORDS = (b"'descr': ", b"'fortran_order': ", b"True", b"False", b"'shape': ", b"'<f8'", b"'>f4'", b"'|u1'",
               b"'|O'", b"[('a', '<f4')]", b"('<f4', (3,))", b"'<U999999999'", b"-1", b"99999999999999999999",
               b"\x93NUMPY", b"\x01\x00", b"\x02\x00", b"\x03\x00", b"(((", b"[[[", b"3L")  # fmt: skip
ZIP_WORDS = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"x.npy", b"y.npy", b"../x.npy",
             b"\xff\xff\xff\xff", b"\xff" * 8, b"\x08\x00", b"\x0c\x00", b"\x0e\x00", b"\x01\x00\x1c\x00")  # fmt: skip
PICTURE_WORDS = (
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"IDAT",
    b"eXIf",
    b"\xff\xd8",
    b"\xff\xe1",
    b"Exif\0\0",
    b"II*\0",
    b"P5",
    b"BM",
)
MAT_WORDS = (b"\x0e\0\0\0", b"\x0f\0\0\0", b"\x09\0\0\0", b"\x05\0\0\0", b"\x06\0\0\0", b"\xff\xff\xff\x7f",
             b"\x00\x01IM", b"\x01\x00MI")  # fmt: skip
CSV_WORDS = (b",", b'"', b'""', b"\r\n", b"\xef\xbb\xbf", b"nan", b"inf", b"1e400", b"1e39", b"0x1p3", b"1_0",
             b"\xff\xfe", b"\0", b"-0", "١".encode())  # fmt: skip
TOML_WORDS = (b"[data]", b"[pretrain]", b"[[pretrain.layers]]", b"n_hidden = ", b"layers = ", b"'''", b"1979-05-27",
              b"{a=" * 9, b"[" * 9, b".a" * 9, b"nan", b"= 99999999999999999999", b"inf", b"\\uD800",
              b"kl:0.1:1", b"gaussian:1")  # fmt: skip

READERS = {
    "idx": Reader(from_file(read_idx), idx_seeds, (b"\0\0\x08\x03", b"\xff\xff\xff\xff"), 256),
    "idx-gz": Reader(
        from_file(read_idx), lambda: [gzip.compress(seed) for seed in idx_seeds()], (b"\x1f\x8b\x08",), 512
    ),
    "idx-packed": Reader(from_file(read_packed_idx), idx_seeds, (b"\0\0\x08\x03", b"\xff\xff\xff\xff"), 256),
    "npy": Reader(from_file(lambda path: whole(load_arrays(path)), ".npy"), npy_seeds, NUMPY_WORDS, 1024),
    "npz": Reader(from_file(lambda path: whole(load_arrays(path)), ".npz"), npz_seeds, ZIP_WORDS + NUMPY_WORDS),
    "npz-repaired": Reader(from_file(repaired, ".npz"), npz_seeds, ZIP_WORDS + NUMPY_WORDS),
    "mat": Reader(from_file(lambda path: whole(load_arrays(path)), ".mat"), mat_seeds, MAT_WORDS),
    "sparse": Reader(from_file(lambda path: whole(load_arrays(path)), ".npz"), sparse_seeds, ZIP_WORDS + NUMPY_WORDS),
    "hdf5": Reader(from_file(lambda path: whole(load_arrays(path)), ".h5"), hdf5_seeds, (b"\x89HDF", b"OHDR", b"TREE")),
    "picture": Reader(
        from_file(lambda path: whole(load_images(path, "4x4", "auto")), ".png"), picture_seeds, PICTURE_WORDS
    ),
    "csv": Reader(from_file(lambda path: whole(load_text(path))), csv_seeds, CSV_WORDS, 1024),
    "csv-target": Reader(from_file(lambda path: whole(load_text(path, "y"))), csv_seeds, (*CSV_WORDS, b"y"), 1024),
    "csv-run": Reader(from_file(read_for_run), csv_seeds, (*CSV_WORDS, b"y", b"b c"), 1024),
    "txt": Reader(from_file(lambda path: whole(load_text(path)), ".txt"), txt_seeds, CSV_WORDS, 1024),
    "frame": Reader(from_file(read_columns), lambda: [*csv_seeds(), *txt_seeds()], CSV_WORDS, 1024),
    "parquet": Reader(from_file(lambda path: read_parquet(path), ".parquet"), parquet_seeds, (b"PAR1",), 4096),
    "labels": Reader(read_labels, lambda: [b"1,2,1.0,,x", b"a,b,\xc3\xa4,a", bytes(range(16))], CSV_WORDS, 256),
    "config": Reader(from_file(read_config), config_seeds, TOML_WORDS, 1024),
    "manifest": Reader(run_files.read_manifest, run_files.manifest_seeds),
    "manifest-repaired": Reader(run_files.read_repaired_manifest, run_files.manifest_seeds),
    "state": Reader(run_files.read_state, run_files.state_seeds),
    "record": Reader(run_files.read_record, run_files.record_seeds),
    "division": Reader(run_files.read_division_file, run_files.division_seeds),
    "metrics": Reader(run_files.read_metrics, run_files.metrics_seeds),
    "layer": Reader(run_files.read_layer_file, run_files.layer_seeds),
    "scaling": Reader(run_files.read_scaling_file, run_files.scaling_seeds),
    "calibration": Reader(run_files.read_calibration_file, run_files.calibration_seeds),
    "classifier": Reader(run_files.read_classifier_file, run_files.classifier_seeds),
    "other-layer": Reader(run_files.read_other_layer_file, run_files.other_layer_seeds),
    "head": Reader(run_files.read_head_file, run_files.head_seeds),
}


def prepare(name: str, reader: Reader) -> tuple[Path, Path]:
    """Write the seed files, which are kept between runs, and the dictionary; return both paths."""
    corpus, words = BUILD / "corpus" / name, BUILD / f"{name}.dict"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(reader.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)
    lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in reader.words]
    words.write_text("\n".join(lines) + "\n")
    return corpus, words


def main() -> None:
    name, *options = sys.argv[1:] or [""]
    if name not in READERS:
        sys.exit(f"reader: expected one of {', '.join(READERS)}, got '{name}'")
    reader = READERS[name]
    corpus, words = prepare(name, reader)
    atheris.enabled_hooks.add("str")

    def one_input(content: bytes) -> None:
        with contextlib.suppress(StackaeError):
            reader.read(content)

    for seed in reader.seeds():  # first-use imports happen before memory is capped
        one_input(seed)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    cap = pages * resource.getpagesize() + CAP
    resource.setrlimit(resource.RLIMIT_AS, (cap, cap))
    limits = [f"-max_len={reader.longest}", f"-timeout={SECONDS}", "-rss_limit_mb=4096", f"-dict={words}",
              f"-artifact_prefix={BUILD}/{name}-"]  # fmt: skip
    atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], one_input)
    try:
        atheris.Fuzz()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # libFuzzer's timer, which has no input to watch now
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
