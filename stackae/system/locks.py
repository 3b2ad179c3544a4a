"""Locks of open files that the system releases when their holder ends, on POSIX and on Windows.

They are taken of a descriptor, not of a path, so that what is locked can be looked at first: a file that someone else
put in a lock's place is neither emptied nor written to.
"""

from __future__ import annotations

import os
import sys
import time

BEYOND = 1 << 30  # Windows locks bytes, and nobody else can read them: this one lies behind anything that is written
PAUSE = 0.01  # seconds between two tries, where the system cannot wait for us

if sys.platform == "win32":
    import msvcrt

    def try_lock(descriptor: int, shared: bool = False) -> bool:
        """Take the lock unless another process has it; return whether it was taken. OSError: it cannot be locked."""
        del shared  # Windows has exclusive ones alone: two that look at once may take each other for a holder
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, BEYOND, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
        return True

    def lock(descriptor: int) -> None:
        """Wait for the lock, and take it."""
        while not try_lock(descriptor):
            time.sleep(PAUSE)

else:
    import fcntl

    def try_lock(descriptor: int, shared: bool = False) -> bool:
        """Take the lock unless another process has it; return whether it was taken. OSError: it cannot be locked."""
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def lock(descriptor: int) -> None:
        """Wait for the lock, and take it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
