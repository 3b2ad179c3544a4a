"""A training that diverged goes on with other settings of what is left; what is trained stays, to the bit."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from cli_cases import PRETRAIN, layer_bytes, records, says, settings, stop
from shell import Shell

LINEAR = ("--scale", "none", "--activation", "linear", "--output-activation", "linear", "--corruption", "none")
STACK = (*PRETRAIN, *LINEAR, "--optimizer", "sgd", "--schedule", "constant", "--batch-size", "16", "--init", "random")
LONG = (*STACK, "--epochs", "6", "--run", "runs/long")
RATE = ("--learning-rate", "0.01,0.01")


def rates(run: Path) -> list[float]:
    return [layer["learning_rate"] for layer in settings(run)["pretrain"]["layers"]]


@pytest.fixture
def diverged(fresh: Shell) -> Shell:
    """runs/long, whose second layer diverged at once."""
    result = fresh(*LONG, "--learning-rate", "0.01,1e30")
    assert result.code == 5
    says(result.err, "layer 2/2 6-4-6: expected a finite loss", "lower --learning-rate")
    says(result.err, "kept        runs/long; it would diverge again", "stackae resume runs/long --learning-rate 0.0003")
    return fresh


def test_a_lower_rate_ends_as_if_it_had_been_asked_for_from_the_start(diverged: Shell) -> None:
    kept = (diverged.folder / "runs/long/layer1.safetensors").read_bytes()
    again = diverged("resume")
    assert again.code == 5 and "at step 1 in epoch 1" in again.err
    result = diverged("resume", "runs/long", "--learning-rate", "0.01")
    assert result.code == 0, result.err
    says(result.err, "changed     pretrain.layer2.learning_rate: 0.01 instead of 1e+30, from runs/long/checkpoints/")
    run = diverged.folder / "runs/long"
    assert rates(run) == [0.01, 0.01] and layer_bytes(run)[0] == kept
    diverged.does(*STACK, "--epochs", "6", *RATE, "--run", "runs/other")
    other = diverged.folder / "runs/other"
    assert layer_bytes(run) == layer_bytes(other) and records(run) == records(other)
    assert "every file is as it was written" in diverged.does("runs", "verify", "runs/long")


def test_the_command_that_is_suggested_works(diverged: Shell) -> None:
    line = re.search(r"as by:  stackae (.*)", diverged("resume").err)[1]
    diverged.does(*shlex.split(line))
    assert rates(diverged.run) == [0.01, 0.0003]


def test_from_the_middle_of_a_layer_it_goes_on_at_the_new_rate_to_the_same_bits(fresh: Shell) -> None:
    """Stopped again after the change, it needs to be told nothing: the new rate is the training's own."""
    ends = []
    for name, again in (("one", False), ("two", True)):
        run = ("--run", f"runs/{name}")
        stop(fresh, *STACK, "--epochs", "6", *RATE, *run, at=24)
        changed = ("resume", f"runs/{name}", "--learning-rate", "0.001", "--checkpoint-every", "0")
        if again:
            said = stop(fresh, *changed, at=4)
            says(said, "layer2.learning_rate: 0.001 instead of 0.01", "layer 2/2 6-4-6  resumes in epoch")
            fresh.does("resume", f"runs/{name}")
        else:
            fresh.does(*changed)
        path = fresh.folder / "runs" / name
        ends.append((layer_bytes(path), records(path)))
        assert rates(path) == [0.01, 0.001]
        found = [line["learning_rate"] for line in records(path) if line["stage"] == "layer2"]
        assert sorted(set(found), reverse=True) == [0.01, 0.001] == [found[0], found[-1]]
    assert ends[0] == ends[1]


def test_a_change_is_kept_before_the_first_step(fresh: Shell) -> None:
    stop(fresh, *LONG, *RATE, at=24)
    stop(fresh, "resume", "--learning-rate", "0.001", at=1)
    fresh.does("resume")
    assert rates(fresh.run) == [0.01, 0.001]


def test_a_layer_that_is_to_learn_something_else_begins_anew(fresh: Shell) -> None:
    stop(fresh, *LONG, *RATE, at=24)
    result = fresh("resume", "--corruption", "masking:0.2")
    says(result.err, "layer2.corruption: masking:0.2 instead of none", "layer2 begins anew")
    noise = ("--corruption", "none,masking:0.2")
    fresh.does(*STACK, *noise, "--epochs", "6", *RATE, "--run", "runs/other")
    one, other = (fresh.folder / "runs" / name for name in ("long", "other"))
    assert layer_bytes(one) == layer_bytes(other) and records(one) == records(other)


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (("--learning-rate", "0.5,0.01"), ("expected 0.01 for layer 1, which is trained, got 0.5", "give one value")),
        (("--learning-rate", "1,2,3"), ("--learning-rate: expected one value, or 2 (one per layer), got 3",)),
        (("--learning-rate", "-1"), ("layer 2: learning_rate: expected a number greater than 0, or auto, got -1",)),
        (("--learning-rate", "auto"), ("--learning-rate: expected a value, got auto, which was settled when the run",)),
        (("--corruption", "auto"), ("--corruption: expected a value, got auto, which was settled when the run began",)),
        (("--sparsity", "top-k:2"), ("expected a code of layer 2 that keeps as many units as before, got top-k:2",)),
        (("--beta", "3"), ("beta 3.0: expected a layer of kind variational, got kind dense",)),
    ],
)
def test_what_cannot_be_changed_is_refused(
    diverged: Shell, options: tuple[str, str], sentences: tuple[str, ...]
) -> None:
    says(diverged.refuses(2, "resume", *options), *sentences)


def test_of_a_run_that_is_done_nothing_is_left_to_change(trained: Shell) -> None:
    sentence = trained.refuses(2, "resume", "runs/first", "--learning-rate", "0.1")
    says(sentence, "--learning-rate: expected a training that has not ended", "stages are trained")


def test_the_environment_changes_nothing(fresh: Shell) -> None:
    """It may be meant for another run."""
    stop(fresh, *LONG, *RATE, at=24)
    fresh.does("resume", STACKAE_LEARNING_RATE="0.5")
    assert rates(fresh.run) == [0.01, 0.01]


def test_a_fine_tuning_goes_on_at_another_rate(trained: Shell) -> None:
    stop(trained, "finetune", "--epochs", "6", at=6)
    says(
        trained.refuses(2, "resume", "--corruption", "none"), "--corruption: expected a pretraining, got a fine-tuning"
    )
    trained.does("resume", "--learning-rate", "0.0005")
    assert settings(trained.run)["finetune"]["learning_rate"] == 0.0005
