"""Principal components, and angles between subspaces, against the problems that they solve."""

from __future__ import annotations

import math

import pytest
import torch
from closed_cases import NONE, awkward_rows, random
from moment_cases import rows

from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.pca import initialise_pca, principal_angles, principal_components
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.objectives.losses import squared_error

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
