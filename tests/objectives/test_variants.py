"""What else a layer may be asked to do: contraction, kept units, emphasis, dropout, limits; against their laws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from step_cases import objective, rows_of
from torch import Tensor

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.selection import batch_top_k, threshold_of, top_k
from stackae.config import LayerConfig, PretrainConfig, TrainingConfig
from stackae.config.values import validated
from stackae.errors import ConfigError
from stackae.objectives.contraction import SLOPES
from stackae.objectives.penalties import clip_norms
from stackae.ops.engine import choose_engine
from stackae.ops.reference import ACTIVATIONS
from stackae.training.optimizers import make_optimizer
from stackae.training.resampling import dead_units, resample_units
from stackae.training.step import EagerStep

ENGINE = choose_engine()
ROWS = torch.arange(8)
WHERE = {"seed": 3, "layer": 2, "step": 5}


# ---- contraction


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_slope_of_each_activation_is_its_derivative_in_float64(activation: str) -> None:
    a = torch.linspace(-5, 5, 200, dtype=torch.float64, requires_grad=True)  # not at 0, where some have none
    (wanted,) = torch.autograd.grad(ACTIVATIONS[activation](a).sum(), a)
    torch.testing.assert_close(SLOPES[activation](a), wanted, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("activation", SLOPES)
def test_slopes_stay_finite_far_out(activation: str) -> None:
    far = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4])
    assert bool(SLOPES[activation](far).isfinite().all())


# ---- kept units


@given(st.integers(1, 9), st.integers(1, 12), st.data())
def test_top_k_keeps_the_largest_of_each_row(rows: int, width: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, width))
    h = torch.randperm(rows * width, generator=torch.Generator().manual_seed(rows)).view(rows, width) + 1.0
    kept = top_k(h, count)
    assert ((kept != 0).sum(dim=1) == count).all() and bool(((kept == h) | (kept == 0)).all())
    assert torch.equal(kept.sort(dim=1).values[:, width - count :], h.sort(dim=1).values[:, width - count :])
    together = batch_top_k(h, count)
    assert (
        int((together != 0).sum()) == count * rows
        and together[together != 0].min() == h.flatten().sort().values[-count * rows]
    )
    above = torch.where(h > threshold_of(h, count), h, 0.0)
    assert torch.equal(above, together)


@pytest.mark.parametrize("keep", [top_k, batch_top_k])
def test_kept_units_alone_have_a_gradient(keep: Any) -> None:
    h = torch.randn(5, 9, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(2))
    torch.autograd.backward((keep(h, 3) * torch.arange(1.0, 10)).sum())
    assert h.grad is not None
    assert torch.equal(h.grad, torch.where(keep(h, 3) != 0, torch.arange(1.0, 10).double(), 0.0))


def test_the_code_of_a_row_depends_on_no_other_row() -> None:
    x = rows_of(200, 10, torch.float32)
    one = Autoencoder(10, 30, activation="relu", keeps=4, over_batch=True)
    one.calibrate(x)
    codes = one.encode(x)
    assert (codes != 0).sum().item() == pytest.approx(4 * len(x), abs=2)
    assert torch.allclose(one.encode(x[17:18]), codes[17:18], atol=1e-6)
    assert (one.kept(one.encoder(x), training=True) != 0).sum() <= 4 * len(x)


# ---- noise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["masking", "salt-and-pepper"])
def test_emphasis_falls_on_what_was_struck(kind: str, dtype: torch.dtype) -> None:
    x, noise = rows_of(50, 40, dtype) * 0.5 + 0.25, Corruption(kind, 0.3)
    weight = Emphasis(1.1, 0.1)(x, noise, ENGINE, **WHERE)
    changed = noise(x, ENGINE, **WHERE) != x
    high, low = torch.tensor([1.1, 0.1], dtype=dtype)
    assert torch.equal(weight, torch.where(changed, high, low))


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_the_loss_is_the_sum_of_what_is_struck_and_what_is_not(loss: str) -> None:
    x = rows_of(8, 12)
    given: dict[str, Any] = {"loss": loss, "corruption": Corruption("masking", 0.4)}
    struck, others, both, plain = (
        objective(x, 5, emphasis=emphasis, **given)(ROWS, 4).item()
        for emphasis in (Emphasis(1, 0), Emphasis(0, 1), Emphasis(1, 1), None)
    )
    assert struck > 0 and others > 0 and struck + others == pytest.approx(plain) and both == pytest.approx(plain)
    weighed = objective(x, 5, emphasis=Emphasis(1, 0.25), **given)(ROWS, 4).item()
    assert weighed == pytest.approx(struck + others / 4)


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9])
def test_dropout_draws_anew_each_step_and_place(level: float) -> None:
    x = torch.ones(300, 200)
    left = Dropout(level, 1)(x, ENGINE, **WHERE)
    assert torch.equal(left, Dropout(level, 1)(x, ENGINE, **WHERE))
    for other in (Dropout(level, 2)(x, ENGINE, **WHERE), Dropout(level, 1)(x, ENGINE, **{**WHERE, "step": 6})):
        agree = ((left == 0) == (other == 0)).double().mean().item()
        assert agree == pytest.approx(level**2 + (1 - level) ** 2, abs=0.02)
    noise = Corruption("masking", level)(x, ENGINE, **WHERE)
    assert not torch.equal(left == 0, noise == 0)
    assert Dropout(0.0, 1)(x, ENGINE, **WHERE) is x


def test_dropout_stands_before_encoder_and_decoder() -> None:
    x = rows_of(8, 12)
    one = objective(x, 5, dropout=(Dropout(0.3, 1), Dropout(0.5, 2)))
    where = {"seed": one.seed, "layer": one.layer, "step": 7}
    seen = Dropout(0.3, 1)(x, ENGINE, **where)
    code = Dropout(0.5, 2)(one.network.encode(seen), ENGINE, **where)
    wanted = (one.network.decode(code) - x).square().sum() / len(x)
    assert one(ROWS, 7).item() == pytest.approx(wanted.item())


# ---- limits of weights


@given(st.floats(0.1, 5.0), st.integers(1, 6), st.integers(1, 6))
def test_norms_are_clipped_and_short_ones_left_alone(longest: float, rows: int, width: int) -> None:
    weight = 4 * torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))
    weight[0] = 0
    before = weight.clone()
    clip_norms([weight], longest)
    assert bool((weight.norm(dim=1) <= longest * (1 + 1e-12)).all())
    short = before.norm(dim=1) <= longest
    assert torch.equal(weight[short], before[short])
    assert torch.allclose(weight * before.norm(dim=1, keepdim=True), before * weight.norm(dim=1, keepdim=True))


def test_every_step_ends_within_the_limit() -> None:
    x = rows_of(64, 12, torch.float32)
    one = objective(x, 5, torch.float32, tied=False, max_norm=0.5)
    step = EagerStep(one, make_optimizer(one.network, TrainingConfig(), 0.0, 0.0))
    step.advance(torch.arange(64), 16, 0, [0.1] * 4)
    assert all(bool((each.norm(dim=1) <= 0.5 + 1e-6).all()) for each in one.weights)


# ---- dead units


def with_dead_units(keeps: int = 0, tied: bool = True) -> tuple[Autoencoder, Tensor]:
    one = Autoencoder(20, 16, activation="relu", output_activation="linear", keeps=keeps, tied=tied, seed=4)
    with torch.no_grad():
        one.encoder.bias[:6] = -100
    return one, rows_of(300, 20, torch.float32)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("keeps", [0, 4])
def test_dead_units_are_found_and_revived_and_the_others_left_alone(keeps: int, tied: bool) -> None:
    one, x = with_dead_units(keeps, tied)
    dead = dead_units(one, x)
    assert bool(dead[:6].all())
    before = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    moments = [torch.ones_like(own) for own in one.trained for _ in range(2)]
    resample_units(one, x, dead, moments, seed=1, layer=2, epoch=3)
    assert dead_units(one, x).sum() < dead.sum() / 2
    assert torch.equal(one.encoder.weight[~dead], before["encoder.weight"][~dead])
    assert bool((moments[0][dead] == 0).all()) and bool((moments[0][~dead] == 1).all())
    if not tied:
        assert torch.equal(one.decoder_weight[:, ~dead], before["decoder_weight"][:, ~dead])
        assert bool((moments[4][:, dead] == 0).all()) and bool((moments[4][:, ~dead] == 1).all())


def test_revival_is_a_function_of_seed_layer_and_epoch() -> None:
    made = []
    for seed, layer, epoch in ((1, 2, 3), (1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)):
        one, x = with_dead_units()
        moments = [torch.zeros_like(own) for own in one.trained for _ in range(2)]
        resample_units(one, x, dead_units(one, x), moments, seed=seed, layer=layer, epoch=epoch)
        made.append(one.encoder.weight.detach().clone())
    assert torch.equal(made[0], made[1]) and not any(torch.equal(made[0], each) for each in made[2:])


def test_a_saturated_unit_is_dead_and_a_lively_one_is_not() -> None:
    one, x = Autoencoder(20, 4, activation="sigmoid", seed=4), rows_of(300, 20, torch.float32)
    with torch.no_grad():
        one.encoder.bias[1] = 60
    assert dead_units(one, x).tolist() == [False, True, False, False]


# ---- what cannot be asked for together


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sparsity": "kl:0.1:1", "activation": "relu"}, "expected a code in (0, 1), got activation relu"),
        (
            {"sparsity": "top-k:3", "activation": "sigmoid"},
            "expected a code in which 0 says that a unit is silent, got activation sigmoid",
        ),
        ({"sparsity": "top-k:9", "activation": "relu"}, "expected at most the 8 units of the code to be kept, got 9"),
        ({"sparsity": "top-k:0", "activation": "relu"}, "expected at least 1 unit to be kept, got top-k:0"),
        ({"sparsity": "top-k:x"}, "expected top-k:K, such as top-k:32, got 'top-k:x'"),
        ({"emphasis": "1:0.5", "corruption": "gaussian:0.1"}, "expected noise that strikes some inputs and leaves"),
        ({"emphasis": "0:0"}, "expected a weight above 0 for corrupted inputs or for the others, got 0:0"),
        ({"emphasis": "1"}, "expected none or ALPHA:BETA, such as 1:0.5, got '1'"),
        ({"dropout": "x"}, "expected P or P:Q, such as 0.2:0.5, got 'x'"),
        ({"dropout": "0.2:1"}, "dropout"),
        (
            {"contraction": 0.1, "dropout": "0.5"},
            "expected a code that follows its input smoothly, got dropout 0.5:0.5",
        ),
        ({"contraction": 0.1, "sparsity": "top-k:3", "activation": "relu"}, "smoothly, got sparsity top-k:3"),
        (
            {"revive": "resample", "activation": "sigmoid"},
            "expected units that can fall silent for good, got activation sigmoid",
        ),
        (
            {"revive": "resample", "sparsity": "kl:0.1:0.1"},
            "expected units that can fall silent for good, got sparsity kl:0.1:0.1, which revives them by itself",
        ),
        ({"revive": "maybe"}, "expected one of none, resample, auxiliary, got 'maybe'"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(LayerConfig, {"n_hidden": 8, **settings})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("text", ["none", "1.0:0.5", "0.0:2.0"])
def test_texts_come_back(text: str) -> None:
    layer = validated(LayerConfig, {"n_hidden": 8, "emphasis": text, "dropout": "0.25"})
    again = validated(LayerConfig, layer.model_dump())
    assert again == layer and layer.model_dump()["emphasis"] == text and layer.model_dump()["dropout"] == "0.25:0.25"


def test_the_fused_step_serves_what_it_has() -> None:
    plain = LayerConfig(n_hidden=8, contraction=0.1)
    assert plain.lacks_on("cpu") == plain.lacks_on("cuda") == ""
    other = validated(LayerConfig, {"n_hidden": 8, "kind": "variational"})
    assert other.lacks_on("cpu") == other.lacks_on("cuda") == "kind variational"


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"emphasis": "1:0", "corruption": "masking:0.2"}, "emphasis 1.0:0.0"),
        ({"dropout": 0.1}, "dropout 0.1:0.1"),
        ({"weight_l1": 0.1}, "weight_l1 0.1"),
        ({"max_norm": 1}, "max_norm 1"),
        ({"revive": "resample"}, "revive resample"),
    ],
)
def test_what_the_step_of_a_cpu_has_alone_is_an_eager_one_on_a_gpu(settings: dict[str, Any], found: str) -> None:
    layer = validated(LayerConfig, {"n_hidden": 8, **settings})
    assert (layer.lacks_on("cpu"), layer.lacks_on("cuda")) == ("", found)
    given = {"n_visible": 9, "layers": [layer], "precision": "bf16"}
    assert validated(PretrainConfig, {**given, "device": "cpu"}).layers == (layer,)
    for on_gpu in ({"device": "cuda:0"}, {"precision": "tf32"}):
        with pytest.raises(ConfigError, match=f"expected a layer that the fused step trains, got {found} in layer 1"):
            validated(PretrainConfig, {**given, **on_gpu})


@pytest.mark.parametrize("text", ["top-k:2", "batch-top-k:2", "lifetime:0.1"])
def test_the_step_of_a_cpu_keeps_few_units_in_fp32_alone(text: str) -> None:
    layer = validated(LayerConfig, {"n_hidden": 8, "activation": "relu", "sparsity": text})
    assert layer.lacks_on("cpu") == ""
    assert layer.lacks_on("cuda") == layer.lacks_on("cpu", "bf16") == f"sparsity {text}"
    given = {"n_visible": 9, "layers": [layer], "device": "cpu", "precision": "bf16"}
    with pytest.raises(ConfigError, match=f"the fused step trains, got sparsity {text} in layer 1; use precision fp32"):
        validated(PretrainConfig, given)
