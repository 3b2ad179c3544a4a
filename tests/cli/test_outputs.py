"""What the commands write into the file that is named: what its suffix says, of every row, or nothing at all."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import PNG, replaced, says
from shell import Shell

from stackae.data import load_data, load_source, scaled_rows
from stackae.data.formats import WRITTEN, WRITTEN_TABLES, listed
from stackae.models.files import opened, pack
from stackae.runs import Run

TABLES = listed(WRITTEN)


def columns(path: Path) -> dict[str, list[str]]:
    with path.open(newline="") as file:
        header, *lines = list(csv.reader(file))
    return dict(zip(header, map(list, zip(*lines, strict=True)), strict=True))


def numbers(table: dict[str, list[str]], dtype: Any = np.float32) -> np.ndarray:
    return np.array([table[name] for name in table if name != "row"]).T.astype(dtype)


def test_codes_are_the_same_numbers_in_every_format(trained: Shell) -> None:
    for name in ("codes.csv", "codes.tsv", "codes.npy"):
        document = json.loads(trained.does("encode", "--layer", "1", "--out", name, "--json"))
        assert document["codes"] == name and document["shape"] == [60, 6]
    table, codes = columns(trained.folder / "codes.csv"), np.load(trained.folder / "codes.npy")
    assert list(table) == ["row", "h1", "h2", "h3", "h4", "h5", "h6"] and table["row"] == [
        str(row) for row in range(60)
    ]
    np.testing.assert_array_equal(numbers(table), codes)
    assert (trained.folder / "codes.tsv").read_text() == (trained.folder / "codes.csv").read_text().replace(",", "\t")
    run = Run.open(trained.run)
    x = scaled_rows(load_source(run.config.data), run.load_scaling()).x
    with torch.no_grad():
        np.testing.assert_allclose(codes, run.load_stack().encode(x[:], 1).numpy(), rtol=1e-6)


@pytest.mark.parametrize("weights", ["pretrained", "finetuned"])
def test_reconstructions_are_written_in_the_units_and_names_of_the_data(fresh: Shell, weights: str) -> None:
    lines = (fresh.folder / "labelled.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines[1:]]
    large = [[*(str(1000 + 500 * float(cell)) for cell in row[:-1]), row[-1]] for row in cells]
    (fresh.folder / "large.csv").write_text("\n".join([lines[0], *map(",".join, large)]) + "\n")
    data = ("--data", "large.csv", "--target", "kind")
    fresh.does("pretrain", "--layers", "8,6,4", *data, "--epochs", 40, "--corruption", "none")
    if weights == "finetuned":
        fresh.does("finetune", "--head", "reconstruction")
    command = ("reconstruct", "--weights", weights)
    for name in ("restored.csv", "restored.npy"):
        document = json.loads(fresh.does(*command, "--out", name, "--json"))
        assert document["reconstructions"] == name and document["shape"] == [12, 8] and document["part"] == "test"
    table = columns(fresh.folder / "restored.csv")
    assert list(table) == ["row", *(f"f{column}" for column in range(8))]
    restored = np.load(fresh.folder / "restored.npy")
    np.testing.assert_array_equal(numbers(table, restored.dtype), restored)

    run = Run.open(fresh.run)
    model: Any = run.load_stack() if weights == "pretrained" else run.load_head("reconstruction")[0]
    x, scaling = load_data(run.config.data, run.load_scaling()).test.x[:], run.load_scaling()
    with torch.no_grad():
        expected = scaling.inverse_transform(model.reconstruct(x)).numpy()
    np.testing.assert_allclose(restored, expected, rtol=1e-6)
    assert restored.min() > 900 and np.abs(restored - scaling.inverse_transform(x).numpy()).mean() < 200
    fresh.does(*command, *data, "--part", "train", "--out", "train.npy")
    assert np.load(fresh.folder / "train.npy").shape == (42, 8)


def test_other_data_are_reconstructed_whole_through_any_layer(trained: Shell) -> None:
    trained.does("reconstruct", "--data", "unlabelled.npy", "--layer", "1", "--out", "restored.csv")
    table = columns(trained.folder / "restored.csv")
    assert list(table) == ["row", *(f"x{column}" for column in range(8))] and len(table["row"]) == 60
    run = Run.open(trained.run)
    x = run.load_scaling().transform(np.load(trained.folder / "unlabelled.npy"))
    with torch.no_grad():
        expected = run.load_scaling().inverse_transform(run.load_stack().reconstruct(x, 1)).numpy()
    np.testing.assert_allclose(numbers(table, expected.dtype), expected, rtol=1e-5, atol=1e-7)
    trained.does("reconstruct", "--out", "restored.PNG")
    assert (trained.folder / "restored.PNG").read_bytes().startswith(PNG)


def test_samples_are_the_same_numbers_in_every_format(fresh: Shell) -> None:
    kinds = ("--kind", "dense,variational", "--corruption", "none")
    fresh.does("pretrain", "--layers", "8,6,2", "--data", "labelled.csv", "--target", "kind", *kinds)
    for name in ("rows.csv", "rows.npy"):
        fresh.does("sample", "--count", "7", "--out", name)
    table, rows = columns(fresh.folder / "rows.csv"), np.load(fresh.folder / "rows.npy")
    assert list(table) == [f"f{column}" for column in range(8)] and rows.shape == (7, 8)
    np.testing.assert_array_equal(numbers(table, rows.dtype), rows)


@pytest.mark.parametrize(
    ("command", "name", "known"),
    [
        (("encode",), "codes.txt", TABLES),
        (("encode",), "codes", TABLES),
        (("encode",), "codes.png", TABLES),
        (("predict",), "answers.json", TABLES),
        (("reconstruct",), "restored.pdf", f".png, {TABLES}"),
        (("reconstruct",), "restored", f".png, {TABLES}"),
        (("sample",), "rows.npz", TABLES),
        (("score",), "scores.npy", listed(WRITTEN_TABLES)),
        (("runs", "compare", "runs/first", "runs/first"), "compare.csv", ".png"),
        (("runs", "compare", "runs/first", "runs/first"), "compare.npy", ".png"),
    ],
)
def test_a_suffix_that_is_no_format_of_the_command_is_refused(
    trained: Shell, command: tuple[str, ...], name: str, known: str
) -> None:
    sentence = trained.refuses(2, *command, "--out", name)
    says(sentence, f"--out: expected a name that ends in {known}, got {name}")


def test_a_sweep_writes_a_folder_that_is_not_named_like_a_file(fresh: Shell) -> None:
    sentence = fresh.refuses(2, "sweep", "--widths", "2", "--data", "labelled.npz", "--out", "runs/widths.CSV")
    says(sentence, "--out: expected a folder, got widths.CSV, the name of a file; leave out .CSV")


def test_codes_that_are_not_finite_are_refused_with_their_rows(fresh: Shell) -> None:
    linear = ("--activation", "linear", "--output-activation", "linear", "--corruption", "none")
    fresh.does("pretrain", "--layers", "8,4", "--data", "unlabelled.npy", *linear, "--weights", "untied")
    path = fresh.run / "layer1.safetensors"
    with opened(path, path.read_bytes()) as (tensors, described):
        content = pack({name: 1e3 * tensor for name, tensor in tensors.items()}, **described)
    replaced(fresh.run, path.name, content)
    x = np.load(fresh.folder / "unlabelled.npy")
    x[3] = 3e38
    np.save(fresh.folder / "far.npy", x)
    for out in ((), ("--out", "codes.csv"), ("--out", "codes.npy")):
        sentence = fresh.refuses(3, "encode", "--data", "far.npy", *out)
        says(sentence, "codes of layer 1: expected finite numbers, got NaN or infinities for row 3 (counted from 0)")
    says(
        fresh.refuses(3, "reconstruct", "--data", "far.npy", "--out", "restored.csv"),
        "reconstructions: expected finite numbers, got NaN or infinities for row 3",
    )


def test_figures_that_are_not_finite_are_null_in_json_and_in_the_records(fresh: Shell) -> None:
    linear = ("--activation", "linear", "--output-activation", "linear", "--corruption", "none")
    fresh.does("pretrain", "--layers", "8,4", "--data", "unlabelled.npy", *linear, "--weights", "untied")
    x = np.load(fresh.folder / "unlabelled.npy")
    x[::2] = 3e38
    np.save(fresh.folder / "far.npy", x)
    path = fresh.run / "layer1.safetensors"
    with opened(path, path.read_bytes()) as (tensors, described):
        content = pack({name: 1e3 * tensor for name, tensor in tensors.items()}, **described)
    replaced(fresh.run, path.name, content)

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = fresh.does("evaluate", "--data", "far.npy", "--part", "train", "--json")
    layer = json.loads(text, parse_constant=refused)["reconstruction"][0]
    assert layer["squared_error"] is None
    for line in (fresh.run / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=refused)


@pytest.mark.parametrize("command", ["predict", "encode", "reconstruct"])
def test_rows_that_cannot_be_read_are_left_out_and_the_others_keep_their_numbers(trained: Shell, command: str) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    x[7, 2] = x[40, 0] = np.nan
    np.save(trained.folder / "holes.npy", x)
    kept = [row for row in range(60) if row not in (7, 40)]
    result = trained(command, "--data", "holes.npy", "--out", "made.csv")
    says(result.err, "2 of 60 rows left out", "row 7")
    assert columns(trained.folder / "made.csv")["row"] == list(map(str, kept))
    result = trained(command, "--data", "holes.npy", "--out", "made.npy")
    kept_by = f"a {listed(WRITTEN_TABLES)} file keeps those"
    says(result.err, f"made.npy holds 58 rows, without the 2 left out and without row numbers; {kept_by}")
    assert len(np.load(trained.folder / "made.npy")) == 58
