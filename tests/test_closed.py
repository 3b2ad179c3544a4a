"""Closed forms: principal components and the marginalised autoencoder, against the problems that they solve."""

from __future__ import annotations

import math

import pytest
import torch
from moment_cases import rows

from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.linear import initialise_pca, principal_angles, principal_components
from stackae.autoencoders.marginalized import (
    RIDGE,
    MarginalizedAutoencoder,
    denoising_map,
    initialise_marginalized,
)
from stackae.autoencoders.parameters import fill
from stackae.corruption import Corruption
from stackae.engine import choose_engine
from stackae.errors import ConfigError
from stackae.losses import squared_error
from stackae.moments import CorruptedMoments, Moments
from stackae.reference import ACTIVATIONS

ENGINE = choose_engine()
MASKING = Corruption("masking", 0.3)
NOISES = [MASKING, Corruption("gaussian", 0.5), Corruption("salt-and-pepper", 0.2, low=-1.0, high=2.0)]
NONE = Corruption()


def awkward_rows():
    """40 rows of 7: a feature that is 0, one that is 2, one that is another's double, and every row twice."""
    x = rows(20, 7) / 4
    x[:, 1], x[:, 3], x[:, 5] = 0.0, 2.0, 2 * x[:, 4]
    return x.repeat(2, 1)


def random(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(network):
    """A and b of a linear autoencoder, float64."""
    wide = {name: tensor.double() for name, tensor in network.state_dict().items()}
    decoder = wide["encoder.weight"].t() if network.tied else wide["decoder_weight"]
    return decoder @ wide["encoder.weight"], decoder @ wide["encoder.bias"] + wide["decoder_bias"]


# ---- principal components


@pytest.mark.parametrize("make", [awkward_rows, lambda: rows(50, 6), lambda: rows(3, 6), lambda: rows(9, 1)])
def test_components_are_orthonormal_and_diagonalise_the_covariance(make):
    moments = Moments.of(make())
    mean, components, variances = principal_components(moments)
    wanted = torch.eye(len(mean)).double()
    torch.testing.assert_close(components @ components.t(), wanted, rtol=0, atol=1e-12)
    diagonal = components @ moments.covariance @ components.t()
    torch.testing.assert_close(diagonal, variances.diag(), rtol=1e-9, atol=1e-11 * moments.covariance.trace().item())
    assert bool((variances[:-1] >= variances[1:]).all()) and variances.min() >= 0


def test_the_sign_of_a_component_is_that_of_its_largest_entry_whatever_the_order_of_rows():
    x = rows(50, 6)
    components = principal_components(Moments.of(x)).components
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    assert bool((largest > 0).all())
    torch.testing.assert_close(principal_components(Moments.of(x.flip(0))).components, components)


def test_of_entries_of_the_same_magnitude_the_first_is_positive():
    same_but_for_rounding = torch.tensor([1.0, -1.0 - 1e-9], dtype=torch.float64)
    x = torch.tensor([[1.0], [-1.0], [2.0]]) * same_but_for_rounding
    components = principal_components(Moments.of(x)).components
    assert components[0].tolist() == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("width", [1, 3, 7])
def test_the_error_of_a_linear_autoencoder_that_starts_as_pca_is_the_variance_left_out(width, tied):
    x = awkward_rows()
    moments = Moments.of(x)
    network = Autoencoder(7, width, activation="linear", output_activation="linear", tied=tied).double()
    initialise_pca(network, moments)
    errors = principal_components(moments).errors
    assert errors.shape == (8,)
    assert errors[0].item() == pytest.approx(moments.covariance.trace().item())
    wide = x.double()
    found = squared_error(network, network.encode(wide), wide).item()
    assert found == pytest.approx(errors[width].item(), rel=1e-10, abs=1e-12 * errors[0].item())


def test_no_other_linear_autoencoder_has_a_smaller_error_than_pca():
    moments = Moments.of(rows(60, 6))
    clean, best = CorruptedMoments.of(moments, NONE), principal_components(moments).errors
    for seed in range(20):
        decoder, encoder = random(6, 2, seed=seed), random(2, 6, seed=100 + seed)
        weight = decoder @ encoder
        assert clean.error(weight, clean.mean - weight @ clean.mean) > best[2]


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_rows_that_are_all_the_same_are_their_own_mean(constant):
    x = torch.full((5, 4), constant)
    moments = Moments.of(x)
    assert not principal_components(moments).errors.any()
    for network in (
        Autoencoder(4, 2, activation="linear", output_activation="linear"),
        Autoencoder(4, 2, activation="tanh", output_activation="linear"),
        Autoencoder(4, 2, activation="tanh", output_activation="linear", tied=True),
    ):
        initialise_pca(network, moments)
        torch.testing.assert_close(network.reconstruct(x), x)


# ---- principal angles


def test_a_space_has_angle_0_with_itself_in_any_basis_and_90_with_its_complement():
    basis = torch.linalg.qr(random(6, 6)).Q.t()
    space = random(2, 2) @ basis[:2]
    assert principal_angles(space, basis[:2]).tolist() == pytest.approx([0, 0], abs=1e-12)
    assert principal_angles(space, basis[2:]).tolist() == pytest.approx([90, 90])
    assert principal_angles(space, random(5, 6)[:0]).tolist() == []


@pytest.mark.parametrize("degrees", [1e-9, 1e-3, 30.0, 45.0, 89.999])
def test_an_angle_is_the_one_that_a_row_was_turned_by(degrees):
    first, second, third, *_ = torch.linalg.qr(random(5, 5)).Q.t()
    turn = math.radians(degrees)
    turned = torch.stack([third, math.cos(turn) * first + math.sin(turn) * second])
    assert principal_angles(turned, torch.stack([first, third])).tolist() == pytest.approx([0, degrees], abs=1e-12)


def test_angles_ascend_are_symmetric_and_do_not_know_dependent_rows():
    a, b = random(3, 6, seed=1), random(2, 6, seed=2)
    angles = principal_angles(a, b)
    assert angles.shape == (2,) and angles[0] <= angles[1]
    torch.testing.assert_close(angles, principal_angles(b, a), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(angles, principal_angles(torch.cat([a, a[:1] - a[1:2]]), b), rtol=1e-10, atol=1e-10)
    turned = torch.linalg.qr(random(6, 6)).Q
    torch.testing.assert_close(angles, principal_angles(a @ turned, 5 * b @ turned), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(2, 3), (6,)])
def test_rows_of_different_widths_have_no_angles(shape):
    with pytest.raises(ValueError, match=r"expected rows of one width, \(k, d\) and \(l, d\), got \(2, 6\) and \("):
        principal_angles(random(2, 6), random(*shape))


# ---- the marginalised autoencoder


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
def test_the_gradient_of_the_expected_error_is_0_there_and_every_step_away_makes_it_larger(noise, ridge):
    exact = CorruptedMoments.of(Moments.of(awkward_rows()), noise)
    padding = ridge * exact.noisy_covariance.trace() / 7
    weight = denoising_map(exact, ridge)
    bias = exact.mean - weight @ exact.noisy_mean

    def objective(weight, bias):
        return exact.error(weight, bias) + padding * weight.square().sum()

    leaves = [weight.clone().requires_grad_(), bias.clone().requires_grad_()]
    for gradient in torch.autograd.grad(objective(*leaves), leaves):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)
    least = objective(weight, bias)
    for seed in range(10):
        step = random(7, 8, seed=seed)
        for size in (1e-3, 1.0):
            assert objective(weight + size * step[:, :7], bias + size * step[:, 7]) > least


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
def test_fewer_units_lose_the_eigenvalues_left_out_and_no_other_map_of_that_rank_loses_less(noise, width):
    moments = Moments.of(awkward_rows())
    exact = CorruptedMoments.of(moments, noise)
    full = denoising_map(exact, 0.0)
    network = MarginalizedAutoencoder.solved(moments, width, noise, ridge=0.0, activation="linear")
    least = exact.error(*affine(network)).item()
    whole = exact.error(full, exact.mean - full @ exact.noisy_mean).item()
    lost = torch.linalg.eigvalsh(full @ exact.cross.t())[: 7 - width].sum().item()
    assert least - whole == pytest.approx(lost, rel=1e-4, abs=1e-5 * whole)
    wide = {name: tensor.double() for name, tensor in network.state_dict().items()}
    for seed in range(10):
        for size in (0.03, 1.0):
            decoder = wide["decoder_weight"] + size * random(7, width, seed=seed)
            encoder = wide["encoder.weight"] + size * random(width, 7, seed=100 + seed)
            weight = decoder @ encoder
            assert exact.error(weight, exact.mean - weight @ exact.noisy_mean) > least


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
    fill(again, solved.state_dict())
    assert set(solved.state_dict()) == {"encoder.weight", "encoder.bias", "decoder_weight", "decoder_bias"}
    assert torch.equal(again.reconstruct(x), solved.reconstruct(x))
    assert (again.n_visible, again.n_hidden, again.tied, again.device.type) == (6, 4, False, "cpu")


# ---- starts for gradient training


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_a_linear_autoencoder_starts_as_the_marginalised_one(noise):
    moments = Moments.of(awkward_rows())
    network = Autoencoder(7, 3, activation="linear", output_activation="linear")
    initialise_marginalized(network, moments, noise)
    solved = MarginalizedAutoencoder.solved(moments, 3, noise, activation="linear")
    for name, tensor in solved.state_dict().items():
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
    network = Autoencoder(1, 1, activation=activation, output_activation="linear").double()
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
