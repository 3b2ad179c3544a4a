"""Prove that what users install works: `python building/check.py [FOLDER]`, in some minutes, all cores.

The sdist is built; from it, not from this folder, a wheel with the compiled library and one without; each is installed
into an environment of its own outside this folder, which sees the packages of this Python but not its stackae. There,
in an empty folder, both of README's commands and `verify` run. FOLDER keeps the three files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LEAST = 0.98  # accuracy on the digits that README promises
OF_THE_MACHINE = ("CUDA", "expected a processor")  # what it may lack, so that a check is skipped
PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")
LARGEST = 8 << 20  # bytes of a library for the CPU: with its debug information it is twelve times as large
started = time.monotonic()


def tell(text: str) -> None:
    print(f"{time.monotonic() - started:5.0f} s  {text}", flush=True)


def environment(**more: str) -> dict[str, str]:
    """That of this process, without what would lead to this folder's stackae."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "STACKAE_BUILD")
    return {name: value for name, value in os.environ.items() if name not in foreign} | more


def call(*command: str | Path, within: Path, **more: str) -> str:
    done = subprocess.run(command, cwd=within, env=environment(**more), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout + done.stderr


def document_of(said: str) -> dict[str, Any]:
    """The JSON document in what a command said."""
    found: dict[str, Any] = json.JSONDecoder().raw_decode(said, said.index("{\n"))[0]
    return found


def built(folder: Path, sdist: Path, build: str) -> Path:
    """The wheel of an sdist, with the torch of this Python."""
    into = folder / build
    command = (sys.executable, *PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", into, sdist)
    call(*command, within=folder, STACKAE_BUILD=build)
    (wheel,) = into.glob("*.whl")
    tell(f"{wheel.name}, {wheel.stat().st_size:,} bytes, from {sdist.name}")
    return wheel


def installed(folder: Path, wheel: Path) -> Path:
    """The Python of a new environment that has the wheel, and sees the other packages of this one; pip is content."""
    call(sys.executable, "-m", "venv", "--without-pip", folder, within=folder.parent)
    python = folder / "bin" / "python"
    call(sys.executable, *PIP, "--python", python, "install", "--no-deps", wheel, within=folder)
    here = sysconfig.get_paths(vars={"base": folder, "platbase": folder})["purelib"]
    (Path(here) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")  # behind its own
    where = call(python, "-c", "import stackae; print(stackae.__file__)", within=folder).strip()
    if not Path(where).is_relative_to(folder):
        sys.exit(f"stackae of {folder}: expected the installed one, got {where}")
    call(sys.executable, *PIP, "--python", python, "check", within=folder)
    return python


def check_stripped(python: Path) -> None:
    """End unless the library of an environment is without debug information; with CUDA code, it may be of any size."""
    told = document_of(call(python.parent / "stackae", "doctor", "--json", within=python.parent))
    (library,) = python.parents[1].glob("lib/python*/site-packages/stackae/_C.*")
    size = library.stat().st_size
    if told["extension_cuda"] == "none" and size > LARGEST:
        sys.exit(f"{library.name}: expected a library that is stripped, got {size:,} bytes")
    tell(f"{library.name}: {size:,} bytes, for torch {told['extension_torch']}, CUDA {told['extension_cuda']}")


def put_to_work(name: str, python: Path, step: str) -> None:
    """Run the two commands and verify in an empty folder; ``step`` is what the summary of a training has to say."""
    empty = python.parents[1] / "empty"
    empty.mkdir()
    stackae = python.parent / "stackae"
    said = call(stackae, "pretrain", "--layers", "784,300,150", within=empty)
    (line,) = (line for line in said.splitlines() if line.startswith("step "))
    if step not in line:
        sys.exit(f"{name}: expected a training {step!r}, got {line!r}")
    tell(f"{name}: {' '.join(line.split())}")
    done = call(stackae, "finetune", "--head", "classifier", "--json", within=empty)
    accuracy = document_of(done)["accuracy"]
    if accuracy < LEAST:
        sys.exit(f"{name}: expected an accuracy of at least {LEAST}, got {accuracy}")
    tell(f"{name}: accuracy {accuracy:.4f}")
    done = call(stackae, "verify", "--json", within=empty)
    checks = document_of(done)
    allowed = OF_THE_MACHINE if step.startswith("fused") else (*OF_THE_MACHINE, step)
    reasons = {check["reason"] for check in checks["checks"] if check["state"] == "skipped"}
    if others := {reason for reason in reasons if not any(words in reason for words in allowed)}:
        sys.exit(f"{name}: verify skipped checks: {'; '.join(sorted(others))}")
    tell(f"{name}: verified, {checks['passed']} passed, {checks['skipped']} skipped ({'; '.join(sorted(reasons))})")


def main() -> None:
    keep = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="stackae-installed-") as name:
        folder = keep or Path(name)
        make = f"import sys; sys.path.insert(0, 'building'); import backend; backend.build_sdist({str(folder)!r})"
        call(sys.executable, "-c", make, within=ROOT)
        (sdist,) = folder.glob("*.tar.gz")
        tell(f"{sdist.name}, {sdist.stat().st_size:,} bytes")
        wheels = {build: built(folder, sdist, build) for build in ("no", "require")}
        steps = {"require": "fused on", "no": "the extension is not built"}
        pythons = {build: installed(Path(name) / f"env-{build}", wheel) for build, wheel in wheels.items()}
        check_stripped(pythons["require"])
        with ThreadPoolExecutor(2) as pool:
            done = [pool.submit(put_to_work, wheels[b].name, pythons[b], steps[b]) for b in wheels]
        for each in done:
            each.result()


if __name__ == "__main__":
    main()
