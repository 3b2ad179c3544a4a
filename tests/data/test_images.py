"""Folders of pictures: which rows they are, what is made of them, and what is refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import laws, message, mutated, peak_of, write
from hypothesis import given
from PIL import Image

from stackae.config import DataConfig
from stackae.data import Scaling, load_data, load_source, memory
from stackae.data.formats import NAMES, PICTURES
from stackae.data.formats.idx import FOLDERS
from stackae.data.inspect.check import check_data
from stackae.data.pictures.reading import load_images
from stackae.data.provenance import Known, KnownData
from stackae.data.run_rows import RowsRead, read_rows
from stackae.data.source import Source, checked
from stackae.errors import ConfigError, DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (6, 4, 5)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 256, (4, 5, 3)).astype(np.uint8)
WHITE = 255


def save(path: Path, pixels: np.ndarray, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)
    return path


def source_of(path: Path, size: str | None = None, colour: str = "auto", numbers: bool = False) -> Source:
    return checked(load_images(path, size, colour, numbers))


def png(pixels: np.ndarray, **more: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **more)
    return buffer.getvalue()


def classes_in(folder: Path) -> Path:
    for name, pixels in zip(("cat/1", "cat/2", "dog/b/1", "dog/a/2"), GREY, strict=False):
        save(folder / f"{name}.png", pixels)
    return folder


# ---- which rows


def test_a_folder_per_class(tmp_path: Path) -> None:
    source = source_of(classes_in(tmp_path / "a"))
    np.testing.assert_array_equal(source.x, GREY[[0, 1, 3, 2]].reshape(4, -1))  # in the order of the names
    assert source.y is not None and source.y.tolist() == [0, 0, 1, 1] and source.classes == ("cat", "dog")
    assert source.image_shape == (4, 5) and source.x.dtype == np.uint8 and source.x_test is None
    assert source.ids == (("file", ("cat/1.png", "cat/2.png", "dog/a/2.png", "dog/b/1.png")),)
    assert source_of(tmp_path / "a", numbers=True).y is None


def test_pictures_alone_and_one_picture(tmp_path: Path) -> None:
    for number, pixels in enumerate(GREY):
        save(tmp_path / f"{number}.png", pixels)
    source = source_of(tmp_path)
    np.testing.assert_array_equal(source.x, GREY.reshape(6, -1))
    assert source.y is None and source.classes == ()
    one = load_source(DataConfig(data=str(tmp_path / "3.png")))
    assert one.x.tolist() == GREY[3].reshape(1, -1).tolist() and one.ids == (("file", ("3.png",)),)


@pytest.mark.parametrize(
    ("folders", "trained", "tested", "note"),
    [
        (("train", "test"), 4, 4, ""),
        (("Training", "TEST"), 4, 4, ""),
        (("train", "val"), 4, 4, "the pictures of val are the test part"),
        (("train", "valid", "test"), 8, 4, "the 4 pictures of valid are trained on with train, of which a share"),
    ],
)
def test_parts(tmp_path: Path, folders: tuple[str, ...], trained: int, tested: int, note: str) -> None:
    for name in folders:
        classes_in(tmp_path / name)
    source = source_of(tmp_path)
    assert source.x_test is not None and source.y_test is not None
    assert (len(source.x), len(source.x_test), source.y_test.tolist()) == (trained, tested, [0, 0, 1, 1])
    assert source.classes == ("cat", "dog") and note in "".join(source.notes)
    assert source.ids[0][1][-1] == f"{folders[-1]}/dog/b/1.png"


def test_a_test_part_without_classes(tmp_path: Path) -> None:
    classes_in(tmp_path / "train")
    save(tmp_path / "test" / "1.png", GREY[0])
    source = source_of(tmp_path)
    assert source.y is not None and source.y_test is None and source.x_test is not None


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    classes_in(tmp_path)
    (tmp_path / "cat" / ".DS_Store").touch()
    (tmp_path / "cat" / ".hidden.png").touch()
    save(tmp_path / "__MACOSX" / "a.png", GREY[0])
    (tmp_path / "empty").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "cat" / "1.png")
    (tmp_path / "cat" / "loop").symlink_to(tmp_path)
    assert source_of(tmp_path).notes == (
        "left out, as no pictures: notes.txt (1 in all)",
        "left out, as links: link.png, loop (2 in all)",
    )


def test_sentences_of_folders(tmp_path: Path) -> None:
    assert "expected a folder of pictures (.png, .jpg, .jpeg, .bmp, .tif, .tiff, .pgm), got none in it" in message(
        source_of, tmp_path
    )
    save(classes_in(tmp_path) / "1.png", GREY[0])
    assert "got both 1.png and the folder cat; put each into the folder of its class" in message(source_of, tmp_path)
    (tmp_path / "1.png").unlink()
    for name in ("train", "test"):
        classes_in(tmp_path / name)
    text = message(source_of, tmp_path)
    assert "expected the folders train, test and val alone, or a folder per class, got 'cat' beside" in text
    bad = tmp_path / "bad"
    classes_in(bad)
    (bad / "cat").rename(bad / "c\udcff")
    assert "expected names of classes in UTF-8, got 'c\\udcff'; rename that folder" in message(source_of, bad)


def test_a_set_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    classes_in(tmp_path / "digits")
    assert load_source(DataConfig(data="digits")).name == "digits"
    assert load_source(DataConfig(data="./digits")).x.shape == (4, 20)
    assert ("digits", *FOLDERS) == NAMES
    text = message(load_source, DataConfig(data="./digits", target="y"), error=ConfigError)
    assert "target: expected a table with the names of the pictures" in text


# ---- what is made of a picture


@pytest.mark.parametrize("suffix", [each for each in PICTURES if each not in (".jpg", ".jpeg")])
def test_every_lossless_format(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"a{suffix}", GREY[0])
    assert source_of(tmp_path).x.tolist() == GREY[:1].reshape(1, -1).tolist()


def test_grey_and_colour(tmp_path: Path) -> None:
    save(tmp_path / "a.png", COLOUR)
    source = source_of(tmp_path)
    assert source.image_shape == (4, 5, 3) and source.x.tolist() == COLOUR.reshape(1, -1).tolist()
    save(tmp_path / "b.png", GREY[0])
    source = source_of(tmp_path)
    assert source.x[1].tolist() == np.repeat(GREY[0], 3).tolist() and source.notes == ()
    made = source_of(tmp_path, colour="grey")
    assert made.image_shape == (4, 5) and made.x[1].tolist() == GREY[0].ravel().tolist()
    assert np.abs(made.x[0] - COLOUR.reshape(-1, 3) @ [0.299, 0.587, 0.114]).max() < 1
    assert made.notes == ("1 of 2 pictures are in colour: they are made grey",)
    (tmp_path / "a.png").unlink()
    assert source_of(tmp_path, colour="colour").image_shape == (4, 5, 3)
    save(tmp_path / "b.png", np.repeat(GREY[0][..., None], 3, axis=2))
    (note,) = source_of(tmp_path).notes
    assert note == "every picture is grey, in three equal channels: colour='grey' keeps one of them"


def test_sixteen_bits(tmp_path: Path) -> None:
    deep = RANDOM.integers(0, 1 << 16, (4, 5)).astype(np.uint16)
    save(tmp_path / "a.png", deep)
    save(tmp_path / "b.png", GREY[0])
    source = load_images(tmp_path, None, "auto")
    assert source.x.dtype == np.uint16 and source.x.tolist() == [
        deep.ravel().tolist(),
        (GREY[0] * 257.0).ravel().tolist(),
    ]
    assert checked(source).x.dtype == np.float32
    assert np.abs(load_images(tmp_path, None, "colour").x[0, ::3] - deep.ravel() / 257).max() <= 0.5
    np.testing.assert_allclose(load_images(tmp_path, "2x2", "auto").x[0].mean(), deep.mean(), rtol=0.2)
    write(tmp_path / "b.png", (tmp_path / "a.png").read_bytes())
    Image.fromarray(np.full((4, 5), 70_000, np.int32)).save(tmp_path / "c.tif")
    assert "c.tif: expected pixels of 8 or 16 bits, got 70000" in message(source_of, tmp_path)
    Image.fromarray(np.ones((4, 5), np.float32)).save(tmp_path / "c.tif")
    assert "c.tif: expected pixels of 8 or 16 bits, got floats" in message(source_of, tmp_path)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.dstack([COLOUR, np.where(np.arange(5) < 2, 0, 255)[None].repeat(4, 0).astype(np.uint8)])
    save(tmp_path / "a.png", pixels)
    source = source_of(tmp_path)
    found = source.x.reshape(4, 5, 3)
    assert (found[:, :2] == WHITE).all() and (found[:, 2:] == COLOUR[:, 2:]).all()
    assert source.notes == ("1 of 1 pictures may be transparent: they are laid on white",)
    Image.fromarray(GREY[0]).save(tmp_path / "a.png", transparency=int(GREY[0, 0, 0]))
    assert source_of(tmp_path).x[0, 0] == WHITE


def test_sizes(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.full((8, 6), 7, np.uint8))
    save(tmp_path / "b.png", np.full((4, 5), 9, np.uint8))
    text = message(source_of, tmp_path)
    assert text.endswith(
        "expected pictures of one size, got a.png of 8x6 and b.png of 4x5 (height x width); resize all by size='8x6'"
    )
    source = source_of(tmp_path, "4x3")
    assert source.x.tolist() == [[7] * 12, [9] * 12] and source.image_shape == (4, 3)
    assert source.notes == ("2 of 2 pictures are resized to 4x3 (height x width)",)
    assert "size: expected HEIGHTxWIDTH, such as 32x32, got '32'" in message(
        lambda: DataConfig(data="a", size="32"), error=ConfigError
    )


def test_a_photograph_is_turned_as_its_camera_was(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 200
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    save(tmp_path / "a.jpg", pixels, exif=exif, quality=95)
    source = source_of(tmp_path)
    assert source.image_shape == (32, 16)
    upper, lower = source.x.reshape(2, -1)
    assert upper.min() > 150 and lower.max() < 50


def test_a_run_keeps_size_and_channels(tmp_path: Path) -> None:
    told = list[float]()
    config = load_data(DataConfig(data=str(classes_in(tmp_path))), tell=told.append).config
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert (config.size, config.colour) == ("4x5", "grey")


def for_run(config: DataConfig, scaling: Scaling, path: Path) -> RowsRead:
    """The rows of other data for a run."""
    known = Known("run", len(scaling.offset), KnownData(config))
    return read_rows(config.model_copy(update={"data": str(path)}), known, scaling, data_given=True)


@pytest.mark.parametrize(("shape", "pixels"), [((4, 5), GREY), ((4, 5, 3), np.repeat(GREY[..., None], 3, axis=3))])
def test_pictures_for_a_run_on_arrays_and_arrays_for_one_on_pictures(
    tmp_path: Path, shape: tuple[int, ...], pixels: np.ndarray
) -> None:
    flat, folder = pixels.reshape(6, -1), tmp_path / "new"
    for number, each in enumerate(pixels):
        save(folder / f"{number}.png", np.kron(each, np.ones((2, 2) + (1,) * (each.ndim - 2), np.uint8)))
    colour = "colour" if len(shape) == 3 else "grey"
    made = load_images(folder, "4x5", colour).x
    for array, said in ((flat, "x".join(map(str, shape))), (pixels, None)):
        np.save(tmp_path / "a.npy", array)
        data = load_data(DataConfig(data=str(tmp_path / "a.npy"), image_shape=said, scale="standard"))
        read = for_run(data.config, data.scaling, folder)
        assert torch.equal(read.x[:], data.scaling.transform(made))
        assert read.image_shape == shape and "6 of 6 pictures are resized to 4x5" in read.notes[0]
    data = load_data(DataConfig(data=str(folder), size="4x5", colour=colour))
    np.save(tmp_path / "flat.npy", flat)
    assert for_run(data.config, data.scaling, tmp_path / "flat.npy").image_shape == shape
    np.save(tmp_path / "wider.npy", np.zeros((2, 61)))
    assert "expected rows of" in message(for_run, data.config, data.scaling, tmp_path / "wider.npy")


@pytest.mark.parametrize("scale", ["auto", "minmax", "standard", "robust", "unit"])
def test_pixels_for_a_run_on_rows_within_0_and_1(tmp_path: Path, scale: str) -> None:
    for number, pixels in enumerate(GREY):
        save(tmp_path / "new" / f"{number}.png", pixels)
    rows = GREY.reshape(6, -1).astype(np.float32) / WHITE
    np.save(tmp_path / "a.npy", rows)
    data = load_data(DataConfig(data=str(tmp_path / "a.npy"), image_shape="4x5", scale=scale))
    read = for_run(data.config, data.scaling, tmp_path / "new")
    assert torch.equal(read.x[:], data.scaling.transform(rows))
    told = "pixels are divided by 255, as the rows that the run was trained on lie within [0, 1]"
    assert [each for each in read.notes if "divided" in each] == [f"{tmp_path / 'new'}: {told}"]
    np.save(tmp_path / "bytes.npy", GREY.reshape(6, -1))
    of_bytes = load_data(DataConfig(data=str(tmp_path / "bytes.npy"), image_shape="4x5", scale=scale))
    assert torch.equal(
        for_run(of_bytes.config, of_bytes.scaling, tmp_path / "new").x[:],
        of_bytes.scaling.transform(GREY.reshape(6, -1)),
    )


def test_the_names_of_a_run_s_rows(tmp_path: Path) -> None:
    for part in ("train", "test"):
        classes_in(tmp_path / part)
    config = DataConfig(data=str(tmp_path))
    data = load_data(config)
    known = Known("run", 20, KnownData(data.config, division=data.division, rows=8))
    for part, first, count in (("all", "train/cat/1.png", 8), ("test", "test/cat/1.png", 4)):
        ((name, files),) = read_rows(config, known, data.scaling, part).ids
        assert (name, files[0], files[-1], len(files)) == ("file", first, "test/dog/b/1.png", count)


def test_data_check(tmp_path: Path) -> None:
    report = check_data(DataConfig(data=str(classes_in(tmp_path))))
    assert not report.refusal and report.image_shape == (4, 5) and report.classes == ("cat", "dog")


# ---- what is refused


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(side: int) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def test_pictures_that_mean_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png", png(GREY[0])[:60])
    assert f"{path}: expected a picture (PNG, JPEG, BMP, TIFF, PGM), got damaged data" in message(source_of, tmp_path)
    assert "cannot identify image file" in message(source_of, write(path, b"hello").parent)
    assert "got damaged data (Image size (400000000 pixels) exceeds limit" in message(
        source_of, write(path, huge_png(20_000)).parent
    )
    claims = png(GREY[0])[:33] + struct.pack(">I", 0x7FFFFFFF) + png(GREY[0])[37:]
    assert peak_of(lambda: source_of(write(path, claims).parent)) < 1 << 20
    monkeypatch.setattr(memory, "free_memory", lambda: 100 << 20)
    text = message(source_of, write(path, huge_png(8_000)).parent)
    assert "got 512,000,000 bytes to be held and 104,857,600 bytes available; give smaller pictures" in text
    write(path, png(GREY[0]))
    assert "bytes available; give a smaller size" in message(source_of, tmp_path, "20000x20000")
    frames = [Image.fromarray(each) for each in GREY[:2]]
    frames[0].save(tmp_path / "b.tif", save_all=True, append_images=frames[1:])
    assert "b.tif: expected one picture, got several; save each as a file" in message(source_of, tmp_path)


VALID = [png(GREY[0]), png(COLOUR), png(GREY[0].astype(np.uint16)), png(COLOUR, optimize=True)]
for _kind in ("JPEG", "BMP", "TIFF", "PPM"):
    with io.BytesIO() as _buffer:
        Image.fromarray(GREY[1]).save(_buffer, _kind)
        VALID.append(_buffer.getvalue())


@laws
@given(mutated(VALID))
def test_mutated_pictures(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "a.png", content)
    try:
        source = checked(load_images(path, "4x4", "auto"))
    except DataError as error:
        assert str(path) in str(error) and str(error).isprintable()
    else:
        assert source.x.shape in ((1, 16), (1, 48))
