"""The regressor: it predicts numbers in the units of the targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense
from stackae.autoencoders.parameters import fill
from stackae.config import PretrainConfig
from stackae.data import Part, Rows
from stackae.metrics import r_squared
from stackae.models.heads.base import Finetuned, HeadTask, Prepared, unfilled
from stackae.models.heads.targets import (
    TargetsObjective,
    held_out_rows,
    known_rows,
    most_numbers,
    rows_with_targets,
    targets_loss,
    targets_of,
)
from stackae.models.stack import in_batches


class TargetReport(NamedTuple):
    """Metrics over the ``rows`` whose target is known: RMSE in its units, and R² (None where all are equal)."""

    rows: int
    rmse: float
    r2: float | None


class Regressor(Finetuned):
    """ŷ = offset + scale · head(encoders(x)): ``forward`` gives standardized targets, ``predict`` ŷ.

    offset and scale (n_targets,) are the mean and the standard deviation of each target, by default 0 and 1; where they
    are float64, so are the predictions.
    """

    head: Dense
    offset: Tensor
    scale: Tensor

    def __init__(
        self, encoders: Iterable[Encoder], head: Encoder, offset: Tensor | None = None, scale: Tensor | None = None
    ) -> None:
        super().__init__(encoders, head)
        count = head.sizes[1]
        self.register_buffer("offset", torch.zeros(count) if offset is None else offset.clone())
        self.register_buffer("scale", torch.ones(count) if scale is None else scale.clone())

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """Prepare for numbers y (n, n_targets) or (n,), NaN where one is missing; rows without any are skipped."""
        train, config = task.train, task.config
        x, y = known_rows(train, "a regressor")
        kept = torch.float64 if train.y is not None and train.y.dtype == torch.float64 else torch.float32
        if isinstance(task.begun, Regressor):
            mean, scale = task.begun.offset, task.begun.scale
        else:
            mean = y.nanmean(dim=0)
            deviation = (y - mean).square().nanmean(dim=0).sqrt()
            scale = torch.where(deviation > 0, deviation, 1.0)
        model = cls(task.encoders, task.dense(y.shape[1]), mean.to(kept), scale.to(kept))
        rows, held_y = held_out_rows(task.validation, "a regressor", y.shape[1]) or (None, y)
        known, held_out = model.standardised(y), model.standardised(held_y)
        return Prepared(
            model,
            x,
            rows,
            lambda one, read, _: RegressionObjective(one, read, known.to(read.device), max_norm=config.max_norm),
            lambda one, read, _: (targets_loss(one, read, held_out, squared_error)[0], None),
            known,
        )

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        return most_numbers(config)

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        targets = targets_of(tensors, description, config, "regressor")
        model = cls(*unfilled(config, len(targets), engine))
        if {tensors[name].dtype for name in ("offset", "scale") if name in tensors} == {torch.float64}:
            model.offset, model.scale = model.offset.double(), model.scale.double()
        fill(model, tensors)
        return model, targets

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        return {"kind": "regressor", "targets": names}

    def outputs(self, x: Tensor) -> Tensor:
        return self.predict(x)

    def report(self, x: Rows, y: Tensor | None) -> list[TargetReport | None]:
        """Report on each target, None where no row has it; y (n, n_targets), NaN where one is missing."""
        x, y = rows_with_targets(self, x, y)
        predicted, reports = in_batches(self.predict, x), list[TargetReport | None]()
        for column in range(y.shape[1]):
            known = ~y[:, column].isnan()
            mine, true = predicted[known, column].double(), y[known, column].double()
            rmse = float((mine - true).square().mean().sqrt())
            reports.append(TargetReport(len(true), rmse, r_squared(mine, true)) if len(true) else None)
        return reports

    def answers(self, outputs: Tensor) -> tuple[Tensor, None]:
        """The targets (n, n_targets) in their own units."""
        return outputs, None

    def metrics(self, names: Sequence[str], rows: Part) -> dict[str, Any]:
        """Return ``report`` as JSON data: one ``TargetReport`` per target, with its name."""
        nothing = dict.fromkeys(TargetReport._fields)
        reports = zip(names, self.report(rows.x, rows.y), strict=True)
        each = [{"target": name} | (report._asdict() if report else nothing | {"rows": 0}) for name, report in reports]
        return {"targets": each}

    def head_alone(self) -> Self:
        return type(self)([], self.head, self.offset, self.scale)

    def standardised(self, y: Tensor) -> Tensor:
        """(y − offset) / scale, the target of ``forward``; y (n, n_targets), NaN stays NaN."""
        return (y - self.offset.to(y)) / self.scale.to(y)

    def predict(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> (batch, n_targets), in the units of the targets."""
        return self.forward(x) * self.scale + self.offset


@dataclass(frozen=True)
class RegressionObjective(TargetsObjective):
    """(1/B) Σ_i Σ_j (z_ij − y_ij)² over the known targets; y (n, n_targets) is standardized, NaN where unknown."""

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        z = self.network.head(self.code(rows, step))
        return squared_error(z, self.y[rows].to(z)) / max(1, len(rows))


def squared_error(z: Tensor, y: Tensor) -> Tensor:
    """Σ (z − y)² over the entries where y is not NaN; both (batch, n) -> scalar."""
    return torch.where(y.isnan(), 0.0, z - y.nan_to_num()).square().sum()
