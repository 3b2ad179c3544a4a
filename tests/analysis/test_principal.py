"""Laws of principal components beside layers: their errors are those of projecting each row."""

from __future__ import annotations

import pytest
import torch
from moment_cases import rows

from stackae.analysis import principal as module
from stackae.analysis.principal import principal_errors, principal_of
from stackae.autoencoders.pca import principal_components, principal_components_of
from stackae.autoencoders.statistics import Moments
from stackae.errors import DataError


def test_principal_errors_are_those_of_projecting_each_row():
    train, measured = rows(40, 9), rows(25, 9, seed=1) + 0.5
    principal = principal_components(Moments.of(train))
    found = principal_errors(principal_components_of(train), measured)
    for count in range(10):
        axes, centred = principal.components[:count], measured.double() - principal.mean
        expected = (centred - centred @ axes.t() @ axes).square().sum(dim=1).mean()
        torch.testing.assert_close(found[count], expected, atol=1e-12, rtol=1e-9)


def test_principal_errors_of_fewer_rows_than_columns_are_those_of_projecting_each_row():
    train, measured = rows(5, 9), rows(25, 9, seed=1) + 0.5
    principal = principal_components(Moments.of(train))
    found = principal_errors(principal_components_of(train), measured)
    assert len(found) == train.shape[1] + 1
    for count in range(len(found) - 1):
        axes, centred = principal.components[: min(count, 4)], measured.double() - principal.mean
        expected = (centred - centred @ axes.t() @ axes).square().sum(dim=1).mean()
        torch.testing.assert_close(found[count], expected, atol=1e-10, rtol=1e-9)
    assert float(found[-1]) == 0


def test_principal_errors_fall_to_nothing_and_are_the_variances_left_on_the_fitted_rows():
    x = rows(40, 9)
    found = principal_errors(principal_components_of(x), x)
    assert bool((found.diff() <= 0).all()) and float(found[-1]) == 0
    torch.testing.assert_close(found, principal_components(Moments.of(x)).errors)


def test_of_many_rows_some_are_fitted_at_even_distances():
    x = rows(40, 6)
    for found, expected in zip(principal_of(x, 20), principal_of(x[::2]), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(principal_of(x, 40).components, principal_of(x).components)


def test_components_are_not_fitted_on_rows_that_are_too_wide(monkeypatch):
    monkeypatch.setattr(module, "MOST_DIRECTIONS", 5)
    assert principal_of(rows(40, 6)) is None and principal_of(rows(5, 6)) is not None


@pytest.mark.parametrize("count", [40, 4])
def test_components_that_the_memory_does_not_hold_are_left_out(count, monkeypatch):
    def full(*arguments: object) -> None:
        raise DataError("full")

    monkeypatch.setattr("stackae.autoencoders.statistics.check_memory", full)
    monkeypatch.setattr("stackae.autoencoders.pca.check_memory", full)
    assert principal_of(rows(count, 6)) is None
