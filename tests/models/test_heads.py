"""Laws of heads on a stack: the unrolled stack, gradients, layers that join or learn slower, limits to weights."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from heads_cases import HELD_OUT, KINDS, TRAIN, Watching, stack_of
from step_cases import eager_step, orders, train
from torch import Tensor

from stackae.config import FinetuneConfig, TrainingConfig
from stackae.config.values import validated
from stackae.data import Part
from stackae.errors import ConfigError, DataError
from stackae.finetuning import finetune_stack
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.heads.base import FinetuneObjective
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.training import fused, head
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import LayerRates, gradual_begins
from stackae.training.step import EagerStep
from stackae.verification.heads import HEADS, ROWS, classifier, deep

STACK = stack_of("tied")
PLAIN = FinetuneConfig(max_epochs=4, batch_size=16, device="cpu")


def settings(**given: Any) -> FinetuneConfig:
    return validated(FinetuneConfig, {**PLAIN.model_dump(), "head": "reconstruction", **given})


# ---- the unrolled stack


@pytest.mark.parametrize("kind", KINDS)
def test_an_unrolled_stack_reconstructs_as_the_stack_does_and_each_half_alone_too(kind):
    stack = stack_of(kind).double()
    model, x = DeepAutoencoder.unrolled(stack), HELD_OUT.x.double()
    close = {"rtol": 1e-13, "atol": 1e-13}
    torch.testing.assert_close(model.encode(x), stack.encode(x), **close)
    torch.testing.assert_close(model.decode(stack.encode(x)), stack.reconstruct(x), **close)
    torch.testing.assert_close(model.reconstruct(x), stack.reconstruct(x), **close)
    assert model.layer_sizes == (*stack.layer_sizes, stack.layer_sizes[0])
    first = stack.autoencoders[0]
    h = first.encode(x)
    torch.testing.assert_close(first.decoder_alone().logits(h), first.decode_logits(h), **close)


@pytest.mark.parametrize("kind", ["untied", "convolutional", "marginalised"])
def test_untied_it_does_so_to_the_bit(kind):
    stack = stack_of(kind)
    assert torch.equal(DeepAutoencoder.unrolled(stack).reconstruct(HELD_OUT.x), stack.reconstruct(HELD_OUT.x))


@pytest.mark.parametrize("engine", ["auto", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_lowers_the_error_of_every_kind_and_leaves_the_stack(kind, engine):
    stack = stack_of(kind)
    before = copy.deepcopy(stack.state_dict())
    loss = "bce" if kind in ("untied", "variational, hidden") else "mse"
    result = finetune_stack(stack, TRAIN, settings(max_epochs=40, engine=engine), loss=loss, validation=HELD_OUT)
    assert result.model.report(HELD_OUT.x).squared_error < (
        evaluate_reconstruction(stack, HELD_OUT.x)[-1].squared_error
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in stack.state_dict().items())


def test_training_the_decoders_leaves_the_encoders():
    result = finetune_stack(STACK, TRAIN, settings(train="head"), validation=HELD_OUT)
    for mine, own in zip(result.model.encoders, STACK.autoencoders, strict=True):
        assert torch.equal(mine.weight, own.encoder.weight)
    untrained = DeepAutoencoder.unrolled(STACK)
    assert not torch.equal(result.model.head.each[0].weight, untrained.head.each[0].weight)
    assert result.history[-1].validation_loss < result.history[0].validation_loss


@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_are_of_the_same_layers(kind):
    stack = stack_of(kind)
    model = finetune_stack(stack, TRAIN, settings(init="random", max_epochs=1)).model
    wanted = DeepAutoencoder.unrolled(stack)
    assert [type(part) for part in model.modules()] == [type(part) for part in wanted.modules()]
    assert not any(
        torch.equal(a, b) for a, b in zip(model.parameters(), wanted.parameters(), strict=True) if a.dim() > 1
    )


def test_the_fused_step_is_taken_of_dense_layers_and_of_nothing_that_it_lacks(monkeypatch):
    taken = []
    monkeypatch.setattr(head, "fused_replicas", lambda *a: taken.append(1) or fused.fused_replicas(*a))
    for given, count in (({}, 1), ({"train": "head"}, 1), ({"max_norm": 1.0}, 1), ({"layer_decay": 0.5}, 1)):
        taken.clear()
        finetune_stack(STACK, TRAIN, settings(**given))
        assert len(taken) == count
    taken.clear()
    for kind in ("convolutional", "variational", "marginalised", "top-k"):
        finetune_stack(stack_of(kind), TRAIN, settings())
    assert not taken


def test_what_cannot_be_reconstructed_is_refused():
    with pytest.raises(ConfigError, match=r"loss bce: expected a sigmoid output of layer 1, got linear; use loss mse"):
        finetune_stack(stack_of("pca"), TRAIN, settings(), loss="bce")
    with pytest.raises(DataError, match="expected at least one training row, got none"):
        finetune_stack(STACK, Part(TRAIN.x[:0], None), settings())
    with pytest.raises(DataError, match="expected rows to reconstruct, got none"):
        DeepAutoencoder.unrolled(STACK).report(TRAIN.x[:0])


# ---- gradients


# ---- layers that learn slower, and layers that join


def layered(one: FinetuneObjective, rates: LayerRates, optimizer: str = "sgd", momentum: float = 0.0) -> EagerStep:
    layers = [part.trained for part in reversed(one.network.parts)]
    config = TrainingConfig(optimizer=optimizer, momentum=momentum)
    return EagerStep(one, make_optimizer(one.network, config, 0.0, 0.0, layers), rates)


def moved(one: FinetuneObjective, step: EagerStep, number: int = 0) -> list[list[Tensor]]:
    """By how much each parameter moves in one step, head first."""
    before = [[each.detach().clone() for each in part.trained] for part in one.network.parts]
    assert step.advance(torch.arange(ROWS), ROWS, number, [0.1]).steps == 1
    after = [[each.detach() for each in part.trained] for part in one.network.parts]
    return [[b - a for a, b in zip(*pair, strict=True)] for pair in reversed(list(zip(before, after, strict=True)))]


@pytest.mark.parametrize("name", HEADS)
def test_layer_decay_scales_the_first_update_of_sgd_by_its_power(name):
    plain, slow = HEADS[name]("eager"), HEADS[name]("eager")
    depths = len(plain.network.parts)
    whole = moved(plain, layered(plain, LayerRates(1.0, [0] * depths)))
    scaled = moved(slow, layered(slow, LayerRates(0.5, [0] * depths)))
    for depth, (a, b) in enumerate(zip(whole, scaled, strict=True)):
        for one, other in zip(a, b, strict=True):
            torch.testing.assert_close(other, 0.5**depth * one, rtol=1e-9, atol=1e-15)


def test_alike_layers_train_to_the_bits_of_the_usual_step():
    one, other = classifier("eager"), classifier("eager")
    train(layered(one, LayerRates(1.0, [0, 0, 0]), "adam", 0.9), ROWS, 6, 30)
    train(eager_step(other, TrainingConfig(), 0.0), ROWS, 6, 30)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters, other.parameters, strict=True))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_a_layer_stands_still_until_its_time_and_then_begins_as_if_new(optimizer):
    one = classifier("eager")
    step = layered(one, LayerRates(1.0, [0, 5, 9]), optimizer, 0.9)
    for number in range(12):
        there = [any(bool(each.any()) for each in part) for part in moved(one, step, number)]
        assert there == [True, number >= 5, number >= 9]
        if number == 4:
            assert not any(bool(moment.any()) for moment in step.optimizer_state()[:8])
    late = classifier("eager")
    first = moved(late, layered(late, LayerRates(1.0, [0, 5, 9]), "adam"), 9)[2]
    for each in first:  # Adam's first step is η g / (|g| + ε)
        assert float(each.abs().max()) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.parametrize(("layers", "epochs"), [(3, 9), (3, 10), (4, 4), (5, 2), (1, 7)])
def test_layers_are_unfrozen_from_the_top_at_equal_shares_and_all_before_the_end(layers, epochs):
    begins = gradual_begins(layers, epochs, 7)
    assert begins[0] == 0 and begins == sorted(begins) and begins[-1] < 7 * epochs
    shares = [b - a for a, b in zip(begins, [*begins[1:], 7 * epochs], strict=True)]
    assert all(share % 7 == 0 for share in shares) and max(shares) - min(shares) <= 7


@pytest.mark.parametrize("max_norm", [0.0, 0.01])
@pytest.mark.parametrize("head", ["classifier", "reconstruction"])
def test_gradual_training_leaves_frozen_layers_to_the_bit_until_their_time(head, max_norm):
    watching, given = Watching(), settings(head=head, train="gradual", max_epochs=6, max_norm=max_norm)
    if head == "classifier":
        finetune_stack(STACK, TRAIN, given, n_classes=3, checkpointer=watching)
    else:
        finetune_stack(STACK, TRAIN, given, checkpointer=watching)
    for epoch, weights in enumerate(watching.epochs, start=1):
        for number, own in enumerate(STACK.autoencoders):
            still = torch.equal(weights[f"encoders.{number}.weight"], own.encoder.weight)
            assert still == (epoch <= (2, 4)[1 - number])


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("cuts", [[1], [7], [3, 8, 9, 20]])
def test_calls_and_new_processes_change_no_bit(optimizer, cuts):
    rates, order = LayerRates(0.7, [0, 4, 8]), torch.cat(orders(ROWS, 10))

    def advance(one: FinetuneObjective, step: EagerStep, begin: int, end: int) -> None:
        step.advance(order[begin * 5 : end * 5], 5, begin, [0.05 / (1 + i) for i in range(begin, end)])

    whole, one = (replace(classifier("eager"), max_norm=0.8) for _ in range(2))
    advance(whole, layered(whole, rates, optimizer, 0.9), 0, 24)
    moments: list[Tensor] = []
    for begin, end in zip([0, *cuts], [*cuts, 24], strict=True):
        step = layered(one, rates, optimizer, 0.9)  # as a process that goes on makes it
        for own, kept in zip(step.optimizer_state(), moments, strict=False):
            own.copy_(kept)
        advance(one, step, begin, end)
        moments = [moment.clone() for moment in step.optimizer_state()]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters, one.parameters, strict=True))


# ---- limits, and what does not fit


def norms(weights: Tensor) -> Tensor:
    return weights.detach().flatten(1).norm(dim=1)


@pytest.mark.parametrize("kind", ["tied", "convolutional"])
def test_no_incoming_weights_are_longer_than_max_norm(kind):
    stack, limit = stack_of(kind), 0.5
    given = settings(max_norm=limit)
    models = [
        finetune_stack(stack, TRAIN, given).model,
        finetune_stack(stack, TRAIN, given.model_copy(update={"head": "classifier"}), n_classes=3).model,
    ]
    for model in models:
        weights = [each for each in model.parameters() if each.dim() > 1]
        assert all(float(norms(each).max()) <= limit * (1 + 1e-6) for each in weights)
        assert any(float(norms(each).max()) >= limit * (1 - 1e-6) for each in weights)


def test_settings_that_do_not_fit_are_refused():
    for given, sentence in (
        (
            {"layer_decay": 0.5, "train": "head"},
            "layer_decay 0.5: expected layers below the head that are trained, got",
        ),
        ({"layer_decay": 0}, "layer_decay: expected a number greater than 0, got 0"),
        ({"layer_decay": 1.5}, "layer_decay: expected a number less than or equal to 1, got 1.5"),
        ({"max_norm": -1}, "max_norm: expected a number greater than or equal to 0, got -1"),
        (
            {"train": "gradually"},
            "train: expected one of auto, head, all, gradual, got 'gradually'; did you mean 'gradual'?",
        ),
        ({"precision": "tf32", "train": "gradual"}, "precision tf32: expected a training that the fused step has, got"),
    ):
        with pytest.raises(ConfigError) as caught:
            settings(**given)
        assert sentence in str(caught.value)


def test_rows_of_bytes_and_codes_of_the_head_alone_are_the_same_rows():
    one = deep("mse", "eager")
    codes = one.network.encode(one.x).detach()
    torch.testing.assert_close(one.network.head_alone().reconstruct(codes), one.network.reconstruct(one.x))
