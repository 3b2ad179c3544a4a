"""What the C++ compiler at hand can do, found by asking it: flags differ between GCC and Clang, x86-64 and Arm."""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROBE = "#include <Python.h>\n#include <span>\nint count(std::span<const int> all) { return int(all.size()); }\n"
# Each is left out where the compiler refuses it.
OPTIONAL_FLAGS = [
    "-fno-math-errno",
    "-fno-trapping-math",
    "-mprefer-vector-width=512",  # of x86-64
]
# The first that works: at::parallel_for is silently serial without it. Apple's compiler takes the second, and has no
# header of its own.
OPENMP_FLAGS = (["-fopenmp"], ["-Xpreprocessor", "-fopenmp"])
STRIPPED = ["-Wl,-s"]  # nothing but what the loader needs


def wish_of(name: str, *words: str) -> str:
    """What the environment variable asks for: one of the words, by default the first. Anything else ends the build."""
    wish = os.environ.get(name, words[0])
    if wish not in words:
        sys.exit(f"{name}: expected {', '.join(words[:-1])} or {words[-1]}, got {wish!r}")
    return wish


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++")


def compiles(text: str, flags: Sequence[str], link: bool = False) -> str:
    """The compiler's first complaint of a source of C++20 with these flags; "" where it has none."""
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "probe.cpp", Path(folder) / "probe.out"
        source.write_text(text)
        command = [*compiler(), "-std=c++20", "-fPIC", *flags, str(source), "-o", str(made)]
        try:
            done = subprocess.run([*command, *([] if link else ["-c"])], capture_output=True, text=True, check=False)
        except OSError as error:
            return f"{compiler()[0]}: {error.strerror}"
    said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no reason"]
    return said[0].strip() if done.returncode else ""


@functools.cache
def why_eager() -> str:
    """Why nothing can be compiled here, "" where it can be: no compiler, one without C++20, or no headers of Python."""
    if sys.platform == "win32":
        return "Microsoft's compiler does not take its C++, which is that of GCC and Clang"
    return compiles(PROBE, [f"-I{sysconfig.get_path('include')}"])


@functools.cache
def optional_flags() -> tuple[str, ...]:
    """Those of OPTIONAL_FLAGS and OPENMP_FLAGS that the compiler takes without a warning."""
    taken = [flag for flag in OPTIONAL_FLAGS if not compiles("", ["-Werror", flag])]
    for flags in OPENMP_FLAGS:
        if not compiles("#include <omp.h>\n", ["-Werror", *flags]):
            return (*taken, *flags)
    return tuple(taken)


@functools.cache
def link_flags() -> tuple[str, ...]:
    return () if compiles("int main() { return 0; }\n", STRIPPED, link=True) else tuple(STRIPPED)
