"""Learning rates that decay per step, and momentum that changes by epoch: equal to torch.optim, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.notation import RampConfig
from stackae.data import Part
from stackae.data.minibatches import epoch_order
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.models.heads.base import HEAD_NUMBER
from stackae.pretraining import pretrain_stack
from stackae.training.choice import head_step, layer_steps
from stackae.training.rates import MomentumRamp

ROWS, SIZE, EPOCHS = 20, 8, 5
X = torch.rand(ROWS, 6, generator=torch.Generator().manual_seed(0))
Y = torch.arange(ROWS) % 3
PLAIN = {"corruption": "none", "weight_decay": 0.0, "optimizer": "sgd", "schedule": "constant", "patience": 0}


def layers(**more: Any) -> PretrainConfig:
    given = {
        "init": "random",
        "tied": True,
        "loss": "mse",
        "activation": "tanh",
        "output_activation": "linear",
        "learning_rate": 0.02,
        "momentum": 0.5,
    }
    return PretrainConfig.from_options("6,4", **PLAIN, **given, max_epochs=EPOCHS, batch_size=SIZE, **more)


def by_hand(network: Any, loss: Any, rate: float, decay: float, momenta: list[float], layer: int) -> None:
    """v ← μ v + g, w ← w − η v, with η = rate / decay^step and μ by epoch: Polyak's momentum as torch.optim has it."""
    velocity = [torch.zeros_like(each) for each in network.parameters()]
    step = 0
    for epoch, momentum in enumerate(momenta, start=1):
        for rows in epoch_order(ROWS, seed=0, layer=layer, epoch=epoch).split(SIZE):
            gradients = torch.autograd.grad(loss(network, rows), list(network.parameters()))
            for one, own, gradient in zip(network.parameters(), velocity, gradients, strict=True):
                own.mul_(momentum).add_(gradient)
                one.data.sub_(rate / decay**step * own)
            step += 1


def test_a_layer_follows_decay_per_step_and_ramp() -> None:
    config = layers(rate_decay=1.01, momentum_ramp="0.9:3")
    trained = pretrain_stack(X, config).stack
    start = pretrain_stack(X, config).stack.autoencoders[0].anew(0, 1)
    by_hand(
        start,
        lambda one, rows: (one.reconstruct(X[rows]) - X[rows]).square().sum() / len(rows),
        *(0.02, 1.01, [0.5, 0.7, 0.9, 0.9, 0.9], 1),
    )
    for found, wanted in zip(trained.parameters(), start.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_head_follows_decay_per_step_and_ramp() -> None:
    stack = pretrain_stack(X, layers()).stack
    config = FinetuneConfig(
        **{name: value for name, value in PLAIN.items() if name != "corruption"},
        train="head",
        learning_rate=0.1,
        momentum=0.0,
        momentum_ramp="0.8:2",
        rate_decay=1.05,
        max_epochs=EPOCHS,
        batch_size=SIZE,
    )
    found = finetune_stack(stack, Part(X, Y), config, n_classes=3).model.head
    begun = finetune_stack(
        stack, Part(X, Y), config.model_copy(update={"learning_rate": 1e-30, "max_epochs": 1}), n_classes=3
    ).model.head
    codes = stack.encode(X).detach()
    by_hand(
        begun,
        lambda one, rows: torch.nn.functional.cross_entropy(one(codes[rows]), Y[rows]),
        *(0.1, 1.05, [0.0, 0.8, 0.8, 0.8, 0.8], HEAD_NUMBER),
    )
    for one, wanted in zip(found.parameters(), begun.parameters(), strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-4, atol=1e-6)


def test_decay_is_fused_and_so_is_a_ramp_on_a_cpu() -> None:
    stack = pretrain_stack(X, layers()).stack
    assert not layer_steps(layers(rate_decay=1.01))[1].lacks
    assert layer_steps(layers(momentum_ramp="0.9:3"))[1].fused
    config = FinetuneConfig(optimizer="sgd", momentum_ramp="0.9:3", device="cpu")
    assert head_step(stack, config).fused
    assert layers(momentum_ramp="0.9:3").trains_eagerly("cuda") == config.lacks_on("cuda") == "momentum_ramp 0.9:3"


def test_a_decayed_rate_is_recorded() -> None:
    history = pretrain_stack(X, layers(rate_decay=1.01)).history
    steps = -(-ROWS // SIZE)
    wanted = [0.02 / 1.01 ** (steps * epoch - 1) for epoch in range(1, EPOCHS + 1)]
    assert [record.learning_rate for record in history] == pytest.approx(wanted)


def test_a_ramp_is_even_and_stays() -> None:
    ramp = MomentumRamp(0.5, 0.7, 5, steps_per_epoch=10)
    assert [ramp.at(step) for step in (0, 9, 10, 20, 30, 40, 1000)] == pytest.approx(
        [0.5, 0.5, 0.55, 0.6, 0.65, 0.7, 0.7]
    )
    assert MomentumRamp(0.5, 0.7, 1, steps_per_epoch=10).at(0) == 0.7


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"momentum_ramp": "0.9:3"}, "momentum_ramp 0.9:3: expected optimizer sgd, got adam; use optimizer sgd"),
        ({"momentum_ramp": "0.9"}, "momentum_ramp: expected none or LAST:EPOCHS, such as 0.7:250, got '0.9'"),
        ({"momentum_ramp": "none:3"}, "momentum_ramp: expected none alone, got 'none:3'"),
        ({"rate_decay": 0.9}, "rate_decay: expected a number greater than or equal to 1, got 0.9"),
    ],
)
def test_what_cannot_be_a_ramp_or_a_decay_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        FinetuneConfig(**settings)


@pytest.mark.parametrize("text", ["none", "0.7:250"])
def test_a_ramp_is_written_as_it_is_read(text: str) -> None:
    assert RampConfig.model_validate(text).model_dump() == text
