"""Label spreading: the targets of a few rows reach the others along a graph of nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.apart import apart
from stackae.autoencoders.pca import principal_components_of
from stackae.data.minibatches import in_order
from stackae.data.rows import Rows, subset
from stackae.models.stack import in_batches
from stackae.random import Purpose, permutation
from stackae.training.callbacks import Callback, NoCallback
from stackae.training.folds import folds

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS = 10
SCALE_NEIGHBOUR = 7  # whose distance is the scale of a row (Zelnik-Manor & Perona)
COMPONENTS = 50
ALPHA, ROUNDS = 0.99, 100
SEARCHED_AT_ONCE, PROBES = 4096, 2000
MOST_ROWS = 100_000  # of the graph: the time of the search grows with their square


class Neighbours(NamedTuple):
    """Of n rows, the k nearest others: indices (n, k) int64 and Euclidean distances (n, k) float32, ascending."""

    indices: Tensor
    distances: Tensor


def nearest(rows: Rows, callback: Callback | None = None, count: int = NEIGHBOURS) -> Neighbours:
    """Find the nearest neighbours of rows (n, d) along their first principal components.

    With fewer than ``count`` + 1 rows, every row is a neighbour of every other. The callback receives a stage of its
    own, whose loss is the mean distance to the nearest neighbour.
    """
    callback = callback or NoCallback()
    callback.start_stage("neighbours", f"nearest neighbours of {len(rows):,} rows", 1, len(rows), 1, 0)
    principal = principal_components_of(rows)
    axes = principal.components[:COMPONENTS].t()
    points = in_batches(lambda some: ((some.double() - principal.mean) @ axes).float(), rows).cpu().numpy()
    count = min(count, len(points) - 1)
    indices, distances = np.empty((len(points), count), dtype=np.int64), np.empty((len(points), count), np.float32)
    for part in in_order(len(points), SEARCHED_AT_ONCE):
        distances[part], indices[part] = _search(points, part, count)
        callback.batch(part.stop - part.start, float(distances[: part.stop, 0].mean()))
    return Neighbours(torch.from_numpy(indices), torch.from_numpy(distances))


@apart
def _search(points: np.ndarray, part: slice, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return distances and indices (rows, count) of the nearest other points of a slice of points."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=count + 1, algorithm="brute").fit(points).kneighbors(points[part])
    own = np.arange(part.start, part.stop)[:, None]
    other = found[1] != own
    other[other.all(axis=1), -1] = False  # among equal rows it may be absent; the farthest goes then
    return tuple(each[other].reshape(len(own), count) for each in found)


class Spread(NamedTuple):
    """What spreading says of n rows: values (n, k), and the confidence (n,) in [0, 1] of each."""

    values: Tensor
    confidence: Tensor


def spread_classes(neighbours: Neighbours, y: Tensor, n_classes: int) -> Spread:
    """Spread classes y (n,) int64, -1 where unknown: one-hot classes (n, n_classes) of all rows.

    Confidence is (p₁ − p₂) / p₁ for the largest share p₁ and the second p₂ of a row; 1 for labelled rows, and 0 for
    rows that no label reaches.
    """
    known = y >= 0
    start = torch.nn.functional.one_hot(y.clamp(min=0), n_classes) * known[:, None]
    shares = torch.from_numpy(spread(neighbours, start.numpy()))
    top = shares.topk(2, dim=1).values
    confidence = torch.where(top[:, 0] > 0, (top[:, 0] - top[:, 1]) / top[:, 0].clamp(min=1e-30), 0.0)
    found = torch.where(known, y, shares.argmax(dim=1))
    return Spread(torch.nn.functional.one_hot(found, n_classes).float(), torch.where(known, 1.0, confidence).float())


def spread_numbers(neighbours: Neighbours, y: Tensor) -> Spread:
    """Spread numbers y (n, k), NaN where unknown: the mean of the known ones, weighted by what of each reaches a row.

    Confidence is 1 for rows with all targets, 1/2 for others, and 0 for rows that no target reaches.
    """
    known = ~y.isnan()
    sums = spread(neighbours, torch.cat([torch.where(known, y, 0.0), known.to(y)], dim=1).numpy())
    found, mass = torch.from_numpy(sums).tensor_split(2, dim=1)
    reached = mass > 0
    values = torch.where(known, y, torch.where(reached, found / mass.clamp(min=1e-30), 0.0))
    confidence = torch.where(known.all(dim=1), 1.0, 0.5) * reached.all(dim=1)
    return Spread(values.float(), confidence.float())


@apart
def spread(neighbours: Neighbours, start: np.ndarray) -> np.ndarray:
    """F ← α S F + (1 − α) Y for ROUNDS rounds from F = Y (n, k): what reaches each row of the columns of Y.

    S = D^(−1/2) W D^(−1/2), with W of ``affinities``.

    Zhou, Bousquet, Lal, Weston & Schölkopf (2004), Learning with local and global consistency.
    """
    from scipy.sparse import diags

    weights = affinities(neighbours)
    degree = np.maximum(np.asarray(weights.sum(axis=1)).ravel(), np.finfo(np.float64).tiny)
    inverse = diags(1 / np.sqrt(degree))
    smooth = (inverse @ weights @ inverse).tocsr()
    start = start.astype(np.float64)
    found = start
    for _ in range(ROUNDS):
        found = ALPHA * (smooth @ found) + (1 - ALPHA) * start
    return found


def agreement(neighbours: Neighbours, y: Tensor, n_classes: int, seed: int) -> float:
    """Return the share of labelled rows whose class spreading finds while the labels of their fold are withheld.

    The folds of y (n,) int64, -1 where unknown, are those by which a head is cross-validated first.
    """
    known = (y >= 0).nonzero().flatten()
    parts = list(folds(y[known], 1, seed))
    start = np.zeros((len(y), len(parts), n_classes))
    for fold, (kept, _) in enumerate(parts):
        start[known[kept], fold, y[known[kept]]] = 1
    shares = torch.from_numpy(spread(neighbours, start.reshape(len(y), -1))).view(start.shape)
    right = [shares[known[held], fold].argmax(dim=1) == y[known[held]] for fold, (_, held) in enumerate(parts)]
    return float(torch.cat(right).float().mean())


def affinities(neighbours: Neighbours) -> csr_matrix:
    """W_ij = exp(−‖x_i − x_j‖² / (σ_i σ_j)) c_ij² (n, n), where i is a neighbour of j or j one of i; else 0.

    σ_i is the distance of row i to its SCALE_NEIGHBOUR-th neighbour, and c_ij counts the rows that are among the
    neighbours of both, each row being one of its own: an edge between two clusters shares few.

    Zelnik-Manor & Perona (2004), Self-tuning spectral clustering; Jarvis & Patrick (1973), Clustering using a
    similarity measure based on shared near neighbors.
    """
    from scipy.sparse import csr_matrix, eye

    n, k = neighbours.indices.shape
    indices, distances = neighbours.indices.numpy(), neighbours.distances.numpy().astype(np.float64)
    scale = np.maximum(distances[:, min(SCALE_NEIGHBOUR, k) - 1], np.finfo(np.float32).tiny)
    near = np.exp(-np.square(distances) / (scale[:, None] * scale[indices]))
    rows = np.repeat(np.arange(n), k)
    weights = csr_matrix((near.ravel(), (rows, indices.ravel())), shape=(n, n))
    weights = weights.maximum(weights.T)
    member = csr_matrix((np.ones(n * k), (rows, indices.ravel())), shape=(n, n)) + eye(n)
    return weights.multiply((member @ member.T).power(2)).tocsr()


def graph_rows(known: Tensor, seed: int) -> Tensor:
    """Choose the rows of the graph, ascending int64: all (n,), or MOST_ROWS, the known ones among them first."""
    if len(known) <= MOST_ROWS:
        return torch.arange(len(known))
    order = permutation(len(known), seed=seed, purpose=Purpose.LABELS, counter=1)
    first = torch.cat([order[known[order]], order[~known[order]]])
    return first[:MOST_ROWS].sort().values


def on_graph(x: Rows, rows: Tensor) -> Rows:
    """Select the rows of the graph, all or some."""
    return x if len(rows) == len(x) else subset(x, rows)


def typical_distance(x: Rows, neighbours: Neighbours) -> float:
    """Return the median distance of a row to its nearest neighbour, of up to PROBES evenly spaced rows."""
    rows = torch.arange(0, len(x), -(-len(x) // PROBES))
    return float((x[rows] - x[neighbours.indices[rows, 0]]).norm(dim=1).median())
