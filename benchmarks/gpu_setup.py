"""What stands before the stages of `make gpu-check` and `make gpu-measure`: the machine, and the library it runs.

    python -m benchmarks.gpu_setup machine
    python -m benchmarks.gpu_setup library --prebuilt FOLDER --link PATH

machine: what there is to build and to run with; without a GPU it fails. library: FOLDER, as `make gpu-library` leaves
it, if it can be imported and has code for this GPU, else a build of this machine's own; PATH becomes a link to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBE = """
import torch
from stackae import ops
info = ops.build_info()
if info["cuda"] == "none":
    raise SystemExit("expected CUDA code, got none")
try:
    ops.corrupt(torch.rand(8, 8, device="cuda"), "masking", 0.5, 0.0, 1.0, 0, 0, 0)
    torch.cuda.synchronize()
except RuntimeError as error:
    if "no kernel image" in str(error):
        raise
    print(error)  # for the tests to judge
print(f"revision {info['git_revision']}, CUDA {info['cuda']} for {info['cuda_architectures']}, torch {info['torch']}")
"""


def output_of(*command: str) -> str:
    """What a command prints, empty where there is none or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(prebuilt: Path) -> None:
    """A line a tool, and a line of all that matters."""
    import torch

    tools = {name: output_of(name, "--version") for name in ("nvcc", "g++", "ninja", "compute-sanitizer")}
    versions = {name: re.search(r"\b(\d+(\.\d+)+)", said) for name, said in tools.items()}
    shown = ", ".join(f"{name} {found.group(1) if found else 'none'}" for name, found in versions.items())
    fields = "name,driver_version,memory.total,clocks.sm,clocks.max.sm,clocks.mem"
    gpus = output_of("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader")
    revision = prebuilt / "revision"
    for name, said in tools.items():
        print(f"{name}: {said or 'none'}")
    print(f"{fields}\n{gpus}")
    about = f"Python {sys.version.split()[0]}, torch {torch.__version__}, {shown}, {os.cpu_count()} cores"
    if not gpus:
        sys.exit(f"expected a GPU, got none that nvidia-smi tells of; {about}")
    built = revision.read_text().strip() if revision.exists() else "none"
    print(f"{gpus.splitlines()[0]}; {about}; library {built}")


def library(prebuilt: Path, link: Path) -> None:
    """Links to a library that runs here."""
    import torch

    if not torch.cuda.is_available():
        sys.exit(f"expected a GPU, got none that torch {torch.__version__} sees")
    problem, chosen = problem_of(prebuilt), prebuilt
    if problem:
        print(f"{prebuilt}: {problem}; building here", flush=True)
        chosen = build("{}.{}".format(*torch.cuda.get_device_capability()))
        if problem := problem_of(chosen):
            sys.exit(f"{chosen}: {problem}")
    link.symlink_to(chosen)


def problem_of(folder: Path) -> str:
    """Why the library in a folder does not run here, if so."""
    if not (folder / "stackae").is_dir():
        return "expected a library, got none"
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        print(said, flush=True)
        return ""
    return (said.splitlines() or [f"exit code {done.returncode}"])[-1]


def build(architecture: str) -> Path:
    """A library of this machine's own; ends with the compiler's words where there is none."""
    base = ROOT / "build" / "gpu-here"
    built = base / "lib"
    shutil.rmtree(built, ignore_errors=True)
    wishes: Mapping[str, str] = {
        "STACKAE_CUDA": "1",
        "TORCH_CUDA_ARCH_LIST": architecture,
        "MAX_JOBS": str(os.cpu_count() or 1),
    }
    command: Sequence[str] = [
        *(sys.executable, "setup.py", "build"),
        *("--build-base", str(base), "--build-lib", str(built)),
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **wishes}, check=False)
    if done.returncode != 0:
        sys.exit("the build failed")
    return built


def main() -> None:
    if importlib.util.find_spec("torch") is None:
        sys.exit(f"expected torch, got none in {sys.executable}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("machine", "library"))
    parser.add_argument("--prebuilt", type=Path, required=True)
    parser.add_argument("--link", type=Path)
    asked = parser.parse_args()
    if asked.what == "machine":
        machine(asked.prebuilt)
    else:
        library(asked.prebuilt, asked.link)


if __name__ == "__main__":
    main()
