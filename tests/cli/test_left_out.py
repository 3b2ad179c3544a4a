"""Laws of --leave-out: classes that no training sees, and that `score` is to find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import PRETRAIN, says, settings
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from shell import Shell

from stackae.config import DataConfig
from stackae.data import Dataset, Scaling, load_data
from stackae.errors import ConfigError, DataError
from stackae.runs import Run
from stackae.workflows.inputs import DataRequest, requested

laws = hypothesis_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
CLASSES = "a", "b", "c,d"


def numbered(path: Path, rows: int, own_test: bool) -> DataConfig:
    """A file whose first column is the number of the row, from 1000 in its own test part; every fourth has no label."""
    x = np.stack([np.arange(rows), np.ones(rows)], axis=1)
    arrays = {"x": x, "y": np.array([*CLASSES, ""])[np.arange(rows) % 4]}
    if own_test:
        arrays |= {"x_test": x + 1000, "y_test": arrays["y"]}
    np.savez(path, **arrays)
    return DataConfig(data=str(path), scale="none")


def numbers(dataset: Dataset) -> list[list[int]]:
    return [part.x[:, 0].int().tolist() for part in (dataset.train, dataset.validation, dataset.test)]


@laws
@given(st.integers(8, 60), st.booleans(), st.floats(0, 0.6), st.sets(st.sampled_from(CLASSES), min_size=1, max_size=2))
def test_their_rows_alone_are_gone_from_training_and_validation(
    tmp_path: Path, rows: int, own_test: bool, validation: float, unwanted: set[str]
) -> None:
    config = numbered(tmp_path / "a.npz", rows, own_test).model_copy(update={"validation_fraction": validation})
    if "c,d" in unwanted:
        unwanted = {"c,d"}  # the name of one class, though it looks like two
    gone = {CLASSES.index(name) for name in unwanted}
    whole = numbers(load_data(config))
    left = numbers(load_data(config.model_copy(update={"leave_out": ",".join(sorted(unwanted))})))
    assert left == [*([number for number in part if number % 4 not in gone] for part in whole[:2]), whole[2]]


def test_scaling_and_targets_are_those_of_the_rows_that_are_left(tmp_path: Path) -> None:
    config = numbered(tmp_path / "a.npz", 40, False).model_copy(update={"scale": "standard", "leave_out": "b"})
    dataset, raw = load_data(config), load_data(config.model_copy(update={"scale": "none"}))
    alone = Scaling.fit("standard", raw.train.x[:])
    assert torch.equal(dataset.train.x[:], alone.transform(raw.train.x[:]))
    assert dataset.train.y is not None and set(dataset.train.y.tolist()) == {-1, 0, 2}
    assert dataset.classes == CLASSES  # as ever: the test part has them


@pytest.mark.parametrize(
    ("error", "change", "parts"),
    [
        (ConfigError, {"leave_out": "a,e"}, ("leave_out: expected classes of", "(a, b, c,d), got 'e'", "name some")),
        (ConfigError, {"leave_out": ""}, ("leave_out: expected classes of", "got ''")),
        (
            ConfigError,
            {"leave_out": "a", "data": "bare.npy"},
            (
                "leave_out: expected rows with classes, got none in",
                "name their column with target, or leave",
            ),
        ),
        (
            DataError,
            {"leave_out": "0,1", "data": "two.npz"},
            ("leave_out: expected training rows of other classes", "got none but those of '0,1'; leave out fewer"),
        ),
    ],
)
def test_what_cannot_be_left_out(
    tmp_path: Path, error: type[Exception], change: dict[str, str], parts: tuple[str, ...]
) -> None:
    config = numbered(tmp_path / "a.npz", 20, False)
    np.save(tmp_path / "bare.npy", np.ones((20, 2)))
    np.savez(tmp_path / "two.npz", x=np.ones((20, 2)), y=np.arange(20) % 2)
    if "data" in change:
        change = change | {"data": str(tmp_path / change["data"])}
    with pytest.raises(error) as caught:
        load_data(config.model_copy(update=change))
    says(str(caught.value), *parts)


# ---- on the command line


def test_a_run_keeps_what_it_leaves_out_and_score_says_what_it_has_seen(fresh: Shell) -> None:
    score = ("score", "--false-alarm-rate", "0.3", "--anomalies", "2")
    fresh.does(*PRETRAIN)
    seen = json.loads(fresh.does(*score, "--json"))["anomalous_rows_trained_on"]
    whole = load_data(Run.open(fresh.run).config.data)
    assert whole.train.y is not None and seen == int((whole.train.y == 2).sum()) > 0
    says(fresh(*score).err, f"trained on  {seen} rows of the classes", "pretrain with --leave-out")
    fresh.does(*PRETRAIN, "--leave-out", "2")
    run = Run.open(fresh.run)
    assert settings(fresh.run)["data"]["leave_out"] == run.config.data.leave_out == "2"
    assert json.loads(fresh.does(*score, "--json"))["anomalous_rows_trained_on"] == 0
    assert "trained on" not in fresh(*score).err
    left = load_data(run.config.data)
    assert torch.equal(left.test.x[:], whole.test.x[:])
    document = json.loads(fresh.does("score", "--part", "train", "--json"))
    assert document["rows"] == len(left.train.x) == len(whole.train.x) - seen


def test_what_is_left_out_belongs_to_the_labels_of_the_run(fresh: Shell) -> None:
    table = str(fresh.folder / "labelled.csv")
    fresh.does("pretrain", "--layers", "8,4", "--data", table, "--target", "kind", "--leave-out", "c")
    own = Run.open(fresh.run).config.data
    for same in ({}, {"data": table}, {"target": "kind"}, {"target_kind": "classes"}):
        assert requested(own, DataRequest(**same)).leave_out == "c"
    for other in ({"data": "labelled.npz"}, {"target": "f0"}, {"target_kind": "numbers"}):
        assert requested(own, DataRequest(**other)).leave_out is None
    document = json.loads(fresh.does("score", "--data", "labelled.npz", "--anomalies", "2", "--json"))
    assert (document["anomalous_rows"], document["anomalous_rows_trained_on"]) == (20, 0)
    fresh.does("finetune", "--data", "labelled.npz")
    assert "leave_out" not in settings(fresh.run)["finetune_data"]


def test_a_sweep_leaves_them_out(fresh: Shell) -> None:
    arguments = ("sweep", "--widths", "2", "--data", "labelled.npz", "--json")
    whole, left = (json.loads(fresh.does(*arguments, *more)) for more in ((), ("--leave-out", "2")))
    assert left["widths"][0]["pca_error"] < whole["widths"][0]["pca_error"]  # two means lie on a line, three do not


def test_a_class_that_is_not_there(fresh: Shell) -> None:
    says(fresh.refuses(2, *PRETRAIN, "--leave-out", "7"), "leave_out: expected classes of", "(0, 1, 2), got '7'")
