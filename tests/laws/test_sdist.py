"""The sdist holds all that git knows, and nothing that builds and runs leave beside it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
from source_tree import copy_to

LEFTOVERS = ("stackae/_C.so", "stackae/ops/_C.pyd", "cli/__pycache__/main.cpython-311.pyc", "csrc/.step.h.swp")
OF_THE_REPOSITORY = {".ci/run", ".clang-format", ".gitignore"}
MADE = re.compile(r"PKG-INFO|setup\.cfg|stackae\.egg-info/.*")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """A source tree, and the files that git knows in it."""
    folder = tmp_path_factory.mktemp("tree")
    files = {path.as_posix() for path in copy_to(folder)}
    for name in LEFTOVERS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder, files


def hook(folder: Path, call: str, build: str) -> str:
    """What a hook of the build backend returns, called as pip calls it, in a process of its own, in the tree."""
    code = f"import sys; sys.path.insert(0, 'building'); import backend; print(backend.{call})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "STACKAE_BUILD": build, "STACKAE_CUDA": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def requirements(metadata: str) -> list[str]:
    return re.findall(r"^Requires-Dist: (torch[^;\n]*)$", metadata, re.MULTILINE)


def test_the_sdist_is_what_git_knows(tree: tuple[Path, set[str]], tmp_path: Path) -> None:
    folder, known = tree
    name = hook(folder, f"build_sdist({str(tmp_path)!r})", "no")
    with tarfile.open(tmp_path / name) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
        metadata = archive.extractfile(f"{name.removesuffix('.tar.gz')}/PKG-INFO").read().decode()
    assert {file for file in files if not MADE.fullmatch(file)} == known - OF_THE_REPOSITORY
    assert requirements(metadata) == ["torch>=2.11"] and "Dynamic: requires-dist" in metadata.splitlines()


def test_the_wheel_without_a_library_is_for_any_python_and_torch(tree: tuple[Path, set[str]], tmp_path: Path) -> None:
    folder, known = tree
    name = hook(folder, f"build_wheel({str(tmp_path)!r})", "no")
    assert name == "stackae-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(tmp_path / name) as archive:
        files = {file for file in archive.namelist() if ".dist-info/" not in file}
        metadata = archive.read("stackae-0.1.0.dist-info/METADATA").decode()
    package = {file for file in known if file.startswith(("stackae/", "cli/"))}
    assert files == {re.sub("^cli/", "stackae/cli/", file) for file in package}
    assert requirements(metadata) == ["torch>=2.11"]


def test_a_wheel_with_a_library_requires_the_torch_that_it_is_built_with(
    tree: tuple[Path, set[str]], tmp_path: Path
) -> None:
    info = hook(tree[0], f"prepare_metadata_for_build_wheel({str(tmp_path)!r})", "auto")
    major, minor = torch.__version__.split(".")[:2]
    assert requirements((tmp_path / info / "METADATA").read_text()) == [f"torch=={major}.{minor}.*"]
