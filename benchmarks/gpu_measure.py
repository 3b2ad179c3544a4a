"""How fast is it on this GPU, beside everything that it is compared with? In less than five minutes.

    python3 -m benchmarks.gpu_measure

Where and how: see benchmarks.gpu_check, after which this is run; DATA_ROOT (build/data) holds MNIST/raw, or the
embedded digits stand in. One stage at a time; what may end in an error that no later work on the GPU survives is last.
Results are in OUT: logs.txt, summary.txt, measure.json, step.json, step_compiled.json, profile.txt, end_to_end.json,
results.md. Targets come first among the numbers.
"""

from __future__ import annotations

import sys

from benchmarks.gpu_plan import Places, first_stages, numbers, profile, python, run, sanitizer, step
from benchmarks.gpu_stages import Stage

LIMIT, AND_NUMBERS = 272, 284
"""Seconds until the last stage is ended, and until the tables and the numbers are."""
TARGETED = ("R: 256x784-300", "256x4096-4096, bf16")
RUNGS = ("256x512-512", "256x1024-1024", "256x2048-2048")
"""Around the width from which the library's products are taken."""


def stages(places: Places) -> list[list[Stage]]:
    out, data = places.out, ("--data-root", str(places.data_root))
    compared = ("--usual-epochs", "1", "--rounds", "1", "--json", str(out / "end_to_end.json"))
    command = python("benchmarks.end_to_end", "--device", "cuda", "--precision", "tf32", *data, *compared)
    cases = step(out / "step.json", "--part", "cases", "--only", *TARGETED)
    rungs = step(out / "step.json", "--append", "--part", "ladder", "--only", *RUNGS, "--rounds", "3")
    several = step(out / "step.json", "--append", "--part", "population", "--only", "64x", "--rounds", "5")
    compiled = step(out / "step_compiled.json", "--part", "compiled", "--only", *TARGETED, "--patience", "40")
    alone = [
        *first_stages(places),
        Stage("step", 45, cases),
        profile(out, 15),
        Stage("end to end", 80, command),
        Stage("accuracy", 45, python("benchmarks.gpu_accuracy", *data)),
        Stage("ladder", 20, rungs),
        Stage("population", 15, several),
        Stage("compiled", 70, compiled),
        sanitizer("racecheck", "racecheck", 60),
    ]
    return [[stage] for stage in alone]


def main() -> int:
    with Places.asked() as places:
        report = Stage("report", 8, python("benchmarks.report", str(places.out)), noted=False)
        last = [report, numbers("measure", places.out)]
        return run("measure", stages(places), last, places, (LIMIT, AND_NUMBERS))


if __name__ == "__main__":
    sys.exit(main())
