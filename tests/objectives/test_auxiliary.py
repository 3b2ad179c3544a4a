"""The auxiliary loss of dead units: its value, its gradient, whom it moves, and what it remembers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from step_cases import BUILD, DEVICE_STEP, objective, rows_of
from torch import Tensor

from stackae.autoencoders.conv import ConvolutionalAutoencoder
from stackae.config import LayerConfig, PretrainConfig, TrainingConfig
from stackae.config.values import validated
from stackae.errors import ConfigError
from stackae.objectives.auxiliary import WEIGHT, Auxiliary
from stackae.objectives.losses import LOSSES, residual
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops.reference import ACTIVATIONS
from stackae.pretraining import pretrain_stack
from stackae.training.resampling import dead_units

REFUSED, TAKEN = torch.ones(()), torch.zeros(())
NO_STEP = pytest.mark.skipif(DEVICE_STEP, reason="the step of a GPU keeps all units")
ENGINES = pytest.mark.parametrize("engine", [pytest.param("fused", marks=NO_STEP), "eager"])


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of(silent: list[float], count: int = 2, rows: int = 10) -> Auxiliary:
    one = Auxiliary(count, rows, torch.zeros(len(silent), dtype=torch.float64))
    one.silent.copy_(torch.tensor(silent))
    return one


# ---- the loss


def test_it_is_the_error_of_the_largest_dead_units_of_each_row() -> None:
    """By hand: of 3 dead units out of 5, the 2 with the largest pre-activations, also where these are negative."""
    before, weight, lacking = drawn(7, 5) - 1, drawn(4, 5, seed=1), drawn(7, 4, seed=2)
    found = of([10, 0, 10, 9, 10])(before, weight, lacking)
    total = 0.0
    for a, e in zip(before, lacking, strict=True):
        units = sorted((0, 2, 4), key=lambda j, a=a: -float(a[j]))[:2]
        total += float((e - sum(a[j] * weight[:, j] for j in units)).square().sum())
    assert float(found) == pytest.approx(WEIGHT * total / 7, rel=1e-12)
    halved = of([10, 0, 10, 9, 10])(before, weight, lacking, curvature=1.0)
    assert float(halved) == pytest.approx(float(found) / 2, rel=1e-12)


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("dead", [1, 3, 5])
def test_its_gradient_is_that_of_differences(count: int, dead: int) -> None:
    one = of([10.0] * dead + [9.0] * (5 - dead), count)
    given = (drawn(6, 5).requires_grad_(), drawn(4, 5, seed=1).requires_grad_())
    lacking = drawn(6, 4, seed=2)
    assert torch.autograd.gradcheck(lambda before, weight: one(before, weight, lacking), given)


def test_without_a_dead_unit_it_is_0_and_moves_nothing() -> None:
    before, weight = drawn(6, 5).requires_grad_(), drawn(4, 5, seed=1).requires_grad_()
    found = of([0, 3, 9, 9, 9])(before, weight, drawn(6, 4, seed=2))
    assert found.item() == 0
    assert all(bool((each == 0).all()) for each in torch.autograd.grad(found, (before, weight)))


@pytest.mark.parametrize(("loss", "output"), [("bce", "sigmoid"), *(("mse", name) for name in ACTIVATIONS)])
def test_what_is_lacking_is_the_way_that_the_loss_falls(loss: str, output: str) -> None:
    one = objective(rows_of(9, 6), 4, output_activation=output, loss=loss, tied=False).network
    h, x, weight = drawn(9, 4), rows_of(9, 6), rows_of(9, 6) + 0.5
    s = one.decode_logits(h).detach().requires_grad_()

    class Read:
        """What the loss reads is s itself."""

        def decode(self, _: Tensor) -> Tensor:
            return ACTIVATIONS[output](s)

        def decode_logits(self, _: Tensor) -> Tensor:
            return s

    (slope,) = torch.autograd.grad(LOSSES[loss](Read(), h, x, weight), s)
    wanted = -len(x) * slope / (1 / 16 if loss == "bce" else 2)
    torch.testing.assert_close(residual(one, h, x, weight, loss, output), wanted, rtol=1e-9, atol=1e-12)


# ---- what it remembers


def test_rows_are_counted_since_a_unit_was_active_and_a_refused_step_counts_none() -> None:
    one = Auxiliary(2, 10, torch.zeros(3))
    code = torch.tensor([[1.0, 0, 0], [0, -2, 0], [0, 0, 0], [0, 0, 0]])
    seen = []
    for kept, refused in ((code, TAKEN), (code * 0, TAKEN), (code, REFUSED), (code, TAKEN), (code[2:], TAKEN)):
        one.watch((kept != 0).any(dim=0), len(kept))
        one.count_on(refused)
        seen.append(one.silent.tolist())
    assert seen == [[0, 0, 4], [4, 4, 8], [4, 4, 8], [0, 0, 10], [2, 2, 10]]


@ENGINES
def test_a_step_hands_over_what_it_remembers_and_another_goes_on_from_there(engine: str) -> None:
    made = [dead_case() for _ in range(3)]
    steps = [BUILD[engine](one, TrainingConfig(), 1e-3) for one in made]
    order, rates = torch.arange(64).repeat(6), [0.01] * 24
    steps[0].advance(order, 16, 0, rates)
    steps[1].advance(order[: 11 * 16], 16, 0, rates[:11])
    made[2].network.load_state_dict(made[1].network.state_dict())
    for kept, fresh in zip(steps[1].optimizer_state(), steps[2].optimizer_state(), strict=True):
        fresh.copy_(kept)
    assert steps[1].optimizer_state()[-1].tolist()[:3] == [48.0] * 3
    steps[2].advance(order[11 * 16 :], 16, 11, rates[11:])
    for a, b in zip(steps[0].optimizer_state(), steps[2].optimizer_state(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(made[0].network.parameters(), made[2].network.parameters(), strict=True):
        assert torch.equal(a, b)


# ---- units that come alive


def dead_case(auxiliary: bool = True, rows: int = 48) -> Any:
    """Rows of 8 sources, two active in each; of 12 units 3 lie so far below the others that none is ever kept."""
    sources = torch.linalg.qr(drawn(12, 12, seed=3)).Q[:8]
    which = torch.rand(64, 8, generator=torch.Generator().manual_seed(4)).topk(2, dim=1).indices
    x = torch.zeros(64, 8, dtype=torch.float64).scatter(1, which, 1.0) @ sources
    made = objective(
        x,
        12,
        activation="relu",
        output_activation="linear",
        tied=False,
        keeps=2,
        **({"auxiliary": (3, rows)} if auxiliary else {}),
    )
    with torch.no_grad():
        made.network.encoder.bias[:3] = -1
    return made


@ENGINES
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_dead_units_come_alive_with_it_and_stay_dead_without(optimizer: str, engine: str) -> None:
    alive = {}
    for auxiliary in (True, False):
        one = dead_case(auxiliary)
        assert bool(dead_units(one.network, one.x)[:3].all())
        step = BUILD[engine](one, TrainingConfig(optimizer=optimizer), 0.0)
        rate = 0.01 if optimizer == "adam" else 0.3
        progress = step.advance(torch.arange(64).repeat(150), 16, 0, [rate] * 600)
        assert progress.steps == 600 and math.isfinite(progress.total)
        alive[auxiliary] = int((~dead_units(one.network, one.x)[:3]).sum())
    assert alive[True] == 3 and alive[False] == 0


@ENGINES
def test_no_unit_but_dead_ones_is_moved_by_it(engine: str) -> None:
    """Beside the same step without it, all other units, and the output's bias, move alike."""
    moved, dead = [], torch.zeros(0)
    for auxiliary in (False, True):
        one = dead_case(auxiliary, rows=16)
        step = BUILD[engine](one, TrainingConfig(optimizer="sgd", momentum=0.0), 0.0)
        step.advance(torch.arange(16), 16, 0, [0.0])
        dead = step.optimizer_state()[-1] >= 16
        step.advance(torch.arange(16, 32), 16, 1, [0.1])
        moved.append([each.detach().clone() for each in one.network.trained])
    plain, (weight, bias, decoder, out) = moved
    assert 3 <= int(dead.sum()) < 12
    assert torch.equal(weight[~dead], plain[0][~dead]) and torch.equal(bias[~dead], plain[1][~dead])
    assert torch.equal(decoder[:, ~dead], plain[2][:, ~dead]) and torch.equal(out, plain[3])
    assert not torch.equal(weight[:3], plain[0][:3]) and not torch.equal(decoder[:, :3], plain[2][:, :3])


@ENGINES
def test_a_layer_that_is_trained_with_it_has_fewer_dead_units(engine: str) -> None:
    which = torch.rand(800, 60, generator=torch.Generator().manual_seed(4)).topk(3, dim=1).indices
    x = (torch.zeros(800, 60).double().scatter(1, which, 1.0) @ drawn(60, 30) / 30**0.5).float()
    options = {"activation": "relu", "tied": False, "sparsity": "top-k:3", "corruption": "none", "learning_rate": 0.02}
    last = {}
    for revive in ("none", "auxiliary"):
        config = PretrainConfig.from_options("30,80", revive=revive, max_epochs=16, batch_size=32, **options)
        last[revive] = pretrain_stack(x, config.model_copy(update={"device": "cpu", "engine": engine})).history[-1]
    assert last["auxiliary"].dead < last["none"].dead / 4
    assert last["auxiliary"].loss < last["none"].loss


# ---- how it is asked for


@pytest.mark.parametrize(
    "text", ["none", "resample", "auxiliary", "auxiliary:0:500", "auxiliary:64", "auxiliary:64:10"]
)
def test_texts_come_back(text: str) -> None:
    layer = validated(LayerConfig, {"n_hidden": 80, "revive": text, "activation": "relu", "sparsity": "top-k:3"})
    assert layer.model_dump()["revive"] == text
    assert validated(LayerConfig, layer.model_dump()) == layer


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"revive": "auxiliary:x"}, "expected auxiliary, auxiliary:K or auxiliary:K:ROWS, such as auxiliary:64:1000"),
        ({"revive": "auxiliary:4:"}, "such as auxiliary:64:1000, got 'auxiliary:4:'"),
        ({"revive": "auxiliary:4:0"}, "revive.rows: expected a number greater than or equal to 1, got 0"),
        ({"revive": "resample:3"}, "expected resample alone, got 'resample:3'"),
        (
            {"revive": "auxiliary", "activation": "relu"},
            "revive auxiliary: expected a code that keeps the largest units, got sparsity none; use revive resample, "
            "or sparsity top-k:K",
        ),
        ({"revive": "auxiliary", "sparsity": "lifetime:0.1"}, "got sparsity lifetime:0.1; use revive resample"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(LayerConfig, {"n_hidden": 8, **settings})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("given", [{"contraction": 0.1}, {"auxiliary": of([0.0] * 8)}])
def test_a_layer_that_has_no_units_of_one_weight_row_each_has_none(given: dict[str, Any]) -> None:
    network = ConvolutionalAutoencoder((2, 4, 1), 2, seed=1).double()
    with pytest.raises(TypeError, match="objective: expected a dense autoencoder, got ConvolutionalAutoencoder"):
        ReconstructionObjective(network, rows_of(3, 8), **given)(torch.arange(3), 0)
