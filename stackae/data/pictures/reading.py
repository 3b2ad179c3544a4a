"""Pictures: one file, a folder of them, or a folder with a folder per class; read by Pillow, one row per picture."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stackae.data.formats.bounded import opened
from stackae.data.memory import check_memory
from stackae.data.pictures.folder import Pictures, pictures_of
from stackae.data.source import Source
from stackae.data.spool.pieces import as_rows
from stackae.data.spool.spooled import Origin, RowWriter, spooled
from stackae.data.stored.array import stays_on_disk
from stackae.errors import DataError, argument, legible
from stackae.threads import usable_cpus

if TYPE_CHECKING:
    from PIL import Image

READ = ("PNG", "JPEG", "BMP", "TIFF", "PPM")  # Pillow's names of formats
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # modes of one channel of more than 8 bits
GREY = ("1", "L", "LA", *DEEP)
SIXTEEN = 257  # 65,535 over 255
AT_ONCE = 64  # pictures that are decoded before they are put among the others
WORK = 8  # bytes per pixel while one is decoded and resized


class Look(NamedTuple):
    """What a file says of its picture before it is decoded."""

    height: int
    width: int
    grey: bool
    deep: bool
    clear: bool

    @property
    def size(self) -> str:
        return f"{self.height}x{self.width}"


class Wanted(NamedTuple):
    """What every picture is made: (height, width) of bytes, of 3 channels if ``colour``, or of 16 bits if ``deep``."""

    height: int
    width: int
    colour: bool
    deep: bool

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.height, self.width, 3) if self.colour else (self.height, self.width)


def load_images(
    path: Path,
    size: str | None,
    colour: str,
    numbers: bool = False,
    tell: Callable[[float], None] = lambda share: None,
    storage: str = "memory",
) -> Source:
    """The pictures of a file or folder: x (n, pixels) uint8, or uint16 where they are grey and some have 16 bits.

    ``size`` is HEIGHTxWIDTH, to which all are resized; without it, all must be of one. ``colour`` is grey, colour, or
    auto: grey where all are. Classes are the names of the folders, unless ``numbers`` are wanted; folders train and
    test are the two parts. Pictures are turned as their EXIF data say, and laid on white where they are transparent.
    Where their ``storage`` is on disk, pixels are decoded into the cache, and mapped.

    Raises DataError for pictures that are damaged, too large for the memory, or of several sizes, and for none at all.
    """
    found = pictures_of(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, of what is odd in a file and harmless
        looks = [look(file) for file in found.files]
        wanted = _wanted(found, looks, size, colour)
        rows, greyish, told = _decoded(found, wanted, tell, storage)
    notes = [*found.notes, *_notes(looks, wanted, size, greyish and colour == "auto"), *told]
    count = len(found.files) - found.tests
    y, classes = (None, ()) if numbers else found.labels
    y_test = None if y is None or not found.tests else y[count:]
    return Source(
        name=str(path),
        x=as_rows(rows[:count]),
        y=None if y is None or (y[:count] < 0).all() else y[:count],
        classes=classes,
        x_test=as_rows(rows[count:]) if found.tests else None,
        y_test=None if y_test is None or (y_test < 0).all() else y_test,
        image_shape=wanted.shape,
        notes=tuple(notes),
        ids=(("file", tuple(found.names)),),
    )


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """The picture of a regular file, not decoded yet; whatever Pillow says of it is a DataError."""
    from PIL import Image, ImageOps

    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        check_memory(str(path), size, "give smaller pictures")
        content = io.BytesIO(file.read(size))  # which never makes room for more than is left, as a file does
        try:
            with Image.open(content, formats=READ) as image:
                if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{path}: expected one picture, got several; save each as a file")
                if image.mode == "F":
                    raise DataError(f"{path}: expected pixels of 8 or 16 bits, got floats; save an array as .npy")
                check_memory(str(path), WORK * image.width * image.height, "give smaller pictures")
                if image.format in ("JPEG", "MPO"):
                    ImageOps.exif_transpose(image, in_place=True)
                yield image
        except (DataError, MemoryError):
            raise
        except Exception as error:  # of any kind, by the damage
            cause = legible(" ".join(str(error).split()).split(" <_io.")[0].strip() or type(error).__name__, 200)
            raise DataError(
                f"{path}: expected a picture (PNG, JPEG, BMP, TIFF, PGM), got damaged data ({cause}); save it again, "
                "or take it out"
            ) from None


def look(path: Path) -> Look:
    """What the file declares; a JPEG that is to be turned is decoded for that. Raises DataError as ``load_images``."""
    with _picture(path) as image:
        clear = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        return Look(image.height, image.width, image.mode in GREY, image.mode in DEEP, clear)


def _wanted(found: Pictures, looks: list[Look], size: str | None, colour: str) -> Wanted:
    first = looks[0]
    if size is None:
        other = next((place for place, each in enumerate(looks) if each.size != first.size), None)
        if other is not None:
            raise DataError(
                f"{found.path}: expected pictures of one size, got {legible(found.names[0], 100)} of {first.size} and "
                f"{legible(found.names[other], 100)} of {looks[other].size} (height x width); resize all by "
                f"{argument('size', first.size)}"
            )
    height, width = map(int, (size or first.size).split("x"))
    coloured = colour == "colour" or (colour == "auto" and not all(each.grey for each in looks))
    return Wanted(height, width, coloured, not coloured and any(each.deep for each in looks))


def _decoded(
    found: Pictures, wanted: Wanted, tell: Callable[[float], None], storage: str
) -> tuple[np.ndarray, bool, list[str]]:
    """The rows, whether all their colours are grey, and what there is to say of them."""
    dtype, width = np.dtype(np.uint16 if wanted.deep else np.uint8), int(np.prod(wanted.shape))
    name, needed = str(found.path), len(found.files) * width * dtype.itemsize
    if stays_on_disk(storage, needed):

        def fill(writer: RowWriter) -> dict[str, Any]:
            grey = wanted.colour
            for rows, greyish in _some(found, wanted, tell):
                writer.add(rows)
                grey = grey and greyish
            return {"grey": grey}

        kept = spooled(Origin(name, tuple(found.files), [*wanted]), dtype, width, fill, needed)
        return kept.rows, bool(kept.told["grey"]), [kept.note] if kept.note else []
    check_memory(name, needed, f"give a smaller {argument('size')}")
    every, grey, start = np.empty((len(found.files), width), dtype), wanted.colour, 0
    for rows, greyish in _some(found, wanted, tell):
        every[start : start + len(rows)] = rows
        start, grey = start + len(rows), grey and greyish
    return every, grey, []


def _some(found: Pictures, wanted: Wanted, tell: Callable[[float], None]) -> Iterator[tuple[np.ndarray, bool]]:
    """The rows of some pictures at a time, and whether all their colours are grey."""

    def read(path: Path) -> tuple[np.ndarray, bool]:
        pixels = pixels_of(path, wanted)
        return pixels.reshape(-1), wanted.colour and bool((pixels == pixels[..., :1]).all())

    with ThreadPoolExecutor(usable_cpus().threads, "decode") as pool:  # Pillow decodes outside of Python's lock
        try:
            for start in range(0, len(found.files), AT_ONCE):
                rows, grey = list[np.ndarray](), True
                for row, greyish in pool.map(read, found.files[start : start + AT_ONCE]):
                    rows.append(row)
                    grey = grey and greyish
                    tell((start + len(rows)) / len(found.files))
                yield np.stack(rows), grey
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def pixels_of(path: Path, wanted: Wanted) -> np.ndarray:
    """The pixels of a picture, of the wanted shape. Raises DataError as ``load_images`` does."""
    from PIL import Image

    with _picture(path) as image:
        if image.mode in DEEP:
            image = _of_16_bits(path, image, wanted.deep)
        elif "A" in image.mode.upper()[1:] or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        if image.mode != "F":
            image = image.convert("RGB" if wanted.colour else "L")
        scale = SIXTEEN if wanted.deep and image.mode == "L" else 1
        if image.size != (wanted.width, wanted.height):
            image = image.resize((wanted.width, wanted.height), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
        return np.rint(pixels).astype(np.uint16) * np.uint16(scale) if wanted.deep else pixels


def _of_16_bits(path: Path, image: Image.Image, deep: bool) -> Image.Image:
    """A picture of 16 bits as floats, or as bytes."""
    from PIL import Image

    pixels = np.asarray(image)
    if pixels.size and not 0 <= pixels.min() <= pixels.max() < 1 << 16:
        raise DataError(f"{path}: expected pixels of 8 or 16 bits, got {pixels.min()} to {pixels.max()}; save as .npy")
    return Image.fromarray(pixels.astype(np.float32) if deep else np.rint(pixels / SIXTEEN).astype(np.uint8))


def _notes(looks: list[Look], wanted: Wanted, size: str | None, greyish: bool) -> list[str]:
    """What a person should know of how the pictures were made alike."""
    notes = []
    resized = sum(each.size != size for each in looks) if size else 0
    if resized:
        notes.append(f"{resized:,} of {len(looks):,} pictures are resized to {size} (height x width)")
    if clear := sum(each.clear for each in looks):
        notes.append(f"{clear:,} of {len(looks):,} pictures may be transparent: they are laid on white")
    if greyish:
        notes.append(f"every picture is grey, in three equal channels: {argument('colour', 'grey')} keeps one of them")
    if not wanted.colour and (coloured := sum(not each.grey for each in looks)):
        notes.append(f"{coloured:,} of {len(looks):,} pictures are in colour: they are made grey")
    return notes
