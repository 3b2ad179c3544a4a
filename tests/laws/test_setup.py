"""The build: what setup.py says when CUDA is demanded in vain, what it asks of nvcc, and which version of torch."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stackae

ROOT = Path(__file__).resolve().parents[2]


def refusal(folder: Path, **wishes: str) -> str:
    """What setup.py ends with, on a machine whose PATH holds no nvcc."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("CUDA_HOME", "CUDA_PATH")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "setup.py"), "--version"],
        cwd=folder,
        env={**inherited, "PATH": str(folder), **wishes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_cuda_demanded_without_a_toolkit_says_what_is_missing(tmp_path):
    assert refusal(tmp_path, STACKAE_CUDA="1") == (
        "STACKAE_CUDA=1: missing a CUDA toolkit (no working nvcc on PATH or under CUDA_HOME); "
        "set STACKAE_CUDA=0 for a CPU build"
    )


@pytest.mark.parametrize("wish", ["yes", ""])
def test_an_unknown_wish_is_refused(tmp_path, wish):
    assert refusal(tmp_path, STACKAE_CUDA=wish) == f"STACKAE_CUDA: expected auto, 0 or 1, got '{wish}'"
    sanitize = refusal(tmp_path, STACKAE_CUDA="0", STACKAE_SANITIZE=wish)
    assert sanitize == f"STACKAE_SANITIZE: expected 0 or 1, got '{wish}'"


@pytest.mark.parametrize("ci", ["true", "", None])
def test_warnings_of_nvcc_end_a_build_in_ci_alone(monkeypatch, ci):
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert ("-Werror=all-warnings" in runpy.run_path(str(ROOT / "setup.py"))["nvcc_flags"]()) == (ci == "true")


def test_the_library_asks_for_a_range_of_torch_and_the_lock_pins_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "torch>=2.11" in project["dependencies"]
    assert project["version"] == stackae.__version__
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in line for line in locked)
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(locked)
