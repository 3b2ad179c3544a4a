"""What is said of a network whose numbers ceased to be finite: where, and why most likely."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stackae.errors import DivergedError

if TYPE_CHECKING:
    from stackae.training.members import Member

SHOWN_ROWS = 5


@torch.no_grad()
def diverged(
    stage: str, title: str, member: Member, epoch: int, step: int, rows: Tensor, learning_rate: float
) -> DivergedError:
    """The error of a member whose step ``step`` (from 0), on these rows (k,) int64, was refused by the step's guard."""
    inputs = member.x[rows.to(member.x.device)]
    largest_input = float(inputs.abs().max())
    largest_weight = max(float(each.abs().max()) for each in member.module.parameters())
    shown = ", ".join(str(row) for row in rows[:SHOWN_ROWS].tolist()) + (", ..." if len(rows) > SHOWN_ROWS else "")
    return DivergedError(
        f"{title}: expected a finite loss and finite updates, got NaN or Inf at step {step} in epoch {epoch} at "
        f"learning rate {learning_rate:.3g}, on training rows {shown}; {_cause(largest_input, largest_weight)}",
        stage=stage,
        epoch=epoch,
        step=step,
        rows=rows.tolist(),
        learning_rate=learning_rate,
        largest_input=largest_input,
        largest_weight=largest_weight,
    )


def _cause(largest_input: float, largest_weight: float) -> str:
    sizes = f"the largest of these inputs is {largest_input:.3g}, the largest weight was {largest_weight:.3g}"
    if not largest_input <= 100:
        return f"{sizes}: scale the data (--scale minmax or standard), or lower --learning-rate"
    return f"{sizes}: lower --learning-rate, or scale the data (--scale minmax or standard)"
