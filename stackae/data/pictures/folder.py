"""Which pictures a folder holds, in which order, of which classes, and which of them are its test part."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stackae.config.values import is_text
from stackae.data.formats import PICTURES
from stackae.errors import DataError, legible

PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validation"), "validation"
)
"""Names of folders that are parts of the data, and no classes."""
JUNK = ("__MACOSX",)
SHOWN = 3


class Pictures(NamedTuple):
    """Files in their order, of the test part last, which are ``tests``; and the class of each, None for none."""

    path: Path
    files: list[Path]
    classes: list[str | None]
    tests: int
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Of the files, from the folder on."""
        return [each.name if each == self.path else each.relative_to(self.path).as_posix() for each in self.files]

    @property
    def labels(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """y (n,), -1 where a picture has no class, and the classes in the order of their names."""
        known = tuple(sorted({name for name in self.classes if name is not None}))
        places = {name: place for place, name in enumerate(known)}
        return np.array([-1 if name is None else places[name] for name in self.classes], dtype=np.int64), known


class _Walk:
    """Folders as they are looked through, and what is left out of them."""

    def __init__(self) -> None:
        self.links: list[str] = []
        self.others: list[str] = []

    def entries(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """The pictures and the folders in a folder, in the order of their names; hidden ones are passed by."""
        files, folders = [], []
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in JUNK:
                continue
            if entry.is_symlink():
                self.links.append(entry.name)
            elif entry.is_dir():
                folders.append(folder / entry.name)
            elif entry.is_file() and Path(entry.name).suffix.lower() in PICTURES:
                files.append(folder / entry.name)
            else:
                self.others.append(entry.name)
        return files, folders

    def below(self, folder: Path) -> list[Path]:
        """All pictures in a folder and in those within it."""
        found, waiting = [], [folder]
        while waiting:
            files, folders = self.entries(waiting.pop())
            found += files
            waiting += reversed(folders)
        return found

    def classes(self, folder: Path) -> list[tuple[Path, str | None]]:
        """The pictures of a part with their classes: alone, or in a folder per class."""
        files, folders = self.entries(folder)
        within = {each: below for each in folders if (below := self.below(each))}
        if files and within:
            raise DataError(
                f"{folder}: expected pictures in folders of their classes, or pictures alone, got both "
                f"{legible(files[0].name)} and the folder {legible(next(iter(within)).name)}; put each into the folder "
                "of its class"
            )
        return [(file, None) for file in files] + [
            (file, each.name) for each, below in within.items() for file in below
        ]

    @property
    def notes(self) -> tuple[str, ...]:
        told = []
        for names, what in ((self.others, "no pictures"), (self.links, "links")):
            if names:
                shown = ", ".join(legible(name) for name in names[:SHOWN]) + ", ..." * (len(names) > SHOWN)
                told.append(f"left out, as {what}: {shown} ({len(names):,} in all)")
        return tuple(told)


def pictures_of(path: Path) -> Pictures:
    """The pictures of a folder, or the one of a file.

    Folders named train and test are the two parts, and one named val is their test part where there is no test, else
    trained on with train. Raises DataError for no pictures, and for a folder of which it is not clear what classes are.
    """
    if not path.is_dir():
        return Pictures(path, [path], [None], 0, ())
    walk = _Walk()
    train, test, notes = _parts(path, walk)
    both = [*train, *test]
    if not train:
        suffixes = ", ".join(PICTURES)
        raise DataError(f"{path}: expected a folder of pictures ({suffixes}), got none in it; name another folder")
    for name in {name for _, name in both if name is not None}:
        if not is_text(name):
            raise DataError(f"{path}: expected names of classes in UTF-8, got '{legible(name)}'; rename that folder")
    files, classes = [file for file, _ in both], [name for _, name in both]
    return Pictures(path, files, classes, len(test), (*walk.notes, *notes))


_Part = list[tuple[Path, str | None]]


def _parts(path: Path, walk: _Walk) -> tuple[_Part, _Part, tuple[str, ...]]:
    """The training part, the test part, and what there is to say of them."""
    files, folders = walk.entries(path)
    parts = {PARTS.get(each.name.lower()): each for each in folders}
    if "train" not in parts or not parts.keys() & {"test", "validation"}:
        walk.others, walk.links = [], []
        return walk.classes(path), [], ()
    others = [each for each in folders if each not in (parts.get(part) for part in PARTS.values())]
    if others or files:
        other = legible([*others, *files][0].name)
        raise DataError(
            f"{path}: expected the folders train, test and val alone, or a folder per class, got '{other}' beside "
            "them; name the folder that holds the classes"
        )
    train = walk.classes(parts["train"])
    validation = walk.classes(parts["validation"]) if "validation" in parts else []
    if "test" not in parts:
        return train, validation, (f"the pictures of {parts['validation'].name} are the test part",)
    joined = f"the {len(validation):,} pictures of {{}} are trained on with train, of which a share is held out"
    notes = (joined.format(parts["validation"].name),) if validation else ()
    return [*train, *validation], walk.classes(parts["test"]), notes
