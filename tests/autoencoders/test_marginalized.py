"""The marginalised autoencoder, against the problem that it solves and against draws of its noise."""

from __future__ import annotations

import math

import pytest
import torch
from closed_cases import MASKING, NOISES, NONE, affine, awkward_rows, random
from moment_cases import rows

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.marginalized import (
    RIDGE,
    MarginalizedAutoencoder,
    denoising_map,
)
from stackae.autoencoders.parameters import fill
from stackae.autoencoders.pca import principal_components
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.errors import ConfigError
from stackae.ops.engine import choose_engine
from stackae.ops.reference import ACTIVATIONS

ENGINE = choose_engine()


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_it_is_the_ridge_regression_on_many_corrupted_copies_ever_nearer_the_more_there_are(noise):
    x, ridge = rows(20, 4).double() / 3, 0.01
    exact = CorruptedMoments.of(Moments.of(x), noise)
    padding = ridge * exact.noisy_covariance.trace() / 4
    distances = []
    for copies in (20, 400, 8000):
        clean = x.repeat(copies, 1)
        noisy = noise(clean, ENGINE, seed=3, layer=1, step=copies)
        targets, inputs = clean - clean.mean(dim=0), noisy - noisy.mean(dim=0)
        stacked = torch.cat([inputs, (padding * len(clean)).sqrt() * torch.eye(4).double()])
        drawn = torch.linalg.lstsq(stacked, torch.cat([targets, torch.zeros(4, 4).double()])).solution.t()
        distances.append((drawn - denoising_map(exact, ridge)).norm().item())
    # twenty times the copies: √20 = 4.5 times nearer, by chance more or less
    assert distances[1] < distances[0] / 2 and distances[2] < distances[1] / 2


@pytest.mark.parametrize("ridge", [0.0, 1e-5, 0.1])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_gradient_of_the_expected_error_which_is_convex_is_0_there(noise, ridge):
    exact = CorruptedMoments.of(Moments.of(awkward_rows()), noise)
    padding = ridge * exact.noisy_covariance.trace() / 7
    weight = denoising_map(exact, ridge)
    bias = exact.mean - weight @ exact.noisy_mean

    def objective(weight, bias):
        return exact.error(weight, bias) + padding * weight.square().sum()

    leaves = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    for gradient in torch.autograd.grad(objective(*leaves), leaves):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)


@pytest.mark.parametrize("noise", [NONE, *NOISES], ids=str)
def test_features_that_are_constant_or_copies_do_without_a_ridge_and_a_little_of_one_changes_little(noise):
    moments = Moments.of(awkward_rows())
    plain, ridged = (MarginalizedAutoencoder.solved(moments, 7, noise, ridge=ridge) for ridge in (0.0, 1e-9))
    x = awkward_rows()
    assert bool(plain.reconstruct(x).isfinite().all())
    torch.testing.assert_close(plain.reconstruct(x), ridged.reconstruct(x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", range(40))
def test_without_noise_and_ridge_it_projects_on_what_varies_and_on_no_rounding(seed):
    x = random(300, 5, seed=seed) @ random(5, 6, seed=50 + seed)
    weight = denoising_map(CorruptedMoments.of(Moments.of(x), NONE), 0.0)
    wanted = principal_components(Moments.of(x)).components[:5]
    torch.testing.assert_close(weight, wanted.t() @ wanted, rtol=0, atol=1e-9)


def test_a_feature_that_is_always_0_is_reconstructed_as_0_and_read_by_no_unit():
    moments = Moments.of(awkward_rows())
    network = MarginalizedAutoencoder.solved(moments, 7, MASKING, activation="linear")
    weight, bias = affine(network)
    assert not weight[1].any() and not weight[:, 1].any() and bias[1] == 0


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_as_wide_as_its_input_its_code_is_the_denoising_map_through_f(activation):
    x = rows(50, 5) / 8
    moments = Moments.of(x)
    network = MarginalizedAutoencoder.solved(moments, 5, MASKING, activation=activation)
    exact = CorruptedMoments.of(moments, MASKING)
    weight = denoising_map(exact, RIDGE)
    mapped = (x.double() - exact.noisy_mean) @ weight.t() + exact.mean
    torch.testing.assert_close(network.encode(x).double(), ACTIVATIONS[activation](mapped), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(network.reconstruct(x).double(), mapped, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("noise", [NONE, *NOISES], ids=str)
def test_tanh_is_undone_by_decoding(noise, width):
    x = rows(50, 6) / 4
    moments = Moments.of(x)
    linear, tanh = (
        MarginalizedAutoencoder.solved(moments, width, noise, activation=activation)
        for activation in ("linear", "tanh")
    )
    tanh.double()
    torch.testing.assert_close(
        tanh.decode(tanh.encode(x.double())).float(), linear.reconstruct(x), rtol=1e-4, atol=1e-4
    )
    assert torch.equal(tanh.decode_logits(tanh.encode(x.double())), tanh.reconstruct(x.double()))


@pytest.mark.parametrize("code", [1.0, -1.0, 2.0])
def test_a_code_at_the_bounds_of_tanh_and_beyond_decodes_to_finite_numbers(code):
    network = MarginalizedAutoencoder.solved(Moments.of(rows(50, 5)), 3, MASKING)
    assert bool(network.decode(torch.full((2, 3), code)).isfinite().all())


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_fewer_units_lose_the_eigenvalues_left_out_the_least_that_a_map_of_that_rank_may(noise, width):
    moments = Moments.of(awkward_rows())
    exact = CorruptedMoments.of(moments, noise)
    full = denoising_map(exact, 0.0)
    network = MarginalizedAutoencoder.solved(moments, width, noise, ridge=0.0, activation="linear")
    least = exact.error(*affine(network)).item()
    whole = exact.error(full, exact.mean - full @ exact.noisy_mean).item()
    lost = torch.linalg.eigvalsh(full @ exact.cross.t())[: 7 - width].sum().item()
    assert least - whole == pytest.approx(lost, rel=1e-4, abs=1e-5 * whole)


@pytest.mark.parametrize("make", [awkward_rows, lambda: rows(50, 7)])
@pytest.mark.parametrize("width", [1, 3])
def test_without_noise_and_ridge_it_is_pca(width, make):
    x = make()
    moments = Moments.of(x)
    network = MarginalizedAutoencoder.solved(moments, width, NONE, ridge=0.0, activation="linear")
    components = principal_components(moments).components[:width]
    torch.testing.assert_close(network.encoder.weight.double(), components, rtol=0, atol=1e-5)
    wanted = moments.mean + (x.double() - moments.mean) @ components.t() @ components
    torch.testing.assert_close(network.reconstruct(x).double(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 5), (1, 1), (6, 1), (2, 5)])
@pytest.mark.parametrize("noise", [NONE, Corruption("masking", 1.0), *NOISES], ids=str)
def test_few_rows_and_few_features_give_finite_weights(noise, shape):
    x = rows(*shape)
    for ridge in (0.0, RIDGE):
        for width in {1, shape[1]}:
            network = MarginalizedAutoencoder.solved(Moments.of(x), width, noise, ridge=ridge, activation="linear")
            assert bool(network.reconstruct(x).isfinite().all())
            if shape[0] == 1 or noise.level == 1:
                wanted = x if shape[0] == 1 else x.mean(dim=0).expand_as(x)
                if noise != NONE:
                    torch.testing.assert_close(network.reconstruct(x), wanted)


@pytest.mark.parametrize("activation", ["linear", "tanh"])
def test_weights_that_are_saved_and_loaded_are_the_same_autoencoder(activation):
    x = rows(30, 6)
    solved = MarginalizedAutoencoder.solved(Moments.of(x), 4, MASKING, activation=activation)
    again = MarginalizedAutoencoder(6, 4, activation=activation)
    solved.calibrate(x)
    fill(again, solved.state_dict())
    assert set(solved.state_dict()) == {"encoder.weight", "encoder.bias", "decoder_weight", "decoder_bias", "bound"}
    assert torch.equal(again.reconstruct(x), solved.reconstruct(x))
    assert (again.n_visible, again.n_hidden, again.tied, again.device.type) == (6, 4, False, "cpu")


def test_codes_beyond_those_that_were_seen_are_read_as_the_largest():
    x = rows(40, 6)
    solved = MarginalizedAutoencoder.solved(Moments.of(x), 4, MASKING)
    before = solved.reconstruct(x)
    solved.calibrate(x[:20])
    solved.calibrate(x[20:])
    assert float(solved.bound) == solved.encode(x).abs().max().item() < 1
    assert torch.equal(solved.reconstruct(x), before)
    beyond = torch.full((1, 4), 1.5)
    assert torch.equal(solved.decode(beyond), solved.decode(torch.full((1, 4), float(solved.bound))))


# ---- what is refused


@pytest.mark.parametrize("ridge", [-1.0, math.nan, math.inf])
def test_a_ridge_that_is_none_is_refused(ridge):
    with pytest.raises(ConfigError, match=r"ridge: expected a finite number of at least 0, got .*; use 0 for none"):
        MarginalizedAutoencoder.solved(Moments.of(rows(9, 4)), 2, MASKING, ridge=ridge)


def test_the_width_of_what_is_encoded_and_decoded_is_checked():
    network = MarginalizedAutoencoder(6, 4)
    with pytest.raises(ValueError, match=r"x: expected shape \(batch, 6\), got \(2, 5\)"):
        network.encode(torch.zeros(2, 5))
    with pytest.raises(ValueError, match=r"h: expected shape \(batch, 4\), got \(2, 5\)"):
        network.decode(torch.zeros(2, 5))
