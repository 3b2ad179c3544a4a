"""The feed: rows that kernels cannot read in place, brought into memory call by call for the fused step.

Such rows lie in a file, or are codes that are computed anew whenever they are read (``stackae.data.rows.is_fed``). A
feed holds the rows of two calls: a thread reads those of the next one while the step trains on the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from stackae.data.minibatches import in_order
from stackae.data.rows import ByteRows, is_fed
from stackae.data.stored.rows import StoredRows
from stackae.objectives.base import Objective
from stackae.ops.step import Batches, StepResult
from stackae.ranks import here
from stackae.training.step import ReplicasStep

ROWS_PER_CALL = 2048  # about: the batches of a call are whole
CELLS_PER_CALL = 1 << 23
HALVES = 2
NO_ROWS = torch.empty(0, dtype=torch.int64)


class Feed:
    """The rows of two calls of an objective's step, and what belongs to them.

    Attributes:
        x: (2 rows_per_call, n_visible) float32, or bytes where the rows are: row i of the first call's batches is row i
            here, that of the second one row rows_per_call + i, and so on in turns.
        labels, targets, weights: of the same rows, as the objective has them; None where it has none.
    """

    def __init__(self, objective: Objective, rows_per_call: int, batch_size: int) -> None:
        self.rows_per_call, self._objective = rows_per_call, objective
        self._batch_size, self._ranks = batch_size, here()
        self._targets, self._labels, self._weights = objective.targets, objective.labels, objective.row_weights
        count = HALVES * rows_per_call
        self.x: Tensor | ByteRows = torch.zeros(count, objective.x.shape[1])
        if isinstance(objective.x, StoredRows) and objective.x.as_bytes:  # the kernel scales them
            self.x = ByteRows(self.x.to(torch.uint8), objective.x.scaling)
        self.labels = None if self._labels is None else self._labels.new_zeros(count)
        self.targets = None if self._targets is None else torch.zeros(count, self._targets.shape[1])
        self.weights = None if self._weights is None else self._weights.new_zeros(count)

    @torch.no_grad()
    def fill(self, half: int, rows: Tensor) -> None:
        """Read the rows of these indices (k,) int64, k <= rows_per_call, into one half: those of this rank's share."""
        place = half * self.rows_per_call + self._own(len(rows))
        rows = rows[self._own(len(rows))]
        x = self._objective.x
        if isinstance(self.x, ByteRows):
            assert isinstance(x, StoredRows), "bytes are fed from a file"
            self.x.raw[place] = torch.from_numpy(x.raw[rows.numpy()])
        else:
            self.x[place] = x[rows]
        for own, whole in ((self.labels, self._labels), (self.targets, self._targets), (self.weights, self._weights)):
            if own is not None and whole is not None:
                own[place] = whole[rows]

    def _own(self, count: int) -> Tensor:
        """The places of a call's rows that are in this rank's share of their batch."""
        own, sizes = self._ranks, [(each.start, each.stop - each.start) for each in in_order(count, self._batch_size)]
        shares = [torch.arange(start + own.begin(size), start + own.end_of(size)) for start, size in sizes]
        return torch.cat(shares)


class FedStep:
    """A fused step of several networks, each of which reads its rows from a feed; bit-identical to reading in place."""

    def __init__(self, step: ReplicasStep, feeds: Sequence[Feed]) -> None:
        self._step, self._feeds = step, feeds
        self._reader = ThreadPoolExecutor(1, "feed")

    def advance(self, batches: Sequence[Batches], batch_size: int, step: int) -> list[StepResult]:
        """Advance each network as ``ReplicasStep.advance``, in calls of as many batches as a half of a feed holds."""
        results = [StepResult(each.total, 0) for each in batches]
        calls = list(in_order(max(len(each.rows) for each in batches), self._feeds[0].rows_per_call))
        if not calls:
            return results
        self._fill(0, batches, calls[0])
        for number, call in enumerate(calls):
            half, following = number % HALVES, calls[number + 1] if number + 1 < len(calls) else None
            reading = None
            if following is not None:
                reading = self._reader.submit(self._fill, 1 - half, batches, following)
            try:
                results = self._call(half, call, batches, results, batch_size, step)
            finally:
                if reading is not None:
                    reading.result()
        return results

    def optimizer_state(self) -> list[list[Tensor]]:
        """Return ``TrainStep.optimizer_state`` of each network."""
        return self._step.optimizer_state()

    def _fill(self, half: int, batches: Sequence[Batches], call: slice) -> None:
        for feed, each in zip(self._feeds, batches, strict=True):
            if len(each.rows):
                feed.fill(half, each.rows[call])

    def _call(
        self,
        half: int,
        call: slice,
        batches: Sequence[Batches],
        results: Sequence[StepResult],
        batch_size: int,
        step: int,
    ) -> list[StepResult]:
        """Train on one call's rows; a network that refused a step of an earlier call stands still."""
        done = call.start // batch_size
        begin = half * self._feeds[0].rows_per_call
        given = []
        for each, result in zip(batches, results, strict=True):
            rows = each.rows[call] if result.steps == done else NO_ROWS
            places = torch.arange(begin, begin + len(rows))
            rates = each.learning_rates[done : done + len(list(in_order(len(rows), batch_size)))]
            given.append(Batches(places, rates, result.total))
        found = self._step.advance(given, batch_size, step + done)
        return [StepResult(new.total, before.steps + new.steps) for new, before in zip(found, results, strict=True)]


def feeds_of(objectives: Sequence[Objective], batch_size: int) -> list[Feed]:
    """A feed for each objective, whose rows cannot be read in place; none where all can."""
    if not any(is_fed(rows) for each in objectives for rows in (each.x, each.targets) if rows is not None):
        return []
    rows, width = len(objectives[0].x), objectives[0].x.shape[1]
    wanted = min(rows, ROWS_PER_CALL, max(1, CELLS_PER_CALL // width))
    batches = max(1, wanted // batch_size)
    return [Feed(each, min(batches * batch_size, rows), batch_size) for each in objectives]
