"""A head that is solved is at the minimum that scikit-learn finds; auto trains what held-out rows or folds choose."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says, settings, stop
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell
from sklearn.linear_model import LogisticRegression, Ridge

from stackae.autoencoders.dense import Autoencoder
from stackae.config import FinetuneConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.errors import ConfigError, RunError
from stackae.finetuning import finetune_stack
from stackae.models.heads.base import HeadTask
from stackae.models.stack import StackedAutoencoder
from stackae.runs import Run
from stackae.training import candidates
from stackae.training.callbacks import NoCallback
from stackae.training.checkpointing import NoCheckpoints, StageResult
from stackae.training.folds import FOLDS, can_fold, folds
from stackae.training.solved_head import DECAYS, fit_solved, prepared_on, solve

STACK = StackedAutoencoder([Autoencoder(5, 4, seed=0, layer=1), Autoencoder(4, 3, seed=0, layer=2)])
ROWS = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
CLASSES = (ROWS[:, 0] + 0.3 * ROWS[:, 1] > 0).long() + (ROWS[:, 2] > 0.5).long()
NUMBERS = torch.stack((ROWS.sum(dim=1), ROWS[:, 0].exp()), dim=1)


def task_of(head: str, y: torch.Tensor, **given: Any) -> HeadTask:
    return HeadTask(STACK, Part(ROWS, y), None, FinetuneConfig(head=head, **given), n_classes=3)


def codes() -> np.ndarray:
    """What a solved head reads: centred, with a mean variance of 1."""
    h = STACK.encode(ROWS).detach().double().numpy()
    return (h - h.mean(axis=0)) / np.sqrt(h.var(axis=0).mean())


@pytest.mark.parametrize("decay", [1.0, 0.03])
def test_a_solved_classifier_is_scikit_learns(decay: float) -> None:
    task = task_of("classifier", CLASSES)
    head = prepared_on(task)
    solve(head, task.config, decay)
    other = LogisticRegression(C=1 / (decay * len(ROWS)), tol=1e-9, max_iter=2000).fit(codes(), CLASSES.numpy())
    assert head.model.predict_proba(ROWS).detach().numpy() == pytest.approx(other.predict_proba(codes()), abs=1e-4)


def test_a_solved_regressor_is_scikit_learns() -> None:
    task, decay = task_of("regressor", NUMBERS), 0.1
    head = prepared_on(task)
    solve(head, task.config, decay)
    spread = NUMBERS.double().numpy()
    y = (spread - spread.mean(axis=0)) / spread.std(axis=0)
    other = Ridge(alpha=decay * len(ROWS) / 2).fit(codes(), y)  # the loss of a regressor has no factor of ½
    assert head.model(ROWS).detach().numpy() == pytest.approx(other.predict(codes()), abs=1e-4)


@given(st.lists(st.integers(1, 17), min_size=1, max_size=4), st.integers(0, 2**40))
def test_every_row_is_held_once_and_classes_are_spread(sizes: list[int], seed: int) -> None:
    y = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    parts = list(folds(y, 2, seed))
    assert len(parts) == 2 * FOLDS
    for repeat in (parts[:FOLDS], parts[FOLDS:]):
        assert sorted(torch.cat([held for _, held in repeat]).tolist()) == list(range(len(y)))
        for kept, held in repeat:
            assert sorted([*kept.tolist(), *held.tolist()]) == list(range(len(y)))
        counts = torch.stack([y[held].bincount(minlength=len(sizes)) for _, held in repeat])
        assert int((counts.amax(dim=0) - counts.amin(dim=0)).max()) <= 1
        assert int(counts.sum(dim=1).max() - counts.sum(dim=1).min()) <= 1


def test_too_few_labels_are_not_folded() -> None:
    assert not can_fold(torch.tensor([0] * 20 + [1])) and can_fold(torch.tensor([0] * 8 + [1, 1]))
    assert not can_fold(None) and not can_fold(torch.full((9, 1), 0.5)) and can_fold(torch.zeros(10, 2))
    y = torch.full((60,), -1)
    y[:4] = torch.tensor([0, 1, 0, 1])
    found = finetune_stack(STACK, Part(ROWS, y), FinetuneConfig(), n_classes=2)
    assert (found.choice.train, found.choice.decay) == ("head", candidates.USUAL_DECAY)
    assert found.choice.why == "4 labels are too few to compare by"


@pytest.mark.parametrize("head", ["classifier", "regressor", "multilabel"])
def test_folds_choose_where_no_row_is_held_out(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    y = {"classifier": CLASSES, "regressor": NUMBERS, "multilabel": (NUMBERS > 0).double()}[head]
    found = finetune_stack(STACK, Part(ROWS, y), validated(FinetuneConfig, {"head": head}), n_classes=3)
    assert "cross-validated" in found.choice.why and found.choice.rows == 60
    assert found.choice.folded is not None and (found.choice.folded.error is None) == (head == "regressor")
    assert found.choice.train == "all" or found.choice.decay in DECAYS
    monkeypatch.setattr(candidates, "MOST_WORK", 0)
    alone = finetune_stack(STACK, Part(ROWS, y), validated(FinetuneConfig, {"head": head}), n_classes=3)
    assert (alone.choice.train, alone.choice.why) == ("head", "60 labels are few")
    assert alone.choice.decay in DECAYS and len(alone.history) == 1


def test_validation_rows_choose_where_there_are_some() -> None:
    train, held_out = Part(ROWS[:40], CLASSES[:40]), Part(ROWS[40:], CLASSES[40:])
    found = finetune_stack(STACK, train, FinetuneConfig(), n_classes=3, validation=held_out)
    error = 1 - found.model.report(*held_out).accuracy
    assert found.validation_error == pytest.approx(error) and found.validation_rows == 20
    alone = found.choice.alone
    assert alone is not None and found.kept.validation_error is not None
    solved = alone.score < (found.kept.validation_error, found.kept.validation_loss)
    assert (found.choice.train == "head") == (found.choice.decay is not None) == solved
    assert found.choice.why.startswith("validation error ") and "% (head alone) and " in found.choice.why


def test_what_is_asked_for_by_a_setting_of_steps_is_not_compared() -> None:
    for own, why in (({"max_epochs": 2}, "max_epochs is given"), ({"learning_rate": 0.1}, "learning_rate is given")):
        choice = candidates.choose(task_of("classifier", CLASSES, **own), NoCallback())
        assert (choice.train, choice.why, choice.decay) == ("all", why, None)
    assert candidates.choose(task_of("classifier", CLASSES, train="gradual"), NoCallback()).train == "gradual"
    assert candidates.choose(task_of("reconstruction", CLASSES), NoCallback()).train == "all"


def test_random_weights_are_trained_in_all_layers() -> None:
    """A head on codes that nothing has learned is no rival: pretraining would look better than it is."""
    choice = candidates.choose(task_of("classifier", CLASSES, init="random"), NoCallback())
    assert (choice.train, choice.why, choice.decay) == ("all", "the weights are random", None)


def test_many_labels_train_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "MOST_SOLVED", 59)
    choice = candidates.choose(task_of("classifier", CLASSES), NoCallback())
    assert (choice.train, choice.why) == ("all", "60 labels are many")


def test_results_of_another_head_are_refused() -> None:
    class Other(NoCheckpoints):
        def begin(self, stage: str, networks: Any) -> Any:
            return {0: StageResult({"head.weight": torch.zeros(2, 2)}, (), None)}

    task = task_of("classifier", CLASSES)
    with pytest.raises(RunError, match=r"head: expected what an earlier process solved, got .*; train it again with"):
        fit_solved(prepared_on(task), task.config, 0.1, NoCallback(), Other())


def test_few_labels_are_said_kept_and_resumed_to_the_same_bytes(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.npz")
    command = ("finetune", "--labels", "15", "--labels-seed", 3, "--epochs", "auto")
    result = fresh(*command, "--json")
    says(
        result.err, "15 labelled training rows, 3 classes; labels 15, drawn by seed 3; none held out, as fewer than 50"
    )
    says(result.err, "train head alone or all, by cross-validation")
    document = json.loads(result.out)
    assert document["labels"] == "15" and document["cross_validated_rows"] == 15 and document["validation_rows"] == 0
    low, high = document["cross_validated_accuracy_low"], document["cross_validated_accuracy_high"]
    assert low <= document["cross_validated_accuracy"] <= high and document["accuracy_low"] < document["accuracy_high"]
    assert settings(fresh.run)["finetune"]["labels_seed"] == 3
    whole = (fresh.run / "classifier.safetensors").read_bytes()
    (fresh.run / "classifier.safetensors").unlink()
    fresh.does("resume", fresh.run)
    assert (fresh.run / "classifier.safetensors").read_bytes() == whole
    steps = ("finetune", "--labels", "15", "--epochs", 6, "--batch-size", 4)
    says(fresh.does(*steps), "trained     all: max_epochs is given")
    whole = (fresh.run / "classifier.safetensors").read_bytes()
    stop(fresh, *steps, at=8)
    fresh.does("resume")
    assert (fresh.run / "classifier.safetensors").read_bytes() == whole
    says(fresh.refuses(3, "finetune", "--labels", "99"), "--labels: expected 3 to 48 labels", "got 99")


def test_a_classifier_starts_from_the_unrolled_stack(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.npz")
    command = ("finetune", "--init", "reconstruction", "--train", "head")
    says(
        fresh.refuses(2, *command), "init reconstruction: expected dense layers that a reconstruction head of", "none;"
    )
    fresh.does("finetune", "--head", "reconstruction", "--epochs", 3)
    fresh.does(*command)
    run = Run(fresh.run)
    deep, model = (run.load_head(name)[0] for name in ("reconstruction", "classifier"))
    stack = run.load_stack("auto")
    for own, other, before in zip(model.encoders, deep.encoders, stack.autoencoders, strict=True):
        assert torch.equal(own.weight, other.weight) and torch.equal(own.bias, other.bias)
        assert isinstance(before, Autoencoder) and not torch.equal(own.weight, before.encoder.weight)
    says(fresh.refuses(2, *command[:3], "--head", "reconstruction"), "got that head itself; run")


@pytest.mark.parametrize("head", ["classifier", "regressor", "multilabel", "reconstruction"])
def test_noise_and_dropout_are_drawn_by_the_step(head: str) -> None:
    y = {"classifier": CLASSES, "multilabel": (NUMBERS > 0).double()}.get(head, NUMBERS)
    noisy: dict[str, Any] = {"corruption": "masking:0.5", "dropout": "0:0.5"}
    models = []
    for noise in ({}, noisy, noisy, {"dropout": 0.3}):
        own = validated(FinetuneConfig, {"head": head, "max_epochs": 2, "batch_size": 16, **noise})
        models.append(finetune_stack(STACK, Part(ROWS, y), own, n_classes=3))
    plain, *others = ([p.detach() for p in one.model.parameters()] for one in models)
    assert all(torch.equal(a, b) for a, b in zip(others[0], others[1], strict=True))
    assert not torch.equal(plain[0], others[0][0]) and not torch.equal(plain[0], others[2][0])
    assert models[1].step.fused


def test_noise_that_cannot_be_is_refused() -> None:
    refused: tuple[tuple[dict[str, Any], str], ...] = (
        (
            {"dropout": 0.5, "train": "head"},
            "dropout 0.5:0.5: expected layers below the head that are trained, got train",
        ),
        (
            {"corruption": "auto"},
            "corruption: expected none or a noise with its level, got auto; name it, as masking:0.2",
        ),
    )
    for own, sentence in refused:
        with pytest.raises(ConfigError) as caught:
            validated(FinetuneConfig, own)
        assert sentence in str(caught.value)
