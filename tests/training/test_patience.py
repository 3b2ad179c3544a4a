"""Patience that grows with success: as Theano's tutorials count it, in epochs."""

from __future__ import annotations

import pytest
import torch

from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.errors import ConfigError
from stackae.pretraining import pretrain_stack
from stackae.training.callbacks import EpochRecord
from stackae.training.early_stopping import Patience


def histories(errors: list[float]) -> list[list[EpochRecord]]:
    """The records after each epoch with these validation errors."""
    records = []
    for epoch, error in enumerate(errors, start=1):
        best = error < min(errors[: epoch - 1], default=float("inf"))
        records.append(EpochRecord("classifier", epoch, 1.0, 9.0, error, 0.1, 1.0, 1.0, best))
    return [records[:epoch] for epoch in range(1, len(errors) + 1)]


def theano(errors: list[float], patience: int, increase: float, threshold: float) -> int:
    """The epochs that the loop of Theano's tutorials runs, one validation per epoch."""
    best, epoch = float("inf"), 0
    while epoch < len(errors):
        epoch += 1
        if errors[epoch - 1] < best:
            if errors[epoch - 1] < best * threshold:
                patience = max(patience, int(epoch * increase))
            best = errors[epoch - 1]
        if patience <= epoch:
            break
    return epoch


FALLING = [1 / epoch for epoch in range(1, 61)]
FLAT = [1.0, 0.9, *[0.95] * 58]
SLOW = [1.0 - 0.001 * epoch for epoch in range(60)]
LATE = [*[1.0] * 8, 0.5, *[0.6] * 51]


@pytest.mark.parametrize(("errors", "epochs"), [(FALLING, 60), (FLAT, 10), (SLOW, 10), (LATE, 18)])
def test_training_lasts_as_long_as_there(errors: list[float], epochs: int) -> None:
    rule = Patience.of("10:2:0.995", 60)
    ended = next((len(each) for each in histories(errors) if rule.is_over(0, each)), len(errors))
    assert ended == theano(errors, 10, 2, 0.995) == epochs


def test_a_layer_stops_by_it() -> None:
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(0))
    given = {"max_epochs": 50, "batch_size": 8, "patience": "3:2:0.5", "corruption": "none", "learning_rate": 1e-6}
    config = PretrainConfig.from_options("6,4", **given)
    assert len(pretrain_stack(x[:30], config, validation=x[30:]).history) == 3


@pytest.mark.parametrize("text", ["10:2", "0:2:0.9", "10:0:0.9", "10:2:1.5", "10:2:0.9:1", "x", -1, 1.5])
def test_a_rule_that_is_none_is_refused(text: object) -> None:
    sentence = "patience: expected a whole number of at least 0, EPOCHS:INCREASE:THRESHOLD such as 10:2:0.995, or auto"
    for make in (lambda: LayerConfig(n_hidden=2, patience=text), lambda: FinetuneConfig(patience=text)):
        with pytest.raises(ConfigError, match=sentence):
            make()
