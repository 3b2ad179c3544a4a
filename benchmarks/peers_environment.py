"""The environment that benchmarks.peers runs peers in: a virtual environment of the packages in peers.txt.

It borrows what stackae has itself, so that peers on torch train with the same torch, and none is installed twice: its
packages are installed without their dependencies, which peers.txt lists as far as stackae's own do not cover them.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import output_of

PINS = Path(__file__).with_name("peers.txt")
BORROWED = ("torch", "numpy", "sklearn")


class Environment(NamedTuple):
    """Its Python; and, by heading, why packages could not be installed."""

    python: Path
    lacking: dict[str, str]


def pins(text: str) -> dict[str, list[str]]:
    """The packages by the heading that they stand under, a comment of one word; other comments are passed over."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"# (\w+)", line):
            found[heading[1]] = packages = []
        elif line and not line.startswith("#"):
            packages.append(line)
    return found


def prepared(folder: Path, wanted: set[str]) -> Environment:
    """Make the environment, or go on with one that is there, and install what these headings list and it lacks."""
    environment = Environment(folder.absolute() / "bin" / "python", {})
    try:
        if not environment.python.exists():
            output_of([sys.executable, "-m", "venv", str(folder)], Path.cwd())
        library = output_of(
            [str(environment.python), "-c", "import sysconfig as s; print(s.get_path('purelib'))"], folder
        )
        Path(library.strip(), "of-stackae.pth").write_text("\n".join(borrowed()) + "\n")
    except RuntimeError as error:
        return environment._replace(lacking=dict.fromkeys(wanted, str(error)))
    for heading, packages in pins(PINS.read_text()).items():
        installed, listed = folder / f"{heading}.installed", "\n".join(packages)
        if heading not in wanted or (installed.exists() and installed.read_text() == listed):
            continue
        print(f"{folder}: {len(packages)} packages of {heading} are installed", flush=True)
        try:
            output_of([str(environment.python), "-m", "pip", "install", "--no-deps", *packages], folder)
            installed.write_text(listed)
        except RuntimeError as error:
            environment.lacking[heading] = str(error)
    return environment


def borrowed() -> list[str]:
    """The folders that stackae's packages lie in."""
    origins = [found.origin for name in BORROWED if (found := find_spec(name)) is not None]
    return list(dict.fromkeys(str(Path(origin).parents[1]) for origin in origins if origin is not None))
