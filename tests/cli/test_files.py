"""Files as spreadsheets, instruments and arrays write them, through every command: right, or with the remedy."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import says
from shell import Shell

X = np.random.default_rng(0).random((60, 4))
Y = np.where(X[:, 0] > 0.5, "yes", "no")
NAMES = ("a", "b", "c", "d", "label")
Cells = Callable[[int], list[object]]


def table(
    separator: str = ",",
    names: tuple[str, ...] = NAMES,
    cells: Cells = lambda row: [*X[row].round(3), Y[row]],
    end: str = "\n",
    trail: str = "",
    quote: str = "",
) -> str:
    lines = [[f"{quote}{name}{quote}" for name in names], *([*map(str, cells(row))] for row in range(60))]
    return "".join(separator.join(line) + trail + end for line in lines)


def with_first(name: str, cell: Callable[[int], object]) -> str:
    return table(names=(name, *NAMES), cells=lambda row: [cell(row), *X[row].round(3), Y[row]])


LABEL = ("--target", "label")
TAKEN: dict[str, tuple[str | bytes | np.ndarray, tuple[str, ...]]] = {
    "mark-lines-and-quotes.csv": (table(end="\r\n", quote='"').encode("utf-8-sig"), LABEL),
    "tabs.tsv": (table("\t"), LABEL),
    "spaces.txt": (table("  "), LABEL),
    "index.csv": (with_first("", lambda row: row), LABEL),
    "time.csv": (with_first("time", lambda row: f"2024-01-01 00:00:{row:02d}"), (*LABEL, "--ignore", "time")),
    "trailing.csv": (table(trail=","), (*LABEL, "--ignore", "")),
    "swapped-bytes.npy": (np.asfortranarray(1e6 * X).astype(">f8"), ()),
    "booleans.npy": (X > 0.5, ()),
    "halves.npy": (X.astype(np.float16), ()),
    "seconds.npy": (1.7e9 + np.arange(240.0).reshape(60, 4), ()),
}
REFUSED: dict[str, tuple[str | bytes | np.ndarray, str]] = {
    "semicolons.csv": (table(";"), "expected commas between the cells, got semicolons"),
    "decimal-commas.csv": (table(";").replace(".", ","), "save it with commas and points in numbers"),
    "mixed.txt": (table(";", names=("a,b", *NAMES[1:])), "got semicolons and commas"),
    "tabs.csv": (table("\t"), "expected commas between the cells, got tabs"),
    "table.dat": (table(), "save a table as .csv, with commas between its cells"),
    "packed.csv.gz": (gzip.compress(table().encode()), "(a file of another kind)"),
    "latin.csv": (table().replace("a,", "°C,", 1).encode("latin-1"), "expected UTF-8 text, got byte 0xb0"),
    "utf16.csv": (table().encode("utf-16"), "expected UTF-8 text, got byte 0xff; save it as UTF-8"),
    "comment.csv": ("# logger\n" + table(), "take the lines that begin with # out of the file"),
    "twice.csv": (table(names=("a", "a", "c", "d", "label")), "got 'a' twice; rename one"),
    "bare.csv": (table().split("\n", 1)[1], "where these are data, put a line of names above them"),
    "identity.csv": (with_first("id", lambda row: f"P{row}"), "leave such columns out by --ignore id"),
    "units.csv": (table(cells=lambda row: [f"{X[row, 0]:.2f} V", *X[row, 1:], Y[row]]), "--ignore a"),
    "object.npy": (X.astype(object), "expected an array of real numbers, got object; convert it and save it again"),
    "complex.npy": (X.astype(complex), "expected an array of real numbers, got complex128"),
}


def write(path: Path, content: str | bytes | np.ndarray) -> None:
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


@pytest.mark.parametrize("name", TAKEN)
def test_a_file_that_is_taken_serves_every_command(fresh: Shell, name: str) -> None:
    content, options = TAKEN[name]
    write(fresh.folder / name, content)
    assert json.loads(fresh.does("data", "check", name, *options, "--json"))["accepted"]
    fresh.does("pretrain", "--layers", "4,3", "--data", name, *options)
    if options:
        fresh.does("finetune")
        assert json.loads(fresh.does("evaluate", "--json"))["labelled_rows"] == 12
        fresh.does("predict", "--out", "answers.csv")
    else:
        says(fresh.refuses(3, "finetune"), "labels: expected labels to train a classifier, got none; use data that has")
        says(fresh.refuses(4, "predict"), "got none; train one by `stackae finetune")
        fresh.does("evaluate")
    fresh.does("score", "--data", name, "--no-baselines")
    fresh.does("encode", "--out", "codes.npy")
    fresh.does("reconstruct", "--part", "all", "--out", "restored.npy")
    restored, origin = np.load(fresh.folder / "restored.npy"), np.asarray(content, float) if not options else X
    assert np.load(fresh.folder / "codes.npy").shape == (60, 3) and restored.shape == (60, 4)
    assert np.abs(restored - origin).max() <= 1.01 * np.ptp(origin)  # in the units of the file


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused_ends_with_the_remedy(fresh: Shell, name: str) -> None:
    content, sentence = REFUSED[name]
    write(fresh.folder / name, content)
    options = LABEL if name.partition(".")[2] != "npy" else ()
    says(fresh.refuses(3, "pretrain", "--layers", "4,3", "--data", name, *options), sentence)
    checked = fresh("data", "check", name, *options, "--json")
    assert checked.code == 3 and json.loads(checked.out)["refusal"]


def test_a_folder_of_images_is_refused_with_the_remedy(fresh: Shell) -> None:
    (fresh.folder / "images").mkdir()
    sentence = fresh.refuses(3, "pretrain", "--layers", "4,3", "--data", "images")
    says(sentence, "got 'images' (a directory); save images as one .npy array of shape (n, h, w)")
