"""What a build asks of the machine: a compiler, the flags that it takes, and the torch that will be used."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILDING = ROOT / "building"


@pytest.fixture
def compilers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv("CXX", raising=False)
    return runpy.run_path(str(BUILDING / "compilers.py"))


@pytest.fixture
def setup(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delitem(sys.modules, "compilers", raising=False)  # what it found is kept there
    monkeypatch.setattr(sys, "path", [str(BUILDING), *sys.path])
    return runpy.run_path(str(ROOT / "setup.py"))


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delitem(sys.modules, "compilers", raising=False)
    monkeypatch.setattr(sys, "path", [str(BUILDING), *sys.path])
    monkeypatch.delenv("STACKAE_BUILD", raising=False)
    return runpy.run_path(str(BUILDING / "backend.py"))


def stand_in(folder: Path, script: str) -> str:
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_compiler_is_at_hand_here(compilers: dict[str, Any]) -> None:
    assert compilers["why_eager"]() == ""
    assert "-fopenmp" in compilers["optional_flags"]()
    assert compilers["link_flags"]() == ("-Wl,-s",)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (None, "/compiler: No such file or directory"),
        ("echo 'x.cpp:1: fatal error: Python.h: none' >&2; echo more >&2; exit 1", "fatal error: Python.h: none"),
        ("exit 1", "no reason"),
    ],
)
def test_without_a_compiler_that_works_the_reason_is_told(
    compilers: dict[str, Any], script: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", stand_in(tmp_path, script) if script else str(tmp_path / "compiler"))
    assert why in compilers["why_eager"]() and "\n" not in compilers["why_eager"]()
    assert compilers["optional_flags"]() == () and compilers["link_flags"]() == ()


def test_on_windows_nothing_is_compiled(compilers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "Microsoft" in compilers["why_eager"]()


REFUSES = 'for each in "$@"; do case "$each" in {}) echo "error: $each" >&2; exit 1;; esac; done; exec c++ "$@"'


@pytest.mark.parametrize(
    ("refused", "left"),
    [
        ("-mprefer*", ("-fno-math-errno", "-fno-trapping-math", "-fopenmp")),  # GCC for Arm
        ("-fno-trapping*|-mprefer*|-fopenmp", ("-fno-math-errno",)),  # without OpenMP
    ],
)
def test_flags_that_the_compiler_refuses_are_left_out(
    compilers: dict[str, Any], refused: str, left: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", stand_in(tmp_path, REFUSES.format(refused)))
    assert compilers["optional_flags"]() == left


def test_auto_without_a_compiler_says_what_it_leaves_out(
    setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CXX", str(tmp_path / "compiler"))
    for wish in (None, "auto"):
        setup["why_eager"].cache_clear()
        if wish:
            monkeypatch.setenv("STACKAE_BUILD", wish)
        else:
            monkeypatch.delenv("STACKAE_BUILD", raising=False)
        assert setup["library_is_built"]() is False
        said = capsys.readouterr().err
        assert said.startswith("stackae: WITHOUT ITS COMPILED LIBRARY, so that it trains eagerly and slower: ")
        assert "No such file or directory" in said
    monkeypatch.setenv("STACKAE_BUILD", "require")
    with pytest.raises(SystemExit, match=r"^STACKAE_BUILD=require: expected GCC or Clang with C\+\+20 and Python's"):
        setup["library_is_built"]()


@pytest.mark.parametrize(("wish", "built"), [("auto", True), ("require", True), ("no", False)])
def test_with_a_compiler_the_library_is_built_unless_it_is_unwanted(
    setup: dict[str, Any], wish: str, built: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACKAE_BUILD", wish)
    assert setup["library_is_built"]() is built and capsys.readouterr().err == ""


def test_a_compiler_without_torch_is_no_reason_to_train_eagerly(
    setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STACKAE_BUILD", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="expected a torch to compile its library with, got none; install torch first"):
        setup["library_is_built"]()


def test_the_ninja_of_an_environment_that_is_not_activated_is_found(
    setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    stand_in(tmp_path, "true")
    (tmp_path / "compiler").rename(tmp_path / "ninja")
    assert shutil.which("ninja") is None
    setup["own_tools_first"]()
    assert shutil.which("ninja") == str(tmp_path / "ninja") and os.environ["PATH"].endswith(":/nowhere")


def test_an_unknown_wish_is_refused(setup: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKAE_BUILD", "yes")
    with pytest.raises(SystemExit, match=r"^STACKAE_BUILD: expected auto, require or no, got 'yes'$"):
        setup["library_is_built"]()


@pytest.mark.parametrize(
    ("installed", "asked"),
    [
        ([], "torch==2.11.*"),
        (["torch-2.13.0+cpu.dist-info", "torchvision-0.26.0.dist-info"], "torch==2.13.*"),
        (["torch-2.9.1.dist-info"], "torch==2.11.*"),  # older than stackae works with
        (["torchvision-3.26.0.dist-info"], "torch==2.11.*"),
    ],
)
def test_a_build_asks_for_the_torch_that_is_installed(
    backend: dict[str, Any], installed: list[str], asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in installed:
        (tmp_path / name).mkdir()
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setitem(backend["get_requires_for_build_wheel"].__globals__, "why_eager", lambda: "")
    assert backend["get_requires_for_build_wheel"]() == [asked, "ninja", "pybind11"]
    assert backend["get_requires_for_build_editable"]() == [asked, "ninja", "pybind11"]
    assert backend["get_requires_for_build_sdist"]() == []


def test_a_build_without_a_library_asks_for_no_torch(
    backend: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STACKAE_BUILD", "no")
    assert backend["get_requires_for_build_wheel"]() == []
    monkeypatch.setenv("STACKAE_BUILD", "auto")
    monkeypatch.setenv("CXX", os.fspath(tmp_path / "compiler"))
    assert backend["get_requires_for_build_wheel"]() == []


def test_the_version_that_is_asked_for_is_that_of_the_lock(backend: dict[str, Any]) -> None:
    major, minor = backend["TESTED"]
    assert f"\ntorch=={major}.{minor}." in (ROOT / "requirements.lock").read_text()
