"""Laws of data frames in Python: taken as the file of the same columns, known by name later, and given back."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from cli_cases import says
from data_files import message
from face_cases import QUICK
from scipy import sparse
from shell import Shell

import stackae
from stackae.errors import ConfigError, DataError, DataWarning

ROWS = 60
SETTINGS: dict[str, Any] = {"scale": "minmax", **QUICK}
WEIGHTS = ("layer1.safetensors", "scaling.safetensors")


@pytest.fixture
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    kinds = draw.choice(["tcp", "udp", "icmp"], ROWS)
    return pd.DataFrame(
        {
            "size": draw.normal(size=ROWS).round(3),
            "proto": pd.Categorical(kinds),
            "flag": pd.Series(draw.choice(["S0", "SF"], ROWS), dtype="str"),
            "ok": draw.random(ROWS) > 0.5,
            "when": pd.date_range("2024-01-01", periods=ROWS, freq="h"),
            "count": pd.Series(draw.integers(0, 9, ROWS), dtype="Int16").mask(np.arange(ROWS) % 7 == 0),
            "label": np.where(kinds == "tcp", "good", "bad"),
        }
    )


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is warned of, as it comes."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield (said := list[str]())
        said += [str(each.message) for each in found]


def trained(frame: Any, **settings: Any) -> stackae.PretrainedStack:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return stackae.pretrain(frame, (4,), "label", **{**SETTINGS, **settings})


def quiet(call: Any, *arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return call(*arguments)


class Interchanged:
    """A data frame by ``__dataframe__`` alone."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.table = pa.Table.from_pandas(frame, preserve_index=False)

    def __dataframe__(self, **options: Any) -> Any:
        return self.table.__dataframe__(**options)


@pytest.mark.parametrize("missing", ["mean", "indicator", "mask", "drop"])
def test_the_same_weights_from_a_frame_and_from_files(frame: pd.DataFrame, tmp_path: Path, missing: str) -> None:
    shell, stack = Shell(tmp_path), trained(frame, missing=missing)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    stack.save(tmp_path / "saved")
    options = ("--target", "label", "--layers", "auto,4", "--scale", "minmax", "--test-fraction", "0", "--epochs", "2")
    for data in ("a.csv", "a.parquet"):
        shell.does("pretrain", "--data", data, *options, "--missing", missing, "--run", f"runs/{data}")
        run = tmp_path / "runs" / data
        assert all((tmp_path / "saved" / name).read_bytes() == (run / name).read_bytes() for name in WEIGHTS)
        mine, theirs = (stackae.load(folder) for folder in (tmp_path / "saved", run))
        assert isinstance(mine, stackae.PretrainedStack) and isinstance(theirs, stackae.PretrainedStack)
        assert mine.known.columns == theirs.known.columns and mine.known.targets == theirs.known.targets == ("label",)
        assert np.array_equal(mine.known.division.sums, theirs.known.division.sums)
        assert np.array_equal(mine.known.division.parts, theirs.known.division.parts)
        shell.does("encode", "--run", "saved", "--data", data, "--out", f"{data}.npy", "--force")
        whole = frame.dropna() if missing == "drop" else frame
        assert np.array_equal(np.load(tmp_path / f"{data}.npy"), quiet(stack.encode, whole).numpy())


@pytest.mark.parametrize("holder", [lambda frame: frame, pa.Table.from_pandas, Interchanged])
def test_any_data_frame_and_its_index_is_no_column(frame: pd.DataFrame, holder: Any) -> None:
    stack = trained(frame)
    part = frame[frame["ok"]]
    assert torch.equal(quiet(stack.encode, holder(part)), quiet(stack.encode, part.reset_index(drop=True)))
    named = frame.set_index(pd.Index(range(5, ROWS + 5), name="id"))
    assert trained(named).known.columns == stack.known.columns
    view = pa.table({"a": pa.array(["p", "q"] * 9).cast(pa.string_view()), "label": ["g", "b"] * 9})
    assert trained(view).known.columns == ("a=p", "a=q")


def test_new_rows_are_read_by_name_and_what_is_new_is_told(frame: pd.DataFrame, told: list[str]) -> None:
    stack = trained(frame)
    codes = quiet(stack.encode, frame)
    assert torch.equal(quiet(stack.encode, frame[frame.columns[::-1]]), codes)
    other = frame.assign(size=1e5 * frame["size"], proto=["gre", *frame["proto"][1:]], more=1).drop(columns="label")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        stack.encode(other[other.columns[::-1]])
    says(
        "\n".join(str(each.message) for each in found),
        "column 'proto' has values that the run was not trained on, taken as 0 for every category: 'gre' (1 rows)",
        "column 'size' goes from", "as large as in training", "missing cells in 'count' (9) are filled by the mean",
        "a column that the run was not trained on, left out: more", "its columns come in another order",
    )  # fmt: skip
    assert {each.category for each in found} == {DataWarning} and {each.filename for each in found} == {__file__}
    assert "expected the 6 columns that the run was trained on, got none named size" in message(
        quiet, stack.encode, frame.drop(columns="size")
    )
    wrong = frame.assign(size=frame["size"].astype(str).where(np.arange(ROWS) != 3, "big"))
    for read in (stack.encode, stack.reconstruct):
        says(
            message(quiet, read, wrong),
            "x: expected cells that are read as in training, got others (rows counted from 0): row 3, column 'size'",
            "'big' is not a number; correct these cells, or leave the rows out",
        )


def test_heads_learn_from_a_column_and_everything_is_saved(frame: pd.DataFrame, tmp_path: Path) -> None:
    stack = trained(frame)
    model = quiet(lambda: stackae.finetune(stack, frame, "label", **QUICK))
    apart = quiet(lambda: stackae.finetune(stack, frame.drop(columns="label"), frame["label"], **QUICK))
    found = quiet(model.predict, frame.drop(columns="label"))
    assert found.names == ("bad", "good") and torch.equal(found.values, quiet(apart.predict, frame).values)
    model.save(tmp_path / "model")
    again = stackae.load(tmp_path / "model")
    assert isinstance(again, stackae.FinetunedModel) and again.stack.known.encoding == stack.known.encoding
    assert torch.equal(quiet(again.predict, frame).values, found.values)
    reports = [quiet(stackae.evaluate, each, frame, "label") for each in (model, again)]
    assert str(reports[0]) == str(reports[1]) and reports[0].rows == ROWS
    numbers = quiet(lambda: stackae.finetune(stack, frame, "size,count", head="regressor", validation=None, **QUICK))
    assert numbers.names == ("size", "count")
    numbers.save(tmp_path / "numbers")
    frame.to_csv(tmp_path / "new.csv", index=False)
    shell = Shell(tmp_path)
    found_again = shell.does("evaluate", "--run", "numbers", "--data", "new.csv", "--json")
    assert [each["target"] for each in json.loads(found_again)["regressor"]["targets"]] == ["size", "count"]
    kept = stackae.load(tmp_path / "numbers")
    assert isinstance(kept, stackae.FinetunedModel) and kept.target == "size,count" and again.target == "label"
    given = quiet(lambda: stackae.finetune(stack, frame[:40], "label", validation=frame[40:], **QUICK))
    assert given.names == ("bad", "good")
    shell.does("predict", "--run", "model", "--data", "new.csv", "--out", "p.npy")
    assert np.array_equal(np.load(tmp_path / "p.npy"), found.values.numpy())


def test_reconstructions_are_given_back_as_columns(frame: pd.DataFrame) -> None:
    stack = trained(frame, missing="indicator")
    made = pd.DataFrame(stack.columns(quiet(stack.reconstruct, frame)))
    assert [*made.columns] == ["size", "proto", "flag", "ok", "when", "count"] and len(made) == ROWS
    assert set(made["proto"]) <= {"tcp", "udp", "icmp"} and made["ok"].dtype == bool
    assert made["when"].dtype == "datetime64[us]" and made["size"].dtype.kind == "f"
    rows = torch.tensor([[1.5, 0.1, 0.2, 0.7, 1, 0, 0.9, 86_400, 3, 1.0]])
    one = {name: cells[0] for name, cells in stack.columns(rows).items()}
    assert one["proto"] == "udp" and one["flag"] == "S0" and bool(one["ok"])
    assert (one["size"], one["count"]) == (1.5, 3) and one["when"] == np.datetime64("1970-01-02")
    with pytest.raises(DataError, match=r"z: expected rows of 10 numbers, got shape \(1, 9\)"):
        stack.columns(rows[:, :9])
    array = stackae.pretrain(np.random.default_rng(0).random((30, 3)), (2,), **QUICK)
    assert [*array.columns(torch.zeros(2, 3))] == ["x0", "x1", "x2"]


def test_columns_are_chosen_by_arguments(frame: pd.DataFrame) -> None:
    chosen = {"columns": ["size", "flag", "count", "proto"], "categorical": "count", "missing_values": ["SF"]}
    stack = trained(frame, **chosen, ordinal={"proto": ["icmp", "udp", "tcp"]})
    kinds = {each.name: each.kind for each in stack.known.encoding.featured}
    assert kinds == {"size": "number", "proto": "ordinal", "flag": "category", "count": "category"}
    assert "flag=SF" not in stack.known.columns and "count=3" in stack.known.columns
    dropped = trained(frame, drop=("when", "ok"), target_kind="classes")
    assert not {"when", "ok", "label"} & {*dropped.known.columns}
    with pytest.raises(ConfigError, match=r"drop: expected names without commas, got 'a,b'; rename the column"):
        trained(frame, drop=["a,b", "c"])
    assert "expected a column named 'sise' to be left out" in message(lambda: trained(frame, drop="sise"))
    x = np.zeros((9, 2))
    for name in ("drop", "columns", "categorical"):
        with pytest.raises(ConfigError, match=f"{name}: expected none, since the columns of x have no names, got 'a'"):
            stackae.pretrain(x, (2,), **{name: "a"}, **QUICK)
    with pytest.raises(ConfigError, match="y: expected a column of x, whose columns have no names, got 'a'; give a"):
        stackae.pretrain(x, (2,), "a", **QUICK)


def test_what_is_no_table_is_refused(frame: pd.DataFrame) -> None:
    mixed = frame.assign(size=[*range(ROWS - 1), "a"])
    says(message(lambda: trained(mixed)), "x: expected a data frame with columns of one type each", "got DataFrame")
    bytes_in_it = frame.assign(raw=[b"a"] * ROWS)
    says(message(lambda: trained(bytes_in_it)), "expected columns of numbers, texts", "got 'raw' of binary; leave it")
    says(message(lambda: trained(frame[:0])), "x: expected rows and columns, got none; give a data frame that holds")
    says(message(lambda: trained(frame, missing="refuse")), "x, row 0: column 'count' (6): the cell is missing")


def test_rows_with_missing_cells_are_dropped_where_nothing_is_given_back_by_row(frame: pd.DataFrame) -> None:
    stack, whole = trained(frame, missing="drop"), frame.dropna()
    assert stack.known.rows == len(whole)
    model, other = (
        quiet(lambda x, y: stackae.finetune(stack, x, y, **QUICK), *each)
        for each in ((frame, frame["label"]), (whole, "label"))
    )
    assert torch.equal(model.predict(whole).values, other.predict(whole).values)
    assert quiet(stackae.evaluate, model, frame, frame["label"]).rows == len(whole)
    says(message(quiet, stack.encode, frame), "row 0, column 'count' (6): the cell is missing")


# ---- arrays with missing cells, and clean rows


def holed() -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(ROWS, 4))
    x[::5, 1], x[3::10, 3] = np.nan, np.inf
    return x


@pytest.mark.parametrize("missing", ["mean", "indicator", "mask", "drop"])
def test_arrays_with_missing_cells_train_as_their_file_does(tmp_path: Path, missing: Any) -> None:
    shell, x = Shell(tmp_path), holed()
    np.save(tmp_path / "a.npy", x)
    options = ("--layers", "auto,4", "--scale", "minmax", "--test-fraction", "0", "--epochs", "2", "--missing", missing)
    shell.does("pretrain", "--data", "a.npy", *options, "--run", "runs/a")
    stack = quiet(lambda: stackae.pretrain(x, (4,), missing=missing, **SETTINGS))
    stack.save(tmp_path / "saved")
    assert all((tmp_path / folder / WEIGHTS[0]).read_bytes() for folder in ("saved", "runs/a"))
    for name in WEIGHTS:
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "runs/a" / name).read_bytes()
    loaded = stackae.load(tmp_path / "saved")
    assert isinstance(loaded, stackae.PretrainedStack) and loaded.known.encoding == stack.known.encoding
    new = x if missing != "drop" else x[np.isfinite(x).all(axis=1)]
    assert torch.equal(quiet(loaded.encode, new), quiet(stack.encode, new))
    shell.does("encode", "--run", "runs/a", "--data", "a.npy", "--out", "codes.npy")
    assert np.array_equal(np.load(tmp_path / "codes.npy"), quiet(stack.encode, new).numpy())
    model = quiet(lambda: stackae.finetune(stack, x, np.arange(ROWS) % 2, **QUICK))
    assert quiet(stackae.evaluate, model, x, np.arange(ROWS) % 2).rows == len(new)
    if missing == "drop":
        assert "x: expected finite 32-bit numbers, got nan at row 0, column 1" in message(stack.encode, x)
    else:
        with pytest.warns(DataWarning, match="missing") if missing != "mask" else warnings.catch_warnings():
            stack.encode(x)


def test_clean_rows_beside_noisy_ones_train_as_their_file_does(tmp_path: Path) -> None:
    draw, shell = np.random.default_rng(0), Shell(tmp_path)
    clean = draw.random((ROWS, 5))
    noisy = clean + 0.1 * draw.standard_normal(clean.shape)
    np.savez(tmp_path / "a.npz", x=noisy, x_clean=clean)
    options = ("--layers", "auto,4", "--scale", "minmax", "--test-fraction", "0", "--epochs", "2")
    shell.does("pretrain", "--data", "a.npz", *options, "--run", "runs/a")
    stack = stackae.pretrain(noisy, (4,), clean=clean, **SETTINGS)
    stack.save(tmp_path / "saved")
    for name in WEIGHTS:
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "runs/a" / name).read_bytes()
    (against,), (itself,) = stackae.evaluate(stack, noisy, clean=clean), stackae.evaluate(stack, noisy)
    assert against.squared_error != itself.squared_error
    assert message(lambda: stackae.pretrain(noisy, (4,), clean=clean[:9], **SETTINGS)) == (
        "clean: expected a clean row for each of x, of shape (60, 5), got (9, 5); give rows of the same shape"
    )


def test_detectors_and_comparisons_read_frames(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "a.parquet")
    shell = Shell(tmp_path)
    shell.does("pretrain", "--data", "a.parquet", "--target", "label", "--layers", "auto,4", "--run", "runs/a")
    shell.does("score", "--run", "runs/a")
    masked = ("--missing", "mask", "--run", "runs/masked", "--layers", "auto,4", "--epochs", "1")
    shell.does("pretrain", "--data", "a.parquet", "--target", "label", *masked)
    shell.does("score", "--run", "runs/masked", "--data", "a.parquet", "--part", "all", "--out", "scores.csv")
    scores = pd.read_csv(tmp_path / "scores.csv")["score"].to_numpy()
    detector = stackae.load_run(tmp_path / "runs/masked").load_detector()
    assert quiet(detector.scores, frame).numpy() == pytest.approx(scores)
    detector = stackae.load_run(tmp_path / "runs/a").load_detector()
    assert torch.equal(quiet(detector.scores, frame), quiet(detector.scores, frame[frame.columns[::-1]]))
    chosen = {"labels": (20,), "seeds": 1, "contenders": ("pretrained", "logistic"), "finetuning": QUICK}
    found = quiet(lambda: stackae.compare(frame, "label", (4,), settings=QUICK, **chosen))
    assert len(found.rows) == 2


def test_a_category_of_numbers_is_numbers_unless_it_is_named(frame: pd.DataFrame) -> None:
    coded = frame.assign(zip=pd.Categorical(np.arange(ROWS) % 3))
    assert "zip" in trained(coded).known.columns
    assert {"zip=0", "zip=1", "zip=2"} <= {*trained(coded, categorical="zip").known.columns}


def test_rows_of_arrays_are_the_windows_of_a_run_and_those_of_frames_are_cut(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, 2)), columns=["a", "b"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    shell = Shell(tmp_path)
    shell.does("pretrain", "--data", "a.csv", "--window", "5", "--layers", "auto,3", "--epochs", "1", "--run", "runs/a")
    shell.does("encode", "--run", "runs/a", "--data", "a.csv", "--out", "codes.npy")
    codes = np.load(tmp_path / "codes.npy")
    stack = stackae.load(tmp_path / "runs/a")
    windows = frame.to_numpy().reshape(12, 5, 2).swapaxes(1, 2).reshape(12, 10)
    assert np.array_equal(quiet(stack.encode, windows).numpy(), codes)
    assert np.array_equal(quiet(stack.encode, frame).numpy(), codes)


def test_cells_that_a_sparse_matrix_does_not_store_are_masked_as_those_of_its_file(tmp_path: Path) -> None:
    ratings = sparse.random_array((ROWS, 6), density=0.5, rng=0, format="csr")
    sparse.save_npz(tmp_path / "a.npz", ratings)
    options = ("--layers", "auto,4", "--scale", "minmax", "--test-fraction", "0", "--epochs", "2", "--missing", "mask")
    Shell(tmp_path).does("pretrain", "--data", "a.npz", *options, "--run", "runs/a")
    stack = stackae.pretrain(ratings, (4,), missing="mask", **SETTINGS)
    stack.save(tmp_path / "saved")
    for name in WEIGHTS:
        assert (tmp_path / "saved" / name).read_bytes() == (tmp_path / "runs/a" / name).read_bytes()
