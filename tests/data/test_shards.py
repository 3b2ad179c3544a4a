"""Folders of shards: which files they are, in which order, and what is refused by name."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from data_files import message, npy_bytes, write

from stackae.config import DataConfig
from stackae.data import Source, load_source
from stackae.data.formats import FOLDER, SHARDS, place_of
from stackae.data.formats.shards import natural, shards_of
from stackae.data.spool.home import SWITCH

X = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four shards of three rows."""
    for number, part in enumerate(np.split(X, 4)):
        put(tmp_path / "x", f"x-{number}.npy", part)
    return tmp_path / "x"


def put(folder: Path, name: str, rows: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    return write(folder / name, npy_bytes(rows))


def read(folder: Path, storage: str = "memory", **settings: object) -> Source:
    return load_source(DataConfig(data=str(folder), storage=storage, **settings))


def refusal(folder: Path) -> str:
    """The one sentence, whether rows are in memory or on disk."""
    sentence = message(read, folder)
    assert message(read, folder, "disk") == sentence and "\n" not in sentence
    return sentence


def empty(folder: Path, *names: str) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name in names:
        write(folder / name, b"")
    return [path.name for path in shards_of(folder, ".npy").files]


def test_names_are_in_natural_order() -> None:
    names = ["1.npy", "2.npy", "10.npy", "a1b2.npy", "a1b10.npy", "a2b1.npy", "a10.npy", "b007.npy", "b8.npy", "b.npy"]
    shuffled = random.Random(0).sample(names, len(names))
    assert sorted(shuffled, key=natural) == names
    assert sorted(["a01", "a1", "a1 "], key=natural) == ["a01", "a1", "a1 "]  # of one number, by their letters


def test_shards_are_read_in_their_order_with_a_note(folder: Path) -> None:
    found = read(folder)
    assert np.array_equal(found.x, X) and found.notes == (f"{folder}: 4 .npy files, x-0.npy to x-3.npy",)
    (folder / "x-3.npy").rename(folder / "x-03.NPY")
    assert np.array_equal(read(folder).x, X)


def test_a_folder_of_one_shard_and_links(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "x.npy").symlink_to(folder / "x-2.npy")
    found = read(tmp_path / "one")
    assert np.array_equal(found.x, X[6:9]) and found.notes == ()


def test_types_of_one_kind_become_one(tmp_path: Path) -> None:
    parts = [X[:6], X[6:].astype(np.float64) + 1e-9]
    for number, part in enumerate(parts):
        put(tmp_path / "x", f"{number}.npy", part)
    for storage in ("memory", "disk"):
        found = read(tmp_path / "x", storage).x
        assert found.dtype == np.float64 and np.array_equal(found[:], np.concatenate(parts))


def test_what_is_no_data_is_left_out(folder: Path) -> None:
    for name in ("_SUCCESS", ".x-0.npy.crc", "_metadata", ".hidden.csv"):
        write(folder / name, b"?")
    (folder / ".ipynb_checkpoints").mkdir()
    write(folder / "README.md", b"?")
    found = read(folder)
    assert np.array_equal(found.x, X) and "left out, as no shards: README.md (1 in all)" in found.notes


def test_folders_of_pictures_stay_such(tmp_path: Path) -> None:
    put(tmp_path / "x", "x.npy", X)
    assert place_of(str(tmp_path / "x")).format is SHARDS[".npy"]
    (tmp_path / "x" / "cat").mkdir()
    assert place_of(str(tmp_path / "x")).format is SHARDS[".npy"]
    write(tmp_path / "x" / "cat" / "1.png", b"")
    assert place_of(str(tmp_path / "x")).format is FOLDER
    put(tmp_path / "y", "x.npy", X)
    write(tmp_path / "y" / "1.jpg", b"")
    assert place_of(str(tmp_path / "y")).format is FOLDER
    (tmp_path / "z").mkdir()
    assert place_of(str(tmp_path / "z")).format is FOLDER


@pytest.mark.parametrize(
    ("names", "lacking"),
    [
        (("x-0.npy", "x-1.npy", "x-3.npy"), "x-2.npy (1 in all)"),
        (("x-1.npy", "x-2.npy", "x-5.npy"), "x-3.npy, x-4.npy (2 in all)"),
        (("x-0.npy", "x-99999999999999.npy"), "x-1.npy, x-2.npy, x-3.npy, ... (99,999,999,999,998 in all)"),
        (("0008.npy", "0000.npy", "0007.npy"), "0001.npy, 0002.npy, 0003.npy, ... (6 in all)"),
        (("x-00000-of-00003.npy", "x-00001-of-00003.npy"), "x-00002-of-00003.npy (1 in all)"),
        (("x-00001-of-00003.npy",), "x-00000-of-00003.npy, x-00002-of-00003.npy (2 in all)"),
        (("x-2-of-3.npy", "x-3-of-3.npy"), "x-1-of-3.npy (1 in all)"),
        (("v2/x-0.npy", "v2/x-2.npy"), "x-1.npy (1 in all)"),
        (("v2-0.npy", "v2-2.npy"), "v2-1.npy (1 in all)"),
    ],
)
def test_a_missing_shard_is_refused_by_name(names: tuple[str, ...], lacking: str, tmp_path: Path) -> None:
    names = tuple(name.removeprefix("v2/") for name in names)
    (tmp_path / "x").mkdir()
    sentence = message(empty, tmp_path / "x", *names)
    assert f"expected a shard for each number, got none called {lacking}; fetch what is missing" in sentence
    write(tmp_path / "x" / "_SUCCESS", b"")
    (note,) = shards_of(tmp_path / "x", ".npy").notes
    assert note.startswith(f"{tmp_path / 'x'}: there is no {lacking}; _SUCCESS says that it is whole")


@pytest.mark.parametrize(
    "names",
    [
        ("x-00000-of-00002.npy", "x-00001-of-00002.npy"),
        ("x-1-of-2.npy", "x-2-of-2.npy"),
        ("20240131.npy", "20240202.npy"),  # dates, and other numbers that do not count files
        ("1-5.npy", "2-7.npy"),
        ("a.npy", "b2.npy", "b9.npy"),
        ("one.npy",),
        ("x-4.npy",),
    ],
)
def test_names_without_a_gap(names: tuple[str, ...], tmp_path: Path) -> None:
    assert empty(tmp_path / "x", *names) == list(names)


REFUSED = {
    "width": (X[:, :2], "expected rows of shape (3,), float32, as in x-0.npy, got (2,), float32"),
    "kind": (X.astype(np.int32), "expected rows of shape (3,), float32, as in x-0.npy, got (3,), int32"),
    "axes": (X[:, :, None], "expected rows of shape (3,), float32, as in x-0.npy, got (3, 1), float32"),
    "texts": (X.astype("U9"), "expected rows of shape (3,), float32, as in x-0.npy, got (3,), text"),
    "objects": (np.array([1, "a"], dtype=object), "expected an array of numbers or strings, got object"),
    "single": (np.array(1.0), "expected rows, got a single number"),
    "empty": (X[:0], "expected at least one element, got shape (0, 3)"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("place", [1, 3])
def test_a_shard_that_does_not_fit_is_refused_by_name(case: str, place: int, folder: Path) -> None:
    rows, sentence = REFUSED[case]
    np.save(folder / f"x-{place}.npy", rows)
    assert refusal(folder).startswith(f"{folder / f'x-{place}.npy'}: {sentence}")


@pytest.mark.parametrize("name", ["y.csv", "x-4.parquet", "x.h5", "labels.txt.gz", "x.npz"])
def test_another_format_is_refused_by_name(name: str, folder: Path) -> None:
    write(folder / name, b"?")
    sentence = refusal(folder)
    assert sentence == f"{folder}: expected .npy files alone, got {name} beside them; keep it elsewhere"


def test_a_folder_among_shards_is_refused_by_name(folder: Path) -> None:
    (folder / "more").mkdir()
    assert "expected .npy files alone, got the folder more beside them" in refusal(folder)


def test_damage_is_refused_by_the_name_of_its_shard(folder: Path) -> None:
    """Cuts, appended bytes, and whatever stands in a header: a refusal, or the rows as they are."""
    chosen = random.Random(0)
    refused = 0
    for _ in range(120):
        path = folder / f"x-{chosen.randrange(4)}.npy"
        content = path.read_bytes()
        kind, place = chosen.randrange(3), chosen.randrange(len(content))
        damaged = [
            content[:place],
            content + b"\0",
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :],
        ]
        path.write_bytes(damaged[kind])
        try:
            assert len(read(folder, "disk").x) == 12
        except Exception as error:
            assert str(error).startswith((str(path), f"{folder}/x-")) or str(folder) in str(error), error
            assert type(error).__name__ == "DataError"
            refused += 1
        path.write_bytes(content)
    assert refused > 70


def test_a_shard_that_changes_makes_other_rows(folder: Path) -> None:
    assert np.array_equal(read(folder, "disk").x[:], X)
    put(folder, "x-2.npy", X[6:9] + 1)
    assert np.array_equal(read(folder, "disk").x[6:9], X[6:9] + 1)
    put(folder, "x-4.npy", X[:2])
    assert np.array_equal(read(folder, "disk").x[12:], X[:2])
