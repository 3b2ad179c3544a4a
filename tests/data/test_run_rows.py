"""Rows that are read for a run: columns by name, parts as they were, and what cannot be read left out and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import message, table

from stackae.config import DataConfig
from stackae.data import Dataset, load_data
from stackae.data.division import LEFT_OUT, TEST
from stackae.data.provenance import Known, KnownData
from stackae.data.run_rows import RowsRead, read_dataset, read_rows
from stackae.errors import DataError

NAMES = ("temp", "press", "flow")
generator = np.random.default_rng(0)
X = generator.standard_normal((300, 3)).round(4)
Y = np.array(["off", "on"])[(X[:, 0] > 0).astype(int)]


def trained(config: DataConfig) -> tuple[Dataset, Known]:
    """What pretraining reads, and what a run keeps of it."""
    data = load_data(config)
    targets = data.targets or ((config.target,) if config.target else ())
    assert data.division is not None
    kept = KnownData(
        data.config, data.column_names, targets, data.classes, data.ignored, len(data.division.sums), data.labels,
        data.division,
    )  # fmt: skip
    return data, Known("run", len(data.scaling.offset), kept)


@pytest.fixture
def own(tmp_path: Path) -> DataConfig:
    return DataConfig(data=table(tmp_path / "own.csv", X, Y), target="state")


def other(config: DataConfig, path: str) -> DataConfig:
    return config.model_copy(update={"data": path})


def rows(read: RowsRead) -> list[tuple[float, ...]]:
    return [tuple(row) for row in read.x[:].tolist()]


def part_rows(data: Dataset, part: str) -> list[tuple[float, ...]]:
    return [tuple(row) for row in getattr(data, part).x[:].tolist()]


# ---- columns


ORDERS = [((0, 1, 2), ".csv"), ((0, 2, 1), ".txt"), ((2, 1, 0), ".tsv"), ((1, 2, 0), ".txt")]


@pytest.mark.parametrize(("order", "suffix"), ORDERS)
def test_columns_are_read_by_their_names(tmp_path: Path, own: DataConfig, order: tuple[int, ...], suffix: str) -> None:
    data, known = trained(own)
    new = np.random.default_rng(1).standard_normal((50, 3))
    path = table(tmp_path / f"new{suffix}", new[:, order], Y[:50], tuple(NAMES[column] for column in order))
    read = read_rows(other(own, path), known, data.scaling)
    assert torch.equal(read.x[:], data.scaling.transform(new))
    assert (read.column_names, read.part, read.which) == (NAMES, "all", f"all 50 rows of {path}")
    moved = "its columns come in another order than the run's; they are read by their names"
    assert [each for each in read.notes if moved in each] == ([] if order == (0, 1, 2) else [f"{path}: {moved}"])
    tuned = read_dataset(other(own, path), known, data.scaling)
    assert torch.equal(tuned.train.x[0:1], data.scaling.transform(new[np.flatnonzero(tuned_parts(tuned) == 0)[:1]]))


def tuned_parts(data: Dataset) -> np.ndarray:
    assert data.division is not None
    return data.division.parts


def test_a_column_more_is_left_out_and_said_whatever_it_holds(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    lines = (tmp_path / "own.csv").read_text().splitlines()
    path = tmp_path / "more.csv"
    path.write_text("\n".join([f"id,{lines[0]}", *(f"P{at},{line}" for at, line in enumerate(lines[1:]))]))
    read = read_rows(other(own, str(path)), known, data.scaling)
    assert f"{path}: a column that the run was not trained on, left out: id" in read.notes
    assert torch.equal(read.x[:], data.scaling.transform(X))


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("temp", "pres", "flow"), ("expected the 3 columns", "got none named press", "did you mean 'pres'?")),
        (("temp", "a", "b"), ("got none named press, flow (but temp, a, b)", "; add them")),
        (("a", "b", "c"), ("got none named temp, press, flow", "rename its columns, or save the rows as .npy")),
    ],
)
def test_a_column_that_is_missing_is_refused_by_its_name(
    tmp_path: Path, own: DataConfig, names: tuple[str, ...], wanted: tuple[str, ...]
) -> None:
    data, known = trained(own)
    path = table(tmp_path / "less.csv", X, names=names)
    sentence = message(read_rows, other(own, path), known, data.scaling)
    assert [each for each in wanted if each not in sentence] == [], sentence


def test_columns_without_names_are_taken_in_their_order_with_a_warning(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    np.save(tmp_path / "new.npy", X[:20])
    read = read_rows(other(own, str(tmp_path / "new.npy")), known, data.scaling)
    assert "its columns have no names: they are taken in the order of the run's, temp, press, flow" in read.notes[0]
    assert torch.equal(read.x[:], data.scaling.transform(X[:20]))
    np.save(tmp_path / "wide.npy", np.zeros((2, 4)))
    sentence = message(read_rows, other(own, str(tmp_path / "wide.npy")), known, data.scaling)
    assert "wide.npy: expected rows of 3 numbers as the run was trained on (temp, press, flow), got 4" in sentence


def test_a_run_without_names_takes_those_of_a_table_in_their_order(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X, y=Y)
    data, known = trained(DataConfig(data=str(tmp_path / "own.npz")))
    path = table(tmp_path / "new.csv", X[:30])
    config = other(known.pretraining.config, path)
    read = read_rows(config, known, data.scaling)
    assert torch.equal(read.x[:], data.scaling.transform(X[:30]))
    assert "the run keeps no names of its columns, so that those of the file cannot be checked by name" in read.notes[0]
    wide = table(tmp_path / "wide.csv", np.zeros((2, 4)), names=("a", "b", "c", "d"))
    sentence = message(read_rows, other(config, wide), known, data.scaling)
    assert "expected 3 features besides a target, got 4 (a, b, c, d)" in sentence


# ---- the target


def test_the_target_of_the_run_is_taken_where_it_is_there(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    with_it = read_rows(other(own, table(tmp_path / "new.csv", X[:9], Y[:9])), known, data.scaling)
    assert with_it.y is not None and [with_it.classes[label] for label in with_it.y.tolist()] == Y[:9].tolist()
    path = table(tmp_path / "bare.csv", X[:9])
    without = read_rows(other(own, path), known, data.scaling)
    assert without.y is None and without.notes[0] == (
        f"{path}: has no column state, the target of the run: its rows are taken as unlabelled"
    )
    sentence = message(lambda: read_rows(other(own, path), known, data.scaling, target_given=True))
    assert "expected a column named 'state' for the target" in sentence


def test_a_target_is_no_feature_even_where_it_is_not_asked_for(tmp_path: Path) -> None:
    table(tmp_path / "own.csv", X)
    own = DataConfig(data=str(tmp_path / "own.csv"), target="temp", target_kind="numbers")
    data, known = trained(own)
    read = read_rows(own.model_copy(update={"target": None}), known, data.scaling, "all")
    assert read.column_names == ("press", "flow") and [each for each in read.notes if "left out" in each] == []


# ---- which rows


def test_other_data_are_looked_at_whole_and_own_data_by_their_test_part(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    new = np.random.default_rng(1).standard_normal((1000, 3))
    read = read_rows(other(own, table(tmp_path / "new.csv", new)), known, data.scaling)
    assert len(read.x) == 1000 and read.numbers.tolist() == list(range(1000)) and not read.own
    at_home = read_rows(own, known, data.scaling)
    assert (at_home.part, at_home.own, at_home.which) == ("test", True, f"60 test rows of {own.data}")
    assert rows(at_home) == part_rows(data, "test") and at_home.notes == ()
    assert at_home.numbers.tolist() == np.flatnonzero(tuned_parts(data) == TEST).tolist()


def test_a_copy_of_the_own_data_says_that_it_was_trained_on(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    path = table(tmp_path / "copy.csv", X, Y)
    read = read_rows(other(own, path), known, data.scaling)
    assert len(read.x) == 300
    assert f"{path}: 240 of its 300 rows equal rows that the run was trained on" in read.notes
    assert rows(read_rows(other(own, path), known, data.scaling, "test")) == part_rows(data, "test")


def test_a_set_with_a_test_part_of_its_own_keeps_it(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=X[:200], y=Y[:200], x_test=X[200:], y_test=Y[200:])
    config = DataConfig(data=str(tmp_path / "own.npz"))
    data, known = trained(config)
    read = read_rows(config, known, data.scaling)
    assert rows(read) == part_rows(data, "test") and read.numbers.tolist() == list(range(100))
    assert read_rows(config, known, data.scaling, "all").numbers.tolist() == list(range(300))


# ---- data that changed since the run was trained


def overlap(read: RowsRead, data: Dataset) -> int:
    """How many of the rows were trained on, or chosen by."""
    taken = {*part_rows(data, "train"), *part_rows(data, "validation")}
    return sum(row in taken for row in rows(read))


CHANGES = {
    "ten rows off the top": (lambda x: x[10:], "10 of 300 rows are gone, 0 are new"),
    "another order": (lambda x: x[::-1], "its rows come in another order, or more than once"),
    "rows of another place": (lambda x: np.roll(x, 7, axis=0), "another order"),
    "fifty new rows": (lambda x: np.concatenate([x[:3] + 9, x, x[:47] + 7]), "0 of 300 rows are gone, 50 are new"),
    "every row twice": (lambda x: np.concatenate([x, x]), "another order"),
    "one value": (lambda x: np.concatenate([x[:1] * 2, x[1:]]), "1 of 300 rows are gone, 1 are new"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_no_row_that_was_trained_on_becomes_a_test_row(own: DataConfig, change: str) -> None:
    data, known = trained(own)
    changed, told = CHANGES[change]
    x = changed(X)
    table(Path(own.data), x, np.array(["off", "on"])[(x[:, 0] > 0).astype(int)])
    read = read_rows(own, known, data.scaling)
    before, now = set(part_rows(data, "test")), set(rows(read))
    still = {tuple(row) for row in data.scaling.transform(x).tolist()}
    assert overlap(read, data) == 0 and before & still <= now
    assert len(read.notes) == 1 and told in read.notes[0], read.notes
    tuned = read_dataset(own, known, data.scaling)
    assert overlap(read, tuned) == 0 and now == set(part_rows(tuned, "test"))
    assert len(tuned.train.x) + len(tuned.validation.x) + len(tuned.test.x) == len(x)


def test_dividing_anew_would_test_what_was_trained_on(own: DataConfig) -> None:
    """The fault that this is about: by position, most test rows of the shorter file are old training rows."""
    data, known = trained(own)
    table(Path(own.data), X[10:], Y[10:])
    anew = load_data(own, data.scaling)
    taken = {*part_rows(data, "train"), *part_rows(data, "validation")}
    assert sum(row in taken for row in part_rows(anew, "test")) > 20
    assert overlap(read_rows(own, known, data.scaling), data) == 0


def test_own_data_of_which_nothing_is_left_are_refused_or_other_data(own: DataConfig) -> None:
    data, known = trained(own)
    table(Path(own.data), X + 50, Y)
    sentence = message(read_rows, own, known, data.scaling)
    assert "expected rows that run was trained on, got 300 others; name the file by data" in sentence
    read = read_rows(own, known, data.scaling, data_given=True)
    assert (read.part, read.own, len(read.x)) == ("all", False, 300)


def test_labels_that_changed_are_said(own: DataConfig) -> None:
    data, known = trained(own)
    table(Path(own.data), X, np.where(Y == "on", "off", "on"))
    assert read_rows(own, known, data.scaling).notes == (
        f"{own.data}: its labels are others than when the run was trained",
    )


def test_classes_that_were_left_out_stay_out(own: DataConfig) -> None:
    config = own.model_copy(update={"leave_out": "on"})
    data, known = trained(config)
    assert {*(tuned_parts(data) & LEFT_OUT).tolist()} == {0, LEFT_OUT}
    table(Path(own.data), X[5:], Y[5:])
    tuned = read_dataset(config, known, data.scaling)
    assert tuned.train.y is not None and {*tuned.train.y.tolist()} == {0}
    table(Path(own.data), X[5:])
    assert read_rows(config, known, data.scaling).y is None


def test_an_older_run_is_read_as_before_and_says_what_cannot_be_checked(own: DataConfig) -> None:
    data, known = trained(own)
    old = known._replace(pretraining=KnownData(own, recorded=False))
    read = read_rows(own, old, data.scaling)
    assert rows(read) == part_rows(data, "test")
    assert "the run keeps no names of its columns" in read.notes[0]
    assert "run keeps no record of its rows, as an older run" in read.notes[1]


def test_test_rows_that_equal_training_rows_are_counted(tmp_path: Path) -> None:
    config = DataConfig(data=table(tmp_path / "own.csv", np.repeat(X[:10], 30, axis=0)))
    data, known = trained(config)
    wanted = f"{config.data}: 60 of its 60 test rows equal rows that are trained on"
    assert read_rows(config, known, data.scaling).notes == (wanted,)
    assert read_dataset(config, known, data.scaling).notes == (wanted,)
    assert read_rows(config, known, data.scaling, "train").notes == ()


# ---- rows that cannot be read


def test_bad_rows_of_a_table_are_left_out_and_named(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    cells = [list(map(repr, row)) for row in X[:200].tolist()]
    cells[17][1], cells[40][0], cells[41][2] = "nan", "x", "1e99"
    cells[99].append("1")
    path = tmp_path / "new.csv"
    path.write_text("\n".join([",".join(NAMES), *map(",".join, cells)]))
    read = read_rows(other(own, str(path)), known, data.scaling)
    kept = np.setdiff1d(np.arange(200), [40, 41, 99])
    assert read.numbers.tolist() == kept.tolist() and read.which == f"197 of the 200 rows of {path}"
    x = X.copy()
    x[17, 1] = data.scaling.fill[1]
    assert torch.equal(read.x[:], data.scaling.transform(x[kept]))
    assert [each.row for each in read.bad] == [40, 41, 99] and read.bad_rows == 3
    assert f"{path}: missing cells in 'press' (1) are filled by the mean of the training rows" in read.notes
    assert next(each for each in read.notes if "left out" in each) == (
        f"{path}: 3 of 200 rows left out, whose cells are no finite numbers (rows counted from 0): row 40, line 42: "
        "column 'temp' (1): 'x' is not a number; row 41, line 43: column 'flow' (3): '1e+99' is too large for a 32-bit "
        "number; row 99, line 101: expected 3 cells as in the header, got 4"
    )
    with pytest.raises(DataError, match="expected 3 cells as in the header, got 4"):
        load_data(DataConfig(data=str(path)))  # pretraining takes all rows or none


def test_bad_rows_of_arrays_are_left_out_and_named(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    x = X.copy()
    x[7, 2], x[9, 1], x[11, 1] = 1e99, np.inf, np.nan
    tested = X[:5].copy()
    tested[0, 0] = -1e99
    np.savez(tmp_path / "new.npz", x=x, x_test=tested, y=Y, y_test=Y[:5])
    read = read_rows(other(own, str(tmp_path / "new.npz")), known, data.scaling)
    assert read.bad_rows == 2 and read.numbers.tolist() == [row for row in range(305) if row not in (7, 300)]
    assert any("row 7, column 2 (counted from 0): 1e+99; row 300, column 0 (counted" in each for each in read.notes)
    assert (
        f"{tmp_path / 'new.npz'}: missing cells in 'x1' (2) are filled by the mean of the training rows" in read.notes
    )
    filled = torch.tensor([data.scaling.fill[1]] * 2) - data.scaling.offset[1]
    assert torch.equal(read.x[[8, 10], 1], (filled / data.scaling.scale[1]).float())


def test_where_no_row_can_be_read_the_data_are_refused(tmp_path: Path, own: DataConfig) -> None:
    data, known = trained(own)
    np.save(tmp_path / "none.npy", np.full((4, 3), np.nan))
    for path in (str(tmp_path / "none.npy"), table(tmp_path / "none.csv", np.full((4, 3), 1e99))):
        assert "expected " in (told := message(read_rows, other(own, path), known, data.scaling))
        assert "none but missing ones" in told or "too large for a 32-bit number" in told
