"""Rows with targets of their own: missing cells have no part in a training, and noisy rows become the clean ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.data import Part
from stackae.data.paired import PairedRows
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, DataError
from stackae.finetuning import finetune_stack
from stackae.models.evaluation import evaluate_reconstruction, spread_of
from stackae.objectives.kinds import build
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.pretraining import PretrainResult, pretrain_stack, settle

ROWS, WIDTH = 160, 12


def made(seed: int = 0, rows: int = ROWS) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    codes = torch.randn(rows, 3, generator=draw)
    mix = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(9))
    return torch.sigmoid(codes @ mix)


def with_gaps(clean: Tensor, share: float = 0.3, seed: int = 1, fill: float | Tensor = 0.5) -> PairedRows:
    absent = torch.rand(clean.shape, generator=torch.Generator().manual_seed(seed)) < share
    return PairedRows(torch.where(absent, fill, clean), torch.where(absent, torch.nan, clean))


def trained(x: Tensor | PairedRows, layers: str = "auto,8,4", **options: Any) -> PretrainResult:
    validation = options.pop("validation", None)
    given: dict[str, Any] = {"device": "cpu", "max_epochs": 3, "batch_size": 32} | options
    return pretrain_stack(x, PretrainConfig.from_options(layers, **given), validation=validation)


def weights(result: PretrainResult) -> list[Tensor]:
    return list(result.stack.state_dict().values())


def same(first: PretrainResult, second: PretrainResult) -> bool:
    return all(torch.equal(*pair) for pair in zip(weights(first), weights(second), strict=True))


def objective(x: PairedRows, **options: Any) -> ReconstructionObjective:
    config = settle(PretrainConfig.from_options("auto,5", device="cpu", engine="eager", **options), x)
    layer = config.layers[0]
    network = build(WIDTH, layer, seed=3, number=1, engine="eager").double()
    made = ReconstructionObjective.of(network, x, layer, Corruption(), seed=0, number=1)
    assert isinstance(made, ReconstructionObjective)
    return made


def double(x: PairedRows) -> PairedRows:
    return PairedRows(x.inputs.double(), x.targets.double())


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_the_loss_is_that_of_known_cells_alone_times_d_over_how_many_are_known(loss: str) -> None:
    x = double(with_gaps(made()))
    found = objective(x, loss=loss, activation="sigmoid")
    known = ~x.targets.isnan()
    z, t = found.network.reconstruct(x.inputs), torch.where(known, x.targets, torch.nan)
    errors = (z - t).square() if loss == "mse" else -(t * z.log() + (1 - t) * (1 - z).log())
    wanted = WIDTH * float(errors[known].mean().detach())
    assert found(torch.arange(ROWS), 0).item() == pytest.approx(wanted, rel=1e-9)
    assert found.clean_loss(x) == pytest.approx(wanted, rel=1e-9)
    batches = [found(torch.arange(start, start + 40), 0).item() for start in range(0, ROWS, 40)]
    assert np.mean(batches) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("options", [{"loss": "mse"}, {"loss": "bce"}, {"loss": "mse", "emphasis": "1:0.5"}])
def test_the_gradient_is_that_of_central_differences(options: dict[str, str]) -> None:
    x = double(with_gaps(made()))
    found = objective(x, activation="sigmoid", corruption="masking:0.2", **options)
    found = replace(found, corruption=Corruption("masking", 0.2))
    rows = torch.arange(17)
    found(rows, 4).backward()
    for parameter in found.parameters:
        assert parameter.grad is not None
        for place in (0, parameter.numel() // 2, parameter.numel() - 1):
            flat, sides = parameter.detach().view(-1), []
            for step in (1e-5, -1e-5):
                before = float(flat[place])
                flat[place] = before + step
                sides.append(found(rows, 4).item())
                flat[place] = before
            slope = (sides[0] - sides[1]) / 2e-5
            assert float(parameter.grad.view(-1)[place]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


def test_what_a_missing_cell_would_have_held_has_no_influence_on_any_weight() -> None:
    """Its gradient is none: where the input of a missing cell is read, it is the fill, and its error weighs nothing."""
    x = with_gaps(made())
    other = x.targets.clone()
    other[0, ~x.targets[0].isnan()] = torch.nan  # a row of which nothing is known
    alone = PairedRows(torch.where(other.isnan(), 0.5, other), other)
    found = objective(double(alone), loss="mse", activation="sigmoid")
    found(torch.tensor([0]), 0).backward()
    assert all(bool((each.grad == 0).all()) for each in found.parameters if each.grad is not None)


@pytest.mark.parametrize("options", [{}, {"corruption": "masking:0.2"}, {"activation": "sigmoid", "loss": "bce"}])
def test_without_missing_cells_the_weights_are_those_of_the_rows_alone(options: dict[str, Any]) -> None:
    clean = made()
    plain = trained(clean, engine="eager", validation=clean[:30], **options)
    paired = trained(PairedRows(clean, clean.clone()), engine="eager", validation=clean[:30], **options)
    assert same(plain, paired) and [each.loss for each in plain.history] == [each.loss for each in paired.history]


def test_every_layer_takes_the_step_that_it_takes_without_gaps() -> None:
    result = trained(with_gaps(made()), validation=with_gaps(made(2, 40)))
    assert result.steps == trained(made()).steps and all(step.fused for step in result.steps.values())
    assert same(result, trained(with_gaps(made()), validation=with_gaps(made(2, 40))))


def test_masked_cells_beat_cells_that_are_filled_by_the_mean_where_the_rows_are_of_low_rank() -> None:
    """A matrix of rank 2 with half of its cells missing: the mean error of cells that were hidden."""
    draw = torch.Generator().manual_seed(3)
    whole = torch.randn(400, 2, generator=draw) @ torch.randn(2, 16, generator=draw)
    absent = torch.rand(whole.shape, generator=draw) < 0.5
    seen = torch.where(absent, torch.nan, whole)
    scaling = Scaling.fit("standard", seen.numpy())
    filled, targets = scaling.transform(seen), scaling.transform(seen, filled=False)
    options = {"max_epochs": 60, "corruption": "none", "activation": "linear", "learning_rate": 0.003}
    errors = {}
    for name, x in {"mask": PairedRows(filled, targets), "mean": filled}.items():
        stack = trained(x, "auto,4", **options).stack
        with torch.no_grad():
            made_of = stack.reconstruct(filled)
        errors[name] = float((made_of - scaling.transform(whole))[absent].square().mean())
    assert errors["mask"] < 0.5 * errors["mean"]


def test_noisy_rows_are_made_the_clean_ones() -> None:
    """A linear layer that is wide enough learns to take out what a known share of every row adds."""
    clean = made() - 0.5
    noisy = clean + 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(4))
    pairs, options = PairedRows(noisy, clean), {"max_epochs": 60, "activation": "tanh"}
    restored, copied = trained(pairs, "auto,8", **options), trained(noisy, "auto,8", corruption="none", **options)
    assert restored.config.layers[0].corruption.kind == "none"
    errors = [evaluate_reconstruction(each.stack, pairs)[0].squared_error for each in (restored, copied)]
    with torch.no_grad():
        wanted = float((restored.stack.reconstruct(noisy) - clean).double().square().sum(1).mean())
    assert errors[0] == pytest.approx(wanted, rel=1e-6) and errors[0] < 0.7 * errors[1]


def test_nothing_but_given_noise_is_added_to_pairs_by_default() -> None:
    ink = (made(5, 1200).repeat(1, 6) > 0.5).float()
    noisy = torch.where(torch.rand(ink.shape, generator=torch.Generator().manual_seed(1)) < 0.2, 1 - ink, ink)
    config = PretrainConfig.from_options("auto,20,10", device="cpu")
    first, second = settle(config, PairedRows(noisy, ink)).layers
    assert (first.corruption.kind, float(first.contraction)) == ("none", 0.0)
    assert (second.corruption.kind, second.loss) == (settle(config, ink).layers[1].corruption.kind, "bce")
    config = PretrainConfig.from_options("auto,20", device="cpu", corruption="masking:0.1")
    asked = settle(config, PairedRows(noisy, ink))
    assert asked.layers[0].corruption.level == 0.1


def test_errors_are_measured_on_known_cells_against_the_targets() -> None:
    x = with_gaps(made())
    known = ~x.targets.isnan()
    stack = trained(x).stack
    (first, *_) = evaluate_reconstruction(stack, x)
    with torch.no_grad():
        squares = (stack.reconstruct(x.inputs, 1) - x.targets).double().square()[known]
    assert first.squared_error == pytest.approx(WIDTH * float(squares.mean()), rel=1e-6)
    mean = torch.stack([column[there].mean() for column, there in zip(x.targets.T, known.T, strict=True)])
    spread = WIDTH * float((x.targets - mean).double().square()[known].mean())
    assert spread_of(x) == pytest.approx(spread, rel=1e-6)
    whole = made()
    assert spread_of(whole) == pytest.approx(float(whole.double().var(0, correction=0).sum()), rel=1e-12)


def test_a_deep_reconstruction_is_trained_to_make_the_targets_and_a_classifier_reads_the_inputs() -> None:
    x = with_gaps(made())
    stack, y = trained(x).stack, (torch.arange(ROWS) % 2)
    settings = {"device": "cpu", "max_epochs": 2}
    deep = finetune_stack(stack, Part(x, None), FinetuneConfig(head="reconstruction", **settings))
    assert deep.step.fused and deep.model.report(x).squared_error > 0
    told = [
        finetune_stack(stack, Part(rows, y), FinetuneConfig(head="classifier", **settings), n_classes=2)
        for rows in (x, x.inputs)
    ]
    states = [list(each.model.state_dict().values()) for each in told]
    assert all(torch.equal(*pair) for pair in zip(*states, strict=True))


@pytest.mark.parametrize("kind", ["variational", "marginalized", "pca"])
def test_kinds_that_make_their_own_rows_alone_are_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=f"kind {kind}: expected rows that are their own targets .* use kind dense"):
        settle(PretrainConfig.from_options("auto,5", kind=kind, device="cpu"), with_gaps(made()))


def test_a_convolution_reads_rows_with_gaps() -> None:
    result = trained(with_gaps(made()), "4x3x1,conv2", max_epochs=2)
    assert all(bool(each.isfinite().all()) for each in weights(result))


def test_pairs_are_rows_like_others() -> None:
    x = with_gaps(made())
    assert x.shape == (ROWS, WIDTH) and len(x) == ROWS and x.nbytes == 2 * x.inputs.nbytes
    part = x.subset(torch.arange(5))
    assert torch.equal(part[:], x[torch.arange(5)]) and len(part) == 5
    known = x.targets[~x.targets.isnan()]
    assert (float(x.min()), float(x.max())) == (float(known.min()), float(known.max()))
    assert x.missing == pytest.approx(1 - len(known) / x.targets.numel()) and not x.noisy
    assert PairedRows(x.inputs, x.inputs + 1).noisy
    with pytest.raises(DataError, match="expected as many clean rows as noisy ones, and as wide, got shapes"):
        PairedRows(x.inputs, x.targets[:3])
    with pytest.raises(DataError, match="expected a cell that is known, got none but missing ones"):
        PairedRows(x.inputs, torch.full_like(x.inputs, torch.nan))
