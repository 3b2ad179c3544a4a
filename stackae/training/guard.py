"""A torch optimizer whose state is at hand, and that takes back an update after which something is not finite."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from stackae.training.rates import LayerRates

ALIGNMENT = 64  # numbers: every moment begins where a vector may


class GuardedOptimizer:
    """SGD, Adam or AdamW over ``parameters``, which are given layer by layer.

    Attributes:
        moments: of each parameter the first and the second, as the fused step has them: Adam's two; for SGD its
            velocity, and zeros. They are the optimizer state itself.
        refused: 1 from the first update of a call that was taken back on, else 0; float32, on the parameters' device.

    A step that was refused leaves parameters and moments as they were before it, as do all after it. Nothing of this
    waits for a GPU: whether to put back what was kept is decided there.

    ``rates`` says how learning rates differ by layer; the optimizer's groups then have a ``depth`` in them.
    """

    def __init__(
        self, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, rates: LayerRates | None = None
    ) -> None:
        self._parameters, self._optimizer, self._rates = list(parameters), optimizer, rates
        self._next = 0
        sizes = [-(-each.numel() // ALIGNMENT) * ALIGNMENT for each in parameters]
        self._memory = parameters[0].new_zeros((2, sum(sizes)))  # one, so that it is kept and put back in one go
        self._kept_memory = torch.empty_like(self._memory)
        self._kept = [torch.empty_like(each) for each in parameters]
        self._depths = {each: group.get("depth", 0) for group in optimizer.param_groups for each in group["params"]}
        self._counts: list[tuple[Tensor, int]] = []  # with the step from which each counts
        self.moments: list[Tensor] = []
        self.refused = torch.zeros((), device=parameters[0].device)
        self._one = torch.ones_like(self.refused)
        for parameter, begin in zip(parameters, itertools.accumulate(sizes, initial=0), strict=False):
            views = [half[begin : begin + parameter.numel()].view_as(parameter) for half in self._memory]
            self.moments += views
            self._install(parameter, *views)

    @property
    def stands_still(self) -> bool:
        """Whether a step of this call was refused, where it costs nothing to know: not on a GPU."""
        return self.refused.is_cpu and bool(self.refused)

    def begin(self, step: int) -> None:
        """A new call, whose first step is that number, counted from 0."""
        self.refused.zero_()
        self._next = step
        for count, first in self._counts:
            count.fill_(max(0, step - first))

    @property
    def moving(self) -> list[Tensor]:
        """The parameters that the next step moves: those whose layers have begun."""
        if self._rates is None:
            return self._parameters
        return [each for each in self._parameters if self._next >= self._rates.begins[self._depths[each]]]

    @torch.no_grad()
    def step(self, loss: Tensor, learning_rate: float) -> None:
        """Updates the parameters by their gradients, unless the loss or what comes of it is not finite.

        ``learning_rate`` is that of the head, where layers have their own.
        """
        for group in self._optimizer.param_groups:
            scale = 1.0 if self._rates is None else self._rates.scale(group.get("depth", 0), self._next)
            group["lr"] = scale * learning_rate
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
        """What torch.optim would make at its first step, made here: so it can be read and written before."""
        state = self._optimizer.state[parameter]
        if isinstance(self._optimizer, torch.optim.SGD):
            if self._optimizer.defaults["momentum"] != 0:
                state["momentum_buffer"] = first
            return
        state["step"] = torch.zeros((), device=parameter.device)
        state["exp_avg"], state["exp_avg_sq"] = first, second
        self._counts.append((state["step"], 0 if self._rates is None else self._rates.begins[self._depths[parameter]]))
