"""Labels of pictures from a table: which columns are taken, and what is said of names that are missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import message, write
from PIL import Image
from shell import Shell

from stackae.config import DataConfig
from stackae.data import load_source
from stackae.data.source import Source
from stackae.errors import ConfigError

NAMES = ("a/1.png", "a/2.png", "b/2.png", "b/3.png")
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.uint8)


def pictures(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    for name, pixels in zip(names, PIXELS, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    return folder


def read(tmp_path: Path, table: str, column: str = "", **more: object) -> Source:
    path = write(tmp_path / "labels.csv", table)
    asked = {"data": str(tmp_path / "images"), "target": f"{path}{column}"}
    return load_source(DataConfig.model_validate(asked | more))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return pictures(tmp_path / "images")


@pytest.mark.parametrize(
    "named",
    [
        NAMES,
        ("a\\1.png", "./a/2.png", "b/2.png", "b/3.png"),
        ("a/1", "a/2", "b/2", "b/3"),
        ("1.png", "a/2.png", "b/2.png", "3.png"),
        ("1", "a/2", "b/2", "3"),
    ],
)
@pytest.mark.usefixtures("images")
def test_rows_name_pictures_in_any_order(tmp_path: Path, named: tuple[str, ...]) -> None:
    labels = ("cat", "dog", "", "cat")
    lines = [f"{label},{name}" for name, label in zip(named, labels, strict=True)][::-1]
    source = read(tmp_path, "\n".join(["kind,file", *lines]))
    assert source.classes == ("cat", "dog") and source.y is not None and source.y.tolist() == [0, 1, -1, 0]
    np.testing.assert_array_equal(source.x, PIXELS.reshape(4, -1))
    assert source.notes == (f"{tmp_path / 'labels.csv'}: 'file' names pictures, and kind labels them",)


@pytest.mark.usefixtures("images")
def test_the_column_of_labels(tmp_path: Path) -> None:
    table = "file,age,label\na/1.png,3,x\na/2.png,,y\nb/2.png,2.5,x\nb/3.png,1,y\n"
    assert read(tmp_path, table).classes == ("x", "y")
    assert read(tmp_path, table, ":age").classes == ("1", "2.5", "3")
    numbers = read(tmp_path, table, ":age", target_kind="numbers")
    assert numbers.targets == ("age",) and numbers.y is not None
    np.testing.assert_array_equal(numbers.y, np.array([[3], [np.nan], [2.5], [1]], np.float32))
    both = read(tmp_path, "file,a,b\na/1.png,1,0\n", ":a,b", target_kind="numbers")
    assert both.targets == ("a", "b") and both.y is not None and both.y[0].tolist() == [1, 0]
    assert np.isnan(both.y[1:]).all()


@pytest.mark.usefixtures("images")
def test_names_that_are_missing_on_either_side(tmp_path: Path) -> None:
    source = read(tmp_path, "file,label\na/1.png,x\nz.png,y\nb/3.png,y\n2.png,y\n,x\n")
    assert source.y is not None and source.y.tolist() == [0, -1, -1, 1]
    table, folder = tmp_path / "labels.csv", tmp_path / "images"
    assert source.notes[1:] == (
        f"3 rows of {table} name no picture of {folder}: z.png, 2.png, an empty cell",
        f"2 pictures of {folder} are not in {table}, without a label: a/2.png, b/2.png",
    )
    source = read(tmp_path, "file,label\na/1.png,x\na/2.png,x\nb/3.png,y\nz.png,y\n")
    assert source.notes[1:] == (
        f"1 row of {table} names no picture of {folder}: z.png",
        f"1 picture of {folder} is not in {table}, without a label: b/2.png",
    )


def test_parts_are_labelled_alike(tmp_path: Path) -> None:
    pictures(tmp_path / "images", ("train/1.png", "train/2.png", "test/3.png", "test/4.png"))
    source = read(tmp_path, "file,label\n4,y\n3,x\n2,y\n1,x\n")
    assert source.y is not None and source.y_test is not None
    assert (source.y.tolist(), source.y_test.tolist()) == ([0, 1], [0, 1])


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("table", "more", "told"),
    [
        ("file,label\nq.png,x\n", {}, "expected a column of names of pictures, as a/1.png, got none in file, label; "),
        ("file,a,b\na/1.png,x,y\n", {}, "expected one column of labels beside 'file', which names pictures, got a, b"),
        ("file,x\na/1.png,2\n1.png,3\n", {}, "labels.csv:3: expected one label per picture, got another than at"),
        ("file,x\na/1.png,2\na/2.png,u\n", {"target_kind": "numbers"}, "expected numbers in the column 'x', got 'u'; "),
    ],
)  # fmt: skip
def test_tables_that_do_not_fit(tmp_path: Path, table: str, more: dict[str, object], told: str) -> None:
    assert told in message(lambda: read(tmp_path, table, **more))


@pytest.mark.usefixtures("images")
def test_a_target_of_pictures_is_a_table(tmp_path: Path) -> None:
    config = DataConfig(data=str(tmp_path / "images"), target="label")
    assert "expected a table with the names of the pictures and their labels, as labels.csv" in message(
        lambda: load_source(config), error=ConfigError
    )


def test_by_commands(fresh: Shell) -> None:
    for folder, count in (("images", 60), ("new", 4)):
        (fresh.folder / folder).mkdir()
        for number in range(count):
            pixels = np.full((8, 8), 200 * (number % 2), np.uint8)
            pixels[number // 8 % 8, number % 8] = 100
            Image.fromarray(pixels).save(fresh.folder / folder / f"{number:02d}.png")
    lines = [f"{number:02d}.png,{('dark', 'light')[number % 2]}" for number in range(60)]
    (fresh.folder / "labels.csv").write_text("\n".join(["file,label", *lines]))
    fresh.does("pretrain", "--data", "images", "--layers", "auto,4", "--epochs", "2", "--run", "runs/a")
    fresh.does("finetune", "--run", "runs/a", "--data", "images", "--target", "labels.csv")
    assert "accuracy" in fresh.does("evaluate", "--run", "runs/a")
    fresh.does("pretrain", "--data", "images", "--target", "labels.csv:label", "--layers", "auto,4", "--run", "runs/b")
    fresh.does("finetune", "--run", "runs/b")
    fresh.does("predict", "--run", "runs/b", "--data", "new", "--out", "new.csv")
    header, *answers = [line.split(",") for line in (fresh.folder / "new.csv").read_text().splitlines()]
    assert header == ["row", "file", "class", "p(dark)", "p(light)"]
    assert [(file, label in ("dark", "light")) for _, file, label, *_ in answers] == [
        (f"{number:02d}.png", True) for number in range(4)
    ]
