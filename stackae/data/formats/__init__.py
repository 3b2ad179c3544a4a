"""The table of formats: one row per kind of file that holds rows of numbers.

Whatever code, messages and help ask of a format is an attribute of its row; a new format is its own module and a row
here. A format's module is imported when a file is read or written, so that help names the formats at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import io

    from stackae.config import DataConfig
    from stackae.data.formats.writing import Sink, Table
    from stackae.data.source import Source
    from stackae.data.tables.frame import Dialect, Frame

NAMES = ("digits", "mnist", "fashion-mnist")
SETS = f"{', '.join(NAMES)}, torchvision:NAME"
"""What data may be named by besides a path."""

Tell = Callable[[float], None]
"""Called now and then with the share that is done, 0 to 1."""


def ignored(share: float) -> None:
    """Tells nobody."""


@dataclass(frozen=True)
class Format:
    """How the files whose names end in ``suffix`` are read and written.

    Functions are named "module.function", within ``stackae.data.formats``:

    reader: reads a table whole, as a Frame: reader(path, dialect, tell, storage); None where there is a ``store``.
    store: opens a file of arrays, as a ``Store``: store(path), "package.module.function" within ``stackae.data``.
    members: whether its arrays have names, so that FILE:NAME is one of them.
    pictures: whether it is a picture, or a folder of them, which ``pictures.reading.load_images`` reads.
    pieces: reads a file that may be larger than the memory, in pieces of rows; None where it has to fit.
    writer: writes a ``Table`` to an open file, piece by piece; None where such files are not written.
    delimiter: what stands between the cells of a line of text, if the file does not show another one; "" in no text.
    """

    suffix: str
    reader: str | None = None
    store: str | None = None
    members: bool = False
    pictures: bool = False
    pieces: str | None = None
    writer: str | None = None
    delimiter: str = ""

    @property
    def named(self) -> bool:
        """Whether the columns have names: targets are chosen by name, and a run finds its own columns."""
        return self.reader is not None

    def read(self, place: Place, config: DataConfig, required: bool = True, tell: Tell = ignored) -> Source:
        """The unchecked rows of arrays or pictures at a place; ``tell`` is told the share that is read, 0 to 1.

        The targets that ``config`` names must be there if ``required``. Raises DataError as the reader does.
        """
        numbers = config.target_kind == "numbers"
        if self.pictures:
            from stackae.data.pictures.labels import labelled
            from stackae.data.pictures.reading import load_images

            images = load_images(place.path, config.size, config.colour, numbers, tell, config.storage)
            return images if config.target is None else labelled(images, place.path, config)
        from stackae.data.arrays.reading import Asked, load_arrays

        masked = config.missing == "mask"
        asked = Asked(place.inside, config.target, required, numbers, config.pixels, masked, config.storage)
        return load_arrays(place.path, asked, tell)

    def read_frame(self, path: Path, dialect: Dialect, tell: Tell = ignored, storage: str = "memory") -> Frame:
        """The columns of a table as they stand in its file, in memory or on disk by ``storage``; ``tell`` is told the
        share that is read, 0 to 1.

        Raises DataError as the reader does.
        """
        frame: Frame = _function(self.reader)(path, dialect, tell, storage)
        return frame

    def open_pieces(self, path: Path, file: io.BufferedReader) -> Any:
        """The pieces of an open file."""
        return _function(self.pieces)(path, file)

    def write(self, table: Table, file: Sink, progress: Callable[[float], None] = ignored) -> None:
        """Write a table to a file, piece by piece; ``progress`` is called with the share done so far, 0 to 1."""
        _function(self.writer)(table, file, progress, *([self.delimiter] if self.delimiter else []))


class Place(NamedTuple):
    """Where rows lie: a path, its format, and the name of the array in it ("": whichever may be meant)."""

    path: Path
    format: Format
    inside: str = ""


def _function(name: str | None) -> Callable[..., Any]:
    assert name is not None, "a row says what its format can do: ask for it first"
    module, function = name.rsplit(".", 1)
    found: Callable[..., Any] = getattr(import_module(f"stackae.data.formats.{module}"), function)
    return found


_COMMAS = Format(
    ".csv",
    "text_frame.read_frame",
    writer="writing.write_text",
    delimiter=",",
)
FORMATS = {
    each.suffix: each
    for each in (
        Format(".npy", store="arrays.npy.opened_npy", pieces="npy.NpyPieces", writer="writing.write_npy"),
        Format(".npz", store="arrays.npz.opened_npz", members=True),
        Format(".mat", store="arrays.mat.opened_mat", members=True),
        Format(".h5", store="arrays.hdf5.opened_hdf5", members=True),
        Format(".hdf5", store="arrays.hdf5.opened_hdf5", members=True),
        _COMMAS,
        replace(_COMMAS, suffix=".tsv", delimiter="\t"),
        *(replace(_COMMAS, suffix=suffix, writer=None) for suffix in (".txt", ".data", ".dat")),
        Format(".parquet", "parquet.read_frame", writer="writing.write_parquet"),
    )
}
"""By suffix, in the order in which messages name them."""

PACKED = ".gz"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm")
FORMATS |= {suffix: Format(suffix, pictures=True) for suffix in PICTURES}
FOLDER = Format("", pictures=True)
SHARDS = {
    ".npy": Format("", store="arrays.shards.opened_shards"),
    ".parquet": Format("", "parquet.read_shards"),
}
"""A folder of pictures, and those of files that are one array, or one table, by the suffix of these."""
WRITTEN = {suffix: each for suffix, each in FORMATS.items() if each.writer is not None}
TABLES = {suffix: each for suffix, each in FORMATS.items() if each.named}
WRITTEN_TABLES = {suffix: each for suffix, each in WRITTEN.items() if each.named}
"""The formats that are written, those whose columns have names, and those of them that are written."""


def format_of(path: Path | str) -> Format | None:
    """The format that the suffix of a path names, in letters of either case; None for any other path.

    That of a file of text may be followed by .gz.
    """
    lower = Path(str(path).lower())
    if lower.suffix != PACKED:
        return FORMATS.get(lower.suffix)
    inner = FORMATS.get(lower.with_suffix("").suffix)
    return inner if inner is not None and inner.delimiter else None


def place_of(data: str) -> Place | None:
    """Where ``data`` lie: in a file, whose name may have colons, in FILE:NAME, or in a folder of pictures or shards.

    None for the name of a set, and for what no suffix names.
    """
    whole = format_of(data)
    if data not in NAMES and Path(data).is_dir():
        from stackae.data.formats.shards import suffix_of

        folder = SHARDS.get(suffix_of(Path(data)), FOLDER)
        if whole is None or folder is not FOLDER:
            return Place(Path(data), folder)
    if whole is not None and Path(data).exists():
        return Place(Path(data), whole)
    colons = [at for at, letter in enumerate(data) if letter == ":"]
    named = [
        (Path(data[:at]), found, data[at + 1 :]) for at in colons if (found := format_of(data[:at])) and found.members
    ]
    there = [place for place in named if place[0].exists()]
    if whole is not None and not there:
        return Place(Path(data), whole)
    return Place(*(there or named)[0]) if named else None


def table_of(target: str | None) -> Place | None:
    """Where a table of labels lies that is named by its path, or as FILE:COLUMN; None for anything else."""
    if target is None:
        return None
    for path, inside in ((target, ""), (target.rpartition(":")[0], target.rpartition(":")[2])):
        found = format_of(path)
        if found is not None and found.named and Path(path).is_file():
            return Place(Path(path), found, inside)
    return None


def is_named(data: Path | str) -> bool:
    """Whether the data are a file whose columns have names."""
    place = place_of(str(data))
    return place is not None and place.format.named


def listed(suffixes: Iterable[str]) -> str:
    """.npy, .npz or .csv."""
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last
