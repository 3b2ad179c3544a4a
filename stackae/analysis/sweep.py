"""Sweep the width of a code: the same autoencoder at several widths, beside PCA, and plots of the codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stackae.apart import apart
from stackae.autoencoders.pca import principal_components_of
from stackae.config import PretrainConfig
from stackae.data import Dataset, Part
from stackae.data.rows import Rows
from stackae.errors import ConfigError, DivergedError
from stackae.models.evaluation import ReconstructionReport, evaluate_reconstruction
from stackae.pretraining import PretrainResult, pretrain_together
from stackae.training.callbacks import Callback
from stackae.training.checkpointing import NoCheckpoints, StageResult

POINTS = 5  # percentage points of explained variance that a sufficient width may lack
FEWEST_NEIGHBORS, MOST_EMBEDDED = 5, 2000  # rows for t-SNE: its time grows with their square


class Swept(NamedTuple):
    """One width: its training or its DivergedError, and the reconstruction error of the measured rows."""

    width: int
    result: PretrainResult | DivergedError
    report: ReconstructionReport | None


class SharedBelow(NoCheckpoints):
    """Train the lower ``count`` layers once: later stacks reuse them, bit-identical."""

    def __init__(self, count: int) -> None:
        self._shared = {f"layer{number}" for number in range(1, count + 1)}
        self._ended: dict[str, Mapping[int, StageResult]] = {}

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Mapping[int, StageResult] | None:
        return self._ended.get(stage)

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        if stage in self._shared:
            self._ended[stage] = {index: ended._replace(weights=_copied(ended)) for index, ended in results.items()}


def _copied(ended: StageResult) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in ended.weights.items()}


def sweep_widths(
    x: Rows,
    configs: Sequence[PretrainConfig],
    *,
    validation: Rows | None = None,
    callback: Callback | None = None,
    widths: Iterable[int] | None = None,
) -> Iterator[Swept]:
    """Yield a stack per configuration, as from ``pretrain_stack``; the layers below the top are trained once.

    Args:
        x: (n, n_visible) training rows.
        configs: differ only in the width of the top layer.
        validation: rows that choose each layer's best epoch, and that measure the reconstruction through the whole
            stack; without them the training rows measure it.
        callback: receives every batch and epoch.
        widths: those of the configurations to train, in this order; None is all.

    Raises:
        ConfigError: no configurations, or they differ in more than the width of the top layer.
    """
    _check_alike(configs)
    of_width = {config.layer_sizes[-1]: config for config in configs}
    measured = validation if validation is not None and len(validation) else x
    checkpointer = SharedBelow(len(configs[0].layers) - 1)
    for config in map(of_width.__getitem__, of_width if widths is None else widths):
        (result,) = pretrain_together(x, [config], validation=validation, callback=callback, checkpointer=checkpointer)
        report = (
            None if isinstance(result, DivergedError) else evaluate_reconstruction(result.stack.cpu(), measured)[-1]
        )
        yield Swept(config.layer_sizes[-1], result, report)


def _check_alike(configs: Sequence[PretrainConfig]) -> None:
    def of_one_width(config: PretrainConfig) -> PretrainConfig:
        top = config.layers[-1].model_copy(update={"n_hidden": 1})
        return config.model_copy(update={"layers": (*config.layers[:-1], top)})

    if len({of_one_width(config).model_dump_json() for config in configs}) != 1:
        raise ConfigError(
            f"configs: expected at least one, and no difference but the width of the top layer, got {len(configs)} "
            "with others; make them from the same options"
        )


@apart
def plane_of(codes: Tensor, method: str, seed: int = 0) -> Tensor:
    """codes (n, m) -> (n, 2) to plot: their first two principal components, or their t-SNE embedding.

    ``method`` is pca or tsne. With one unit, the second coordinate is 0. t-SNE takes at most MOST_EMBEDDED rows.

    Raises:
        ConfigError: another method, or fewer than FEWEST_NEIGHBORS rows for t-SNE.
        ValueError: more than MOST_EMBEDDED rows for t-SNE.

    van der Maaten & Hinton (2008), Visualizing data using t-SNE.
    """
    if method not in ("pca", "tsne"):
        raise ConfigError(f"scatter: expected pca or tsne, got '{method}'")
    if method == "tsne":
        return _embedded(codes, seed)
    principal = principal_components_of(codes)
    plane = (codes.double() - principal.mean) @ principal.components[:2].t()
    return torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))


def check_neighbors(count: int) -> None:
    """Raise ConfigError if there are too few rows for t-SNE."""
    if count < FEWEST_NEIGHBORS:
        raise ConfigError(
            f"scatter: expected at least {FEWEST_NEIGHBORS} rows for tsne, got {count}; use pca, or hold out more"
        )


def _embedded(codes: Tensor, seed: int) -> Tensor:
    from sklearn.manifold import TSNE

    check_neighbors(len(codes))
    if len(codes) > MOST_EMBEDDED:
        raise ValueError(f"codes: expected at most {MOST_EMBEDDED:,} rows for tsne, got {len(codes):,}; choose some")
    perplexity = min(30.0, (len(codes) - 1) / 3)
    start = "pca" if float(codes.double().var(dim=0).sum()) > 0 else "random"  # equal rows have no principal components
    model = TSNE(2, perplexity=perplexity, init=start, learning_rate="auto", random_state=seed % 2**32)
    return torch.from_numpy(model.fit_transform(codes.detach().cpu().double().numpy()))


class Measured(NamedTuple):
    """A sweep's widths, the errors of PCA by width (d + 1,), and the rows that measured all of them."""

    swept: list[Swept]
    principal: list[float]
    part: str
    rows: Part

    @property
    def finite(self) -> list[Swept]:
        return [each for each in self.swept if each.report is not None]

    def principal_error(self, width: int) -> float:
        """Return the error of PCA at a width; 0 at or beyond the width of the rows."""
        return self.principal[min(width, len(self.principal) - 1)]

    def share(self, error: float) -> float:
        """Return the share of explained variance, as ``evaluate`` does: relative to predicting the training mean."""
        return 1 - error / self.principal[0] if self.principal[0] > 0 else float(error == 0)


def document_of(dataset: Dataset, configs: list[PretrainConfig], measured: Measured) -> dict[str, Any]:
    """Make sweep.json."""
    points: list[dict[str, Any]] = []
    for each in measured.swept:
        error = measured.principal_error(each.width)
        point: dict[str, Any] = {"width": each.width, "pca_error": error, "pca_explained": measured.share(error)}
        if each.report is None or isinstance(each.result, DivergedError):
            points.append(point | {"diverged": str(each.result)})
            continue
        error = each.report.squared_error
        stage = f"layer{len(each.result.config.layers)}"
        epochs = [record for record in each.result.history if record.stage == stage]
        kept = [record.epoch for record in epochs if record.best][-1]
        found = {"squared_error": error, "explained": measured.share(error), "epochs": len(epochs), "kept_epoch": kept}
        points.append(point | found)
    return {
        "data": dataset.name,
        "measured_on": measured.part,
        "rows": len(measured.rows.x),
        "below": list(configs[0].layer_sizes[1:-1]),
        "widths": points,
        "enough": _enough(points),
        "settings": {"data": dataset.config.model_dump(), "pretrain": configs[-1].model_dump()},
    }


def _enough(points: list[dict[str, Any]]) -> int:
    """Return the narrowest width that explains at most POINTS percentage points less of the variance than the best."""
    shares: dict[int, float] = {point["width"]: point["explained"] for point in points if "explained" in point}
    return min(width for width, share in shares.items() if share >= max(shares.values()) - POINTS / 100)
