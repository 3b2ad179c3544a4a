"""Explain exceptions that the machine causes, not a bug: out of memory, libraries that do not load."""

from __future__ import annotations

import errno
import re
import traceback
from pathlib import Path

from stackae.errors import ConfigError, RunError, SetupError, StackaeError, argument, legible
from stackae.system import address_space

OF_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|unable to allocate|not enough memory|out of memory|std::bad_alloc|"
    r"failed to map segment from shared object(?!: )|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
AMOUNT = r"([\d,.]+ ?(?:bytes|[KMGTPE]i?B))"
LEAST = 1 << 30  # bytes of address space: with fewer, libraries abort the process while they load


def explained(error: BaseException) -> StackaeError | None:
    """Translate an exception into one that a user can act on; return None if the machine is not its cause.

    Out of memory (Python, numpy, torch, CUDA, or a library that could not be loaded for lack of it): what was needed,
    what was available, and which option to lower. A library that does not load: which, and why.
    """
    text = str(error)
    if isinstance(error, MemoryError) or (isinstance(error, (RuntimeError, OSError, ImportError)) and _of_memory(text)):
        return _memory(error, text)
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return SetupError(
            "threads: expected to start one more, got no room for it; set OMP_NUM_THREADS=1, or raise the limits on "
            "processes and memory (ulimit -u, ulimit -v)"
        )
    if (path := _path_that_ends_nowhere(error, text)) is not None:
        return path
    if isinstance(error, (ImportError, OSError)) and (name := _does_not_load(error, text)):
        return SetupError(
            f"{name}: expected a library that loads, got '{legible(_first_cause(text), 300)}'; install what stackae "
            "requires again"
        )
    return None


def check_room() -> None:
    """Raise SetupError if the limit on memory is so low that the libraries of stackae would not load."""
    limit = address_space()
    if limit is not None and limit < LEAST:
        raise SetupError(
            f"memory: expected a limit of at least {LEAST:,} bytes to load the libraries that stackae is built on, got "
            f"{limit:,}; raise it (ulimit -v {LEAST >> 10} or more)"
        )


def _less() -> str:
    narrower = f"make the widest of {argument('layers')} narrower"
    return f"lower {argument('batch_size')}, {narrower}, or give fewer rows or columns"


def _of_memory(text: str) -> bool:
    return OF_MEMORY.search(text) is not None


def _memory(error: BaseException, text: str) -> SetupError:
    if "CUDA" in text or "CUBLAS" in text or "CUDNN" in text:
        free = re.search(rf"of which {AMOUNT} is free", text)
        there = f"{free[1]} free on the GPU" if free else "too little on the GPU"
        remedy = f"{_less()}, or use {argument('device', 'cpu')}"
        return SetupError(f"memory of the GPU: expected {_needed(text)}, got {there}; {remedy}")
    if isinstance(error, ImportError):
        return SetupError(
            f"memory: expected enough to load the libraries that stackae is built on, got {_there()}; raise the limit "
            "on memory (ulimit -v, or that of the container)"
        )
    return SetupError(
        f"memory: expected {_needed(text)}, got {_there()}; {_less()}, or raise the limit on memory (ulimit "
        "-v, or that "
        "of the container)"
    )


def _needed(text: str) -> str:
    found = re.search(rf"allocate {AMOUNT}", text)
    if found is None:
        return "more than is left"
    number, unit = re.fullmatch(r"([\d,.]+?)\.? ?(\D+)", found[1]).groups()  # type: ignore[union-attr]  # AMOUNT is of this form
    return f"{int(number):,} {unit} more" if number.isdigit() else f"{number} {unit} more"


def _there() -> str:
    try:
        from stackae.data.memory import free_memory

        free = free_memory()
    except Exception:  # so little memory that even this does not load
        free = None
    return "less" if free is None else f"{max(0, free):,} bytes available"


def _path_that_ends_nowhere(error: BaseException, text: str) -> StackaeError | None:
    loops = "Symlink loop from "  # of pathlib; Python 3.13 raises an OSError instead
    if isinstance(error, RuntimeError) and text.startswith(loops):
        name = text.removeprefix(loops).strip("'")
    elif isinstance(error, OSError) and error.errno == errno.ELOOP:
        name = str(error.filename)
    elif isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = legible(str(error.filename), 100)
        return ConfigError(f"{name}: expected a path that the system takes, got one that is too long; shorten it")
    elif isinstance(error, RecursionError) and _is_of_folders(error):
        return RunError("folders: expected some that lie in one another, got hundreds; remove the innermost ones first")
    elif isinstance(error, FileNotFoundError) and error.filename is None:  # of os.getcwd
        return SetupError("working folder: expected one that is there, got one that was removed; go to another (cd)")
    else:
        return None
    return ConfigError(f"{name}: expected a file or a folder, got a link that leads to itself; remove it")


def _is_of_folders(error: BaseException) -> bool:
    last = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)][-20:]
    return any(Path(name).name in ("shutil.py", "pathlib.py", "os.py", "<frozen os>") for name in last)


def _does_not_load(error: ImportError | OSError, text: str) -> str:
    """Return which library does not load; "" if it is a module of stackae, or the error is another."""
    if isinstance(error, ImportError):
        name = error.name or "libraries"
        return "" if name.partition(".")[0] == "stackae" else name
    return "libraries" if error.filename is None and "shared object" in text else ""


def _first_cause(text: str) -> str:
    """Return the loader's message alone: numpy wraps it in a page of advice."""
    _, _, original = text.partition("Original error was: ")
    return (original or text).strip().split("\n")[0]
