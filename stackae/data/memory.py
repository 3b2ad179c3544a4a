"""What the memory has free, asked before anything large is read into it; and giving back what was freed."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
from pathlib import Path

from stackae.errors import DataError
from stackae.ranks import group
from stackae.system import address_space

UNASKED = 1 << 26  # so little that it is not worth asking
CGROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def check_memory(name: str, needed: int, remedy: str = "give fewer rows or columns") -> None:
    """DataError when ``needed`` more bytes are more than the machine, its container or a limit of ours has free."""
    if needed <= UNASKED:
        return
    free = free_memory()
    if free is not None and needed > free:
        raise DataError(
            f"{name}: expected data that fit in the memory, got {needed:,} bytes to be held and {max(free, 0):,} "
            f"bytes available; {remedy}"
        )


def free_memory() -> int | None:
    """Bytes that can be had without swapping: the least that any limit leaves, None where nothing tells.

    Ranks that train together on this machine have equal shares of them.
    """
    found = [limit for limit in (_of_machine(), _of_container(), _of_process()) if limit is not None]
    return min(found) // group().beside if found else None


def give_back() -> None:
    """Return memory that was freed to the system, where the C library can: it keeps what many smaller arrays took."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # of glibc; Windows loads no library of no name
        ctypes.CDLL(None).malloc_trim(0)


def _of_machine() -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):  # Windows has no sysconf
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _of_container() -> int | None:
    """What a control group leaves, where there is one; memory that holds files can be taken back."""
    for folder, limit, usage in (
        (CGROUP, "memory.max", "memory.current"),
        (CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            used = int((folder / usage).read_text())
            statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            files = int(statistics.get("inactive_file", 0)) + int(statistics.get("active_file", 0))
            return int((folder / limit).read_text()) - max(0, used - files)
    return None


def _of_process() -> int | None:
    limit = address_space()
    if limit is None:
        return None
    with contextlib.suppress(OSError, ValueError, IndexError):
        return limit - int((PROC / "self" / "statm").read_text().split()[0]) * mmap.PAGESIZE
    return limit
