"""Defaults that are settled by the data: each kind of rows, the reasons, and what a layer explains beside PCA."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stackae.analysis.explained import Explained, explained_by, principal_errors_of
from stackae.analysis.principal import principal_of
from stackae.config import DataConfig, LayerConfig, PretrainConfig
from stackae.data import load_data
from stackae.data.kind import kind_of
from stackae.errors import ConfigError, DataError
from stackae.pretraining import pretrain_stack, reasons, settle
from stackae.random import Purpose, uniform
from stackae.workflows.summary import below_pca

PIXELS = uniform((200, 64), seed=1, purpose=Purpose.SPLIT)
INK = (20 * (PIXELS - 0.7)).sigmoid()
BITS = (PIXELS > 0.7).float()
NUMBERS = 6 * uniform((200, 16), seed=2, purpose=Purpose.SPLIT) - 3


def settled(x, layers, **options):
    return settle(PretrainConfig.from_options(f"{x.shape[1]},{layers}", device="cpu", **options), x).layers


def variance(x):
    """V, the variance of all columns."""
    return float(x.double().var(dim=0, correction=0).sum())


def shown(layer, x):
    shares = {float(f"{share * variance(x):.2g}"): f"{share} V" for share in (0.06, 0.02)} | {0.0: 0.0}
    return (
        *(layer.activation, layer.output_activation, layer.loss, layer.corruption.model_dump(), layer.init),
        *(shares[layer.contraction], layer.tied, layer.learning_rate),
    )


FEATURES = ("sigmoid", "sigmoid", "bce", "none", "random", "0.06 V", True, 3e-3)
OF_FEATURES = (*FEATURES[:5], "0.02 V", *FEATURES[6:])
DENOISING = (*FEATURES[:3], "masking:0.25", "random", 0.0, True, 1e-3)
PRINCIPAL = ("tanh", "linear", "mse", "none", "pca", 0.0, False, 3e-4)


@pytest.mark.parametrize(
    ("x", "layers", "wanted"),
    [
        (INK, "20,10", [FEATURES, OF_FEATURES]),
        (PIXELS, "20,10", [DENOISING, DENOISING]),
        (INK, "30,10", [PRINCIPAL, PRINCIPAL]),  # fewer than ten rows per unit
        (BITS, "20", [FEATURES]),
        (NUMBERS, "8,4", [PRINCIPAL, PRINCIPAL]),
        (NUMBERS, "40,4", [(*PRINCIPAL[:4], "random", 0.0, False, 3e-3), PRINCIPAL]),
        (PIXELS[:, :16], "8", [PRINCIPAL]),
    ],
    ids=["ink", "gray", "few pixels", "bits", "numbers", "wide code", "few columns in [0, 1]"],
)
def test_each_kind_of_rows_settles_as_described(x, layers, wanted):
    assert [shown(layer, x) for layer in settled(x, layers)] == wanted


def test_contrast_is_the_variance_beside_that_of_zeros_and_ones():
    assert kind_of(BITS).contrast == pytest.approx(1) and kind_of(BITS / 2).contrast < 0.5
    assert kind_of(PIXELS).contrast == pytest.approx(1 / 3, abs=0.02)  # of uniform draws, 1/12 over 1/4
    assert kind_of(torch.zeros(3, 2)).contrast == 0


def test_a_value_far_out_makes_codes_linear():
    far = NUMBERS.clone()
    far[3, 5] = 500.0
    assert kind_of(far).far and not kind_of(NUMBERS).far
    (layer,) = settled(far, "4")
    assert shown(layer, far) == ("linear", "linear", "mse", "none", "pca", 0.0, True, 3e-4)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"sparsity": "top-k:3"}, {"activation": "relu", "corruption": "none", "init": "random"}),
        ({"revive": "resample"}, {"activation": "relu"}),
        ({"sparsity": "kl:0.1:0.1"}, {"activation": "sigmoid", "output_activation": "linear", "corruption": "none"}),
        ({"contraction": 0.1}, {"activation": "sigmoid", "corruption": "none"}),
        ({"emphasis": "2:1"}, {"corruption": "masking:0.25"}),
        ({"activation": "sigmoid"}, {"output_activation": "linear", "loss": "mse", "init": "random", "tied": True}),
        ({"learning_rate": 0.1, "tied": True, "init": "random"}, {"learning_rate": 0.1, "tied": True}),
    ],
    ids=str,
)
def test_what_is_asked_for_stays_and_the_rest_fits_it(options, wanted):
    (layer,) = settled(NUMBERS, "4", **options)
    found = layer.model_dump()
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    ("options", "contraction", "corruption"),
    [
        ({"corruption": "gaussian:0.2"}, 0.0, "gaussian:0.2"),
        ({"corruption": "none"}, 0.0, "none"),
        ({"contraction": 0.5}, 0.5, "none"),
        ({"contraction": 0}, 0.0, "masking:0.25"),
        ({"activation": "tanh"}, 0.0, "masking:0.25"),
        ({"loss": "mse"}, 0.0, "masking:0.25"),
        ({"sparsity": "kl:0.1:0.1"}, 0.0, "none"),
        ({"dropout": "0.2"}, 0.0, "none"),
        ({"emphasis": "2:1"}, 0.0, "masking:0.25"),
    ],
    ids=str,
)
def test_ink_is_contracted_unless_something_else_keeps_layers_from_copying(options, contraction, corruption):
    (layer,) = settled(INK, "20", **options)
    assert (layer.contraction, layer.corruption.model_dump()) == (contraction, corruption)


def test_noise_that_is_asked_for_on_rows_in_the_unit_interval_gets_sigmoid_codes_and_the_cross_entropy():
    first, second = settled(PIXELS[:, :16], "8,4", corruption="gaussian:0.2")
    assert [first.activation, first.loss, second.activation, second.loss] == ["sigmoid", "bce", "sigmoid", "bce"]


@pytest.mark.parametrize(
    ("x", "width", "rate"),
    [(PIXELS[:, :16], 30, 3e-3), (PIXELS, 30, 3e-3), (PIXELS, 20, 1e-3)],
    ids=["columns in [0, 1]", "few pixels", "pixels"],
)
def test_rows_without_the_classes_left_out_are_learned_under_noise_however_few(x, width, rate):
    config = PretrainConfig.from_options(f"{x.shape[1]},{width},10", device="cpu")
    noisy = ("sigmoid", "sigmoid", "bce", "masking:0.25", "random", 0.0, True, rate)
    assert [shown(layer, x) for layer in settle(config, x, left_out=True).layers] == [noisy, noisy]
    first, second = reasons(config, x, left_out=True)
    assert first.endswith(f": {kind_of(x)}, without the classes left out") and second.endswith(
        ": sigmoid codes of layer 1"
    )


@pytest.mark.parametrize(
    ("x", "options"),
    [(NUMBERS, {}), (PIXELS[:, :16], {"corruption": "none"}), (PIXELS[:, :16], {"optimizer": "lbfgs"})],
    ids=["beyond [0, 1]", "no noise wanted", "no noise borne"],
)
def test_what_bears_no_noise_settles_alike_whatever_was_left_out(x, options):
    config = PretrainConfig.from_options(f"{x.shape[1]},8", device="cpu", **options)
    assert settle(config, x, left_out=True).layers[0].corruption.kind == "none"


def test_a_cross_entropy_above_makes_the_codes_below_sigmoid():
    assert [layer.activation for layer in settled(NUMBERS, "8,4", loss="mse,bce")] == ["sigmoid", "tanh"]


@pytest.mark.parametrize("kind", ["convolutional", "variational", "marginalized", "pca"])
def test_other_kinds_settle_to_their_own_defaults_and_are_read_again(kind):
    layers = "8x8x1,conv2" if kind == "convolutional" else "64,6"
    options = {} if kind == "convolutional" else {"kind": kind}
    config = settle(PretrainConfig.from_options(layers, device="cpu", **options), PIXELS)
    assert "auto" not in config.layers[0].model_dump().values()
    assert PretrainConfig.model_validate(config.model_dump()) == config


def test_settling_twice_changes_nothing():
    once = settle(PretrainConfig.from_options("64,20,10", device="cpu"), PIXELS)
    assert settle(once, PIXELS) == once
    assert not {"auto"} & {value for layer in once.layers for value in layer.model_dump().values() if value == "auto"}


def test_the_reasons_say_what_was_chosen_and_by_what():
    lines = reasons(PretrainConfig.from_options("64,20,10", device="cpu"), INK)

    def contracted(share):
        return f"{share * variance(INK):.2g}"

    wanted = "sigmoid / sigmoid, bce, contraction {}, no noise, tied, rate 0.003, 300 epochs"
    assert lines[0] == f"layer 1  64-20  {wanted.format(contracted(0.06))}: pixels near 0 or 1, 0% zeros"
    assert lines[1] == f"layer 2  20-10  {wanted.format(contracted(0.02))}: sigmoid codes of layer 1"
    few = reasons(PretrainConfig.from_options("64,30", device="cpu"), PIXELS)
    assert few == [
        "layer 1  64-30  tanh / linear, mse, no noise, untied, PCA start, rate 0.0003, 300 epochs: pixels in [0, 1], "
        "0% zeros, too few rows for features"
    ]
    (bits,) = reasons(PretrainConfig.from_options("64,20", device="cpu"), BITS)
    assert bits.endswith(f": zeros and ones, {float((BITS == 0).float().mean()):.0%} zeros")
    (numbers,) = reasons(PretrainConfig.from_options("16,4", device="cpu"), NUMBERS)
    assert numbers.endswith(": columns of numbers")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": "fast"}, "learning_rate: expected a number greater than 0, or auto, got 'fast'"),
        ({"learning_rate": 0}, "learning_rate: expected a number greater than 0, or auto, got 0"),
        ({"contraction": -1}, "contraction: expected a number of at least 0, or auto, got -1"),
        ({"tied": "perhaps"}, "tied: expected true, false or auto, got 'perhaps'"),
        ({"corruption": "auto:0.3"}, "expected auto alone, got 'auto:0.3'"),
    ],
    ids=str,
)
def test_what_is_neither_a_value_nor_auto_is_refused(options, message):
    with pytest.raises(ConfigError) as error:
        LayerConfig(n_hidden=2, **options)
    assert message in str(error.value)


def planted(rows):
    """Eight linear factors in 32 columns, and noise of a hundredth of their variance."""
    source = np.random.default_rng(0)
    factors = source.standard_normal((rows, 8)) @ source.standard_normal((8, 32))
    return torch.tensor(factors + 0.2 * source.standard_normal((rows, 32)), dtype=torch.float32)


def windows(rows):
    """Stretches of a random walk far from 0."""
    walk = np.cumsum(np.random.default_rng(1).standard_normal((rows, 32)), 1) / 6
    return torch.tensor(1e4 + walk, dtype=torch.float64)


@pytest.mark.parametrize("scale", ["standard", "minmax"])
@pytest.mark.parametrize("make", [planted, windows])
def test_by_default_every_layer_explains_what_pca_of_its_width_does(make, scale, tmp_path):
    np.save(tmp_path / "rows.npy", make(600).numpy())
    data = load_data(DataConfig(data=str(tmp_path / "rows.npy"), scale=scale))
    config = PretrainConfig.from_options("32,16,8", device="cpu")
    stack = pretrain_stack(data.train.x, config, validation=data.validation.x).stack
    principal = principal_errors_of(principal_of(data.train.x), data.validation.x)
    found = explained_by(stack, data.validation.x, principal)
    assert [each.n_hidden for each in found] == [16, 8]
    for each in found:
        assert not each.below and each.explained > each.pca_explained - 0.01


def test_a_layer_far_below_pca_says_so_and_wide_rows_have_none():
    x = planted(300)
    config = PretrainConfig.from_options("32,8", device="cpu", activation="relu", max_epochs=1, corruption="none")
    stack = pretrain_stack(x, config).stack
    (found,) = explained_by(stack, x, principal_errors_of(principal_of(x), x))
    assert found.below and found.pca_explained == pytest.approx(0.995, abs=0.005)
    assert principal_of(torch.zeros(2049, 2049)) is None and principal_errors_of(None, x) is None
    (alone,) = explained_by(stack, x, None)
    assert alone.pca_explained is None and not alone.below


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "use more epochs, or activation='linear'"),
        (
            {"activation": "sigmoid", "corruption": "masking:0.3"},
            "for reconstruction use corruption='none' activation='tanh', while noise serves scores and heads with few "
            "labels",
        ),
        (
            {"contraction": 0.3},
            "for reconstruction use corruption='none' activation='tanh', while a contraction serves heads with few "
            "labels",
        ),
    ],
    ids=["no noise", "noise", "contraction"],
)
def test_a_layer_below_pca_is_told_what_to_do(options, remedy):
    config = settle(PretrainConfig.from_options("16,8", device="cpu", **options), NUMBERS)
    low, high = Explained(1, 8, 0.5, 0.9), Explained(1, 8, 0.9, 0.9)
    assert below_pca(config, [low]) == f"layer 1 explains 50.0 % of the variance, PCA of its width 90.0 %; {remedy}"
    assert below_pca(config, [high]) == ""


def test_no_rows_settle_nothing():
    with pytest.raises(DataError, match="expected at least one training row, got none"):
        settle(PretrainConfig.from_options("64,8", device="cpu"), PIXELS[:0])
