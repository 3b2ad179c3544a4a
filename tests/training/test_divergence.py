"""What a training that left the finite numbers is blamed on: each cause, where the others are as they should be."""

from __future__ import annotations

import re

import pytest
import torch
from replica_cases import HELD_OUT, ROWS, config

from stackae.config import FinetuneConfig
from stackae.data import Part
from stackae.errors import DivergedError
from stackae.finetuning import finetune_stack
from stackae.pretraining import pretrain_stack
from stackae.training.divergence import Magnitudes, cause_of

LINEAR = {"activation": "linear", "output_activation": "linear"}
SOUND = {"sparsity": "none", "corruption": "none"}
CAUSES = [
    ({"corruption": "gaussian:1e30", **LINEAR}, "corruption", "noise makes .* of them; lower corr"),
    (
        {"sparsity": "kl:0.05:1e38"},
        "sparsity",
        "the penalty is .* beside a reconstruction loss of .*; lower sp",
    ),
    ({"sparsity": "l1:1e38", "activation": "relu"}, "sparsity", "lower sparsity"),
    ({"contraction": 1e38}, "contraction", "lower contraction"),
    ({"weight_l1": 1e38}, "weight_l1", "lower weight_l1"),
    ({"weight_decay": 1e38}, "weight_decay", "weight decay 1e.38 outweighs the loss; lower weight_decay"),
    ({"kind": "variational", "activation": "tanh", "beta": 1e38}, "beta", "lower beta"),
    ({"learning_rate": 1e38}, "learning_rate", "lower learning_rate, or scale the data"),
    ({"learning_rate": 1e30, **LINEAR}, "learning_rate", "lower learn"),
]


def ended(rows: torch.Tensor = ROWS, validation: torch.Tensor | None = HELD_OUT, **options: object) -> DivergedError:
    optimizer = {"optimizer": "sgd"} if "learning_rate" in options else {}
    with pytest.raises(DivergedError) as found:
        pretrain_stack(rows, config("20,12", **SOUND | optimizer | options), validation=validation)
    return found.value


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize(("options", "setting", "sentence"), CAUSES, ids=lambda each: str(each)[:40])
def test_the_cause_is_named(options, setting, sentence, engine):
    error = ended(engine=engine, **options)
    assert error.details["setting"] == setting
    assert re.search(sentence, str(error)), error


def test_data_that_are_large_are_to_be_scaled():
    options = {"activation": "linear", "output_activation": "linear", "learning_rate": 0.1}
    error = ended(1e4 * ROWS, None, **options)
    assert "scale the data (scale='minmax' or 'standard'), or lower learning_rate" in str(error)


def test_codes_that_are_large_come_from_the_layer_below():
    """Data cannot be scaled against that: 1e6 is what a linear layer makes of a column of 1e6 that nobody scaled."""
    found = Magnitudes(inputs=1e6, seen=1e6, reconstruction=1e12, layer=2)
    cause = cause_of(found, 1.0, 0.003, first=False)
    assert (
        "they are codes of layer 1; lower learning_rate, or use activation='sigmoid' or 'tanh' there" in cause.sentence
    )


def test_a_start_in_closed_form_that_is_steep_is_named():
    """Features of 1e-5: what brings a unit's pre-activation to a deviation of 1 is a weight of 1e5."""
    found = Magnitudes(1e-5, 1e-5, 1e-9, init="pca")
    assert "weights began as large as that by init='pca'" in cause_of(found, 1e5, 0.003, first=True).sentence
    assert cause_of(found, 1e5, 0.003, first=False).setting == "learning_rate"


def test_validation_rows_that_are_large_are_named():
    options = {"activation": "linear", "output_activation": "linear", "learning_rate": 0.001}
    error = ended(ROWS, 1e30 * HELD_OUT, **options)
    assert "got inf after epoch 1" in str(error) and "largest number of the validation rows is 1e+30" in str(error)


@pytest.mark.parametrize(("setting", "value"), [("weight_decay", 1e38), ("learning_rate", 1e38)])
def test_a_fine_tuning_tells_decay_from_rate(setting, value):
    stack = pretrain_stack(ROWS, config("20,12", max_epochs=1)).stack
    settings = FinetuneConfig(device="cpu", batch_size=16, optimizer="sgd", **{setting: value})
    with pytest.raises(DivergedError) as found:
        finetune_stack(stack, Part(ROWS, torch.arange(len(ROWS)) % 2), settings, n_classes=2)
    assert found.value.details["setting"] == setting
    assert f"lower {setting}" in str(found.value)


def test_sizes_that_are_as_they_should_be_leave_the_rate():
    """Defaults, after a divergence that blew up weights: neither decay nor a small penalty is to blame."""
    found = Magnitudes(1.0, 1.0, float("inf"), {"sparsity": 1e10, "weight_l1": 1e9}, weight_decay=1e-5)
    assert cause_of(found, 1e12, 0.003, first=False).setting == "learning_rate"
    found = Magnitudes(1.0, 3.0, 40.0, {"sparsity": 100.0}, weight_decay=1e-5)
    assert cause_of(found, 1e12, 0.003, first=False).setting == "learning_rate"
