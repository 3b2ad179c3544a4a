"""What a row of benchmarks.step is, in JSON and on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.cases import StepCase
from benchmarks.timing import AGAIN, Comparison, noise_cell

Entry = dict[str, Any]
NOTHING_FAILED: Mapping[str, str] = {}


class Planned(NamedTuple):
    """A row to be measured, and how. ``part``: cases, compiled, population or ladder."""

    part: str
    name: str
    measure: Callable[[], Entry]


def entry(
    part: str,
    name: str,
    case: StepCase,
    precision: str,
    results: Sequence[Comparison],
    *,
    floors: Sequence[str] = (),
    steps: int = 1,
    failed: Mapping[str, str] = NOTHING_FAILED,
) -> Entry:
    """The row of these results, the first of which is what the others are compared with.

    Args:
        floors: which of them are the products alone; the best of them is the floor.
        steps: what a call took where ``compare`` was not told.
        failed: the contenders that could not run, and why.
    """
    by_name = {result.name: result for result in results}
    own = results[0].name
    libraries = [each for each in floors if each in by_name and each != own]
    best = min((by_name[each] for each in libraries), key=lambda result: result.ratio, default=None)
    return {
        "part": part,
        "case": name,
        **case._asdict(),
        "precision": precision,
        "first": own,
        "fused_us_per_step": results[0].microseconds / steps,
        "floor": best and {"library": best.name, "share": best.ratio, "interval": best.interval},
        "noise": by_name[own + AGAIN].interval,
        "ratios": {each: by_name[each].ratio for each in by_name if each not in (own, own + AGAIN)},
        "detail": {each: result._asdict() for each, result in by_name.items()},
        "failed": dict(failed),
    }


def without_measure(planned: Planned, error: str) -> Entry:
    """The row of a measurement that broke off."""
    return {"part": planned.part, "case": planned.name, "failed": {"the row": error}}


def show(found: Entry) -> None:
    """A line for the step, one for each contender, one for each that failed."""
    if "detail" in found:
        floor = found["floor"]
        share = f"floor {100 * floor['share']:3.0f} % {floor['library']}" if floor else "no floor"
        print(
            f"{found['case']:32} | {found['first']}, {found['precision']} | {found['fused_us_per_step']:9.1f} us a step"
            f" | {share} | noise {noise_cell(found['noise'], found['detail'])}"
        )
        for name, ratio in found["ratios"].items():
            low, high = found["detail"][name]["interval"]
            print(f"    {name:34} {ratio:7.2f} [{low:.2f}, {high:.2f}]")
    else:
        print(found["case"])
    for name, error in found["failed"].items():
        print(f"    {name:34} failed: {error}")
    print(end="", flush=True)
