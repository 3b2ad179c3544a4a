"""Guard a torch optimizer: its state is accessible, and an update that produces NaN or Inf is undone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from stackae.training.rates import LayerRates, MomentumRamp

LEAST_MOMENTUM = 1e-30  # at 0, torch.optim would leave the velocity as it was, instead of making it the gradient
ALIGNMENT = 64  # numbers: every parameter's state begins at a multiple, for vector loads


class GuardedOptimizer:
    """SGD, Adam or AdamW over ``parameters``, which are given layer by layer.

    Attributes:
        moments: two tensors per parameter, as in the fused step: Adam's first and second moments, or SGD's velocity and
            zeros. They are the optimizer state itself.
        refused: float32 scalar on the parameters' device: 1 from the first refused step of a call on, else 0.

    A refused step, and every later one of the call, leaves parameters and optimizer state as they were. None of this
    synchronizes with a GPU: the device itself selects the old or the new values.

    ``rates`` gives the learning rates per layer; the optimizer's groups then have a ``depth``. ``ramp`` gives the
    momentum of SGD per step.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        optimizer: torch.optim.Optimizer,
        rates: LayerRates | None = None,
        ramp: MomentumRamp | None = None,
    ) -> None:
        self._parameters, self._optimizer, self._rates, self._ramp = list(parameters), optimizer, rates, ramp
        self._next = 0
        sizes = [-(-each.numel() // ALIGNMENT) * ALIGNMENT for each in parameters]
        self._memory = parameters[0].new_zeros((2, sum(sizes)))  # one tensor, to be copied at once
        self._kept_memory = torch.empty_like(self._memory)
        self._kept = [torch.empty_like(each) for each in parameters]
        self._depths = {each: group.get("depth", 0) for group in optimizer.param_groups for each in group["params"]}
        self._counts: list[tuple[Tensor, int]] = []  # Adam's step counters, each with the step at which it starts
        self.moments: list[Tensor] = []
        self.refused = torch.zeros((), device=parameters[0].device)
        self._one = torch.ones_like(self.refused)
        for parameter, begin in zip(parameters, itertools.accumulate(sizes, initial=0), strict=False):
            views = [half[begin : begin + parameter.numel()].view_as(parameter) for half in self._memory]
            self.moments += views
            self._install(parameter, *views)

    @property
    def stands_still(self) -> bool:
        """True where a step of this call was refused; False on a GPU, where reading it would synchronize."""
        return self.refused.is_cpu and bool(self.refused)

    def begin(self, step: int) -> None:
        """Begin a call whose first step has this number, counted from 0."""
        self.refused.zero_()
        self._next = step
        for count, first in self._counts:
            count.fill_(max(0, step - first))

    @property
    def moving(self) -> list[Tensor]:
        """The parameters that the next step updates: those of unfrozen layers."""
        if self._rates is None:
            return self._parameters
        return [each for each in self._parameters if self._next >= self._rates.begins[self._depths[each]]]

    @torch.no_grad()
    def step(self, loss: Tensor, learning_rate: float) -> None:
        """Update the parameters by their gradients, unless the loss or the result is not finite.

        ``learning_rate`` is that of the head, where layers have their own.
        """
        for group in self._optimizer.param_groups:
            scale = 1.0 if self._rates is None else self._rates.scale(group.get("depth", 0), self._next)
            group["lr"] = scale * learning_rate
            if self._ramp is not None:
                group["momentum"] = max(self._ramp.at(self._next), LEAST_MOMENTUM)
        self._next += 1
        torch._foreach_copy_(self._kept, self._parameters)
        self._kept_memory.copy_(self._memory)
        self._optimizer.step()
        # torch.amp's check, in one pass: an infinite first moment shows in the parameter or in the second one
        watched = [*self._parameters, self._memory[1], loss.to(self._memory.dtype)]
        torch._amp_foreach_non_finite_check_and_unscale_(watched, self.refused, self._one)
        if self.refused.is_cpu and not self.stands_still:
            return
        refused = self.refused.bool()
        for kept, own in zip((*self._kept, self._kept_memory), (*self._parameters, self._memory), strict=True):
            torch.where(refused, kept, own, out=own)

    def _install(self, parameter: Tensor, first: Tensor, second: Tensor) -> None:
        """Create the state that torch.optim would create at its first step, so that it can be read and set before."""
        state = self._optimizer.state[parameter]
        if isinstance(self._optimizer, torch.optim.SGD):
            if self._ramp is not None or self._optimizer.defaults["momentum"] != 0:
                state["momentum_buffer"] = first
            return
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = first, second
        self._counts.append((state["step"], 0 if self._rates is None else self._rates.begins[self._depths[parameter]]))
