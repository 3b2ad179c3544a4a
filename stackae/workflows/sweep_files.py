"""What a sweep of widths found: a document for programs, pictures, and settings of the width that is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.analysis.sweep import MOST_EMBEDDED, Swept, plane_of
from stackae.config import PretrainConfig, RunConfig
from stackae.data import Dataset, Part
from stackae.data.rows import subset
from stackae.documents import to_json
from stackae.errors import DivergedError
from stackae.models.stack import in_batches
from stackae.plots import latent as latent_pictures
from stackae.plots import sweep as sweep_pictures
from stackae.workflows.callbacks import Callbacks

POINTS = 5


class Measured(NamedTuple):
    """A sweep's widths, the errors of PCA by width (d + 1,), and the rows that all were measured on."""

    swept: list[Swept]
    principal: list[float]
    part: str
    rows: Part

    @property
    def finite(self) -> list[Swept]:
        return [each for each in self.swept if each.report is not None]

    def principal_error(self, width: int) -> float:
        """A code as wide as the rows leaves nothing."""
        return self.principal[min(width, len(self.principal) - 1)]

    def share(self, error: float) -> float:
        """Of the variance that is explained, as ``evaluate`` counts it: beside always answering the training mean."""
        return 1 - error / self.principal[0] if self.principal[0] > 0 else float(error == 0)


def document_of(dataset: Dataset, configs: list[PretrainConfig], measured: Measured) -> dict[str, Any]:
    """sweep.json."""
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
    """The narrowest width that explains at most POINTS percentage points less of the variance than the best one."""
    shares: dict[int, float] = {point["width"]: point["explained"] for point in points if "explained" in point}
    return min(width for width, share in shares.items() if share >= max(shares.values()) - POINTS / 100)


def files_of(
    dataset: Dataset, measured: Measured, document: dict[str, Any], scatter: str, callbacks: Callbacks
) -> dict[str, bytes]:
    """sweep.json, sweep.png, codes.png, and config.toml of the width that is enough."""
    errors = {each.width: each.report.squared_error for each in measured.swept if each.report is not None}
    title = f"{len(measured.rows.x):,} {measured.part} rows of {Path(dataset.name).name}"
    above = f", above {'-'.join(map(str, document['below']))}" if document["below"] else ""
    points, labels, named, axes = _plane(measured, scatter, callbacks)
    settings = document["settings"]["pretrain"]
    top = {**settings["layers"][-1], "n_hidden": document["enough"]}
    enough = {**document["settings"], "pretrain": {**settings, "layers": [*settings["layers"][:-1], top]}}
    return {
        "sweep.json": to_json(document, indent=2).encode() + b"\n",
        "config.toml": RunConfig.model_validate(enough).to_toml().encode(),
        "sweep.png": sweep_pictures.error_by_width(
            list(errors), list(errors.values()), measured.principal, f"reconstruction of {title}{above}"
        ),
        "codes.png": latent_pictures.latent_scatter(points, labels, dataset.classes, f"{named}\n{title}", axes),
    }


def _plane(
    measured: Measured, scatter: str, callbacks: Callbacks
) -> tuple[Tensor, Tensor | None, str, tuple[str, str]]:
    """Where codes are drawn, their labels, a title, and the names of the axes."""
    flat = [each for each in measured.finite if each.width == 2] if scatter == "auto" else []
    chosen = (flat or measured.finite)[-1]
    assert not isinstance(chosen.result, DivergedError)  # those of ``finite`` have a report
    rows, labels = measured.rows
    if scatter == "tsne" and len(rows) > MOST_EMBEDDED:
        some = torch.arange(MOST_EMBEDDED)
        rows, labels = subset(rows, some), None if labels is None else labels[some]
    codes = in_batches(chosen.result.stack.encode, rows)
    if flat:
        return codes, labels, "code of 2 units", ("$h_1$", "$h_2$")
    units = f"code of {chosen.width} unit{'s' if chosen.width > 1 else ''}"
    if scatter == "tsne":
        callbacks.busy(f"t-SNE of {len(rows):,} codes")
        return plane_of(codes, "tsne", chosen.result.config.seed), labels, f"{units}, placed by t-SNE", ("", "")
    names = ("first principal component", "second principal component")
    return plane_of(codes, "pca"), labels, f"{units}, by PCA", names
