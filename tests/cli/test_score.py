"""Laws of `stackae score`: what it writes, says and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cli_cases import PNG, PRETRAIN, says
from score_cases import column, held_out, parts, read
from shell import Shell

from stackae.analysis.anomaly import calibrated, fit_scores, score_rows
from stackae.analysis.combined import CombinedScore, fit_combined
from stackae.config import DataConfig
from stackae.data import load_source, scaled_rows
from stackae.metrics import auroc
from stackae.runs import Run

METHODS = (
    ("combined", "score", "flagged"),
    *((name, name, f"{name}_flagged") for name in ("autoencoder", "pca", "mahalanobis", "isolation_forest", "lof")),
)
FILES = ("scores.csv", "scores-features.csv", "scores.png")


@pytest.mark.parametrize("layer", [None, 1, 2])
def test_scores_and_thresholds_are_those_of_the_library(trained: Shell, layer: int | None) -> None:
    document = json.loads(
        trained.does("score", "--json", "--false-alarm-rate", 0.3, *(["--layer", layer] if layer else []))
    )
    stack, data = parts(trained)
    table = read(trained.run / "scores.csv")
    assert [int(row["row"]) for row in table] == held_out(data).tolist()
    default = "autoencoder" if layer else "combined"
    expected = fit_scores(stack, data.train.x, layer)
    if layer is None:
        combined = fit_combined(stack, data.train.x, data.validation.x)
        assert combined is not None
        expected["combined"] = CombinedScore.fit(stack, combined.reference)
    assert document["method"] == default == next(iter(document["methods"]))
    assert document["methods"].keys() == expected.keys()
    for method, score in expected.items():
        names = ("score", "flagged") if method == default else (method, f"{method}_flagged")
        score_name, flag_name = names
        scores = score_rows(score, data.test.x)
        threshold = calibrated(score_rows(score, data.validation.x), 0.3)
        np.testing.assert_allclose(column(table, score_name), scores.numpy(), rtol=1e-6)
        assert document["methods"][method]["threshold"] == pytest.approx(threshold)
        np.testing.assert_array_equal(column(table, flag_name), (scores > threshold).int().numpy())
        assert document["methods"][method]["flagged"] == int((scores > threshold).sum())
    assert document["layer"] == (layer or 2) and document["part"] == "test" and document["rows"] == len(table)


def test_errors_of_features_are_those_of_the_most_suspicious_rows(trained: Shell) -> None:
    document = json.loads(trained.does("score", "--count", 3, "--json"))
    table, rows = read(trained.run / "scores-features.csv"), read(trained.run / "scores.csv")
    worst = np.argsort(-column(rows, "score"))[:3]
    numbers = [int(rows[place]["row"]) for place in worst]
    assert list(table[0]) == ["feature", "mean_error", *(f"row_{number}" for number in numbers)]
    for place, number in zip(worst, numbers, strict=True):
        assert column(table, f"row_{number}").sum() == pytest.approx(float(rows[place]["autoencoder"]))
    assert column(table, "mean_error").sum() == pytest.approx(column(rows, "autoencoder").mean())
    assert [each["row"] for each in document["most_suspicious"]][:3] == numbers
    assert document["worst_features"][0]["mean_error"] == pytest.approx(column(table, "mean_error").max())


def test_the_files_lie_in_the_run_folder_and_are_listed(trained: Shell) -> None:
    trained.draws = True
    printed = trained.does("score")
    assert all(name in printed for name in FILES)
    assert all(Run.open(trained.run).holds(name) for name in FILES)
    assert (trained.run / "scores.png").read_bytes().startswith(PNG)
    assert "every file is as it was written" in trained.does("runs", "verify")


def test_other_files_are_written_where_told(trained: Shell) -> None:
    before = trained.files()
    document = json.loads(trained.does("score", "--out", "found.csv", "--json"))
    new = trained.files().keys() - before.keys()
    assert new == {"found.csv", "found-features.csv", "found.png"} == set(document["files"])
    for name in new:
        says(trained.refuses(2, "score", "--out", "found.csv"), "--out: expected a new file", "add --force")
        (trained.folder / name).write_bytes(b"old")
    trained.does("score", "--out", "found.csv", "--force")
    assert all((trained.folder / name).read_bytes() != b"old" for name in new)
    trained.does("score", "--out", "found.tsv", "--force")
    for name in ("found", "found-features"):
        with_commas = (trained.folder / f"{name}.csv").read_text()
        assert (trained.folder / f"{name}.tsv").read_text() == with_commas.replace(",", "\t")


def test_other_data_are_scored_in_their_order_with_their_own_names(trained: Shell) -> None:
    trained.does("score", "--data", "labelled.csv", "--target", "kind", "--out", "all.csv")
    stack, _ = parts(trained)
    source = load_source(DataConfig(data=str(trained.folder / "labelled.csv"), target="kind"))
    rows = scaled_rows(source, Run.open(trained.run).load_scaling()).x
    expected = (stack.reconstruct(rows) - rows).double().square().sum(dim=1).detach()
    table = read(trained.folder / "all.csv")
    np.testing.assert_allclose(column(table, "autoencoder"), expected.numpy(), rtol=1e-5)
    assert [row["feature"] for row in read(trained.folder / "all-features.csv")] == [f"f{n}" for n in range(8)]


@pytest.mark.parametrize("part", ["test", "validation", "train", "all"])
def test_the_part_that_is_asked_for_is_scored(trained: Shell, part: str) -> None:
    document = json.loads(trained.does("score", "--part", part, "--json"))
    data = parts(trained)[1]
    counts = {"test": len(data.test.x), "validation": len(data.validation.x), "train": len(data.train.x), "all": 60}
    assert (document["part"], document["rows"]) == (part, counts[part])


def test_without_baselines_there_are_the_scores_of_the_stack_alone(trained: Shell) -> None:
    document = json.loads(trained.does("score", "--no-baselines", "--json"))
    assert list(document["methods"]) == ["combined", "autoencoder"]
    names = ["row", "score", "flagged", "autoencoder", "autoencoder_flagged"]
    assert list(read(trained.run / "scores.csv")[0]) == names
    document = json.loads(trained.does("score", "--no-baselines", "--layer", 1, "--json"))
    assert list(document["methods"]) == ["autoencoder"]
    assert list(read(trained.run / "scores.csv")[0]) == ["row", "score", "flagged"]


# ---- where anomalies are known


def test_labels_that_are_named_count_as_anomalies(trained: Shell) -> None:
    arguments = ("score", "--data", "labelled.csv", "--target", "kind", "--false-alarm-rate", "0.3")
    document = json.loads(trained.does(*arguments, "--anomalies", "c", "--json"))
    assert (document["normal_rows"], document["anomalous_rows"]) == (40, 20)
    table = read(trained.run / "scores.csv")
    known = column(table, "anomaly") == 1
    np.testing.assert_array_equal(known, np.arange(60) % 3 == 2)
    for method, name, flag in METHODS:
        found, scores, flagged = document["methods"][method], column(table, name), column(table, flag)
        expected = auroc(torch.from_numpy(scores), torch.from_numpy(known))
        assert found["auroc"] == pytest.approx(expected)
        assert found["false_alarms"] == pytest.approx(flagged[~known].mean())
        assert found["detections"] == pytest.approx(flagged[known].mean())
        assert found["normal_median"] == pytest.approx(np.sort(scores[~known])[19])
    both = json.loads(trained.does(*arguments, "--anomalies", "b, c", "--json"))
    assert (both["normal_rows"], both["anomalous_rows"]) == (20, 40)
    printed = trained.does(*arguments, "--anomalies", "c")
    says(printed, "AUROC", "false alarms", "detected", "combined", "IsolationForest", "LOF")


def test_rows_without_a_label_are_scored_and_not_compared(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    np.savez(trained.folder / "some.npz", x=x, y=np.where(np.arange(60) < 10, -1, np.arange(60) % 3))
    document = json.loads(trained.does("score", "--data", "some.npz", "--anomalies", "2", "--json"))
    table = read(trained.run / "scores.csv")
    assert len(table) == 60 and [row["anomaly"] for row in table[:10]] == [""] * 10
    assert document["normal_rows"] + document["anomalous_rows"] == 50


def test_a_class_may_have_a_comma_in_its_name(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    np.savez(trained.folder / "named.npz", x=x, y=np.array(["a,b", "c"])[np.arange(60) % 2])
    document = json.loads(trained.does("score", "--data", "named.npz", "--anomalies", "a,b", "--json"))
    assert document["anomalous_rows"] == 30


def test_rows_of_another_kind_count_as_anomalies(trained: Shell) -> None:
    noise = np.random.default_rng(0).random((200, 8)).astype(np.float32)
    np.save(trained.folder / "noise.npy", noise)
    document = json.loads(trained.does("score", "--against", "noise.npy", "--json"))
    own = len(parts(trained)[1].test.x)
    assert (document["normal_rows"], document["anomalous_rows"], document["rows"]) == (own, 200, own)
    table = read(trained.run / "scores.csv")
    assert [int(row["row"]) for row in table] == [*held_out(parts(trained)[1]), *range(200)]
    assert column(table, "anomaly").tolist() == [0] * own + [1] * 200
    assert document["against"].endswith("noise.npy") and {row["data"] for row in table[own:]} == {document["against"]}
    assert document["methods"]["mahalanobis"]["auroc"] > 0.9


def test_rows_of_a_table_of_another_kind_need_their_target_column(trained: Shell) -> None:
    for arguments in ((), ("--data", "labelled.csv")):
        trained.does("score", *arguments, "--against", "labelled.csv", "--target", "kind")


def test_of_other_data_with_a_test_part_that_alone_is_taken(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    np.savez(trained.folder / "two.npz", x=x, x_test=x[:7])
    assert json.loads(trained.does("score", "--against", "two.npz", "--json"))["anomalous_rows"] == 7


# ---- too few rows for a threshold


def test_too_few_validation_rows_flag_nothing_and_say_so(trained: Shell) -> None:
    count = len(parts(trained)[1].validation.x)
    result = trained("score", "--json")
    assert all(each["threshold"] is None for each in json.loads(result.out)["methods"].values())
    assert column(read(trained.run / "scores.csv"), "flagged").sum() == 0
    least = np.ceil(1e4 / (count + 1)) / 1e4
    says(
        " ".join(trained("score").err.split()),
        f"expected at least 99 validation rows for a false-alarm rate of 0.01, got {count}, so no row is flagged",
        f"ask for --false-alarm-rate {least:g} or more",
        "--validation-fraction",
    )
    found = json.loads(trained.does("score", "--false-alarm-rate", least, "--json"))
    assert found["methods"]["autoencoder"]["threshold"] is not None


def test_without_validation_rows_there_is_no_threshold(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--validation-fraction", 0)
    result = fresh("score", "--false-alarm-rate", "0.5")
    assert result.code == 0
    says(
        " ".join(result.err.split()), "expected at least 1 validation rows", "got 0", "flagged; pretrain with a larger"
    )


# ---- refusals


@pytest.mark.parametrize(
    ("code", "options", "wanted"),
    [
        (2, ("--false-alarm-rate", "0"), ("--false-alarm-rate: expected a number between 0 and 1", "0.01, got 0")),
        (2, ("--false-alarm-rate", "1"), ("--false-alarm-rate", "got 1")),
        (2, ("--false-alarm-rate", "nan"), ("--false-alarm-rate", "got nan")),
        (2, ("--false-alarm-rate", "few"), ("--false-alarm-rate", "got few")),
        (2, ("--layer", "3"), ("--layer: expected 1 to 2, got 3",)),
        (2, ("--count", "0"), ("--count: expected 1 to 100, got 0",)),
        (2, ("--part", "tset"), ("--part: expected test, validation, train, all, got 'tset'", "did you mean 'test'?")),
        (
            2,
            ("--out", "found.txt"),
            ("--out: expected a name that ends in .csv, .tsv or .parquet, got found.txt; the suffix is",),
        ),
        (2, ("--out", "absent/found.csv"), ("--out: expected a folder that exists, got absent",)),
        (2, ("--anomalies", "1", "--against", "digits"), ("expected none beside --against, got both", "leave out one")),
        (2, ("--anomalies", "one"), ("--anomalies: expected classes of", "(0, 1, 2), got 'one'")),
        (2, ("--anomalies", "1,"), ("--anomalies: expected classes of", "got ''")),
        (
            3,
            ("--anomalies", "0,1,2"),
            ("--anomalies: expected rows of both kinds", "got 0 normal and 12 anomalous ones"),
        ),
        (3, ("--anomalies", "1", "--data", "unlabelled.npy"), ("--anomalies: expected rows with labels", "--target")),
        (3, ("--against", "digits"), ("expected rows of 8 numbers as the run was trained on, got 784",)),
        (3, ("--against", "absent.npy"), ("expected the path of a file", "no such file")),
        (3, ("--data", "digts"), ("expected digits, mnist", "did you mean 'digits'?")),
        (4, ("--run", "runs/none"), ("runs/none: expected a run folder, got no such folder",)),
    ],
)
def test_what_cannot_be_scored(trained: Shell, code: int, options: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    says(trained.refuses(code, "score", *options), *wanted)
