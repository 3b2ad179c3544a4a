"""Full-batch L-BFGS: one iteration per step, with torch's strong-Wolfe line search, and a state that can be resumed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from stackae.objectives.base import Objective
from stackae.ops.step import StepResult
from stackae.ranks import ALONE, Ranks

HISTORY = 20  # pairs of steps and gradient differences
VECTORS = 2 * HISTORY + 2  # as long as the parameters: the pairs, the direction and the gradient
EVALUATIONS = 25  # of the objective per iteration, at most
_COUNTS = 5  # n_iter, pairs, t, H_diag, prev_loss: the numbers of the state before ro


class LbfgsStep:
    """A ``TrainStep`` over all rows at once: w ← w + t d, d = −H g, H by the last HISTORY pairs, t by strong Wolfe.

    Args:
        objective: without noise, as the line search compares its values.
        decays: the weights that decay.
        weight_decay: λ of λ/2 Σ ‖W‖² over them, which is part of the objective here.

    Of several ``ranks``, each computes its share of the rows; all take the same iteration by the sums.

    Rows are read in their own order, so that their sum has the same rounding in every epoch. Learning rates are not
    used. A step that finds no finite objective leaves parameters and state as they were.

    Liu & Nocedal (1989), On the limited memory BFGS method for large scale optimization.
    """

    def __init__(
        self, objective: Objective, decays: Sequence[Tensor], weight_decay: float, ranks: Ranks = ALONE
    ) -> None:
        self._objective, self._decays, self._weight_decay, self._ranks = objective, list(decays), weight_decay, ranks
        self._parameters = objective.parameters
        self._optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
            self._parameters,
            lr=1.0,
            max_iter=1,
            max_eval=EVALUATIONS,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )
        first, size = self._parameters[0], sum(each.numel() for each in self._parameters)
        self._vectors = first.new_zeros((VECTORS, size)).detach()
        self._numbers = torch.zeros(_COUNTS + HISTORY, dtype=torch.float64, device=first.device)
        self._last: tuple[Tensor, float, float, Tensor] | None = None  # weights, objective, loss and gradient there

    def advance(
        self, rows: Tensor, batch_size: int, step: int, learning_rates: Sequence[float], total: float = 0.0
    ) -> StepResult:
        """Take an iteration per learning rate, on all rows; see ``TrainStep.advance``."""
        rows = rows.sort().values
        for taken in range(len(learning_rates)):
            loss, finite = self._iterate(rows, step + taken)
            total += loss * len(rows)
            if not finite:
                return StepResult(total, taken)
        return StepResult(total, len(learning_rates))

    def optimizer_state(self) -> list[Tensor]:
        """Return the pairs, the direction and the gradient (VECTORS, n), and the numbers of the state."""
        return [self._vectors, self._numbers]

    def _iterate(self, rows: Tensor, step: int) -> tuple[float, bool]:
        """Take one iteration; return the loss before it, and whether all stayed finite."""
        before = self._weights()
        losses: list[tuple[Tensor, float, float, Tensor]] = []

        def closure() -> float:
            weights = self._weights()
            known = next((each for each in (*losses, self._last) if each and torch.equal(each[0], weights)), None)
            if known is None:
                known = self._evaluated(weights, rows, step)
            losses.append(known)
            self._set_gradient(known[3])
            return known[1]

        self._unpack()
        self._optimizer.step(closure)
        after = self._weights()
        finite = math.isfinite(losses[0][1]) and bool(after.isfinite().all())
        if not finite:
            self._set_weights(before)
            return losses[0][2], False
        self._last = next((each for each in reversed(losses) if torch.equal(each[0], after)), None)
        self._pack()
        return losses[0][2], True

    def _evaluated(self, weights: Tensor, rows: Tensor, step: int) -> tuple[Tensor, float, float, Tensor]:
        if self._ranks.several:
            return self._added_up(weights, rows, step)
        with torch.enable_grad():
            loss = self._objective(rows, step)
            decay = torch.stack([each.square().sum() for each in self._decays]).sum() if self._decays else 0.0
            whole = loss + self._weight_decay / 2 * decay
            gradients = torch.autograd.grad(whole, self._parameters)
        return weights, float(whole.detach()), float(loss.detach()), torch.cat([each.reshape(-1) for each in gradients])

    def _added_up(self, weights: Tensor, rows: Tensor, step: int) -> tuple[Tensor, float, float, Tensor]:
        share = self._objective.batch_share
        with torch.enable_grad(), share.of(rows, self._ranks) as own:
            loss = self._objective(own, step) * share.weight
            gradients = torch.autograd.grad(loss, self._parameters)
        sums = torch.cat([*(each.reshape(-1) for each in gradients), loss.detach().reshape(1).to(weights)])
        self._ranks.sum(sums)
        total, begin = float(sums[-1]), 0
        whole = total
        for each in self._parameters:
            if any(each is other for other in self._decays):
                sums[begin : begin + each.numel()] += self._weight_decay * each.detach().reshape(-1)
                whole += self._weight_decay / 2 * float(each.detach().square().sum())
            begin += each.numel()
        return weights, whole, total, sums[:-1]

    def _weights(self) -> Tensor:
        return torch.cat([each.detach().reshape(-1) for each in self._parameters])

    @torch.no_grad()
    def _set_weights(self, flat: Tensor) -> None:
        for each, part in zip(self._parameters, self._parts(flat), strict=True):
            each.copy_(part)

    def _set_gradient(self, flat: Tensor) -> None:
        for each, part in zip(self._parameters, self._parts(flat), strict=True):
            each.grad = part.clone()

    def _parts(self, flat: Tensor) -> list[Tensor]:
        """Views of a flat vector in the shapes of the parameters."""
        ends = itertools.accumulate(each.numel() for each in self._parameters)
        return [flat[end - each.numel() : end].view_as(each) for each, end in zip(self._parameters, ends, strict=True)]

    def _unpack(self) -> None:
        """Give the optimizer the state that the tensors hold."""
        state = self._optimizer.state[self._parameters[0]]
        iterations, pairs = int(self._numbers[0]), int(self._numbers[1])
        state["n_iter"] = iterations
        if not iterations:
            return
        _, _, t, scale, loss, *ro = self._numbers.tolist()
        state["t"], state["prev_loss"] = t, loss
        state["H_diag"] = self._vectors.new_tensor(scale)
        state["ro"] = [self._vectors.new_tensor(each) for each in ro[:pairs]]
        state["old_dirs"] = [self._vectors[place].clone() for place in range(pairs)]
        state["old_stps"] = [self._vectors[HISTORY + place].clone() for place in range(pairs)]
        state["d"], state["prev_flat_grad"] = self._vectors[-2].clone(), self._vectors[-1].clone()

    @torch.no_grad()
    def _pack(self) -> None:
        """Put the optimizer's state into the tensors."""
        state = self._optimizer.state[self._parameters[0]]
        pairs = len(state["old_dirs"])
        self._vectors.zero_()
        for place, (direction, own) in enumerate(zip(state["old_dirs"], state["old_stps"], strict=True)):
            self._vectors[place].copy_(direction)
            self._vectors[HISTORY + place].copy_(own)
        self._vectors[-2].copy_(state["d"])
        self._vectors[-1].copy_(state["prev_flat_grad"])
        counts = [state["n_iter"], pairs, *map(float, (state["t"], state["H_diag"], state["prev_loss"]))]
        numbers = [*counts, *map(float, state["ro"]), *[0.0] * (HISTORY - pairs)]
        self._numbers.copy_(torch.tensor(numbers, dtype=torch.float64))
