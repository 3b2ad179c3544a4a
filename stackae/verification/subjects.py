"""Subjects of the checks, small layers built as the commands build them, and the distances that compare results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from stackae.config import PretrainConfig
from stackae.errors import SetupError
from stackae.ops.engine import choose_step, find_extension
from stackae.pretraining import settle
from stackae.random import Purpose, uniform
from stackae.training.layer import LayerReplica, Reads
from stackae.verification.check import SIGMAS, Case, Check, NotHereError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SHAPES = ((40, 17, 9), (33, 70, 65))  # rows, inputs and units, of which several are not multiples of a vector
SEED = 5
OF_THE_EXTENSION = "the extension"
EAGER_REMEDY = "train with `--engine eager` meanwhile, which does without the extension"


def rows_of(count: int, width: int, seed: int = 9) -> Tensor:
    """Draw (count, width) float64 rows, uniform in [0, 1)."""
    return uniform((count, width), seed=seed, purpose=Purpose.SPLIT).double()


def normal(*shape: int, seed: int = 0) -> Tensor:
    """Draw standard normal float64 by torch's own generator, independently of stackae's."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def replica_of(
    layers: str, x: Tensor, device: torch.device = CPU, dtype: torch.dtype = torch.float64, **options: Any
) -> LayerReplica:
    """Build the first layer of a stack, untrained, as `stackae pretrain` does for x, by default in float64."""
    given = {"corruption": "none", "weight_decay": 0.0, "seed": SEED, "device": device.type, **options}
    config = settle(PretrainConfig.from_options(layers, **given), x)
    replica = LayerReplica.new(0, config, 1, Reads.of(x.to(device, dtype), None), device)
    replica.network.to(dtype)
    return replica


def need_extension() -> None:
    """Raise NotHereError where the extension is not built, or does not load: `stackae verify` fails for the latter."""
    extension = find_extension()
    if extension.ops is None:
        what = "is not built" if extension.state == "absent" else "does not load"
        raise NotHereError(f"{OF_THE_EXTENSION} {what}: nothing to compare with")


def need_step(device: torch.device, precision: str = "fp32") -> None:
    """Raise NotHereError where there is no fused step of that precision on that device."""
    need_extension()
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NotHereError("no CUDA device")
    try:
        choice = choose_step("fused", device, precision)
    except SetupError as error:
        raise NotHereError(str(error).partition(";")[0]) from None
    if not choice.fused:
        raise NotHereError(choice.reason)


def distance(found: Tensor, truth: Tensor) -> float:
    """‖found − truth‖ / ‖truth‖, both in float64 on the CPU."""
    found, truth = found.detach().double().cpu(), truth.detach().double().cpu()
    return float((found - truth).norm() / truth.norm().clamp(min=1e-300))


def furthest(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """max |found − wanted| over all tensors, relative to a tensor's largest number, or to 1e-3 of the largest of all.

    The result is infinite where the numbers of tensors or the shapes differ.
    """
    found, wanted = ([each.detach() for each in some] for some in (found, wanted))
    if [each.shape for each in found] != [each.shape for each in wanted]:
        return math.inf
    largest = [float(each.abs().max()) for each in wanted]
    floor = 1e-3 * max(largest) or 1.0
    off = [float((a - b).abs().max()) for a, b in zip(found, wanted, strict=True)]
    worst = [each / max(floor, scale) for each, scale in zip(off, largest, strict=True)]
    return math.nan if any(math.isnan(each) for each in worst) else max(worst)


def against_draws(name: str, drawn: Tensor, expected: Tensor | float, error: Tensor | float) -> Case:
    """max |drawn − expected| / error, in standard errors; ``shown`` describes the entry with the maximum.

    The arguments have one shape, or are scalars. An error of 0 allows for rounding only.
    """
    wanted = torch.as_tensor(expected, dtype=torch.float64).expand_as(drawn)
    error = torch.maximum(torch.as_tensor(error, dtype=torch.float64), 1e-12 * (1 + wanted.abs())).expand_as(drawn)
    z = ((drawn - wanted).abs() / error).flatten()
    place = int(z.argmax())  # NaN, if there is any
    mean, bar, law = (float(each.flatten()[place]) for each in (drawn, error, wanted))
    return Case(name, float(z[place]), SIGMAS, f"{mean:.5g} ± {bar:.1g}, expected {law:.5g}")


def fused_check(
    name: str, compared: str, measure: Callable[..., Iterator[Case]], *given: Any, threads: bool = False
) -> Check:
    """Make a check of compiled code, by the relative error of what ``measure(*given)`` compares."""
    return Check("fused", name, compared, "relative error", lambda: measure(*given), EAGER_REMEDY, threads)
