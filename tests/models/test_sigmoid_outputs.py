"""A classifier with a sigmoid output per class: half the squared error, in training and in validation."""

from __future__ import annotations

import pytest
import torch

from stackae.autoencoders.dense import Autoencoder
from stackae.config import FinetuneConfig
from stackae.data import Part
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.models.heads.base import HeadTask
from stackae.models.heads.classifier import ClassificationObjective, Classifier, classification_loss
from stackae.models.stack import StackedAutoencoder
from stackae.training.choice import head_step

X = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
Y = torch.arange(12) % 3
STACK = StackedAutoencoder([Autoencoder(5, 4)])
SIGMOID = FinetuneConfig(outputs="sigmoid", device="cpu", max_epochs=3)


def test_the_loss_is_half_the_squared_distance_from_one_output_per_class() -> None:
    model = Classifier.prepared(HeadTask(STACK, Part(X, Y), None, SIGMOID, n_classes=3)).model
    wanted = (model(X).sigmoid() - torch.eye(3)[Y]).detach().square().sum() / 2 / len(X)
    loss = ClassificationObjective(model, X, Y, outputs="sigmoid")(torch.arange(12), 0)
    torch.testing.assert_close(loss.detach(), wanted)
    found, error = classification_loss(model, X, Y, None, "sigmoid")
    assert found == pytest.approx(float(wanted), rel=1e-6)
    assert error == pytest.approx(float((model(X).argmax(dim=1) != Y).float().mean()))


def test_it_learns_by_the_fused_step_of_a_cpu() -> None:
    assert head_step(STACK, SIGMOID).fused and SIGMOID.lacks_on("cuda") == "outputs sigmoid"
    settings = SIGMOID.model_copy(update={"max_epochs": 300, "learning_rate": 0.1, "batch_size": 12})
    x = torch.eye(3)[Y] @ torch.rand(3, 5, generator=torch.Generator().manual_seed(1))
    result = finetune_stack(STACK, Part(x, Y), settings, n_classes=3)
    assert torch.equal(result.model.predict(x), Y) and result.history[-1].loss < 0.02 < result.history[0].loss


def test_it_is_refused_where_there_are_no_classes() -> None:
    with pytest.raises(ConfigError, match="outputs sigmoid: expected head classifier, got regressor, which has no"):
        FinetuneConfig(head="regressor", outputs="sigmoid")
