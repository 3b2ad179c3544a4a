"""Laws of what Python trains and saves: it is what the command line trains, and comes back whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from face_cases import NAMES, QUICK, X, Y, trained_stack
from shell import Shell

import stackae
from stackae.errors import ConfigError, RunError


@pytest.fixture
def stack() -> stackae.PretrainedStack:
    return trained_stack()


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("data", "head"), [("unlabelled.npy", "reconstruction"), ("labelled.npz", "classifier")])
def test_weights_are_those_of_the_command_line(fresh: Shell, data: str, head: Any) -> None:
    noise, whole = ("--corruption", "masking:0.2,none"), ("--test-fraction", "0")
    fresh.does("pretrain", "--layers", "8,6,4", "--data", data, *whole, *noise)
    x, y = np.load(fresh.folder / "unlabelled.npy"), np.load(fresh.folder / "labelled.npz")["y"]
    stack = stackae.load(fresh.run)
    assert isinstance(stack, stackae.PretrainedStack)
    if head == "reconstruction":
        own = stackae.pretrain(x, (6, 4), corruption=("masking:0.2", "none"), **QUICK)
        assert same_weights(own.network, stack.network) and own.config == stack.config
    fresh.does("finetune", "--head", head)
    tuned, theirs = (
        stackae.finetune(stack, x, y if head == "classifier" else None, head=head, **QUICK),
        stackae.load(fresh.run),
    )
    assert isinstance(theirs, stackae.FinetunedModel) and same_weights(tuned.network, theirs.network)
    assert tuned.names == theirs.names and tuned.config == theirs.config


# ---- saved and loaded

TARGETS: dict[str, Any] = {"classifier": NAMES[Y], "regressor": X[:, :2] + Y[:, None], "multilabel": X[:, :3]}


@pytest.mark.parametrize("head", [*TARGETS, "reconstruction"])
def test_what_was_saved_is_loaded_whole(stack: stackae.PretrainedStack, tmp_path: Path, head: Any) -> None:
    y = TARGETS.get(head)
    model = stackae.finetune(stack, X, y, head=head, **QUICK)
    model.save(tmp_path / "model")
    found = stackae.load(tmp_path / "model")
    assert isinstance(found, stackae.FinetunedModel) and same_weights(found.network, model.network)
    assert (found.names, found.config, found.head) == (model.names, model.config, head)
    assert torch.equal(found.encode(X), model.encode(X)) and torch.equal(found.stack.encode(X), stack.encode(X))
    assert str(stackae.evaluate(found, X, y)) == str(stackae.evaluate(model, X, y))
    assert stackae.evaluate(found.stack, X) == stackae.evaluate(stack, X)
    for mine, theirs in ((model.history, found.history), (stack.history, found.stack.history)):
        assert [(each.stage, each.epoch, each.loss, each.best) for each in mine] == [
            (each.stage, each.epoch, each.loss, each.best) for each in theirs
        ]
    suffixes = {path.suffix for path in (tmp_path / "model").iterdir() if path.name != "lock"}
    assert suffixes == {".json", ".jsonl", ".toml", ".safetensors"}
    if head == "reconstruction":
        assert torch.equal(found.reconstruct(X), model.reconstruct(X))
        with pytest.raises(ConfigError, match="head: expected one that predicts, got reconstruction; use"):
            found.predict(X)
    else:
        assert torch.equal(found.predict(X).values, model.predict(X).values)
        with pytest.raises(ConfigError, match=f"head: expected reconstruction, got {head}; use"):
            found.reconstruct(X)


def test_a_saved_stack_is_a_run_for_the_command_line(stack: stackae.PretrainedStack, fresh: Shell) -> None:
    np.save(fresh.folder / "x.npy", X)
    stack.save(fresh.folder / "saved")
    assert fresh.refuses(3, "encode", "--run", "saved") == (
        "error: --data: expected rows to read, got none, and the run keeps none of its own; name a file or a set"
    )
    fresh.does("encode", "--run", "saved", "--data", "x.npy", "--out", "codes.npy")
    assert np.array_equal(np.load(fresh.folder / "codes.npy"), stack.encode(X).numpy())


def test_what_lies_there_is_replaced_only_by_force(stack: stackae.PretrainedStack, tmp_path: Path) -> None:
    place = tmp_path / "saved"
    stack.save(place)
    with pytest.raises(
        ConfigError, match="expected a new folder, got an existing run; choose another run, or add force"
    ):
        stack.save(place)
    stack.save(str(place), force=True)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["saved"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a new folder or an earlier run, got something else"):
        stack.save(other, force=True)


def test_every_changed_bit_of_what_was_saved_is_found(stack: stackae.PretrainedStack, tmp_path: Path) -> None:
    stack.save(tmp_path / "saved")
    for path in (path for path in (tmp_path / "saved").iterdir() if path.name != "lock"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(RunError):
            stackae.load(tmp_path / "saved")
        path.write_bytes(whole)
    assert isinstance(stackae.load(tmp_path / "saved"), stackae.PretrainedStack)
    with pytest.raises(RunError, match="expected a run folder, got no such folder"):
        stackae.load(tmp_path / "none")
