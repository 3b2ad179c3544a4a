"""Laws of the rows that `stackae score` reads: names, order, cells that cannot be read, outliers, infinite scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_cases import PNG, PRETRAIN, says
from score_cases import column, read, scored, write_new_rows
from shell import Shell

# ---- rows as their file has them: names, order, and rows that cannot be read


def test_columns_in_another_order_score_as_in_the_runs(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--epochs", 1)
    write_new_rows(fresh.folder)
    expected, files = scored(fresh, "--data", "new.csv")
    lines = [line.split(",") for line in (fresh.folder / "new.csv").read_text().splitlines()]
    turned = [",".join([*line[::-1], "7" if at else "more"]) for at, line in enumerate(lines)]
    (fresh.folder / "new.csv").write_text("\n".join(turned) + "\n")
    assert scored(fresh, "--data", "new.csv") == (expected, files)


def test_rows_that_cannot_be_read_are_left_out_and_the_others_keep_their_numbers(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--scale", "standard")
    write_new_rows(fresh.folder)
    _, files = scored(fresh, "--data", "new.csv")
    whole = files[".csv"].decode().splitlines()
    lines = (fresh.folder / "new.csv").read_text().splitlines()
    for number, cell in {5: "nan", 9: "", 20: "abc", 30: "1e300", 31: "3e38"}.items():
        lines[1 + number] = ",".join([cell, *lines[1 + number].split(",")[1:]])
    (fresh.folder / "new.csv").write_text("\n".join(lines) + "\n")
    document, files = scored(fresh, "--data", "new.csv")
    found = files[".csv"].decode().splitlines()
    kept, expected = (
        [
            list(map(float, line.split(",")))
            for line in lines[1:]
            if line.split(",")[0] not in ("5", "9", "20", "30", "31")
        ]
        for lines in (found, whole)
    )
    np.testing.assert_allclose(kept, expected, rtol=1e-9)  # distances round by their batch
    assert document["rows"] == 38 and document["beyond"] == [{"data": document["data"], "row": 31}]
    said = " ".join(fresh("score", "--data", "new.csv").err.split())
    says(said, "2 of 40 rows left out", "row 20, ", "missing cells in 'f0' (2) are filled", "beyond row 31: too far")
    x = np.random.default_rng(5).random((40, 8))
    x[5, 0] = np.nan
    np.save(fresh.folder / "new.npy", x)
    scored(fresh, "--data", "new.npy")
    table = read(fresh.folder / "found.csv")
    assert [int(row["row"]) for row in table] == [*range(40)]  # the missing cell is filled
    features = [row["feature"] for row in read(fresh.folder / "found-features.csv")]
    assert features == [f"f{number}" for number in range(8)]  # the run's names, since the file has none


def test_a_file_without_a_row_that_can_be_read_is_refused(trained: Shell) -> None:
    write_new_rows(trained.folder, 2)
    lines = (trained.folder / "new.csv").read_text().splitlines()
    (trained.folder / "new.csv").write_text("\n".join([lines[0], *("nan" + line[3:] for line in lines[1:])]) + "\n")
    says(trained.refuses(3, "score", "--data", "new.csv"), "new.csv", "expected 8 features", "got 7")


@pytest.mark.parametrize(
    ("factor", "count", "told"), [(1, 40, False), (1000, 40, True), (1000, 9, False), (1000, 200, True)]
)
def test_rows_in_other_units_are_told_as_a_whole(fresh: Shell, factor: float, count: int, told: bool) -> None:
    x = np.random.default_rng(0).random((200, 3))
    np.save(fresh.folder / "own.npy", x)
    np.save(fresh.folder / "scaled.npy", factor * x[:count])
    fresh.does("pretrain", "--layers", "3,2", "--data", "own.npy", "--epochs", 1)
    said = " ".join(fresh("score", "--data", "scaled.npy").err.split())
    sentence = f"{count} of {count} rows score above every validation row: check that their columns are those that"
    assert (sentence in said) == told and ("strange" in said) == told


# ---- columns that outliers flatten


def write_flat(folder: Path, name: str, value: float) -> None:
    x = np.random.default_rng(3).random((200, 3))
    x[117, 1] = value
    lines = ["a,b,c", *(",".join(map(str, row)) for row in x.tolist())]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_columns_that_outliers_of_the_training_rows_flatten_are_told_there_and_away(fresh: Shell) -> None:
    write_flat(fresh.folder, "flat.csv", 1e6)
    write_flat(fresh.folder, "plain.csv", 0.5)
    fresh.does("pretrain", "--layers", "3,2", "--data", "flat.csv", "--test-fraction", 0, "--validation-fraction", 0)
    told = (
        "of the training rows, 1 column is flattened by outliers, with more than 100 times the range of nearly all "
        "rows: 'b'"
    )
    for remove in (False, True):
        if remove:
            (fresh.folder / "flat.csv").unlink()
        said = " ".join(fresh("score", "--data", "plain.csv", "--json").err.split())
        says(said, told, "row 117 is 1000000)", "pretrain with --scale robust")
    write_flat(fresh.folder, "flat.csv", 1e6)
    fresh.does(
        *("pretrain", "--layers", "3,2", "--data", "flat.csv", "--test-fraction", 0, "--validation-fraction", 0),
        *("--scale", "robust"),
    )
    assert "flattened" not in fresh("score", "--data", "plain.csv").err


def test_outliers_among_the_rows_that_are_scored_are_told(fresh: Shell) -> None:
    write_flat(fresh.folder, "plain.csv", 0.5)
    write_flat(fresh.folder, "flat.csv", 1e6)
    fresh.does("pretrain", "--layers", "3,2", "--data", "plain.csv")
    assert "flattened" not in fresh("score").err
    said = " ".join(fresh("score", "--data", "flat.csv").err.split())
    says(said, "rows 1 column is flattened by outliers", "'b' (98 % of the rows from 0.", "row 117 is 1000000)")
    says(said, "where such a value is a mistake, correct it: it decides the score of its row")


# ---- scores beyond the numbers, and few rows


@pytest.mark.parametrize("activation", ["sigmoid", "linear"])
def test_rows_too_far_for_a_number_are_flagged_and_named(fresh: Shell, activation: str) -> None:
    fresh.does(*PRETRAIN, "--scale", "standard", "--activation", activation)
    write_new_rows(fresh.folder, 12)
    lines = (fresh.folder / "new.csv").read_text().splitlines()
    lines[4] = ",".join(["3e38"] * 8)
    (fresh.folder / "new.csv").write_text("\n".join(lines) + "\n")
    document, _ = scored(fresh, "--data", "new.csv", "--false-alarm-rate", "0.2")
    table = read(fresh.folder / "found.csv")
    assert [row["score"] for row in table].count("inf") == 1 and table[3]["score"] == "inf"
    assert table[3]["flagged"] == "1"
    assert [each["row"] for each in document["beyond"]] == [3]
    says(
        " ".join(fresh("score", "--data", "new.csv").err.split()),
        "beyond row 3: too far from what the run was trained on for a number; the score counts as infinite",
    )


def test_a_single_row_is_scored_and_drawn(trained: Shell) -> None:
    trained.draws = True
    write_new_rows(trained.folder, 1)
    document, files = scored(trained, "--data", "new.csv")
    assert document["rows"] == 1 and files[".png"].startswith(PNG)
    assert document["methods"]["combined"]["normal_median"] == document["most_suspicious"][0]["score"]


def test_rows_that_are_all_beyond_the_numbers_are_drawn_without_a_warning(fresh: Shell) -> None:
    fresh.draws = True
    fresh.does(*PRETRAIN, "--scale", "standard", "--validation-fraction", "0", "--epochs", 1)
    np.save(fresh.folder / "far.npy", np.full((2, 8), 3e38))
    document, files = scored(fresh, "--data", "far.npy")
    assert len(document["beyond"]) == 2 and document["methods"]["autoencoder"]["normal_median"] is None
    assert files[".png"].startswith(PNG)


def test_equal_validation_scores_are_a_threshold_that_equal_rows_do_not_pass(fresh: Shell) -> None:
    x = np.ones((40, 3), np.float32)
    np.save(fresh.folder / "equal.npy", x)
    fresh.does("pretrain", "--layers", "3,2", "--data", "equal.npy")
    np.save(fresh.folder / "new.npy", np.concatenate([x[:5], x[:5] + 1]))
    document, _ = scored(fresh, "--data", "new.npy", "--false-alarm-rate", "0.3")
    for name in ("flagged", "pca_flagged", "mahalanobis_flagged"):
        assert column(read(fresh.folder / "found.csv"), name).tolist() == [0] * 5 + [1] * 5
    assert document["methods"]["autoencoder"]["flagged"] == 5


def test_a_picture_that_cannot_be_drawn_leaves_nothing(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    trained.draws = True

    def fail(*arguments: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stackae.plots.scores.anomaly_scores", fail)
    for options in ((), ("--out", "found.csv")):
        trained.refuses(7, "score", *options)
