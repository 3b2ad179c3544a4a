"""Laws of `stackae score`: what it writes, says and refuses."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import PNG, PRETRAIN, without_pictures
from conftest import Shell

from stackae.anomaly import calibrated, fit_scores, score_rows
from stackae.config import DataConfig
from stackae.data import load_data, load_source, scaled_rows
from stackae.data.division import TEST
from stackae.errors import ConfigError, DataError, RunError
from stackae.runs import Run
from stackae.runs.manifest import Manifest
from stackae.runs.run import CALIBRATION
from stackae.scores import auroc

FILES = ("scores.csv", "scores-features.csv", "scores.png")


def says(sentence: str, *parts: str) -> None:
    assert [part for part in parts if part not in sentence] == [], sentence


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def column(table: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def parts(shell: Shell) -> Any:
    run = Run.open(shell.run)
    return run.load_stack(), load_data(run.config.data, run.load_scaling())


def held_out(data: Any) -> np.ndarray:
    """The numbers of the test rows in their file."""
    return np.flatnonzero(data.division.parts == TEST)


@pytest.mark.parametrize("layer", [None, 1, 2])
@without_pictures
def test_scores_and_thresholds_are_those_of_the_library(trained: Shell, layer: int | None) -> None:
    document = json.loads(
        trained.does("score", "--json", "--false-alarm-rate", 0.3, *(["--layer", layer] if layer else []))
    )
    stack, data = parts(trained)
    table = read(trained.run / "scores.csv")
    assert [int(row["row"]) for row in table] == held_out(data).tolist()
    names = {"autoencoder": ("score", "flagged"), "pca": ("pca", "pca_flagged")}
    for method, score in fit_scores(stack, data.train.x, layer).items():
        score_name, flag_name = names.get(method, (method, f"{method}_flagged"))
        scores = score_rows(score, data.test.x)
        threshold = calibrated(score_rows(score, data.validation.x), 0.3)
        np.testing.assert_allclose(column(table, score_name), scores.numpy(), rtol=1e-6)
        assert document["methods"][method]["threshold"] == pytest.approx(threshold)
        np.testing.assert_array_equal(column(table, flag_name), (scores > threshold).int().numpy())
        assert document["methods"][method]["flagged"] == int((scores > threshold).sum())
    assert document["layer"] == (layer or 2) and document["part"] == "test" and document["rows"] == len(table)


@without_pictures
def test_errors_of_features_are_those_of_the_most_suspicious_rows(trained: Shell) -> None:
    document = json.loads(trained.does("score", "--count", 3, "--json"))
    table, rows = read(trained.run / "scores-features.csv"), read(trained.run / "scores.csv")
    worst = np.argsort(-column(rows, "score"))[:3]
    numbers = [int(rows[place]["row"]) for place in worst]
    assert list(table[0]) == ["feature", "mean_error", *(f"row_{number}" for number in numbers)]
    for place, number in zip(worst, numbers, strict=True):
        assert column(table, f"row_{number}").sum() == pytest.approx(float(rows[place]["score"]))
    assert column(table, "mean_error").sum() == pytest.approx(column(rows, "score").mean())
    assert [each["row"] for each in document["most_suspicious"]][:3] == numbers
    assert document["worst_features"][0]["mean_error"] == pytest.approx(column(table, "mean_error").max())


def test_the_files_lie_in_the_run_folder_and_are_listed(trained: Shell) -> None:
    printed = trained.does("score")
    assert all(name in printed for name in FILES)
    assert all(Run.open(trained.run).holds(name) for name in FILES)
    assert (trained.run / "scores.png").read_bytes().startswith(PNG)
    assert "every file is as it was written" in trained.does("runs", "verify")


@without_pictures
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


@without_pictures
def test_other_data_are_scored_in_their_order_with_their_own_names(trained: Shell) -> None:
    trained.does("score", "--data", "labelled.csv", "--target", "kind", "--out", "all.csv")
    stack, _ = parts(trained)
    source = load_source(DataConfig(data=str(trained.folder / "labelled.csv"), target="kind"))
    rows = scaled_rows(source, Run.open(trained.run).load_scaling()).x
    expected = (stack.reconstruct(rows) - rows).double().square().sum(dim=1).detach()
    table = read(trained.folder / "all.csv")
    np.testing.assert_allclose(column(table, "score"), expected.numpy(), rtol=1e-5)
    assert [row["feature"] for row in read(trained.folder / "all-features.csv")] == [f"f{n}" for n in range(8)]


@pytest.mark.parametrize("part", ["test", "validation", "train", "all"])
@without_pictures
def test_the_part_that_is_asked_for_is_scored(trained: Shell, part: str) -> None:
    document = json.loads(trained.does("score", "--part", part, "--json"))
    data = parts(trained)[1]
    counts = {"test": len(data.test.x), "validation": len(data.validation.x), "train": len(data.train.x), "all": 60}
    assert (document["part"], document["rows"]) == (part, counts[part])


@without_pictures
def test_without_baselines_there_is_one_method(trained: Shell) -> None:
    document = json.loads(trained.does("score", "--no-baselines", "--json"))
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
    for method, name, flag in (("autoencoder", "score", "flagged"), ("pca", "pca", "pca_flagged")):
        found, scores, flagged = document["methods"][method], column(table, name), column(table, flag)
        expected = auroc(torch.from_numpy(scores), torch.from_numpy(known))
        assert found["auroc"] == pytest.approx(expected)
        assert found["false_alarms"] == pytest.approx(flagged[~known].mean())
        assert found["detections"] == pytest.approx(flagged[known].mean())
        assert found["normal_median"] == pytest.approx(np.sort(scores[~known])[19])
    both = json.loads(trained.does(*arguments, "--anomalies", "b, c", "--json"))
    assert (both["normal_rows"], both["anomalous_rows"]) == (20, 40)
    says(trained.does(*arguments, "--anomalies", "c"), "AUROC", "false alarms", "detected")


@without_pictures
def test_rows_without_a_label_are_scored_and_not_compared(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    np.savez(trained.folder / "some.npz", x=x, y=np.where(np.arange(60) < 10, -1, np.arange(60) % 3))
    document = json.loads(trained.does("score", "--data", "some.npz", "--anomalies", "2", "--json"))
    table = read(trained.run / "scores.csv")
    assert len(table) == 60 and [row["anomaly"] for row in table[:10]] == [""] * 10
    assert document["normal_rows"] + document["anomalous_rows"] == 50


@without_pictures
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


@without_pictures
def test_rows_of_a_table_of_another_kind_need_their_target_column(trained: Shell) -> None:
    for arguments in ((), ("--data", "labelled.csv")):
        trained.does("score", *arguments, "--against", "labelled.csv", "--target", "kind")


@without_pictures
def test_of_other_data_with_a_test_part_that_alone_is_taken(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    np.savez(trained.folder / "two.npz", x=x, x_test=x[:7])
    assert json.loads(trained.does("score", "--against", "two.npz", "--json"))["anomalous_rows"] == 7


# ---- too few rows for a threshold


@without_pictures
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


@without_pictures
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
        (2, ("--out", "found.txt"), ("--out: expected a name that ends in .csv, got found.txt; the suffix is",)),
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


# ---- a detector that was moved: without the data that the run was trained on

SUFFIXES = (".csv", "-features.csv", ".png")


@pytest.fixture
def home(fresh: Shell) -> Shell:
    """A folder with a run, the data that it was trained on, and new.csv."""
    fresh.does(*PRETRAIN, "--epochs", 1)
    write_new_rows(fresh.folder)
    return fresh


def scored(shell: Shell, *options: object) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The document and the files of a score in its own place."""
    document = json.loads(shell.does("score", *options, "--out", "found.csv", "--force", "--json"))
    return document, {suffix: (shell.folder / f"found{suffix}").read_bytes() for suffix in SUFFIXES}


def suspects(document: dict[str, Any]) -> list[tuple[int, float]]:
    return [(each["row"], each["score"]) for each in document["most_suspicious"]]


def moved(shell: Shell, to: Path) -> Shell:
    """The run folder and new rows elsewhere, and the training file gone."""
    shutil.copytree(shell.run, to / "detector")
    shutil.copy(shell.folder / "new.csv", to)
    (shell.folder / "labelled.npz").unlink()
    return Shell(to)


def write_new_rows(folder: Path, count: int = 40, width: int = 8) -> None:
    x = np.random.default_rng(5).random((count, width))
    lines = [",".join(f"f{number}" for number in range(width)), *(",".join(map(str, row)) for row in x.tolist())]
    (folder / "new.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("options", [(), ("--layer", 1), ("--no-baselines",), ("--false-alarm-rate", "0.15")])
@pytest.mark.parametrize("finetuned", [False, True])
@without_pictures
def test_a_moved_detector_scores_to_the_bit_as_at_home(
    home: Shell, tmp_path: Path, options: tuple[str, ...], finetuned: bool
) -> None:
    if finetuned:
        home.does("finetune", "--epochs", 1)
    arguments = ("--data", "new.csv", "--false-alarm-rate", "0.2", *options)
    at_home, files = scored(home, *arguments)
    (tmp_path / "away").mkdir()
    away = moved(home, tmp_path / "away")
    document, found = scored(away, "--run", "detector", *arguments)
    own = {"run": "", "data": "", "which": ""}
    assert {**document, "most_suspicious": suspects(document)} | own == {
        **at_home,
        "most_suspicious": suspects(at_home),
    } | own
    assert found == files
    assert document["methods"]["autoencoder"]["flagged"] > 0


@without_pictures
@pytest.mark.parametrize(
    "extra", [("--seeds", "2"), ("--leave-out", "2"), ("--kind", "pca"), ("--validation-fraction", "0")]
)
def test_every_pretraining_keeps_what_scores_are_calibrated_by(fresh: Shell, extra: tuple[str, ...]) -> None:
    fresh.does(*PRETRAIN, *extra)
    write_new_rows(fresh.folder)
    at_home = scored(fresh, "--data", "new.csv")
    run = Run.open(fresh.run)
    data = load_data(run.config.data, run.load_scaling())
    assert at_home[0]["validation_rows"] == len(data.validation.x)
    (fresh.folder / "labelled.npz").unlink()
    assert scored(fresh, "--data", "new.csv") == at_home


@without_pictures
def test_a_moved_detector_without_new_rows_says_how_to_name_some(home: Shell) -> None:
    (home.folder / "labelled.npz").unlink()
    says(home.refuses(3, "score"), "labelled.npz': no such file", "or score other rows by --data")


@without_pictures
def test_an_older_run_is_calibrated_by_its_first_score_at_home(home: Shell) -> None:
    whole = scored(home, "--data", "new.csv")
    make_older(home.run)
    kept = (home.folder / "labelled.npz").read_bytes()
    (home.folder / "labelled.npz").unlink()
    says(
        home.refuses(3, "score", "--data", "new.csv"),
        "labelled.npz': no such file",
        "or this run keeps no calibration, so score once where they are",
    )
    (home.folder / "labelled.npz").write_bytes(kept)
    assert scored(home, "--data", "new.csv") == whole
    assert not Run.open(home.run).has_calibration
    home.does("score", "--data", "new.csv")
    (home.folder / "labelled.npz").unlink()
    assert scored(home, "--data", "new.csv") == whole
    assert "every file is as it was written" in home.does("runs", "verify")


def make_older(run: Path) -> None:
    """As it was before runs kept their calibration."""
    manifest = Run.open(run).manifest
    files = {name: entries for name, entries in manifest.files.items() if name != CALIBRATION}
    (run / "manifest.json").write_bytes(Manifest(files, manifest.made_from).pack())
    (run / CALIBRATION).unlink()


@without_pictures
def test_a_damaged_calibration_is_refused_and_resume_makes_it_again(trained: Shell) -> None:
    path = trained.run / CALIBRATION
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    says(trained.refuses(4, "score"), CALIBRATION, "stackae resume")
    trained.does("resume", trained.run)
    assert path.read_bytes() == kept


@without_pictures
def test_a_detector_from_python_finds_what_the_command_finds(trained: Shell) -> None:
    write_new_rows(trained.folder)
    document, _ = scored(trained, "--data", "new.csv", "--layer", 1, "--false-alarm-rate", "0.2")
    table = read(trained.folder / "found.csv")
    x = np.loadtxt(trained.folder / "new.csv", delimiter=",", skiprows=1)
    detector = Run.open(trained.run).load_detector(layer=1)
    for method, (name, flag) in {"autoencoder": ("score", "flagged"), "pca": ("pca", "pca_flagged")}.items():
        np.testing.assert_allclose(column(table, name), detector.scores(x, method).numpy(), rtol=1e-6)
        assert column(table, flag).tolist() == detector.flagged(x, 0.2, method).int().tolist()
        assert document["methods"][method]["threshold"] == detector.threshold(0.2, method)


def test_a_detector_of_a_layer_that_is_not_there_and_of_a_run_without_calibration(trained: Shell) -> None:
    run = Run.open(trained.run)
    for layer in (0, 3):
        with pytest.raises(ConfigError, match=f"layer: expected 1 to 2, or None for the top, got {layer}"):
            run.load_detector(layer=layer)
    make_older(trained.run)
    with pytest.raises(RunError, match="expected what scores are calibrated by, got none; run `stackae score` once"):
        run.load_detector()


# ---- rows so wide that baselines are not kept, or cannot be fitted


@pytest.fixture
def wide(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A run whose baselines are too large to be kept."""
    monkeypatch.setattr("stackae.calibration.MOST_NUMBERS", 10)
    fresh.does(*PRETRAIN)
    assert Run.open(fresh.run).load_calibration().baselines is None
    write_new_rows(fresh.folder)
    return fresh


@without_pictures
def test_large_baselines_are_fitted_where_the_training_data_are_and_else_left_out(wide: Shell) -> None:
    at_home, _ = scored(wide, "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert list(at_home["methods"]) == ["autoencoder", "pca", "mahalanobis"] and at_home["baselines_left_out"] is None
    stack, data = parts(wide)
    for method, score in fit_scores(stack, data.train.x).items():
        expected = calibrated(score_rows(score, data.validation.x), 0.2)
        assert at_home["methods"][method]["threshold"] == pytest.approx(expected)
    (wide.folder / "labelled.npz").unlink()
    result = wide("score", "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert result.code == 0
    says(
        " ".join(result.err.split()),
        "PCA and Mahalanobis distance are left out: they are too large to be kept in the run, and its training data",
    )
    away, _ = scored(wide, "--data", "new.csv", "--false-alarm-rate", "0.2")
    assert away["methods"] == {"autoencoder": at_home["methods"]["autoencoder"]}
    assert "training data cannot be read" in away["baselines_left_out"]


@without_pictures
def test_baselines_that_the_memory_does_not_hold_are_left_out_with_a_note(
    wide: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_memory(monkeypatch)
    result = wide("score")
    assert result.code == 0 and "by gradients" not in result.err
    says(
        " ".join(result.err.split()),
        "baselines PCA and Mahalanobis distance are left out: moments of 8 columns: expected data that fit",
    )
    found = json.loads(wide.does("score", "--json"))
    assert list(found["methods"]) == ["autoencoder"] and "moments of 8 columns" in found["baselines_left_out"]


@without_pictures
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_a_memory_that_runs_out_while_scores_are_calibrated_costs_no_training(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*arguments: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("stackae.calibration.fit_baselines", full)
        result = fresh(*PRETRAIN)
        assert result.code == 0 and not Run.open(fresh.run).has_calibration
        says(" ".join(result.err.split()), "calibration left out: memory: expected", "the first `stackae score` beside")
    fresh.does("score", "--json")
    assert Run.open(fresh.run).load_calibration().baselines is not None
    with monkeypatch.context() as patched:
        patched.setattr("stackae.calibration.fit_calibrated", full)
        patched.setattr("stackae.calibration.MOST_NUMBERS", 10)
        fresh.does(*PRETRAIN)
        found = json.loads(fresh.does("score", "--json"))
        assert list(found["methods"]) == ["autoencoder"] and "memory: expected" in found["baselines_left_out"]


@without_pictures
def test_errors_of_other_kinds_while_scores_are_calibrated_are_not_hidden(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("stackae.calibration.fit_baselines", broken)
    assert fresh(*PRETRAIN).code == 1


@without_pictures
def test_fewer_rows_than_columns_are_scored_by_the_gram_matrix(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_memory(monkeypatch)
    x = np.random.default_rng(0).random((50, 300)).astype(np.float32)
    np.save(fresh.folder / "wide.npy", x)
    fresh.does("pretrain", "--layers", "300,4", "--data", "wide.npy")
    document = json.loads(fresh.does("score", "--json", "--false-alarm-rate", "0.3"))
    data = parts(fresh)[1]
    train = data.train.x[:].double()
    basis = torch.linalg.svd(train - train.mean(dim=0), full_matrices=False)[2][:4]
    centred = data.validation.x[:].double() - train.mean(dim=0)
    expected = (centred - centred @ basis.t() @ basis).square().sum(dim=1)
    assert document["methods"]["pca"]["threshold"] == pytest.approx(calibrated(expected, 0.3))


@without_pictures
@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--kind", "pca"), "use kind dense instead of pca for layer 1, or give it fewer inputs"),
        (("--kind", "dense,marginalized"), "use kind dense instead of marginalized for layer 2, or"),
        (("--init", "random,pca"), "use init random instead of pca for layer 2, or give it fewer inputs"),
    ],
)
def test_closed_forms_that_the_memory_does_not_hold_are_refused_before_training(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], remedy: str
) -> None:
    forget_memory(monkeypatch)
    sentence = fresh.refuses(3, *PRETRAIN, *options)
    says(sentence, "moments of", "columns: expected data that fit in the memory, got", remedy)


@without_pictures
def test_a_sweep_of_rows_too_wide_for_moments_begins_at_random_weights(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(fresh.folder / "wide.npy", np.random.default_rng(0).random((50, 300)).astype(np.float32))
    forget_memory(monkeypatch)
    document = json.loads(fresh.does("sweep", "--widths", "2,4", "--data", "wide.npy", "--json"))
    assert document["settings"]["pretrain"]["layers"][-1]["init"] == "random"
    assert all(0 <= point["pca_explained"] <= 1 for point in document["widths"])


def forget_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is left for moments."""

    def full(name: str, needed: int, remedy: str) -> None:
        raise DataError(f"{name}: expected data that fit in the memory, got {needed:,} bytes to be held; {remedy}")

    monkeypatch.setattr("stackae.moments.check_memory", full)


# ---- rows as their file has them: names, order, and rows that cannot be read


@without_pictures
def test_columns_in_another_order_score_as_in_the_runs(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--epochs", 1)
    write_new_rows(fresh.folder)
    expected, files = scored(fresh, "--data", "new.csv")
    lines = [line.split(",") for line in (fresh.folder / "new.csv").read_text().splitlines()]
    (fresh.folder / "new.csv").write_text("".join(",".join([*line[::-1], "7"]) + "\n" for line in lines))
    assert scored(fresh, "--data", "new.csv") == (expected, files)


@without_pictures
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
    assert [line for line in found if not line.startswith("31,")] == [
        line for number, line in enumerate(whole, start=-1) if number not in (5, 9, 20, 30, 31)
    ]
    assert document["rows"] == 36 and document["beyond"] == [{"data": document["data"], "row": 31}]
    said = " ".join(fresh("score", "--data", "new.csv").err.split())
    says(said, "4 of 40 rows left out", "row 5, ", "beyond row 31: too far")
    x = np.random.default_rng(5).random((40, 8))
    x[5, 0] = np.nan
    np.save(fresh.folder / "new.npy", x)
    scored(fresh, "--data", "new.npy")
    table = read(fresh.folder / "found.csv")
    assert [int(row["row"]) for row in table] == [number for number in range(40) if number != 5]
    features = [row["feature"] for row in read(fresh.folder / "found-features.csv")]
    assert features == [f"f{number}" for number in range(8)]  # the run's names, since the file has none


@without_pictures
def test_a_file_without_a_row_that_can_be_read_is_refused(trained: Shell) -> None:
    write_new_rows(trained.folder, 2)
    lines = (trained.folder / "new.csv").read_text().splitlines()
    (trained.folder / "new.csv").write_text("\n".join([lines[0], *("nan" + line[3:] for line in lines[1:])]) + "\n")
    says(trained.refuses(3, "score", "--data", "new.csv"), "new.csv", "nan", "row")


@without_pictures
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


@without_pictures
def test_the_next_command_is_of_the_same_data_and_needs_no_others(home: Shell) -> None:
    (home.folder / "labelled.npz").unlink()
    (home.folder / "new.csv").rename(home.folder / "new rows.csv")
    command = home.does("score", "--data", "new rows.csv").splitlines()[-1]
    assert command == "next        stackae reconstruct --data 'new rows.csv'"
    home.does(*shlex.split(command)[2:])


@without_pictures
def test_training_data_that_changed_move_no_threshold_and_leave_test_rows_their_scores(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--epochs", 1)
    before, files = scored(fresh, "--false-alarm-rate", "0.2")
    header, *lines = (fresh.folder / "labelled.csv").read_text().splitlines()
    (fresh.folder / "labelled.csv").write_text("\n".join([header, *lines[10:]]) + "\n")
    after, found = scored(fresh, "--false-alarm-rate", "0.2")
    for name, method in before["methods"].items():
        assert after["methods"][name]["threshold"] == method["threshold"]
    assert after["validation_rows"] == before["validation_rows"]
    old, new = ([line.split(",") for line in each[".csv"].decode().splitlines()[1:]] for each in (files, found))
    assert new == [[str(int(line[0]) - 10), *line[1:]] for line in old if int(line[0]) >= 10]


@without_pictures
def test_known_anomalies_are_told_without_the_training_data(home: Shell) -> None:
    arguments = ("--data", "labelled.csv", "--target", "kind", "--anomalies", "c")
    expected = scored(home, *arguments)
    (home.folder / "labelled.npz").unlink()
    assert scored(home, *arguments) == expected
    assert 0 <= expected[0]["methods"]["autoencoder"]["auroc"] <= 1


# ---- columns that outliers flatten


def write_flat(folder: Path, name: str, value: float) -> None:
    x = np.random.default_rng(3).random((200, 3))
    x[117, 1] = value
    lines = ["a,b,c", *(",".join(map(str, row)) for row in x.tolist())]
    (folder / name).write_text("\n".join(lines) + "\n")


@without_pictures
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


@without_pictures
def test_outliers_among_the_rows_that_are_scored_are_told(fresh: Shell) -> None:
    write_flat(fresh.folder, "plain.csv", 0.5)
    write_flat(fresh.folder, "flat.csv", 1e6)
    fresh.does("pretrain", "--layers", "3,2", "--data", "plain.csv")
    assert "flattened" not in fresh("score").err
    said = " ".join(fresh("score", "--data", "flat.csv").err.split())
    says(said, "rows 1 column is flattened by outliers", "'b' (98 % of the rows from 0.", "row 117 is 1000000)")
    says(said, "where such a value is a mistake, correct it: it decides the score of its row")


# ---- scores beyond the numbers, and few rows


@without_pictures
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
    write_new_rows(trained.folder, 1)
    document, files = scored(trained, "--data", "new.csv")
    assert document["rows"] == 1 and files[".png"].startswith(PNG)
    assert document["methods"]["autoencoder"]["normal_median"] == document["most_suspicious"][0]["score"]


def test_rows_that_are_all_beyond_the_numbers_are_drawn_without_a_warning(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--scale", "standard", "--validation-fraction", "0", "--epochs", 1)
    np.save(fresh.folder / "far.npy", np.full((2, 8), 3e38))
    document, files = scored(fresh, "--data", "far.npy")
    assert len(document["beyond"]) == 2 and document["methods"]["autoencoder"]["normal_median"] is None
    assert files[".png"].startswith(PNG)


@without_pictures
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
    def fail(*arguments: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stackae.score_pictures.anomaly_scores", fail)
    for options in ((), ("--out", "found.csv")):
        trained.refuses(7, "score", *options)
