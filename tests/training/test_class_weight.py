"""Laws of --class-weight balanced: scikit-learn's weights, in the loss of training and of validation."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cli_cases import says, settings, stop
from hypothesis import given
from hypothesis import strategies as st
from shell import Shell
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.utils.class_weight import compute_class_weight

from stackae.autoencoders.dense import Autoencoder
from stackae.config import FinetuneConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.metrics import balanced_error
from stackae.models.heads.base import HeadTask
from stackae.models.heads.classifier import ClassificationObjective, Classifier, class_weights, classification_loss
from stackae.models.stack import StackedAutoencoder

X = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 0])
STACK = StackedAutoencoder([Autoencoder(5, 4)])
BALANCED = FinetuneConfig(class_weight="balanced", device="cpu", max_epochs=3)


def classifier() -> Classifier:
    return Classifier.prepared(HeadTask(STACK, Part(X, Y), None, BALANCED, n_classes=3)).model


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_the_weights_are_those_of_scikit_learn(labels: list[int]) -> None:
    y = np.array(labels)
    weights = class_weights(torch.from_numpy(y), 7)
    present = np.unique(y)
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=y), rtol=1e-6)
    assert all(weights[place] == 1 for place in set(range(7)) - set(present.tolist()))
    assert float(weights[torch.from_numpy(y)].mean()) == pytest.approx(1)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_the_balanced_error_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    y, predicted = torch.tensor(pairs).T
    shares = [float((predicted[y == name] != name).double().mean()) for name in torch.unique(y)]
    assert balanced_error(y, y != predicted) == pytest.approx(np.mean(shares))
    if len(torch.unique(torch.cat([y, predicted]))) > 1 and set(predicted.tolist()) <= set(y.tolist()):
        assert balanced_error(y, y != predicted) == pytest.approx(1 - balanced_accuracy_score(y, predicted), abs=1e-6)


def test_the_loss_is_the_weighted_cross_entropy_and_its_gradient_that_of_repeated_rows() -> None:
    model, weight = classifier(), torch.tensor([1.0, 2.0, 3.0])
    rows = torch.arange(len(Y))
    loss = ClassificationObjective(model, X, Y, weight=weight)(rows, 0)
    with torch.no_grad():
        p = model.predict_proba(X).double().numpy()
    expected = log_loss(
        Y.numpy(), p / p.sum(axis=1, keepdims=True), sample_weight=weight[Y].numpy(), normalize=False
    ) / len(Y)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    repeated = torch.repeat_interleave(rows, weight[Y].long())
    plain = ClassificationObjective(model, X, Y)(repeated, 0) * len(repeated) / len(rows)
    assert loss.item() == pytest.approx(plain.item(), rel=1e-5)
    parameters = [each for part in model.parts for each in part.trained]
    for own, other in zip(*(torch.autograd.grad(each, parameters) for each in (loss, plain)), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_validation_weighs_as_training_does() -> None:
    model, weight = classifier(), class_weights(Y, 3)
    loss, error = classification_loss(model, X, Y, weight)
    assert loss == pytest.approx(ClassificationObjective(model, X, Y, weight=weight)(torch.arange(12), 0).item())
    with torch.no_grad():
        assert error == pytest.approx(1 - balanced_accuracy_score(Y, model.predict(X)), abs=1e-6)
    plain, _ = classification_loss(model, X, Y)
    assert plain == pytest.approx(classification_loss(model, X, Y, torch.ones(3))[0])


def test_a_weighted_objective_takes_the_fused_step_of_a_cpu_alone() -> None:
    assert (BALANCED.lacks_on("cpu"), BALANCED.lacks_on("cuda")) == ("", "class_weight balanced")


def test_of_equal_classes_the_weights_change_nothing() -> None:
    y = torch.arange(12) % 3
    models = [
        finetune_stack(STACK, Part(X, y), config, n_classes=3).model
        for config in (BALANCED, BALANCED.model_copy(update={"class_weight": "none", "engine": "eager"}))
    ]
    for own, other in zip(*(model.state_dict().values() for model in models), strict=True):
        torch.testing.assert_close(own, other)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"class_weight": "balance"}, "class_weight: expected one of none, balanced, got 'balance'; did you mean"),
        (
            {"class_weight": "balanced", "head": "regressor"},
            "class_weight balanced: expected head classifier, got regressor, which has no classes; leave it out",
        ),
        (
            {"class_weight": "balanced", "precision": "tf32"},
            "precision tf32: expected a training that the fused step has, got class_weight balanced; use precision",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        validated(FinetuneConfig, change)


def test_most_of_a_rare_class_is_found(fresh: Shell) -> None:
    generator = np.random.default_rng(0)
    y = np.zeros(3000, dtype=int)
    y[:60] = 1
    generator.shuffle(y)
    x = generator.standard_normal((3000, 6))
    x[y == 1, :3] += 1.5
    np.savez(fresh.folder / "rare.npz", x=x, y=np.array(["ok", "fault"])[y])
    fresh.does("pretrain", "--layers", "6,6", "--data", "rare.npz", "--corruption", "none", "--epochs", "4")
    found = {}
    for weight in ("none", "balanced"):
        result = fresh("finetune", "--class-weight", weight, "--epochs", "12", "--learning-rate", "0.02", "--json")
        document = json.loads(result.out)
        found[weight] = document
        assert document["class_weight"] == weight == settings(fresh.run)["finetune"]["class_weight"]
        assert "fused on cpu" in result.err
    fault = {weight: document["per_class"][0] for weight, document in found.items()}
    assert fault["none"]["rows"] == 12 and fault["none"]["recall"] < 0.4 < 0.6 < fault["balanced"]["recall"]
    assert found["balanced"]["balanced_accuracy"] > found["none"]["balanced_accuracy"] + 0.2
    says(fresh.does("finetune", "--class-weight", "balanced"), "Fine-tuned: classifier", "balanced")
    says(
        fresh.refuses(2, "finetune", "--class-weight", "balanced", "--head", "reconstruction"), "class_weight balanced"
    )


def test_a_weighted_finetuning_with_background_resumes_to_the_same_bytes(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,4", "--data", "labelled.npz")
    command = ("finetune", "--class-weight", "balanced", "--background", "1", "--epochs", 6, "--batch-size", 8)
    fresh.does(*command)
    whole = (fresh.run / "classifier.safetensors").read_bytes()
    stop(fresh, *command, at=8)
    fresh.does("resume")
    assert (fresh.run / "classifier.safetensors").read_bytes() == whole
    assert settings(fresh.run)["finetune"]["class_weight"] == "balanced"
    assert settings(fresh.run)["finetune_data"]["background"] == "1"
