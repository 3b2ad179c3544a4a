"""Laws of a detector that was moved: without the data that the run was trained on, or with others in their place."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from cli_cases import PLAIN, PRETRAIN, says
from score_cases import column, make_older, moved, read, scored, suspects, write_new_rows
from shell import Shell

from stackae.data import load_data
from stackae.errors import ConfigError, RunError
from stackae.runs import Run
from stackae.runs.run import CALIBRATION


@pytest.fixture
def home(fresh: Shell) -> Shell:
    """A folder with a run, the data that it was trained on, and new.csv."""
    fresh.does(*PRETRAIN, "--epochs", 1)
    write_new_rows(fresh.folder)
    return fresh


@pytest.mark.parametrize("options", [(), ("--layer", 1), ("--no-baselines",), ("--false-alarm-rate", "0.15")])
@pytest.mark.parametrize("finetuned", [False, True])
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


@pytest.mark.parametrize(
    "extra",
    [
        ("--seeds", "2"),
        ("--leave-out", "2"),
        ("--kind", "pca", "--corruption", "none", "--activation", "linear"),
        ("--validation-fraction", "0"),
    ],
)
def test_every_pretraining_keeps_what_scores_are_calibrated_by(fresh: Shell, extra: tuple[str, ...]) -> None:
    fresh.does(*PLAIN, *extra)
    write_new_rows(fresh.folder)
    at_home = scored(fresh, "--data", "new.csv")
    run = Run.open(fresh.run)
    data = load_data(run.config.data, run.load_scaling())
    assert at_home[0]["validation_rows"] == len(data.validation.x)
    (fresh.folder / "labelled.npz").unlink()
    assert scored(fresh, "--data", "new.csv") == at_home


def test_a_moved_detector_without_new_rows_says_how_to_name_some(home: Shell) -> None:
    (home.folder / "labelled.npz").unlink()
    says(home.refuses(3, "score"), "labelled.npz': no such file", "or score other rows by --data")


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


def test_a_damaged_calibration_is_refused_and_resume_makes_it_again(trained: Shell) -> None:
    path = trained.run / CALIBRATION
    kept = path.read_bytes()
    path.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    says(trained.refuses(4, "score"), CALIBRATION, "stackae resume")
    trained.does("resume", trained.run)
    assert path.read_bytes() == kept


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


def test_the_next_command_is_of_the_same_data_and_needs_no_others(home: Shell) -> None:
    (home.folder / "labelled.npz").unlink()
    (home.folder / "new.csv").rename(home.folder / "new rows.csv")
    command = home.does("score", "--data", "new rows.csv").splitlines()[-1]
    assert command == "next        stackae reconstruct --data 'new rows.csv'"
    home.does(*shlex.split(command)[2:])


def test_training_data_that_changed_move_no_threshold_and_leave_test_rows_their_scores(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.csv", "--target", "kind", "--epochs", 1)
    before, files = scored(fresh, "--false-alarm-rate", "0.2")
    header, *lines = (fresh.folder / "labelled.csv").read_text().splitlines()
    (fresh.folder / "labelled.csv").write_text("\n".join([header, *lines[10:]]) + "\n")
    after, found = scored(fresh, "--false-alarm-rate", "0.2")
    for name, method in before["methods"].items():
        assert after["methods"][name]["threshold"] == method["threshold"]
    assert after["validation_rows"] == before["validation_rows"]
    old, new = (np.loadtxt(each[".csv"].decode().splitlines()[1:], delimiter=",") for each in (files, found))
    old = old[old[:, 0] >= 10]
    np.testing.assert_array_equal(new[:, 0], old[:, 0] - 10)
    np.testing.assert_allclose(new[:, 1:], old[:, 1:], rtol=1e-9)


def test_known_anomalies_are_told_without_the_training_data(home: Shell) -> None:
    arguments = ("--data", "labelled.csv", "--target", "kind", "--anomalies", "c")
    expected = scored(home, *arguments)
    assert list(expected[0]["methods"])[-2:] == ["isolation_forest", "lof"] and not expected[0]["baselines_left_out"]
    (home.folder / "labelled.npz").unlink()
    away = scored(home, *arguments)
    kept = ("combined", "autoencoder", "pca", "mahalanobis")
    assert away[0]["methods"] == {name: expected[0]["methods"][name] for name in kept}
    assert away[0]["baselines_left_out"] == "the training data cannot be read"
    assert 0 <= expected[0]["methods"]["autoencoder"]["auroc"] <= 1
