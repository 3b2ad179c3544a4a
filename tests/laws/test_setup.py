"""The build: what setup.py says when CUDA is demanded in vain, what it asks of nvcc, and which version of torch."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

import stackae

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def setup() -> dict[str, Any]:
    """What setup.py defines, as pip runs it but for its end."""
    return runpy.run_path(str(ROOT / "setup.py"))


def test_cuda_demanded_without_a_toolkit_says_what_is_missing(setup, monkeypatch, tmp_path):
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STACKAE_CUDA", "1")
    with pytest.raises(SystemExit) as end:
        setup["cuda_home"]()
    assert end.value.code == (
        "STACKAE_CUDA=1: missing a CUDA toolkit (no working nvcc on PATH or under CUDA_HOME); "
        "set STACKAE_CUDA=0 for a CPU build"
    )


@pytest.mark.parametrize(
    ("wish", "architectures", "gpu", "wanted"),
    [
        ("auto", None, False, False),
        ("auto", "", False, False),
        ("auto", None, True, True),
        ("auto", "9.0", False, True),
        ("1", None, False, True),
        ("0", "9.0", True, False),
    ],
)
def test_cuda_code_is_built_for_a_gpu_or_on_demand(setup, monkeypatch, wish, architectures, gpu, wanted):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setenv("STACKAE_CUDA", wish)
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    if architectures is not None:
        monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", architectures)
    assert setup["wants_cuda"](wish) is wanted
    monkeypatch.setitem(setup["cuda_home"].__globals__, "toolkit_root", lambda: "/toolkit")
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert setup["cuda_home"]() == ("/toolkit" if wanted else None)


@pytest.mark.parametrize("wish", ["yes", ""])
def test_an_unknown_wish_is_refused(setup, monkeypatch, wish):
    monkeypatch.setenv("STACKAE_CUDA", wish)
    with pytest.raises(SystemExit) as end:
        setup["cuda_home"]()
    assert end.value.code == f"STACKAE_CUDA: expected auto, 0 or 1, got '{wish}'"
    monkeypatch.setenv("STACKAE_SANITIZE", wish)
    with pytest.raises(SystemExit) as end:
        setup["asked"]("STACKAE_SANITIZE")
    assert end.value.code == f"STACKAE_SANITIZE: expected 0 or 1, got '{wish}'"


@pytest.mark.parametrize("ci", ["true", "", None])
def test_warnings_of_nvcc_end_a_build_in_ci_alone(setup, monkeypatch, ci):
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)
    assert ("-Werror=all-warnings" in setup["nvcc_flags"]()) == (ci == "true")


def test_the_library_asks_for_a_range_of_torch_and_the_lock_pins_one(setup):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert setup["OLDEST_TORCH"] == "torch>=2.11" and project["dynamic"] == ["dependencies"]
    assert project["version"] == stackae.__version__
    locked = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in line for line in locked)
    assert {"torch==2.11.0", "torchvision==0.26.0"} <= set(locked)
    names = {line.partition("==")[0].lower().replace("_", "-") for line in locked}
    assert {re.split("[>=]", each)[0] for each in setup["REQUIRED"]} <= names
