"""Closed forms as starts for gradient training: no other start of their kind has a smaller error."""

from __future__ import annotations

import pytest
import torch
from closed_cases import MASKING, NOISES, affine, awkward_rows, random
from moment_cases import rows

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.marginalized import (
    MarginalizedAutoencoder,
    initialise_marginalized,
)
from stackae.autoencoders.pca import initialise_pca, principal_components
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.errors import ConfigError
from stackae.objectives.losses import squared_error
from stackae.ops.engine import choose_engine
from stackae.ops.reference import ACTIVATIONS

ENGINE = choose_engine()


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_a_linear_autoencoder_starts_as_the_marginalised_one(noise):
    moments = Moments.of(awkward_rows())
    network = Autoencoder(7, 3, activation="linear", output_activation="linear", tied=False)
    initialise_marginalized(network, moments, noise)
    solved = MarginalizedAutoencoder.solved(moments, 3, noise, activation="linear")
    for name, tensor in solved.named_parameters():
        torch.testing.assert_close(network.state_dict()[name], tensor)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_no_other_scales_of_tied_rows_have_a_smaller_expected_error(noise):
    exact = CorruptedMoments.of(Moments.of(rows(50, 6)), noise)
    network = Autoencoder(6, 3, activation="linear", output_activation="linear", tied=True).double()
    initialise_marginalized(network, Moments.of(rows(50, 6)), noise, ridge=0.0)
    rows_found = network.encoder.weight.detach()
    scales = torch.ones(3, dtype=torch.float64, requires_grad=True)
    weight = (scales.unsqueeze(1) * rows_found).t() @ (scales.unsqueeze(1) * rows_found)
    (gradient,) = torch.autograd.grad(exact.error(weight, exact.mean - weight @ exact.noisy_mean), scales)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)


def test_with_gaussian_noise_tied_weights_lose_nothing_against_untied_ones():
    noise, moments = Corruption("gaussian", 0.7), Moments.of(rows(50, 6))
    tied, untied = (
        Autoencoder(6, 3, activation="linear", output_activation="linear", tied=tied).double() for tied in (True, False)
    )
    exact = CorruptedMoments.of(moments, noise)
    for network in (tied, untied):
        initialise_marginalized(network, moments, noise, ridge=0.0)
    assert exact.error(*affine(tied)).item() == pytest.approx(exact.error(*affine(untied)).item(), rel=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_untied_decoder_reads_gaussian_codes_as_the_least_squares_of_them_do(activation):
    x = 3 + 2 * random(20000, 1)
    network = Autoencoder(1, 1, activation=activation, output_activation="linear", tied=False).double()
    initialise_pca(network, Moments.of(x))
    h = network.encode(x).detach()
    design = torch.cat([h, torch.ones_like(h)], dim=1)
    slope, rest = torch.linalg.lstsq(design, x).solution.flatten().tolist()
    assert network.decoder_weight.item() == pytest.approx(slope, rel=0.03)
    assert network.decoder_bias.item() == pytest.approx(rest, abs=0.1)


@pytest.mark.parametrize("spread", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_tied_unit_has_the_scale_with_the_least_error_on_gaussian_rows(activation, spread):
    x = 3 + spread * random(20000, 1)
    network = Autoencoder(1, 1, activation=activation, output_activation="linear", tied=True).double()
    initialise_pca(network, Moments.of(x))
    scale, mean = network.encoder.weight.item(), x.mean()

    def error(scale):
        h = scale * ACTIVATIONS[activation](scale * (x - mean))
        return (x - mean - h + h.mean()).square().mean().item()

    assert squared_error(network, network.encode(x), x).item() == pytest.approx(error(scale), rel=0.02, abs=1e-12)
    for factor in (0.25, 0.8, 1.25, 4.0):
        assert error(scale) <= 1.02 * error(factor * scale) + 1e-12


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("output", "middle"), [("sigmoid", 0.5), ("tanh", 0.0)])
def test_where_an_output_is_as_good_as_linear_the_start_is_as_good_as_pca(output, middle, tied):
    x = middle + 0.002 * (rows(100, 6).double() - rows(100, 6).double().mean(dim=0))
    moments = Moments.of(x)
    network = Autoencoder(6, 2, activation="linear", output_activation=output, tied=tied).double()
    initialise_pca(network, moments)
    found = squared_error(network, network.encode(x), x).item()
    assert found == pytest.approx(principal_components(moments).errors[2].item(), rel=0.01)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("output", ["linear", "sigmoid", "tanh"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_start_is_better_than_random_weights_and_than_the_mean(activation, output, tied):
    x = torch.sigmoid(rows(200, 4) @ rows(4, 12, seed=1) / 20)
    x[:, 3] = 0.0
    moments = Moments.of(x)
    network = Autoencoder(12, 4, activation=activation, output_activation=output, tied=tied)
    noisy = MASKING(x, ENGINE, seed=1, layer=1, step=1)

    def error():
        return squared_error(network, network.encode(noisy), x).item()

    random_error = error()
    initialise_marginalized(network, moments, MASKING)
    assert error() < random_error
    initialise_pca(network, moments)
    assert squared_error(network, network.encode(x), x).item() < moments.covariance.trace().item()


# ---- what is refused


def test_what_has_no_closed_form_is_refused_with_a_sentence():
    moments = Moments.of(rows(9, 4))
    for call in (
        lambda: MarginalizedAutoencoder(4, 5),
        lambda: MarginalizedAutoencoder.solved(moments, 5, MASKING),
        lambda: initialise_pca(Autoencoder(4, 5), moments),
        lambda: initialise_marginalized(Autoencoder(4, 5), moments, MASKING),
    ):
        with pytest.raises(ConfigError, match=r"n_hidden: expected 1 to 4 units, .* got 5; use at most 4, or train"):
            call()
    with pytest.raises(ConfigError, match=r"activation: expected linear or tanh, .* got sigmoid; use one of them"):
        MarginalizedAutoencoder(4, 4, activation="sigmoid")
    for start in (initialise_pca, lambda network, moments: initialise_marginalized(network, moments, MASKING)):
        with pytest.raises(ConfigError, match=r"output_activation: expected one of linear, sigmoid, tanh .* got relu"):
            start(Autoencoder(4, 2, output_activation="relu"), moments)
        with pytest.raises(ConfigError, match=r"moments: expected those of rows of 6 numbers, .* got 4"):
            start(Autoencoder(6, 2), moments)
