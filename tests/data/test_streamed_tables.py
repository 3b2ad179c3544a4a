"""Tables that stay on disk: the same rows, sentences and weights as in memory, from text, Parquet and folders of it."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cli_cases import layer_bytes
from data_files import message, write
from pyarrow import parquet
from shell import Shell
from streamed_cases import npy

from stackae.config import DataConfig
from stackae.data import Source, load_source
from stackae.data.formats import parquet as parquet_format
from stackae.data.spool.home import SWITCH
from stackae.data.stored.array import StoredArray
from stackae.data.tables import features
from stackae.errors import ConfigError, DiskError

ROWS = 90
RANDOM = np.random.default_rng(0)
FLOATS = RANDOM.normal(size=(ROWS, 3))
WITH_GAP = np.where(RANDOM.random(ROWS) < 0.2, np.nan, FLOATS[:, 1])
MIXED = pa.table(
    {
        "a": FLOATS[:, 0],
        "gap": pa.array(WITH_GAP, from_pandas=True),
        "colour": pa.array([None if place % 17 == 3 else "rgb"[place % 3] for place in range(ROWS)]),
        "size": ["small", "large"] * (ROWS // 2),
        "when": pa.array(np.arange(ROWS) * 3_600_000_000, pa.timestamp("us")),
        "yes": [place % 5 == 0 for place in range(ROWS)],
        "name": [f"row {place}" for place in range(ROWS)],
        "label": ["x" if place % 4 else "y" for place in range(ROWS)],
    }
)
NUMBERS = pa.table({f"n{place}": FLOATS[:, place].astype(np.float32) for place in range(3)})
PIXELS = pa.table({f"p{place}": RANDOM.integers(0, 256, ROWS).astype(np.uint8) for place in range(66)})
TABLES = {"mixed": MIXED, "numbers": NUMBERS, "pixels": PIXELS}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, batches of 16 rows or fewer, and pieces of a few."""
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    monkeypatch.setattr(features, "PIECE_CELLS", 70)
    monkeypatch.setattr(parquet_format, "BATCH_CELLS", 99)
    return tmp_path / "cache"


def as_parquet(folder: Path, table: pa.Table) -> str:
    parquet.write_table(table, folder / "x.parquet", row_group_size=31)
    return str(folder / "x.parquet")


def as_shards(folder: Path, table: pa.Table) -> str:
    (folder / "x.parquet").mkdir()  # as Spark and Dask name a folder
    for number, start in enumerate(range(0, ROWS, 8)):
        parquet.write_table(table.slice(start, 8), folder / "x.parquet" / f"part-{number}.parquet")
    return str(folder / "x.parquet")


def as_text(folder: Path, table: pa.Table) -> str:
    columns = [["" if cell is None or cell != cell else str(cell) for cell in column.to_pylist()] for column in table]
    lines = [",".join(table.column_names), *map(",".join, zip(*columns, strict=True))]
    return str(write(folder / "x.csv", "\n".join(lines) + "\n"))


WRITERS: dict[str, Callable[[Path, pa.Table], str]] = {"parquet": as_parquet, "shards": as_shards, "text": as_text}
OPTIONS = {
    "plain": {},
    "label": {"target": "label"},
    "indicator": {"missing": "indicator", "target": "label"},
    "drop": {"missing": "drop", "drop": "name"},
    "kinds": {"ordinal": "size:small<large", "categorical": "name", "ids": "colour"},
    "numbers": {"target": "a,gap", "target_kind": "numbers"},
    "groups": {"group": "colour", "target": "label"},
    "time": {"time": "when", "split": "time"},
}


def read(data: str, storage: str, **settings: object) -> Source:
    return load_source(DataConfig(data=data, storage=storage, **settings))


def same(found: Source, expected: Source) -> None:
    assert isinstance(found.x, StoredArray) and isinstance(expected.x, np.ndarray)
    assert found.x.dtype == expected.x.dtype and np.array_equal(found.x[:], expected.x, equal_nan=True)
    shared = {"x": (), "y": (), "order": None, "places": None}
    assert found._replace(**shared) == expected._replace(**shared)
    for one, other in ((found.y, expected.y), *zip(found.places or (), expected.places or (), strict=True)):
        assert one is other is None or np.array_equal(
            one, other, equal_nan=getattr(one, "dtype", np.dtype("U")).kind == "f"
        )


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", WRITERS)
def test_mixed_columns_are_encoded_as_in_memory(name: str, options: str, tmp_path: Path) -> None:
    data = WRITERS[name](tmp_path, MIXED)
    expected = read(data, "memory", **OPTIONS[options])
    for _ in range(2):
        same(read(data, "disk", **OPTIONS[options]), expected)


@pytest.mark.parametrize("table", ["numbers", "pixels"])
@pytest.mark.parametrize("name", WRITERS)
def test_numbers_train_the_weights_of_an_array_in_memory(name: str, table: str, tmp_path: Path) -> None:
    shell, width = Shell(tmp_path), len(TABLES[table].column_names)
    x = np.stack([column.to_numpy() for column in TABLES[table]], axis=1)
    train = ("pretrain", "--layers", f"{width},5,3", "--epochs", "2", "--batch-size", "16")
    shell.does(*train, "--data", npy(tmp_path, x), "--storage", "memory", "--run", "runs/memory")
    shell.does(*train, "--data", WRITERS[name](tmp_path, TABLES[table]), "--storage", "disk", "--run", "runs/disk")
    assert layer_bytes(tmp_path / "runs/disk") == layer_bytes(tmp_path / "runs/memory")


@pytest.mark.parametrize("name", WRITERS)
def test_mixed_columns_train_the_same_weights_and_are_read_again(name: str, tmp_path: Path) -> None:
    shell, data = Shell(tmp_path), WRITERS[name](tmp_path, MIXED)
    train = ("pretrain", "--layers", "auto,4,3", "--epochs", "2", "--batch-size", "16", "--data", data)
    for storage in ("memory", "disk"):
        shell.does(*train, "--target", "label", "--storage", storage, "--run", f"runs/{storage}")
    assert layer_bytes(tmp_path / "runs/disk") == layer_bytes(tmp_path / "runs/memory")
    codes = [
        shell.does("encode", "--run", f"runs/{name}", "--out", f"{name}.csv")
        and (tmp_path / f"{name}.csv").read_bytes()
        for name in ("memory", "disk")
    ]
    assert codes[0] == codes[1]


def test_rows_that_32_bits_hold_take_four_bytes(tmp_path: Path, home: Path) -> None:
    for folder, table, size in (("a", NUMBERS, 4), ("b", MIXED.select(["a"]), 8)):
        (tmp_path / folder).mkdir()
        read(as_parquet(tmp_path / folder, table), "disk")
        (body,) = home.glob("*.npy")
        assert np.load(body).itemsize == size
        body.unlink()
        body.with_suffix(".rows").unlink()


def test_text_is_parsed_once(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackae.data.formats import text_frame

    data = as_text(tmp_path, MIXED)
    first = read(data, "disk")
    monkeypatch.setattr(text_frame, "_parsed", None)
    same(read(data, "disk"), Source(*first._replace(x=first.x[:])))
    (arrays,) = home.glob("*.arrays")
    content = arrays.read_bytes()
    arrays.write_bytes(content[:-9] + bytes([content[-9] ^ 16]) + content[-8:])
    with pytest.raises(TypeError):
        read(data, "disk")  # it is to be parsed again
    monkeypatch.undo()


def test_columns_that_seemed_numbers_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackae.data.text import blocks

    monkeypatch.setattr(blocks, "BLOCK_BYTES", 2000)
    lines = [f"{place},{'abc'[place % 3] if place > 1500 else place % 2},-999" for place in range(2000)]
    data = str(write(tmp_path / "x.csv", "\n".join(["a,b,c", *lines]) + "\n"))
    settings = {"categorical": "b", "missing_values": "-999"}
    same(read(data, "disk", **settings), read(data, "memory", **settings))


REFUSALS = {
    "refuse": ({"missing": "refuse", "drop": "name"}, "the cell is missing"),
    "column": ({"target": "nothing"}, "expected a column named 'nothing'"),
    "order": ({"ordinal": "size:small<middle"}, "got none for 'large'"),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("name", WRITERS)
def test_refusals_are_those_in_memory(name: str, case: str, tmp_path: Path) -> None:
    data, (settings, part) = WRITERS[name](tmp_path, MIXED), REFUSALS[case]
    error = ConfigError if case == "order" else None
    found = [
        message(lambda storage=storage: read(data, storage, **settings), **({"error": error} if error else {}))
        for storage in ("disk", "memory")
    ]
    assert found[0] == found[1] and part in found[0]


def test_what_needs_all_columns_at_once_is_refused(tmp_path: Path) -> None:
    data = as_text(tmp_path, NUMBERS)
    sentence = message(lambda: read(data, "disk", transpose=True), error=ConfigError)
    assert sentence == "storage: expected memory for transpose, got disk; leave one of them out"
    assert "expected memory for" in message(lambda: read(data, "disk", window=5), error=ConfigError)


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_without_room_and_no_cache_are_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = WRITERS[name](tmp_path, MIXED)

    def full(descriptor: int, content: object, place: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", full)
        sentence = message(lambda: read(data, "disk"), error=DiskError)
    assert sentence.startswith(
        f"{data}: expected room for its rows in the cache, got [Errno 28] No space left on device"
    )
    monkeypatch.setenv(SWITCH, "off")
    assert "expected a folder for rows that stay on disk, got STACKAE_CACHE=off" in message(read, data, "disk")
    assert isinstance(read(data, "auto").x, np.ndarray)


def test_what_was_gathered_is_gone_with_its_process(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = as_parquet(tmp_path, MIXED)
    child = os.fork()
    if not child:
        monkeypatch.setattr(features, "encode", lambda *_: os._exit(9))  # as by SIGKILL
        read(data, "disk")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert not list(home.iterdir())
    same(read(data, "disk"), read(data, "memory"))


# ---- folders of Parquet files


def refusal(folder: Path) -> str:
    sentence = message(read, str(folder), "memory")
    assert message(read, str(folder), "disk") == sentence and "\n" not in sentence
    return sentence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(as_shards(tmp_path, MIXED))


def test_shards_are_read_in_natural_order_with_a_note(folder: Path) -> None:
    found = read(str(folder), "memory")
    assert f"{folder}: 12 Parquet files, part-0.parquet to part-11.parquet" in found.notes
    assert np.array_equal(found.x[:, found.column_names.index("a")], FLOATS[:, 0])


OTHERS = {
    "fewer": (
        MIXED.drop_columns(["yes"]),
        "expected column 6 'yes' of bool, as in part-0.parquet, got column 6 'name'",
    ),
    "more": (
        MIXED.append_column("z", pa.nulls(ROWS, pa.int8())),
        "expected 8 columns, as in part-0.parquet, got column 9 'z' of int8",
    ),
    "type": (
        MIXED.set_column(0, "a", [["1"] * ROWS]),
        "expected column 1 'a' of double, as in part-0.parquet, got column 1 'a' of string",
    ),
    "order": (
        MIXED.select([*MIXED.column_names[::-1]]),
        "expected column 1 'a' of double, as in part-0.parquet, got column 1 'label' of string",
    ),
    "empty": (MIXED.slice(0, 0), "expected rows and columns, got none"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_shard_that_does_not_fit_is_refused_by_name(case: str, folder: Path) -> None:
    table, sentence = OTHERS[case]
    parquet.write_table(table, folder / "part-5.parquet")
    assert refusal(folder).startswith(f"{folder / 'part-5.parquet'}: {sentence}")


def test_a_missing_shard_is_refused_by_name(folder: Path) -> None:
    groups: list[parquet.FileMetaData] = []
    parquet.write_table(MIXED.slice(0, 8), folder / "part-11.parquet", metadata_collector=groups)
    groups[0].set_file_path("part-11.parquet")
    parquet.write_metadata(MIXED.schema, folder / "_metadata", metadata_collector=groups)
    assert len(read(str(folder), "memory").x) == ROWS + 6
    (folder / "part-11.parquet").unlink()
    assert "expected every file that _metadata lists, got none called part-11.parquet (1 are missing)" in refusal(
        folder
    )
    (folder / "_metadata").write_bytes(b"PAR1")
    assert refusal(folder).startswith(f"{folder / '_metadata'}: expected a Parquet file, got damaged data")
    (folder / "_metadata").unlink()
    (folder / "part-7.parquet").unlink()
    assert "expected a shard for each number, got none called part-7.parquet (1 in all)" in refusal(folder)


def test_another_format_is_refused_by_name(folder: Path) -> None:
    write(folder / "more.csv", "a\n1\n")
    assert "expected .parquet files alone, got more.csv beside them" in refusal(folder)


def test_a_bit_flipped_in_a_page_is_refused_by_name(tmp_path: Path) -> None:
    """Each bit of a byte in turn, through all data pages: with checksums none passes."""
    (tmp_path / "x").mkdir()
    path = tmp_path / "x" / "part-1.parquet"
    parquet.write_table(NUMBERS, tmp_path / "x" / "part-0.parquet")
    parquet.write_table(NUMBERS, path, write_page_checksum=True, compression="none", use_dictionary=False)
    content, pages = path.read_bytes(), 0
    for column in NUMBERS.columns:
        cells = column.to_numpy().tobytes()
        start = content.index(cells)
        for place in range(start, start + len(cells), 23):
            path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
            assert refusal(tmp_path / "x").startswith(f"{path}: expected a Parquet file, got damaged data")
            pages += 1
    assert pages > 40


def test_damage_of_shards_is_refused_by_name_or_seen_in_no_row(tmp_path: Path) -> None:
    """Wherever a bit is flipped in a compressed file: a refusal that names it, or rows."""
    (tmp_path / "x").mkdir()
    path, refused = tmp_path / "x" / "part-1.parquet", 0
    parquet.write_table(NUMBERS, tmp_path / "x" / "part-0.parquet")
    parquet.write_table(NUMBERS, path, write_page_checksum=True)
    content = path.read_bytes()
    for place in range(0, len(content), 11):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            read(str(tmp_path / "x"), "disk")
        except Exception as error:
            assert type(error).__name__ == "DataError" and "part-1.parquet" in str(error), error
            refused += 1
    assert refused > 30


def test_memory_does_not_follow_rows_times_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held are some bytes for each row: its number and its sum, and one column at a time."""
    monkeypatch.undo()
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    rows, width = 240_000, 100

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, rows, 5000):
            cells = np.random.default_rng(start).normal(size=(width, 5000)).astype(np.float32)
            yield pa.RecordBatch.from_arrays([*map(pa.array, cells)], [f"n{place}" for place in range(width)])

    first = next(batches())
    with parquet.ParquetWriter(tmp_path / "x.parquet", first.schema) as writer:
        for batch in batches():
            writer.write_batch(batch)
    del first
    tracemalloc.start()
    try:
        found = read(str(tmp_path / "x.parquet"), "disk").x
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.shape == (rows, width)
    assert peak < 112 << 20 < 8 * rows * width  # a piece is read and converted: 4 million cells of 64 and of 32 bits
