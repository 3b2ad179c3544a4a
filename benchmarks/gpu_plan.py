"""What `make gpu-check` and `make gpu-measure` share: their folders, the stages that both have, and how they end."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu_stages import Runner, Stage

ROOT = Path(__file__).resolve().parents[1]
CUDA = "/usr/local/cuda/bin"
"""Where a toolkit is installed that is not on PATH."""
RESULTS = ("step.json", "step_compiled.json", "end_to_end.json", "profile.txt", "results.md")
"""What stages leave beside what the runner does; those of an earlier run would pass for this one's."""
MOST_ERRORS = 6_000
"""Characters of all first errors."""


class Places(NamedTuple):
    """Folders: of the results and of the data, of the library and the wheels that came along, and one for what passes.

    The first four are those that OUT, DATA_ROOT, LIBRARY and WHEELS name.
    """

    out: Path
    data_root: Path
    library: Path
    wheels: Path
    temporary: Path

    @classmethod
    @contextmanager
    def asked(cls) -> Iterator[Places]:
        def named(variable: str, folder: str) -> Path:
            return Path(os.environ.get(variable) or ROOT / "build" / folder).resolve()

        with tempfile.TemporaryDirectory() as temporary:
            yield cls(
                out=named("OUT", "gpu"),
                data_root=named("DATA_ROOT", "data"),
                library=named("LIBRARY", "gpu-lib"),
                wheels=named("WHEELS", "wheels"),
                temporary=Path(temporary),
            )

    @property
    def link(self) -> Path:
        return self.temporary / "library"

    @property
    def site(self) -> Path:
        return self.temporary / "site"


def environment(places: Places) -> dict[str, str]:
    """That of every stage: stackae is the library alone, not the sources in the folder that it runs in."""
    places.site.mkdir()
    (places.site / "benchmarks").symlink_to(ROOT / "benchmarks")
    paths = [str(places.link), str(places.site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), CUDA]),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONFAULTHANDLER": "1",
    }


def first_stages(places: Places) -> list[Stage]:
    """The machine, the wheels, the library."""
    this = [sys.executable, "-m", "benchmarks.gpu_setup"]
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--no-compile", "--quiet"]
    found = sorted(map(str, places.wheels.glob("*.whl")))
    options = ["--disable-pip-version-check", "--root-user-action=ignore", "--target", str(places.site)]
    missing = "" if found else f"no wheels in {places.wheels.name}; `make wheels` brings what the machine lacks"
    library = [*this, "library", "--prebuilt", str(places.library), "--link", str(places.link)]
    return [
        Stage("machine", 20, [*this, "machine", "--prebuilt", str(places.library)], needs=None),
        Stage("wheels", 20, [*pip, *options, *found], needs=None, unless=missing, noted=False),
        Stage("library", 150, library, needs=None),
    ]


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def sanitizer(name: str, tool: str, limit: float) -> Stage:
    """A few steps of every kind. In torch's pool an access beyond a tensor is often inside another, so that each gets
    memory of its own; calls that torch tries, and which may fail, are not what is looked for."""
    options = ["--tool", tool, "--error-exitcode", "9", "--report-api-errors", "no", "--print-limit", "20"]
    command = ["compute-sanitizer", *options, *python("benchmarks.few_steps")]
    return Stage(name, limit, command, {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})


def step(file: Path, *options: str) -> list[str]:
    return python("benchmarks.step", "--device", "cuda", "--json", str(file), *options)


def profile(out: Path, limit: float) -> Stage:
    return Stage("profile", limit, python("benchmarks.profile_step", "--out", str(out / "profile.txt")), noted=False)


def run(
    kind: str, planned: Sequence[Sequence[Stage]], last: Sequence[Stage], places: Places, ends: Sequence[int]
) -> int:
    """The stages, what their errors are, and at the end the numbers; returns the exit status.

    Args:
        last: those that begin when the time of the others is out, too; the last of them prints the numbers.
        ends: seconds until the end of the planned stages, and of the last ones.
    """
    os.chdir(ROOT)
    for name in RESULTS:
        (places.out / name).unlink(missing_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored, and would be by every stage
    runner = Runner(places.out, environment(places))
    runner.run(planned, ends[0])
    runner.run([[stage] for stage in last], ends[1])
    runner.show_errors(MOST_ERRORS)
    numbers = runner.outcomes[last[-1].name]
    runner.printed.say("\n" + numbers.text if numbers.text else "")
    return runner.finish(f"{kind}.json")


def numbers(kind: str, out: Path) -> Stage:
    return Stage("numbers", 10, python("benchmarks.gpu_numbers", kind, str(out)), noted=False)
