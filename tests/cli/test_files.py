"""Files as spreadsheets, instruments and arrays write them, through every command: right, or with the remedy."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cli_cases import says
from PIL import Image
from pyarrow import parquet
from scipy.io import savemat
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


def packed() -> bytes:
    buffer = io.BytesIO()
    columns = {name: X[:, place] for place, name in enumerate(NAMES[:4])}
    parquet.write_table(pa.table({**columns, "label": Y}), buffer)
    return buffer.getvalue()


LABEL = ("--target", "label")
TAKEN: dict[str, tuple[str | bytes | np.ndarray, tuple[str, ...]]] = {
    "mark-lines-and-quotes.csv": (table(end="\r\n", quote='"').encode("utf-8-sig"), LABEL),
    "tabs.tsv": (table("\t"), LABEL),
    "spaces.txt": (table("  "), LABEL),
    "index.csv": (with_first("", lambda row: row), LABEL),
    "time.csv": (with_first("time", lambda row: f"2024-01-01 00:00:{row:02d}"), (*LABEL, "--drop", "time")),
    "trailing.csv": (table(trail=","), LABEL),
    "semicolons.csv": (table(";"), LABEL),
    "decimal-commas.csv": (table(";").replace(".", ","), LABEL),
    "tabs.csv": (table("\t"), LABEL),
    "latin.csv": (table().replace("a,", "°C,", 1).encode("latin-1"), LABEL),
    "utf16.csv": (table().encode("utf-16"), LABEL),
    "comment.csv": ("# logger\n" + table(), LABEL),
    "twice.csv": (table(names=("a", "a", "c", "d", "label")), LABEL),
    "table.dat": (table("|"), LABEL),
    "packed.csv.gz": (gzip.compress(table().encode()), LABEL),
    "no-header.data": (table().split("\n", 1)[1], ("--target", "x4")),
    "asked.txt": (table(";", names=("0", "1", "2", "3", "label")), (*LABEL, "--header", "--delimiter", "semicolon")),
    "typed.parquet": (packed(), LABEL),
    "identity.csv": (with_first("id", lambda row: f"P{row}"), LABEL),
    "units.csv": (table(names=("v", *NAMES), cells=lambda row: [f"{X[row, 0]:.4f} V", *X[row], Y[row]]), LABEL),
    "swapped-bytes.npy": (np.asfortranarray(1e6 * X).astype(">f8"), ()),
    "booleans.npy": (X > 0.5, ()),
    "halves.npy": (X.astype(np.float16), ()),
    "seconds.npy": (1.7e9 + np.arange(240.0).reshape(60, 4), ()),
}
REFUSED: dict[str, tuple[str | bytes | np.ndarray, str]] = {
    "cells.csv": (table(cells=lambda row: [X[row, 0] if row else "1_0", *X[row, 1:], Y[row]]), "'1_0' is not a number"),
    "table.xlsx": (table(), "(a file of another kind); save a table as .csv, with commas between its cells"),
    "thousands.csv": (
        table(";", cells=lambda row: ["1,234", 5, 6, 7, "x"]),
        "may be 1.234 or 1234; say which by --",
    ),
    "names-or-data.csv": ("0,1,2,label\n" + "7,3,9,x\n" * 9, "say which by --header or --no-header"),
    "above.csv": ("Logger 7\n" + table(), "begin what stands above a table with #"),
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


def test_a_folder_of_pictures(fresh: Shell) -> None:
    (fresh.folder / "images").mkdir()
    sentence = fresh.refuses(3, "pretrain", "--layers", "auto,3", "--data", "images")
    says(sentence, "images: expected a folder of pictures (.png, .jpg,", "got none in it")
    for number in range(40):
        kind = "cat" if number % 2 else "dog"
        pixels = np.random.default_rng(number).integers(0, 60, (8, 8)).astype(np.uint8)
        pixels[2:6] += 150 * (number % 2)
        (fresh.folder / "images" / kind).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(fresh.folder / "images" / kind / f"{number:02}.png")
    fresh.does("pretrain", "--layers", "auto,8,3", "--data", "images", "--epochs", "2", "--run", "run")
    assert "dog" in fresh.does("finetune", "--run", "run", "--epochs", "3")
    Image.fromarray(np.dstack([np.kron(pixels, np.ones((2, 2), np.uint8))] * 3)).save(fresh.folder / "new.png")
    told = fresh("predict", "--run", "run", "--data", "new.png", "--out", "new.csv").err
    says(told, "1 of 1 pictures are resized to 8x8", "1 of 1 pictures are in colour: they are made grey")
    assert (fresh.folder / "new.csv").read_text().splitlines()[0] == "row,file,class,p(cat),p(dog)"
    fresh.does("score", "--run", "run", "--data", "images/cat", "--out", "scores.csv")
    assert (
        "cat/" not in (fresh.folder / "scores.csv").read_text()
        and ",01.png," in (fresh.folder / "scores.csv").read_text()
    )
    for command in ("encode", "reconstruct", "evaluate"):
        fresh.does(command, "--run", "run", "--data", "images")


def test_arrays_of_a_file_and_labels_of_another(fresh: Shell) -> None:
    cube, truth = np.random.default_rng(0).random((6, 7, 8)), np.arange(42).reshape(6, 7) % 3
    savemat(fresh.folder / "cube.mat", {"cube": cube})
    savemat(fresh.folder / "truth.mat", {"truth": truth})
    options = ("cube.mat", "--pixels", "--target", "truth.mat")
    assert "--data cube.mat --target truth.mat --pixels" in fresh.does("data", "check", *options)
    fresh.does("pretrain", "--layers", "auto,4", "--data", *options, "--epochs", "2", "--run", "run")
    fresh.does("finetune", "--run", "run", "--background", "0", "--epochs", "2")
    fresh.does("evaluate", "--run", "run")
    savemat(fresh.folder / "new.mat", {"cube": cube[:2], "other": cube})
    fresh.does("predict", "--run", "run", "--data", "new.mat:cube", "--out", "new.csv")
    lines = (fresh.folder / "new.csv").read_text().splitlines()
    assert len(lines) == 15 and lines[0] == "row,class,p(1),p(2)"
    says(fresh.refuses(3, "predict", "--run", "run", "--data", "new.mat"), "--data new.mat:cube")
