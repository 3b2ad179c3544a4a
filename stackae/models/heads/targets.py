"""Rows, files and losses of the heads that learn targets (n, n_targets), NaN where one is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stackae.config import PretrainConfig
from stackae.data import Part, Rows, in_order
from stackae.data.rows import subset
from stackae.data.targets import MOST_TARGETS
from stackae.errors import DataError, argument
from stackae.models.files import check_numbers
from stackae.models.heads.base import Finetuned, FinetuneObjective, check_description, dense_numbers
from stackae.models.stack import ROWS_AT_ONCE
from stackae.objectives.base import links
from stackae.ops.step import DenseLayer


@dataclass(frozen=True)
class TargetsObjective(FinetuneObjective):
    """The objective of a head with several outputs per row, of targets y (n, n_targets), NaN where unknown."""

    y: Tensor

    @property
    def chain(self) -> list[DenseLayer]:
        return links(self.network.parts, self.loss)

    @property
    def targets(self) -> Tensor:
        return self.y.to(self.parameters[0].dtype)


def known_rows(data: Part, what: str, may_lack: bool = False) -> tuple[Rows, Tensor]:
    """Select the rows that have a target, with their targets (n, n_targets) float64."""
    y = data.y
    if y is not None and not y.is_floating_point():
        raise DataError(
            f"targets: expected numbers to train {what}, got classes; read them with "
            f"{argument('target_kind', 'numbers')}, or use {argument('head', 'classifier')}"
        )
    y = torch.full((len(data.x), 1), torch.nan) if y is None else y[:, None] if y.dim() == 1 else y
    known = ~y.isnan().all(dim=1)
    x, y = (data.x, y) if bool(known.all()) else (subset(data.x, known), y[known])
    lacking = y.isnan().all(dim=0).nonzero().flatten().tolist()
    if lacking and not may_lack:
        found = "none" if len(y) == 0 else f"none for target {lacking[0] + 1} of {y.shape[1]}"
        raise DataError(
            f"targets: expected numbers to train {what}, got {found}; use data that has them (npz with y, or csv with "
            f"{argument('target')} COLUMN,COLUMN)"
        )
    return x, y.double()


def held_out_rows(data: Part | None, what: str, targets: int) -> tuple[Rows, Tensor] | None:
    """Select the validation rows that have a target, with their targets; None where there are none."""
    if data is None or data.y is None:
        return None
    x, y = known_rows(data, what, may_lack=True)
    if y.shape[1] != targets:
        raise DataError(f"targets: expected {targets} per row for validation as for training, got {y.shape[1]}")
    return (x, y) if len(x) else None


def most_numbers(config: PretrainConfig) -> int:
    """Bound the numbers in the file of such a head."""
    return dense_numbers(config, MOST_TARGETS) + 2 * MOST_TARGETS


def targets_of(
    tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, kind: str
) -> tuple[str, ...]:
    """Read the names of a file's targets. Raises ValueError unless it may hold such a head on such a stack."""
    targets = tuple(str(name) for name in description["targets"])
    sizes = (*config.layer_sizes, len(targets))
    check_description(description, kind, sizes)
    most, fewest = dense_numbers(config, len(targets)), (sizes[-2] + 1) * sizes[-1]
    check_numbers(tensors, most + 2 * len(targets), fewest)
    return targets


@torch.no_grad()
def targets_loss(model: Finetuned, x: Rows, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """Compute the loss per row, and the error rate over the known labels."""
    total = wrong = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        z = model(x[part].to(model.device))
        targets = y[part].to(z)
        total += loss(z, targets).item()
        wrong += float((((z > 0) != (targets > 0.5)) & ~targets.isnan()).sum())
    known = int((~y.isnan()).sum())
    return total / len(x), wrong / known


def rows_with_targets(model: Finetuned, x: Rows, y: Tensor | None) -> tuple[Rows, Tensor]:
    """Select the rows that have a target. Raises DataError for no such rows, or another number of targets."""
    y = None if y is None or not y.is_floating_point() else y.reshape(len(y), -1)
    known = torch.zeros(len(x), dtype=torch.bool) if y is None else ~y.isnan().all(dim=1)
    if y is None or not bool(known.any()):
        raise DataError("targets: expected rows with targets to evaluate on, got none")
    if y.shape[1] != model.layer_sizes[-1]:
        raise DataError(
            f"targets: expected {model.layer_sizes[-1]} per row, as it was trained on, got {y.shape[1]}; name those"
        )
    return subset(x, known), y[known]
