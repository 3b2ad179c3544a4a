"""The calibration that a run stores, so that rows can be scored without the data that it was trained on.

It is made of the run's own rows: their scores, and the closed forms that are fitted on them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.analysis.anomaly import (
    ReconstructionError,
    Score,
    fit_scores,
    mahalanobis_score,
    pca_score,
    score_rows,
    smallest_variance,
)
from stackae.analysis.combined import (
    FEWEST_ROWS,
    MOST_CELLS,
    MOST_REFERENCE,
    MOST_VALIDATION,
    Combined,
    CombinedScore,
    fit_combined,
)
from stackae.autoencoders.pca import PrincipalComponents
from stackae.data.loading import Dataset
from stackae.data.outliers import Outlier
from stackae.data.rows import Rows, evenly
from stackae.errors import DataError
from stackae.models.files import LARGEST_HEADER, opened, pack
from stackae.models.stack import StackedAutoencoder

MOST_ROWS = 1 << 17  # validation rows that are scored
MOST_SCORES = 1 << 21  # of all layers together
MOST_COUNTED = 1 << 53  # rows: beyond it, float64 skips integers
MOST_NUMBERS = 1 << 23  # of principal components: 32 MiB
COMBINED = {"reference": "reference", "validation": "code_lof_distance", "known": "known"}  # its tensors in the file
FORMER = "combined"  # scores of an older run's validation rows by code and LOF alone: its score is fitted anew


class CalibratedScore(NamedTuple):
    """A score, and its values on the validation rows (n,), ascending, from which thresholds follow."""

    score: Score
    validation: Tensor


class Baselines(NamedTuple):
    """Principal components of the training rows, and the sorted scores of n validation rows by both baselines.

    Only components that a score uses are kept. pca (L, n) has one row per layer, with as many components as it has
    units; mahalanobis is (n,).
    """

    principal: PrincipalComponents
    pca: Tensor
    mahalanobis: Tensor


@dataclass(frozen=True, eq=False)
class Calibration:
    """Sorted scores of n validation rows by reconstruction through each of L layers, (L, n) float64, and other scores.

    ``combined`` is None in an older run, and if rows are too few to fit it. ``baselines`` is None if they are too large
    to store; image_shape is None if rows are not images. ``flattened`` lists the columns that outliers of the training
    rows compress under the run's scaling: scores hardly see them.
    """

    layers: Tensor
    baselines: Baselines | None = None
    image_shape: tuple[int, ...] | None = None
    flattened: tuple[Outlier, ...] = ()
    combined: Combined | None = None

    def scores(
        self, stack: StackedAutoencoder, layer: int | None = None, *, baselines: bool = True
    ) -> dict[str, CalibratedScore]:
        """Return the stored scores by name, the default first: combined, and ``anomaly.METHODS``.

        Without ``baselines`` only the stack's. ``layer`` counts from 1 and leaves out the combined score, which is of
        the top; None is the top.
        """
        place = -1 if layer is None else layer - 1
        found: dict[str, CalibratedScore] = {}
        if layer is None and self.combined is not None:
            with suppress(DataError):  # without the memory to fit it, the other scores are there
                reference, validation, known = self.combined
                found["combined"] = CalibratedScore(CombinedScore.fit(stack, reference, known), validation)
        found["autoencoder"] = CalibratedScore(ReconstructionError(stack, layer), self.layers[place])
        if baselines and self.baselines is not None:
            principal, pca, mahalanobis = self.baselines
            components = pca_score(principal, stack.layer_sizes[1:][place])
            found["pca"] = CalibratedScore(components, pca[place])
            found["mahalanobis"] = CalibratedScore(mahalanobis_score(principal), mahalanobis)
        return found


def calibrations(
    stacks: Iterable[StackedAutoencoder], dataset: Dataset, principal: PrincipalComponents | None, most: int = MOST_ROWS
) -> Iterator[Calibration]:
    """Yield the calibration of each stack; all have the same sizes and were trained on these data.

    ``principal`` is ``principal_of`` the training rows. Of more than ``most`` validation rows, as many are scored, at
    even distances. Raises DataError as ``calibrate``.
    """
    train, validation = dataset.train.x, evenly(dataset.validation.x, most)
    flattened = () if dataset.scaling.kind == "robust" else dataset.outliers
    baselines = None
    for number, stack in enumerate(stacks):
        if number == 0:
            baselines = fit_baselines(principal, validation, stack.layer_sizes)
        found = calibrate(stack, validation, baselines, dataset.image_shape, flattened)
        yield replace(found, combined=fit_combined(stack, train, validation))


def calibrate(
    stack: StackedAutoencoder,
    validation: Rows,
    baselines: Baselines | None = None,
    image_shape: tuple[int, ...] | None = None,
    flattened: tuple[Outlier, ...] = (),
) -> Calibration:
    """Calibrate a stack by its validation rows (n, d); ``baselines`` as ``fit_baselines`` returns them.

    More rows than MOST_ROWS, or than give MOST_SCORES over all layers, are subsampled at even distances: a threshold
    keeps its guarantee with fewer rows.

    Raises:
        DataError: a validation row has no finite score.
    """
    count = len(stack.autoencoders)
    rows = evenly(validation, most_rows(count))
    scores = [calibration_scores(ReconstructionError(stack, layer), rows) for layer in range(1, count + 1)]
    return Calibration(torch.stack(scores), baselines, image_shape, flattened)


def fit_baselines(
    principal: PrincipalComponents | None, validation: Rows, layer_sizes: tuple[int, ...]
) -> Baselines | None:
    """Score validation rows (n, d) by PCA and Mahalanobis distance, for a stack of these sizes.

    None without components of the training rows, and if they have more than MOST_NUMBERS elements. Components are
    stored as float32, as precise as the rows.

    Raises:
        DataError: a validation row has no finite score.
    """
    if principal is None or principal.components.numel() > MOST_NUMBERS:
        return None
    wanted = max(int((principal.variances > smallest_variance(principal)).sum()), *layer_sizes[1:])
    kept = principal._replace(components=principal.components[:wanted].float().double())
    rows = evenly(validation, most_rows(len(layer_sizes) - 1))
    pca = [calibration_scores(pca_score(kept, n_hidden), rows) for n_hidden in layer_sizes[1:]]
    return Baselines(kept, torch.stack(pca), calibration_scores(mahalanobis_score(kept), rows))


def fit_calibrated(
    stack: StackedAutoencoder, train: Rows, validation: Rows, layer: int | None = None
) -> dict[str, CalibratedScore]:
    """Fit PCA and Mahalanobis distance for one layer, whatever their size. Raises DataError as ``fit_scores``."""
    scores = fit_scores(stack, train, layer)
    del scores["autoencoder"]
    rows = evenly(validation, most_rows(len(stack.autoencoders)))
    return {name: CalibratedScore(score, calibration_scores(score, rows)) for name, score in scores.items()}


def calibration_scores(score: Score, validation: Rows) -> Tensor:
    """Return the scores (n,) float64 of validation rows (n, d), ascending; raises DataError if one is not finite."""
    scores = score_rows(score, validation)
    finite = scores.isfinite()
    if not bool(finite.all()):
        raise DataError(
            f"scores: expected finite numbers, got {float(scores[int(finite.int().argmin())])} for validation row "
            f"{int(finite.int().argmin())} (counted from 0), so that no threshold can be set; rescale the data, and "
            "pretrain again"
        )
    return scores.sort().values


def most_rows(layers: int) -> int:
    """Return the maximum number of validation rows that calibrate a stack of so many layers."""
    return max(1, min(MOST_ROWS, MOST_SCORES // layers))


def most_bytes(layer_sizes: tuple[int, ...]) -> int:
    """Return the maximum size of the calibration file for a stack of these sizes, in bytes."""
    layers, width = len(layer_sizes) - 1, layer_sizes[0]
    components = 4 * min(MOST_NUMBERS, width**2)
    scores = 8 * (2 * layers + 1) * most_rows(layers)
    combined = 5 * min(MOST_CELLS, MOST_REFERENCE * width) + 8 * MOST_VALIDATION
    return components + scores + combined + 8 * (2 + len(Outlier._fields)) * width + LARGEST_HEADER


def pack_calibration(calibration: Calibration) -> bytes:
    """Pack calibration.safetensors."""
    outliers = torch.tensor(calibration.flattened, dtype=torch.float64).reshape(-1, len(Outlier._fields))
    tensors = {"layers": calibration.layers, "flattened": outliers}
    if calibration.baselines is not None:
        principal, pca, mahalanobis = calibration.baselines
        tensors |= {
            "mean": principal.mean,
            "components": principal.components.float(),
            "variances": principal.variances,
            "pca": pca,
            "mahalanobis": mahalanobis,
        }
    if calibration.combined is not None:
        kept = calibration.combined._asdict().items()
        tensors |= {COMBINED[name]: each for name, each in kept if each is not None}
    return pack(tensors, kind="calibration", image_shape=calibration.image_shape)


def read_calibration(path: Path, content: bytes, layer_sizes: tuple[int, ...]) -> Calibration:
    """Read the calibration of a stack of these sizes. Raises RunError if it is damaged, or of another stack."""
    with opened(path, content) as (tensors, description):
        if description["kind"] != "calibration":
            raise ValueError(f"{description['kind']} instead of a calibration")
        layers, width = len(layer_sizes) - 1, layer_sizes[0]
        scores = tensors["layers"]
        rows = scores.shape[-1] if scores.dim() == 2 else -1
        _check_scores("layers", scores, (layers, rows))
        if rows > most_rows(layers):
            raise ValueError(f"{rows:,} validation rows instead of at most {most_rows(layers):,}")
        more = tensors.keys() - {"layers", "flattened"}
        of_combined = {*COMBINED.values(), FORMER}
        combined = _combined(tensors, width) if more & of_combined and FORMER not in more else None
        baselines = _baselines(tensors, layers, rows, width) if more - of_combined else None
        shape, flattened = _image_shape(description["image_shape"], width), _flattened(tensors["flattened"], width)
        return Calibration(scores, baselines, shape, flattened, combined)


def _baselines(tensors: Mapping[str, Tensor], layers: int, rows: int, width: int) -> Baselines:
    mean, components, variances = (tensors[name] for name in ("mean", "components", "variances"))
    kept = len(components) if components.dim() == 2 else 0
    _check("mean", mean, (width,), torch.float64)
    _check("variances", variances, (width,), torch.float64)
    _check("components", components, (kept, width), torch.float32)
    if kept > width or bool((variances < 0).any()) or bool((variances.diff() > 0).any()):
        raise ValueError(f"{kept} components of {width} features, or variances that do not fall to 0 or more")
    _check_scores("pca", tensors["pca"], (layers, rows))
    _check_scores("mahalanobis", tensors["mahalanobis"], (rows,))
    return Baselines(PrincipalComponents(mean, components.double(), variances), tensors["pca"], tensors["mahalanobis"])


def _combined(tensors: Mapping[str, Tensor], width: int) -> Combined:
    found = Combined(tensors["reference"], tensors["code_lof_distance"], tensors.get("known"))
    rows = len(found.reference) if found.reference.dim() == 2 else 0
    _check("reference", found.reference, (rows, width), torch.float32)
    if found.known is not None:
        _check("known", found.known, (rows, width), torch.bool)
    if not FEWEST_ROWS <= rows <= MOST_REFERENCE:
        raise ValueError(f"{rows:,} reference rows instead of {FEWEST_ROWS} to {MOST_REFERENCE:,}")
    _check_scores("combined", found.validation, (found.validation.numel(),))
    return found


def _flattened(found: Tensor, width: int) -> tuple[Outlier, ...]:
    count = len(found) if found.dim() == 2 else -1
    _check("flattened", found, (count, len(Outlier._fields)), torch.float64)
    columns, rows = found[:, 0], found[:, 1]
    whole = (columns == columns.floor()) & (rows == rows.floor())
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < MOST_COUNTED)
    if count > width or not bool((whole & inside).all()):
        raise ValueError(f"{count} flattened columns of {width}, or numbers of columns and rows that are none")
    return tuple(Outlier(int(column), int(row), *values) for column, row, *values in found.tolist())


def _check_scores(name: str, scores: Tensor, shape: tuple[int, ...]) -> None:
    _check(name, scores, shape, torch.float64)
    if bool((scores < 0).any()) or bool((scores.diff(dim=-1) < 0).any()):
        raise ValueError(f"{name} with scores below 0, or not in their order")


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if tuple(tensor.shape) != shape or tensor.dtype != dtype:
        raise ValueError(f"{name} of {tensor.dtype} {tuple(tensor.shape)} instead of {dtype} {shape}")


def _image_shape(found: Any, width: int) -> tuple[int, ...] | None:
    if found is None:
        return None
    shape = tuple(found)
    sizes = len(shape) in (2, 3) and all(type(size) is int and size > 0 for size in shape)
    if not sizes or math.prod(shape) != width:
        raise ValueError(f"images of shape {shape} instead of {width} numbers")
    return shape
