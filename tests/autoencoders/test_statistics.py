"""Moments: of rows in pieces, of bytes, of codes and of corrupted rows, against sums that hold everything at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moment_cases import rows

import stackae.autoencoders.statistics
import stackae.data.memory
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.data.rows import ByteRows
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, DataError
from stackae.ops.engine import choose_engine

ENGINE = choose_engine()
NOISES = [
    Corruption(),
    Corruption("masking", 0.3),
    Corruption("masking", 1.0),
    Corruption("gaussian", 0.4),
    Corruption("salt-and-pepper", 0.25, low=-0.5, high=2.0),
    Corruption("salt-and-pepper", 1.0),
]


def raw(count, width, seed=0):
    return torch.randint(0, 256, (count, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def check_against_numpy(moments, x):
    wide = x.double().numpy()
    centred = wide - wide.mean(axis=0)
    assert moments.count == len(x)
    np.testing.assert_allclose(moments.mean.numpy(), wide.mean(axis=0), rtol=1e-12, atol=1e-12)
    scale = max(1e-30, np.abs(centred).max() ** 2)
    np.testing.assert_allclose(moments.covariance.numpy(), centred.T @ centred / len(x), rtol=1e-11, atol=1e-12 * scale)
    assert torch.equal(moments.scatter, moments.scatter.t())


@pytest.mark.parametrize("pieces", [1, 7, 64, 4096])
@pytest.mark.parametrize("shape", [(1, 5), (2, 1), (64, 5), (129, 9)])
def test_moments_are_those_of_all_rows_at_once_whatever_the_pieces(shape, pieces, monkeypatch):
    monkeypatch.setattr(stackae.autoencoders.statistics, "ROWS_AT_ONCE", pieces)
    monkeypatch.setattr(stackae.autoencoders.statistics, "STRIP", 4)
    x = rows(*shape)
    before = x.clone()
    check_against_numpy(Moments.of(x), x)
    check_against_numpy(Moments.of(x.double()), x.double())
    assert torch.equal(x, before)


def test_a_mean_far_larger_than_the_spread_costs_no_precision(monkeypatch):
    monkeypatch.setattr(stackae.autoencoders.statistics, "ROWS_AT_ONCE", 50)
    x = rows(500, 4) * 0.01 + 1e4
    wide = x.double().numpy()
    np.testing.assert_allclose(Moments.of(x).covariance.numpy(), np.cov(wide.T, bias=True), rtol=1e-9, atol=1e-14)


def test_rows_that_are_not_contiguous_are_read_as_they_are():
    x = rows(40, 12)
    check_against_numpy(Moments.of(x[::2, 1::3]), x[::2, 1::3])


@pytest.mark.parametrize("kind", ["none", "unit", "minmax", "standard"])
@pytest.mark.parametrize("count", [1, 5, 1025, 3000])
def test_bytes_have_the_moments_of_the_rows_that_they_read_as(kind, count):
    numbers = raw(count, 6)
    numbers[:, 2] = 77
    x = ByteRows(numbers, Scaling.fit(kind, numbers))
    found, wanted = Moments.of(x), Moments.of(x[:].double())
    size = (wanted.covariance.diag() + wanted.mean.square()).max().item() + 1e-30
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-6, atol=1e-6 * math.sqrt(size))
    torch.testing.assert_close(found.covariance, wanted.covariance, rtol=1e-6, atol=1e-6 * size)
    assert not found.scatter[2].any(), "a constant feature has no spread at all"


def test_moments_of_bytes_are_the_same_bits_in_any_order_and_pieces(monkeypatch):
    numbers = raw(2500, 20)
    scaling = Scaling.fit("unit", numbers)
    wanted = Moments.of(ByteRows(numbers, scaling))
    monkeypatch.setattr(stackae.autoencoders.statistics, "ROWS_AT_ONCE", 999)
    found = Moments.of(ByteRows(numbers.flip(0), scaling))
    assert torch.equal(found.mean, wanted.mean) and torch.equal(found.scatter, wanted.scatter)


@pytest.mark.parametrize("extreme", [0, 255])
def test_the_largest_sums_of_bytes_are_exact(extreme):
    numbers = torch.full((4096, 3), extreme, dtype=torch.uint8)
    found = Moments.of(ByteRows(numbers, Scaling.fit("none", numbers)))
    assert found.mean.tolist() == [extreme] * 3 and not found.scatter.any()


@pytest.mark.parametrize("split", [1, 30, 59])
def test_moments_of_two_parts_merge_to_those_of_the_whole(split):
    x = rows(60, 5)
    whole = Moments.of(x)
    merged = Moments.of(x[:split]).merged(Moments.of(x[split:]))
    assert merged.count == whole.count
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("count", [3, 100])
def test_moments_of_codes_are_those_of_the_codes(count, monkeypatch):
    monkeypatch.setattr(stackae.autoencoders.statistics, "ROWS_AT_ONCE", 9)
    numbers = raw(count, 6)
    x = ByteRows(numbers, Scaling.fit("unit", numbers))
    network = Autoencoder(6, 4, activation="tanh")
    found, wanted = Moments.of(x, network.encode), Moments.of(network.encode(x[:]).detach())
    assert not found.scatter.requires_grad
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(found.scatter, wanted.scatter, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_covariance_of_corrupted_rows_is_never_negative(noise):
    exact = CorruptedMoments.of(Moments.of(rows(3, 6)), noise)
    assert torch.linalg.eigvalsh(exact.noisy_covariance).min().item() >= -1e-10


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 2, 2)])
def test_rows_that_have_no_moments_are_refused(shape):
    with pytest.raises(DataError, match=r"moments: expected at least one row and one column, got shape \("):
        Moments.of(torch.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_refused_with_their_column(value):
    x = rows(10, 3)
    x[4, 1] = value
    with pytest.raises(DataError, match="expected finite numbers, got NaN, Inf or squares beyond them in column 1"):
        Moments.of(x)


def test_more_columns_than_the_memory_holds_matrices_of_are_refused(monkeypatch):
    monkeypatch.setattr(stackae.data.memory, "free_memory", lambda: 1000)
    monkeypatch.setattr(stackae.data.memory, "UNASKED", 0)
    with pytest.raises(DataError, match=r"moments of 9 columns: .*; give fewer columns"):
        Moments.of(rows(3, 9))


def test_parts_of_different_widths_do_not_merge():
    with pytest.raises(ValueError, match="expected those of rows of 3 numbers, got 4"):
        Moments.of(rows(5, 3)).merged(Moments.of(rows(5, 4)))


@pytest.mark.parametrize(
    ("noise", "sentence"),
    [
        (Corruption("maskin", 0.3), "expected one of none, .*, got 'maskin'; did you mean 'masking'?"),
        (Corruption("masking", 1.5), "expected a share between 0 and 1, and finite numbers, got masking:1.5"),
        (Corruption("gaussian", -1.0), "expected a standard deviation of at least 0, .* got gaussian:-1"),
        (Corruption("gaussian", math.inf), "finite numbers, got gaussian:inf"),
        (Corruption("salt-and-pepper", 0.1, high=math.nan), "got salt-and-pepper:0.1 with low 0 and high nan"),
    ],
)
def test_noise_that_is_none_is_refused(noise, sentence):
    with pytest.raises(ConfigError, match=f"corruption: .*{sentence}"):
        CorruptedMoments.of(Moments.of(rows(5, 3)), noise)
