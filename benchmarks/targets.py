"""What is aimed at, and what a result says about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.cases import COMPILED, COMPILED_IN_GRAPH, REFERENCE, WIDEST

Row = Mapping[str, Any]
Value = Callable[[Row], float | None]


class Target(NamedTuple):
    """``wanted`` at least, or at most, of something in the row of a name."""

    name: str
    precision: str
    what: str
    wanted: float
    value: Value
    at_most: bool = False

    def verdict(self, row: Row | None) -> tuple[str, str]:
        """The measured number and what it means: met, or how much of how much."""
        found = None if row is None else self.value(row)
        if found is None:
            return "-", "not measured"
        met = found <= self.wanted if self.at_most else found >= self.wanted
        return f"{found:.2f}", "met" if met else f"{found:.2f} of {self.wanted:g}"


def _ratios(row: Row) -> Mapping[str, float]:
    """Those to the fused step: none where it could not run and something else came first."""
    found: Mapping[str, float] = row["ratios"] if row.get("first") == "fused" else {}
    return found


def _over(name: str) -> Value:
    return lambda row: _ratios(row).get(name)


def _best(*names: str) -> Value:
    """Over the fastest of them that ran."""
    return lambda row: min((ratio for name, ratio in _ratios(row).items() if name in names), default=None)


def _microseconds(row: Row) -> float | None:
    return row["fused_us_per_step"] if row.get("first") == "fused" else None


def _over_floor(row: Row) -> float | None:
    return 1 / row["floor"]["share"] if row.get("first") == "fused" and row["floor"] else None


def _whole(row: Row) -> float | None:
    ratio: float | None = row["ratio"]
    return ratio


def _training(row: Row) -> float | None:
    ratio: float | None = row["training_ratio"]
    return ratio


def _at_most(precision: str, microseconds: float) -> Target:
    what = "microseconds a step, at most"
    return Target(f"{R}, {precision}", precision, what, microseconds, _microseconds, at_most=True)


R = REFERENCE.name
R_TF32, WIDE = f"{R}, tf32", f"{WIDEST.name}, bf16"
STEP_CUDA: Sequence[Target] = (
    _at_most("tf32", 25),
    _at_most("bf16", 22),
    _at_most("fp32", 35),
    Target(R_TF32, "tf32", "over eager, Adam", 20, _over("eager, Adam")),
    Target(R_TF32, "tf32", "over eager in a CUDA graph", 6, _over("eager in a CUDA graph")),
    Target(R_TF32, "tf32", "over torch.compile in a CUDA graph", 1.5, _over(COMPILED_IN_GRAPH)),
    Target(R_TF32, "tf32", "over the best mode of torch.compile", 4, _best(*COMPILED)),
    Target(WIDE, "bf16", "over the best of torch.compile", 1.05, _best(*COMPILED, COMPILED_IN_GRAPH)),
)
STEP_CPU: Sequence[Target] = (
    Target(R, "fp32", "of the bare products' time, at most", 1.05, _over_floor, at_most=True),
    Target(R, "fp32", "over eager, Adam", 1.6, _over("eager, Adam")),
    Target(R, "fp32", "over eager, fused Adam", 1.35, _over("eager, fused Adam")),
    Target("R, masking", "fp32", "over eager, fused Adam", 1.7, _over("eager, fused Adam")),
    Target("64x784-64", "fp32", "over eager, Adam", 3, _over("eager, Adam")),
    Target("R, bf16", "bf16 against fp32", "over eager, fused Adam", 2.4, _over("eager, fused Adam")),
)
COMMAND_CUDA: Sequence[Target] = tuple(
    target
    for name in ("usual script, cpu", "usual script, cuda")
    for target in (
        Target(name, "see below", "its training passes over the command's", 100, _training),
        Target(name, "see below", "its time over the whole command's", 15, _whole),
    )
)
COMMAND_CPU: Sequence[Target] = (Target("usual script", "fp32", "its time over the whole command's", 5, _whole),)
