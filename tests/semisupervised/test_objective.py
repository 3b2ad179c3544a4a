"""Losses on rows without labels, by what they are defined as."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stackae.autoencoders.dense import Dense
from stackae.semisupervised.answers import Classes, Numbers
from stackae.semisupervised.graph import Spread
from stackae.semisupervised.ladder import Combinator, LadderNetwork, LadderObjective
from stackae.semisupervised.network import NormalizedNetwork
from stackae.semisupervised.objective import AdversarialObjective, PseudoLabelObjective, UnlabelledTask, unit_rows

PRIOR = torch.tensor([0.5, 0.3, 0.2])


def parts() -> list[Dense]:
    return [
        Dense.initialised(6, 8, "sigmoid", seed=0, layer=1),
        Dense.initialised(8, 3, "linear", seed=0, layer=2),
    ]


def decoder() -> Dense:
    return Dense.initialised(8, 6, "sigmoid", seed=0, layer=3)


def task(rows: Tensor, radius: float = 0.5, steps: int = 10) -> UnlabelledTask:
    y = torch.arange(12) % 3
    values = torch.nn.functional.one_hot(torch.arange(len(rows)) % 3, 3).float()
    spread = Spread(values, torch.linspace(0, 1, len(rows)))
    return UnlabelledTask(rows[:12], Classes(y, None, PRIOR), spread, radius, steps)


def test_divergence_of_classes_is_kullback_leibler() -> None:
    before, after = torch.randn(5, 3), torch.randn(5, 3)
    p, q = before.softmax(1), after.softmax(1)
    answers = Classes(torch.zeros(1).long(), None, PRIOR)
    torch.testing.assert_close(answers.divergence(before, after), (p * (p / q).log()).sum(1).mean())
    assert float(answers.divergence(before, before)) == 0


def test_indecision_is_least_for_decided_answers_with_the_expected_shares() -> None:
    answers = Classes(torch.zeros(1).long(), None, PRIOR)
    decided = 60 * torch.nn.functional.one_hot(torch.tensor([0] * 5 + [1] * 3 + [2] * 2), 3).float()
    least = -(PRIOR * PRIOR.log()).sum()  # no entropy, and the cross-entropy of the prior to itself
    torch.testing.assert_close(answers.indecision(decided), least)
    same = 60 * torch.nn.functional.one_hot(torch.zeros(10).long(), 3).float()
    assert answers.indecision(same) > 10 + least
    undecided = torch.zeros(10, 3)
    torch.testing.assert_close(answers.indecision(undecided), torch.tensor(2 * math.log(3)))


def test_losses_of_labels_are_those_of_torch() -> None:
    outputs, y = torch.randn(4, 3), torch.tensor([2, 0, 1, 1])
    weight = torch.tensor([1.0, 2.0, 3.0])
    index = torch.tensor([3, 0, 1, 1])
    plain = Classes(y, None, PRIOR).loss(outputs, index)
    torch.testing.assert_close(plain, torch.nn.functional.cross_entropy(outputs, y[index]))
    each = torch.nn.functional.cross_entropy(outputs, y[index], reduction="none")
    torch.testing.assert_close(Classes(y, weight, PRIOR).loss(outputs, index), (weight[y[index]] * each).mean())
    numbers = torch.tensor([[1.0, torch.nan], [2.0, 5.0]])
    found = Numbers(numbers).loss(torch.zeros(2, 2), torch.tensor([0, 1]))
    assert float(found) == (1 + 4 + 25) / 2


def test_pseudo_labels_without_confidence_count_nothing() -> None:
    outputs, values = torch.randn(4, 3), torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    answers = Classes(torch.zeros(1).long(), None, PRIOR)
    half = torch.tensor([1.0, 1.0, 0.0, 0.0])
    expected = torch.nn.functional.cross_entropy(outputs[:2], torch.tensor([0, 1])) / 2
    torch.testing.assert_close(answers.pseudo_loss(outputs, values, half), expected)
    found = Numbers(torch.zeros(1, 3)).pseudo_loss(outputs, values, half)
    torch.testing.assert_close(found, (outputs - values)[:2].square().sum() / 4)


def test_the_perturbation_has_its_length_and_moves_the_answers_most() -> None:
    torch.manual_seed(0)
    x = torch.rand(64, 6)
    network = NormalizedNetwork(parts(), x)
    objective = AdversarialObjective(network, x, task=task(x), seed=3)
    outputs = network(x).detach()
    found = objective.perturbation(x, outputs, step=0)
    torch.testing.assert_close(found.norm(dim=1), torch.full((64,), 0.5))
    assert torch.equal(found, objective.perturbation(x, outputs, step=0))
    assert not torch.equal(found, objective.perturbation(x, outputs, step=1))
    answers = objective.task.answers
    moved = float(answers.divergence(outputs, network(x + found)).detach())
    others = [
        float(answers.divergence(outputs, network(x + 0.5 * unit_rows(torch.randn(64, 6)))).detach()) for _ in range(20)
    ]
    assert moved > max(others)


def test_rows_of_zeros_have_no_direction() -> None:
    assert unit_rows(torch.zeros(2, 3)).tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("kind", [PseudoLabelObjective, AdversarialObjective, LadderObjective])
def test_pseudo_labels_stay_or_fade(kind: type[PseudoLabelObjective]) -> None:
    x = torch.rand(30, 6)
    network = LadderNetwork(parts(), [decoder()], x)
    objective = kind(network, x, task=task(x))
    shares = [objective.share(step) for step in range(10)]
    assert shares == (
        [1.0] * 10 if kind is not AdversarialObjective else pytest.approx([1, 0.8, 0.6, 0.4, 0.2] + [0.0] * 5)
    )


@pytest.mark.parametrize("kind", [PseudoLabelObjective, AdversarialObjective, LadderObjective])
def test_a_step_depends_on_its_number_alone(kind: type[PseudoLabelObjective]) -> None:
    x = torch.rand(200, 6)
    network = LadderNetwork(parts(), [decoder()], x)
    labelled = UnlabelledTask(x, Classes(torch.arange(200) % 3, None, PRIOR), None, 0.5, 10)
    objective = kind(network, x, task=labelled, seed=1)
    rows = torch.arange(32)
    first = objective(rows, 4)
    objective(rows, 5)
    assert torch.equal(objective(rows, 4), first)
    assert not torch.equal(objective(rows, 5), first)  # other labelled rows at least
    first.backward()
    assert all(parameter.grad is not None for layer in network.chain for parameter in layer.parameters())


def test_one_row_at_a_time_is_finite() -> None:
    x = torch.rand(13, 6)
    objective = AdversarialObjective(NormalizedNetwork(parts(), x), x, task=task(x))
    assert bool(objective(torch.tensor([12]), 0).isfinite())


def test_the_combinator_begins_as_the_mean_of_both() -> None:
    noisy, above = torch.randn(5, 4), torch.randn(5, 4)
    torch.testing.assert_close(Combinator(4)(noisy, above), (noisy + above) / 2)


def test_ladder_levels_without_noise_are_the_network() -> None:
    x = torch.rand(40, 6)
    network = LadderNetwork(parts(), [decoder()], x)
    levels = network.levels(x)
    assert torch.equal(levels[0], x)
    torch.testing.assert_close(network.chain[-1].activate(levels[-1]), network(x))
    noisy, outputs = network.noisy_levels(x, seed=0, step=0)
    denoised = network.denoised(noisy, outputs)
    assert [each.shape for each in denoised] == [each.shape for each in levels]
