"""Full-batch L-BFGS: it minimizes what was asked for, resumes to the same bits, and refuses what it cannot have."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from stackae.autoencoders.corruption import Corruption
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.data import Part
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.objectives.kinds import build
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.pretraining import pretrain_stack
from stackae.training.choice import head_step, layer_steps
from stackae.training.lbfgs import LbfgsStep

X = torch.rand(30, 5, generator=torch.Generator().manual_seed(0))
Y = (X.sum(dim=1) > 2.5).long()
DECAY = 0.01
GIVEN = {
    "n_hidden": 3,
    "activation": "sigmoid",
    "loss": "mse",
    "init": "random",
    "corruption": "none",
    "tied": False,
    "output_activation": "sigmoid",
    "sparsity": "kl:0.1:0.5",
}
LAYER = LayerConfig(**GIVEN)


def objective() -> Any:

    network = build(5, LAYER, seed=0, number=1)
    return ReconstructionObjective.of(network, X, LAYER, Corruption(), seed=0, number=1)


def steps(taken: int, one: Any, state: list[torch.Tensor] | None = None, first: int = 0) -> LbfgsStep:
    step = LbfgsStep(one, one.weights, DECAY)
    for own, kept in zip(step.optimizer_state(), state or [], strict=False):
        own.copy_(kept)
    for number in range(first, first + taken):
        assert step.advance(torch.randperm(30), 30, number, [1.0]).steps == 1
    return step


def whole(one: Any) -> torch.Tensor:
    return one(torch.arange(30), 0) + DECAY / 2 * sum(each.square().sum() for each in one.weights)


def test_it_reaches_the_minimum_that_scipy_reaches() -> None:
    one, other = objective(), objective()
    steps(150, one)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(flat).float(), other.parameters)
        gradients = torch.autograd.grad(loss := whole(other), other.parameters)
        return float(loss.detach()), torch.cat([each.reshape(-1) for each in gradients]).double().numpy()

    start = torch.nn.utils.parameters_to_vector(other.parameters).detach().double().numpy()
    found = minimize(value, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000, "ftol": 0, "gtol": 1e-6})
    assert float(whole(one).detach()) == pytest.approx(found.fun, rel=1e-3)


def test_an_iteration_never_raises_the_objective() -> None:
    one = objective()
    step, values = LbfgsStep(one, one.weights, DECAY), []
    for number in range(20):
        values.append(float(whole(one).detach()))
        step.advance(torch.arange(30), 30, number, [1.0])
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in itertools.pairwise(values))


@pytest.mark.parametrize("stop", [1, 4, 25])
def test_it_resumes_to_the_same_bits(stop: int) -> None:
    straight, broken = objective(), objective()
    wanted = steps(stop + 5, straight)
    state = [each.clone() for each in steps(stop, broken).optimizer_state()]
    found = steps(5, broken, state, first=stop)
    for own, kept in zip(broken.parameters, straight.parameters, strict=True):
        assert torch.equal(own, kept)
    for own, kept in zip(found.optimizer_state(), wanted.optimizer_state(), strict=True):
        assert torch.equal(own, kept)


def test_what_is_not_finite_is_refused_and_changes_nothing() -> None:
    one = objective()
    with torch.no_grad():
        one.parameters[0][0, 0] = torch.nan
    before = [each.detach().clone() for each in one.parameters]
    step = LbfgsStep(one, one.weights, DECAY)
    assert step.advance(torch.arange(30), 30, 0, [1.0]).steps == 0
    for own, kept in zip(one.parameters, before, strict=True):
        assert torch.equal(own.nan_to_num(), kept.nan_to_num())
    assert not any(each.any() for each in step.optimizer_state())


def config(**more: Any) -> PretrainConfig:
    given = {**GIVEN, "weight_decay": DECAY, "max_epochs": 30, "patience": 0} | more
    del given["n_hidden"]
    return PretrainConfig.from_options("5,3", optimizer="lbfgs", **given)


def test_a_layer_and_a_head_are_trained_by_it_an_epoch_a_step() -> None:
    trained = pretrain_stack(X, config())
    assert layer_steps(trained.config)[1].lacks == "optimizer lbfgs"
    losses = [record.loss for record in trained.history]
    assert len(losses) == 30 and losses[-1] < losses[0]
    one = objective()
    steps(30, one)
    for own, kept in zip(trained.stack.parameters(), one.network.parameters(), strict=True):
        assert torch.equal(own, kept)
    settings = FinetuneConfig(optimizer="lbfgs", max_epochs=30, weight_decay=0.0, patience=0)
    assert head_step(trained.stack, settings).lacks == "optimizer lbfgs"
    assert finetune_stack(trained.stack, Part(X, Y), settings, n_classes=2).history[-1].loss < 0.1


@pytest.mark.parametrize("optimizer", ["lbfgs", "sgd"])
def test_the_head_decays_alone_where_that_is_asked_for(optimizer: str) -> None:
    stack = pretrain_stack(X, config(sparsity="none", weight_decay=0.0)).stack
    given = {"optimizer": optimizer, "max_epochs": 60, "weight_decay": 10.0, "patience": 0, "learning_rate": 0.05}
    sizes = {}
    for decaying in ("all", "head"):
        settings = FinetuneConfig(decaying=decaying, batch_size=30, **given)
        model = finetune_stack(stack, Part(X, Y), settings, n_classes=2).model
        sizes[decaying] = model.encoders[0].weight.norm().item(), model.head.weight.norm().item()
    assert sizes["all"][0] < 0.5 * sizes["head"][0]
    assert sizes["head"][1] < 0.1 < sizes["head"][0]


@pytest.mark.parametrize(
    ("given", "found"),
    [({"corruption": "masking:0.2"}, "corruption masking:0.2"), ({"dropout": 0.2}, "dropout 0.2:0.2"),
     ({"max_norm": 2.0}, "max_norm 2")],
)  # fmt: skip
def test_layers_whose_objective_changes_are_refused(given: dict[str, Any], found: str) -> None:
    with pytest.raises(ConfigError, match=f"optimizer lbfgs: expected an objective that is the same .* got {found}"):
        config(**given)


@pytest.mark.parametrize("given", [{"train": "gradual"}, {"layer_decay": 0.5}, {"max_norm": 2.0}])
def test_heads_of_several_objectives_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="optimizer lbfgs: expected one objective of all weights, got"):
        FinetuneConfig(optimizer="lbfgs", **given)
