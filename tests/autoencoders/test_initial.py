"""Initial weights: their distributions, where a setting puts them, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch

from stackae.autoencoders.initial import initial_weights
from stackae.config import FinetuneConfig, LayerConfig
from stackae.config.notation import InitialConfig
from stackae.errors import ConfigError
from stackae.objectives.kinds import build


def drawn(text: str) -> torch.Tensor:
    return initial_weights(300, 200, InitialConfig.model_validate(text), seed=3, layer=1)


@pytest.mark.parametrize(
    ("text", "bound"),
    [("glorot", math.sqrt(6 / 500)), ("glorot:2", 2 * math.sqrt(6 / 500)), ("uniform:0.025", 0.025)],
)
def test_uniform_weights_fill_their_range(text: str, bound: float) -> None:
    weights = drawn(text)
    assert weights.abs().max() <= bound
    assert weights.max() > 0.999 * bound and weights.min() < -0.999 * bound
    assert float(weights.std()) == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_normal_weights_have_their_standard_deviation() -> None:
    weights = drawn("normal:0.01")
    assert float(weights.std()) == pytest.approx(0.01, rel=0.01)
    assert float(weights.abs().max()) > 0.03
    assert torch.equal(weights, drawn("normal:0.01"))


@pytest.mark.parametrize("tied", [True, False])
def test_a_layer_begins_with_the_weights_of_its_setting_and_biases_of_zero(tied: bool) -> None:
    layer = LayerConfig(n_hidden=300, initial_weights="uniform:0.025", tied=tied, output_activation="linear")
    one = build(200, layer, seed=3, number=1)
    weights, biases = ([each for each in one.trained if (each.dim() > 1) == wide] for wide in (True, False))
    assert torch.equal(weights[0], drawn("uniform:0.025"))
    assert all(0.0249 < each.abs().max() <= 0.025 for each in weights)
    assert len(weights) == 1 + (not tied) and not any(each.any() for each in biases)
    assert torch.equal(one.anew(3, 1).trained[0], weights[0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("uniform", "initial_weights: expected uniform:NUMBER, such as uniform:0.01, got 'uniform'"),
        ("normal:x", "initial_weights: expected normal:NUMBER, such as normal:0.01, got 'normal:x'"),
        ("normal:0", "expected a number greater than 0"),
        ("cauchy:1", "expected one of glorot, uniform, normal, got 'cauchy'"),
    ],
)
def test_a_draw_that_is_none_is_refused(text: str, sentence: str) -> None:
    for make in (lambda: LayerConfig(n_hidden=2, initial_weights=text), lambda: FinetuneConfig(initial_weights=text)):
        with pytest.raises(ConfigError, match=sentence):
            make()


@pytest.mark.parametrize("text", ["glorot", "glorot:1.5", "uniform:0.005", "normal:0.01"])
def test_a_draw_is_written_as_it_is_read(text: str) -> None:
    assert InitialConfig.model_validate(text).model_dump() == text
