"""Does it run on this GPU, is it right, and how fast is the reference step? In less than four minutes.

    python3 -m benchmarks.gpu_check

In the clone's folder, on a machine with torch, pytest and a GPU; no network, make or git is needed. The environment
names the folders of it: OUT for results (build/gpu: logs.txt, summary.txt, check.json, step.json, profile.txt), LIBRARY
(build/gpu-lib, by `make gpu-library` elsewhere; without one it is built here), WHEELS (build/wheels, by `make wheels`).
A line a stage as it ends, then the first errors of those that failed, then numbers; the exit status is 1 if one failed.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from benchmarks.gpu_plan import Places, first_stages, numbers, profile, python, run, sanitizer, step
from benchmarks.gpu_stages import Stage

LIMIT, AND_NUMBERS = 218, 224
"""Seconds until the last stage is ended, and until the numbers are."""
OPS = tuple(
    f"tests/{name}.py" for name in ("ops/test_ops", "test_random", "data/test_rows", "objectives/test_objectives")
)
STEPS = tuple(f"tests/ops/test_step{name}.py" for name in ("", "_contract", "_calls", "_guard", "_device", "_together"))


def pytest(files: Sequence[str], *options: str) -> list[str]:
    """Side by side where that is installed. Warnings of another torch are no errors here."""
    beside = ["-n", "8"] if importlib.util.find_spec("xdist") else []
    plain = ["-p", "benchmarks.cuda_required", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "-W", "default"]
    told = ["--maxfail=25", "--durations=3", "-o", "faulthandler_timeout=45"]
    return python("pytest", *files, *plain, *told, *beside, *options)


def stages(places: Places) -> list[list[Stage]]:
    """Those in one list run side by side."""
    reference = step(places.out / "step.json", "--part", "cases", "--only", "R: 256x784-300", "--rounds", "9")
    return [
        *([stage] for stage in first_stages(places)),
        [Stage("smoke", 30, python("benchmarks.few_steps"))],
        [
            Stage("tests", 90, pytest(OPS, "-k", "cuda")),
            Stage("step tests", 90, pytest(STEPS), {"STACKAE_TEST_DEVICE": "cuda"}),
            sanitizer("memcheck", "memcheck", 90),
        ],
        [Stage("step", 40, reference)],
        [profile(places.out, 30)],
    ]


def main() -> int:
    with Places.asked() as places:
        return run("check", stages(places), [numbers("check", places.out)], places, (LIMIT, AND_NUMBERS))


if __name__ == "__main__":
    sys.exit(main())
