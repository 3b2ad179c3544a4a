"""Rows that stay on disk: whatever form they are stored in, they are those of the same rows in memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from cli_cases import layer_bytes
from data_files import message, npy_bytes, write, write_idx_folder
from PIL import Image
from shell import Shell
from streamed_cases import ARRAYS, MAPPED, SPARSE, Writer, npy, npz, shards

from stackae.config import DataConfig
from stackae.data import Source, load_source
from stackae.data.pictures import reading as reading_pictures
from stackae.data.spool import pieces as spool_pieces
from stackae.data.spool.home import SWITCH
from stackae.data.stored import array as stored
from stackae.data.stored.array import StoredArray
from stackae.errors import ConfigError, DataError

RANDOM = np.random.default_rng(0)
ROWS = {
    "float32": RANDOM.normal(size=(53, 5)).astype(np.float32),
    "float64": RANDOM.normal(size=(53, 5)),
    "float64-of-32-bits": RANDOM.normal(size=(53, 5)).astype(np.float32).astype(np.float64),
    "float16": RANDOM.normal(size=(53, 5)).astype(np.float16),
    "uint8": RANDOM.integers(0, 256, (53, 70)).astype(np.uint8),
    "int64-of-pixels": RANDOM.integers(0, 256, (53, 70)),
    "int16": RANDOM.integers(-999, 999, (53, 5)).astype(np.int16),
    "images": RANDOM.integers(0, 256, (23, 4, 5, 3)).astype(np.uint8),
}
ALL = [pytest.param(writer, id=name) for name, writer in {**ARRAYS, **SPARSE}.items()]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, and pieces of a few rows."""
    monkeypatch.setenv(SWITCH, str(tmp_path / "cache"))
    monkeypatch.setattr(spool_pieces, "PIECE_BYTES", 100)
    return tmp_path / "cache"


def read(data: str, storage: str, **settings: object) -> Source:
    return load_source(DataConfig(data=data, storage=storage, **settings))


def same(found: Source, expected: Source) -> None:
    """Asserts that both sources hold the same rows, of the same type, and say the same of them."""
    assert isinstance(found.x, StoredArray) and isinstance(expected.x, np.ndarray)
    assert found.x.dtype == expected.x.dtype and np.array_equal(found.x[:], expected.x, equal_nan=True)
    assert (found.image_shape, found.row_shape) == (expected.image_shape, expected.row_shape)
    assert (found.y is None) == (expected.y is None)


@pytest.mark.parametrize("dtype", ROWS)
@pytest.mark.parametrize("name", [*ARRAYS, *SPARSE])
def test_rows_on_disk_are_those_in_memory(name: str, dtype: str, tmp_path: Path, home: Path) -> None:
    x = ROWS[dtype] if name in ARRAYS or dtype != "float16" else ROWS["float32"]  # scipy has none of halves
    data = {**ARRAYS, **SPARSE}[name](tmp_path, x)
    expected = read(data, "memory")
    for _ in range(2):
        same(read(data, "disk"), expected)
    mapped = name in MAPPED or (name == "npy-big-endian" and x.itemsize == 1)
    assert len(list(home.glob("*.npy"))) == (not mapped)
    rows = expected.x
    assert np.array_equal(rows, read(npy(tmp_path, x), "memory").x.reshape(rows.shape))


@pytest.mark.parametrize("writer", ALL)
def test_every_form_trains_the_weights_of_an_array_in_memory(writer: Writer, tmp_path: Path) -> None:
    shell, x = Shell(tmp_path), RANDOM.normal(size=(60, 8)).astype(np.float32)
    train = ("pretrain", "--layers", "8,5,3", "--epochs", "2", "--batch-size", "16")
    shell.does(*train, "--data", npy(tmp_path, x), "--storage", "memory", "--run", "runs/memory")
    shell.does(*train, "--data", writer(tmp_path, x), "--storage", "disk", "--run", "runs/disk")
    assert layer_bytes(tmp_path / "runs/disk") == layer_bytes(tmp_path / "runs/memory")


@pytest.mark.parametrize("writer", [npz, shards])
def test_a_test_part_labels_and_notes_are_as_in_memory(writer: Writer, tmp_path: Path) -> None:
    x, y = ROWS["float32"], np.arange(53) % 4
    write(tmp_path / "y.npy", npy_bytes(y))
    data = writer(tmp_path, x)
    found, expected = (read(data, storage, target=str(tmp_path / "y.npy")) for storage in ("disk", "memory"))
    assert np.array_equal(found.y, y) and found.classes == expected.classes and found.notes == expected.notes
    np.savez(tmp_path / "parts.npz", x=x, y=y, x_test=x[:7], y_test=y[:7])
    found = read(str(tmp_path / "parts.npz"), "disk")
    assert isinstance(found.x_test, StoredArray) and np.array_equal(found.x_test[:], x[:7]) and len(found.y_test) == 7


def test_labels_may_be_shards_too(tmp_path: Path) -> None:
    x, y = ROWS["float32"], np.array(["a", "bb", "c"])[np.arange(53) % 3]
    data = shards(tmp_path, x)
    (tmp_path / "labels").mkdir()
    for number, part in enumerate(np.array_split(y, 4)):
        write(tmp_path / "labels" / f"{number}.npy", npy_bytes(part))
    for storage in ("memory", "disk"):
        found = read(data, storage, target=str(tmp_path / "labels"))
        assert found.classes == ("a", "bb", "c") and np.array_equal(np.array(found.classes)[found.y], y)


def test_pixels_of_cubes_and_signals(tmp_path: Path) -> None:
    cube = RANDOM.normal(size=(6, 7, 5)).astype(np.float32)
    found = read(npy(tmp_path, cube), "disk", pixels=True)
    assert isinstance(found.x, StoredArray) and np.array_equal(found.x[:], cube.reshape(42, 5))
    np.savez(tmp_path / "a.npz", x=np.moveaxis(cube, 0, -1), y=np.arange(6) % 2)
    sentence = message(read, str(tmp_path / "a.npz"), "disk", error=ConfigError)
    assert "expected memory for rows along the last axis" in sentence
    assert np.array_equal(read(str(tmp_path / "a.npz"), "memory").x, cube.reshape(6, 35))


@pytest.mark.parametrize("writer", [each for each in ALL if each.id not in MAPPED])
def test_damage_of_the_cache_is_said_and_mended(writer: Writer, tmp_path: Path, home: Path) -> None:
    data = writer(tmp_path, ROWS["float32"])
    expected = read(data, "memory")
    read(data, "disk")
    (body,) = home.glob("*.npy")
    content = body.read_bytes()
    body.write_bytes(content[:-9] + bytes([content[-9] ^ 16]) + content[-8:])
    found = read(data, "disk")
    same(found, expected)
    assert f"its rows in {body} were damaged, and are made again" in "".join(found.notes)
    assert body.read_bytes() == content


@pytest.mark.parametrize("name", ["npz", "npz-packed", "hdf5-packed", "shards"])
def test_a_damaged_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """Where the format has a checksum, a bit; of the others, an end that is missing."""
    data = ARRAYS[name](tmp_path, ROWS["float32"])
    path = Path(data) / "part-3.npy" if name == "shards" else Path(data)
    content = path.read_bytes()
    place = content.find(ROWS["float32"][20:22].tobytes())
    if name == "npz":
        assert place > 0
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
    elif name == "npz-packed":
        place = len(content) // 2
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
    else:
        path.write_bytes(content[:-30])
    sentence = message(read, data, "disk")
    assert sentence.startswith(str(path)) and message(read, data, "memory").startswith(str(path))


def test_a_form_without_pieces_is_refused_on_disk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"x": ROWS["float32"]})
    np.savez_compressed(tmp_path / "b.npz", x=np.asfortranarray(ROWS["float32"]))
    for name in ("a.mat", "b.npz"):
        sentence = message(read, str(tmp_path / name), "disk")
        assert sentence.startswith("storage: expected a file whose rows are read some at a time, for disk, got")
        monkeypatch.setattr(stored, "free_memory", lambda: 100)  # where auto would have them on disk
        assert isinstance(read(str(tmp_path / name), "auto").x, np.ndarray)
        assert isinstance(read(shards(tmp_path / name[0], ROWS["float32"]), "auto").x, StoredArray)


def test_progress_is_told_while_rows_are_written(tmp_path: Path) -> None:
    data, told = shards(tmp_path, ROWS["float32"]), list[float]()
    load_source(DataConfig(data=data, storage="disk"), told.append)
    assert len(told) > 5 and told == sorted(told) and told[-1] == 1.0


def test_without_a_cache_only_what_can_be_mapped_is_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, "off")
    assert isinstance(read(npz(tmp_path, ROWS["float32"]), "disk").x, StoredArray)
    with pytest.raises(DataError, match=r"expected a folder for rows that stay on disk, got STACKAE_CACHE=off"):
        read(shards(tmp_path, ROWS["float32"]), "disk")


@pytest.mark.parametrize("packed", [False, True])
def test_sets_of_images(packed: bool, tmp_path: Path, home: Path) -> None:
    raw = write_idx_folder(tmp_path, 50)
    for path in [*raw.glob("*images*")] if packed else []:
        write(path.with_name(f"{path.name}.gz"), gzip.compress(path.read_bytes()))
        path.unlink()
    settings = {"data_root": str(tmp_path)}
    found, expected = (read("mnist", storage, **settings) for storage in ("disk", "memory"))
    same(found, expected)
    assert isinstance(found.x_test, StoredArray) and np.array_equal(found.x_test[:], expected.x_test)
    assert np.array_equal(found.y, expected.y) and len(list(home.glob("*.npy"))) == 2 * packed
    images = next(raw.glob("train-images*"))
    images.write_bytes(images.read_bytes()[:-5])
    assert message(lambda: read("mnist", "disk", **settings)).startswith(str(images))


def pictures(folder: Path, count: int = 70) -> Path:
    """Two classes in a training and a test part; more than are decoded at once."""
    for place, pixels in enumerate(RANDOM.integers(0, 256, (count, 4, 5)).astype(np.uint8)):
        path = folder / "images" / ("test" if place % 7 == 3 else "train") / "ab"[place % 2] / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder / "images"


def test_pictures_are_decoded_once(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path)
    expected = read(str(folder), "memory")
    found = read(str(folder), "disk")
    same(found, expected)
    assert isinstance(found.x_test, StoredArray) and np.array_equal(found.x_test[:], expected.x_test)
    assert found.notes == expected.notes and found.ids == expected.ids
    assert np.array_equal(found.y, expected.y) and np.array_equal(found.y_test, expected.y_test)
    monkeypatch.setattr(reading_pictures, "pixels_of", None)
    same(read(str(folder), "disk"), expected)
    (body,) = home.glob("*.npy")
    body.write_bytes(body.read_bytes()[:-1] + b"x")
    with pytest.raises(TypeError):  # they are to be decoded again
        read(str(folder), "disk")
    monkeypatch.undo()
    monkeypatch.setenv(SWITCH, str(home))
    path = next(folder.rglob("9.png"))
    path.write_bytes(path.read_bytes()[:50])
    assert message(read, str(folder), "disk").startswith(f"{path}: expected a picture")


def test_pictures_train_the_weights_of_an_array_in_memory(tmp_path: Path) -> None:
    shell, folder = Shell(tmp_path), pictures(tmp_path)
    train = ("pretrain", "--layers", "20,5,3", "--epochs", "2", "--batch-size", "16")
    source = read(str(folder), "memory")
    np.savez(tmp_path / "x.npz", x=source.x, y=source.y, x_test=source.x_test, y_test=source.y_test)
    shell.does(*train, "--data", "x.npz", "--storage", "memory", "--run", "runs/memory")
    shell.does(*train, "--data", folder, "--storage", "disk", "--run", "runs/disk")
    assert layer_bytes(tmp_path / "runs/disk") == layer_bytes(tmp_path / "runs/memory")


def test_grey_pictures_in_three_channels_are_noted_each_time(tmp_path: Path) -> None:
    for place, pixels in enumerate(RANDOM.integers(0, 256, (3, 4, 5)).astype(np.uint8)):
        Image.fromarray(pixels).convert("RGB").save(tmp_path / f"{place}.png")
    for storage in ("memory", "disk", "disk"):
        assert "every picture is grey, in three equal channels" in "".join(read(str(tmp_path), storage).notes)
