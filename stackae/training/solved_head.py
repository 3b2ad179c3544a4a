"""Fit a head on codes that stand still: the minimum of its loss and of an L2 decay, by L-BFGS.

The loss of a linear head is convex, so that neither a learning rate nor epochs are chosen: only the decay is.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stackae.apart import apart
from stackae.autoencoders.parameters import fill
from stackae.config import FinetuneConfig
from stackae.data.placement import placed
from stackae.errors import RunError, argument
from stackae.models.heads import HEADS
from stackae.models.heads.base import HeadTask, Prepared
from stackae.ops.engine import choose_device
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.checkpointing import Checkpointer, StageResult
from stackae.training.head import HeadReplica
from stackae.training.stage import Validation

DECAYS = tuple(10.0 ** (power / 2) for power in range(0, -7, -1))  # of codes whose mean variance is 1; strongest first
MOST_ITERATIONS, STEEPEST = 1000, 1e-5  # at the minimum, of the gradient per row


def prepared_on(task: HeadTask) -> Prepared[Any]:
    """Prepare the head of a task, with its model on the training device and its rows where ``placed`` puts them."""
    device = choose_device(task.config.device)
    head = HEADS[task.config.head].prepared(task)
    held_out = None if head.held_out is None or not len(head.held_out) else placed(head.held_out, device)
    return head._replace(model=head.model.to(device), x=placed(head.x, device), held_out=held_out)


@apart
def scores_of_decays(task: HeadTask) -> list[Validation]:
    """Fit the head of a task with each of DECAYS; return the losses on its validation rows, in their order."""
    found = []
    for replica, _ in _path(prepared_on(task), task.config, DECAYS):
        score = replica.validate()
        assert score is not None
        found.append(score)
    return found


def fit_solved(
    head: Prepared[Any], config: FinetuneConfig, decay: float, callback: Callback, checkpointer: Checkpointer
) -> list[EpochRecord]:
    """Fit the head in place as a stage of one epoch. Returns its record, of the loss without the decay.

    Raises:
        RunError: the checkpointer holds the results of another network.
    """
    network, name, rows = head.model.head_alone(), config.head, len(head.x)
    kept = checkpointer.begin(name, {0: network})
    if isinstance(kept, Mapping):
        return _restored(network, kept[0])
    sizes = "-".join(map(str, head.model.layer_sizes))
    callback.start_stage(name, f"{name} {sizes}, L-BFGS", 1, rows, 1, 0)
    record = _solved(head, config, decay)
    callback.batch(rows, record.loss)
    callback.epoch({0: record})
    checkpointer.end(name, {0: StageResult(network.state_dict(), (record,), None)})
    return [record]


def _solved(head: Prepared[Any], config: FinetuneConfig, decay: float) -> EpochRecord:
    started = time.perf_counter()
    loss = solve(head, config, decay)
    network, seconds = head.model, time.perf_counter() - started
    score = None if head.held_out is None else Validation(*head.validate(network, head.held_out, head.held_out))
    return EpochRecord(
        stage=config.head,
        epoch=1,
        loss=loss,
        validation_loss=None if score is None else score.loss,
        validation_error=None if score is None else score.error,
        learning_rate=0.0,
        seconds=seconds,
        rows_per_second=len(head.x) / seconds,
        best=True,
    )


@apart
def solve(head: Prepared[Any], config: FinetuneConfig, decay: float) -> float:
    """Fill the head's layer with the minimum; return its loss per row, without the decay."""
    stronger = [each for each in DECAYS if each > decay]
    replica, (mean, scale) = list(_path(head, config, [*stronger, decay]))[-1]
    layer, (weight, bias) = head.model.head, replica.objective.parameters
    with torch.no_grad():
        layer.weight.copy_(weight / scale)
        layer.bias.copy_(bias - weight @ (mean / scale))
        return float(replica.objective(torch.arange(len(replica.x)), 0))


def _path(
    head: Prepared[Any], config: FinetuneConfig, decays: Sequence[float]
) -> Iterator[tuple[HeadReplica, tuple[Tensor, Tensor]]]:
    """Yield the solution for each decay, each begun from that before, with the mean and scale of the codes it reads."""
    replica = HeadReplica.new(head, config.model_copy(update={"train": "head"}))
    codes = replica.x[:].double()
    mean, scale = codes.mean(dim=0), codes.var(dim=0, correction=0).mean().sqrt()
    scale = scale if scale > 0 else torch.ones_like(scale)
    network = copy.deepcopy(replica.network).double()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    held_out = None if replica.held_out is None else (replica.held_out[:].double() - mean) / scale
    replica = dataclasses.replace(replica, network=network, x=(codes - mean) / scale, held_out=held_out)
    for decay in decays:
        _minimise(replica, decay)
        yield replica, (mean, scale)


def _minimise(replica: HeadReplica, decay: float) -> None:
    """Move the replica's weights to the minimum of (1/B) Σ loss + decay/2 ‖W‖² over all rows."""
    objective, rows = replica.objective, torch.arange(len(replica.x))
    optimizer = torch.optim.LBFGS(
        objective.parameters, max_iter=MOST_ITERATIONS, tolerance_grad=STEEPEST, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = objective(rows, 0) + decay / 2 * torch.stack([each.square().sum() for each in objective.weights]).sum()
        torch.autograd.backward(total)
        return total

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch has no types for it


def _restored(network: nn.Module, result: StageResult) -> list[EpochRecord]:
    try:
        fill(network, result.weights)
    except ValueError as error:
        raise RunError(
            f"head: expected what an earlier process solved, got {error}; train it again with {argument('force')}"
        ) from None
    return list(result.history)
