"""What a library of ours says of its build, in its file too: it can be read where the library does not load.

setup.py runs this file alone, before there is a package: it imports the standard library and nothing else.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from pathlib import Path

MARK = b"stackae stamp: "
SOURCES, CUDA_SOURCES = (
    ("*.h", "*.cpp", "cpu/*.h", "cpu/*.cpp"),
    ("cuda/*.cu", "cuda/*.cuh", "cuda/*.h", "cuda/native/*"),
)
LONGEST = 1000  # bytes of a stamp


def digest_of_interface(csrc: Path) -> str:
    """A digest of every signature that Python calls: of csrc/bindings.cpp, less its comments and spaces."""
    text = re.sub(r"//[^\n]*", "", (csrc / "bindings.cpp").read_text())
    return _short(re.sub(r"\s+", "", text).encode())


def digest_of_sources(csrc: Path, cuda: bool) -> str:
    """A digest of the files that a library is compiled from."""
    found = {path for pattern in (*SOURCES, *(CUDA_SOURCES if cuda else ())) for path in csrc.glob(pattern)}
    return _short(b"".join(path.name.encode() + b"\0" + path.read_bytes() + b"\0" for path in sorted(found)))


def line_of(facts: dict[str, str]) -> str:
    """The text that a library holds, by which ``read`` finds these facts."""
    return MARK.decode() + ";".join(f"{name}={value}" for name, value in facts.items()) + ";"


def read(library: Path) -> dict[str, str]:
    """The facts in the stamp of a library's file; none where it has no stamp, or cannot be read."""
    try:
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            begin = content.find(MARK)
            if begin < 0:
                return {}
            text = content[begin + len(MARK) : begin + LONGEST].partition(b"\0")[0].decode(errors="replace")
    except (OSError, ValueError):  # a file that is gone, or empty
        return {}
    return dict(fact.split("=", 1) for fact in text.split(";") if "=" in fact)


def _short(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]
