"""How every benchmark measures: interleaved, paired, in one run.

Each round times every contender once, in an order that is flipped from round to round; the first contender is timed a
second time, so that the spread of its own ratio says what is noise. A sample in which the kernel took the processor
away is dropped, unless that leaves too few, which is then said. On CUDA a sample begins and ends with a
synchronisation, and has none between unless a contender asks for it. Ratios are medians of paired ratios with a 95 %
bootstrap interval; absolute times do not travel.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import torch

AGAIN = " (again)"
FEWEST_SAMPLES = 5
ONE_EACH: Mapping[str, int] = {}

Run = Callable[[], object]
T = TypeVar("T")


class Comparison(NamedTuple):
    """A contender against the first one: ratio = its time / the first one's, above 1 where the first one is faster.

    ``clean`` is False where too few samples ran uninterrupted, and interrupted ones are counted too.
    """

    name: str
    microseconds: float
    quartiles: tuple[float, float]
    minimum: float
    samples: int
    clean: bool
    ratio: float
    interval: tuple[float, float]


def noise_cell(noise: tuple[float, float], detail: dict[str, dict[str, object]]) -> str:
    """The last cell of a printed row: the first contender against itself, and whether a sample was interrupted."""
    interrupted = "" if all(result["clean"] for result in detail.values()) else " interrupted"
    return f"[{noise[0]:4.2f}, {noise[1]:4.2f}]{interrupted}"


def working(
    makers: Mapping[str, Callable[[], Run]], device: torch.device, warm_up: int = 3
) -> tuple[dict[str, Run], dict[str, str]]:
    """The contenders that can be made and run, warmed up; and of the others, by name, what they failed with."""
    runs: dict[str, Run] = {}
    failed: dict[str, str] = {}
    for name, make in makers.items():
        try:
            run = make()
            for _ in range(warm_up):
                run()
            _synchronise(device)
            runs[name] = run
        except Exception as error:
            failed[name] = sentence(error)
    return runs, failed


def sentence(error: Exception) -> str:
    """Its type and the first line of what it says."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def compare(
    contenders: Mapping[str, Run],
    *,
    rounds: int,
    sample_ms: float,
    device: torch.device,
    steps: Mapping[str, int] = ONE_EACH,
) -> list[Comparison]:
    """One Comparison a contender, the first one's second timing last: its ratio and interval are the noise floor.

    Args:
        steps: how many a call of a contender takes, where it is not one: times are then a step's, and a call that
            synchronises only at its end is not charged for it at every step.
    """
    first = next(iter(contenders))
    runners = {**contenders, first + AGAIN: contenders[first]}
    for run in runners.values():
        for _ in range(3):
            run()
    calls = {name: _calls_for(run, sample_ms, device) for name, run in runners.items()}
    samples: dict[str, list[tuple[float, bool]]] = {name: [] for name in runners}
    for _, name in turns(runners, rounds):
        samples[name].append(_sample(runners[name], calls[name], device))
    generator = np.random.default_rng(0)
    parts = {name: steps.get(name.removesuffix(AGAIN), 1) for name in runners}
    times = {name: np.array([spent for spent, _ in values]) / parts[name] for name, values in samples.items()}
    clean = {name: np.array([through for _, through in values]) for name, values in samples.items()}
    return [_summary(name, times[name], times[first], clean[name] & clean[first], generator) for name in runners]


def turns(contenders: Iterable[T], rounds: int) -> Iterator[tuple[int, T]]:
    """Every contender in every round, with the round's number; their order is flipped from round to round."""
    in_order = list(contenders)
    for number in range(rounds):
        for contender in in_order[:: 1 if number % 2 == 0 else -1]:
            yield number, contender


def median_interval(ratios: np.ndarray, generator: np.random.Generator) -> tuple[float, float]:
    """The 95 % bootstrap interval of their median."""
    draws = np.median(generator.choice(ratios, size=(2000, len(ratios))), axis=1)
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def _calls_for(run: Run, sample_ms: float, device: torch.device) -> int:
    fastest = min(_sample(run, 1, device)[0] for _ in range(5))
    return max(1, int(sample_ms * 1e3 / max(fastest, 0.1)))


def _sample(run: Run, calls: int, device: torch.device) -> tuple[float, bool]:
    """Microseconds a call, and whether the kernel let the sample run through."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    _synchronise(device)
    started = time.perf_counter_ns()
    for _ in range(calls):
        run()
    _synchronise(device)
    spent = (time.perf_counter_ns() - started) / calls / 1e3
    return spent, resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw == before


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _summary(
    name: str, times: np.ndarray, first: np.ndarray, clean: np.ndarray, generator: np.random.Generator
) -> Comparison:
    enough = int(clean.sum()) >= FEWEST_SAMPLES
    own, ratios = (times[clean], (times / first)[clean]) if enough else (times, times / first)
    lower, upper = np.percentile(own, [25, 75])
    return Comparison(
        name=name,
        microseconds=float(np.median(own)),
        quartiles=(float(lower), float(upper)),
        minimum=float(own.min()),
        samples=len(own),
        clean=enough,
        ratio=float(np.median(ratios)),
        interval=median_interval(ratios, generator),
    )
