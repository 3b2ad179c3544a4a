"""Label spreading on planted clusters, and against the linear system that it solves."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from stackae.semisupervised import graph


def two_moons(rows: int = 400, noise: float = 0.06) -> tuple[Tensor, Tensor]:
    """Two half circles that a straight line does not separate, and their classes."""
    draws = np.random.default_rng(0)
    angle = draws.uniform(0, np.pi, rows)
    y = np.arange(rows) % 2
    x = np.stack([np.cos(angle) + y, np.where(y == 0, np.sin(angle), 0.4 - np.sin(angle))], axis=1)
    return torch.from_numpy(x + noise * draws.standard_normal(x.shape)).float(), torch.from_numpy(y)


def one_label_each(y: Tensor) -> Tensor:
    known = torch.full_like(y, -1)
    known[:2] = y[:2]
    return known


def test_one_label_per_moon_reaches_all_of_it() -> None:
    x, y = two_moons()
    found = graph.spread_classes(graph.nearest(x), one_label_each(y), 2)
    assert bool((found.values.argmax(dim=1) == y).all())
    assert found.values.sum(dim=1).eq(1).all()
    assert bool((found.confidence[:2] == 1).all()) and 0 < float(found.confidence.min()) <= 1


def test_spreading_solves_its_linear_system() -> None:
    x, _ = two_moons(60)
    neighbours = graph.nearest(x)
    weights = graph.affinities(neighbours).toarray()
    degree = weights.sum(axis=1)
    smooth = weights / np.sqrt(np.outer(degree, degree))
    start = np.random.default_rng(1).random((60, 3))
    exact = np.linalg.solve(np.eye(60) - graph.ALPHA * smooth, (1 - graph.ALPHA) * start)
    found = graph.spread(neighbours, start)
    left = graph.ALPHA**graph.ROUNDS * np.linalg.norm(start - exact)  # ‖S‖ = 1: each round leaves α of the distance
    assert np.linalg.norm(found - exact) <= left * (1 + 1e-9)


def test_affinities_are_the_definition() -> None:
    x, _ = two_moons(30)
    k = graph.NEIGHBOURS
    apart = torch.cdist(x.double(), x.double())
    order = apart.argsort(dim=1)[:, 1 : k + 1]
    scale = apart.gather(1, order)[:, graph.SCALE_NEIGHBOUR - 1]
    near = torch.zeros(30, 30, dtype=torch.bool).scatter(1, order, True)
    member = (near | torch.eye(30, dtype=torch.bool)).double()
    weights = torch.exp(-apart.square() / (scale[:, None] * scale)) * (member @ member.t()).square()
    expected = torch.where(near | near.t(), weights, 0.0).numpy()
    np.testing.assert_allclose(graph.affinities(graph.nearest(x)).toarray(), expected, rtol=1e-3, atol=1e-9)


def test_rows_that_no_label_reaches_have_no_confidence() -> None:
    x, y = two_moons()
    far = torch.cat([x, x + 1000])
    known = torch.cat([one_label_each(y), torch.full_like(y, -1)])
    found = graph.spread_classes(graph.nearest(far), known, 2)
    assert bool((found.confidence[len(x) :] == 0).all()) and bool((found.confidence[: len(x)] > 0).all())


def test_equal_rows_have_finite_affinities() -> None:
    found = graph.spread_classes(graph.nearest(torch.ones(40, 3)), torch.tensor([0, 1] + [-1] * 38), 2)
    assert bool(found.confidence.isfinite().all())


def test_numbers_spread_as_means_of_the_known_ones() -> None:
    x, y = two_moons()
    known = torch.full((len(x), 1), torch.nan, dtype=torch.float64)
    known[:2, 0] = torch.tensor([3.0, -5.0])
    found = graph.spread_numbers(graph.nearest(x), known)
    assert bool(((found.values[:, 0] > 0) == (y == 0)).all())
    assert found.values[:2, 0].tolist() == [3.0, -5.0]
    assert float(found.values.min()) >= -5 and float(found.values.max()) <= 3
    assert found.confidence.tolist() == [1.0, 1.0] + [0.5] * (len(x) - 2)


def test_a_large_graph_keeps_the_labelled_rows() -> None:
    known = torch.zeros(graph.MOST_ROWS + 50, dtype=torch.bool)
    known[-30:] = True
    rows = graph.graph_rows(known, seed=0)
    assert len(rows) == graph.MOST_ROWS == len(rows.unique())
    assert int(known[rows].sum()) == 30
    assert graph.graph_rows(known[:100], seed=0).tolist() == list(range(100))


def test_agreement_is_about_right_where_labels_follow_the_moons_and_chance_where_they_do_not() -> None:
    x, y = two_moons()
    neighbours = graph.nearest(x)
    some = torch.where(torch.arange(len(y)) < 100, y, -1)
    assert graph.agreement(neighbours, some, 2, seed=0) == 1
    drawn = torch.from_numpy(np.random.default_rng(5).integers(0, 2, len(y)))
    lost = graph.agreement(neighbours, torch.where(torch.arange(len(y)) < 200, drawn, -1), 2, seed=0)
    assert 0.3 < lost < 0.7  # 200 coins: 0.5 with a standard deviation of 0.035


def test_the_typical_distance_is_a_median() -> None:
    x = torch.tensor([[0.0, 0], [0, 1], [10, 0], [10, 3], [20, 0], [20, 4]])
    assert graph.typical_distance(x, graph.nearest(x, count=1)) == 3
