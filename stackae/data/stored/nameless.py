"""Files that have no name until they are given one: the system takes them back with the program, however it ends."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

UNKNOWN = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)  # what systems say that know no such files


def nameless_file(folder: Path, mode: int = 0o600) -> BinaryIO | None:
    """Open a new file in the folder, to be written and read, that has no name; None where its file system knows none.

    Raises OSError where nothing can be written there.
    """
    if not hasattr(os, "O_TMPFILE"):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode), "w+b")
    except OSError as error:
        if error.errno in UNKNOWN:
            return None
        raise


def name_file(file: BinaryIO, path: Path) -> None:
    """Give the file a name that is new, in the folder that it was opened in. Raises OSError where it cannot have it."""
    number = file.fileno()
    os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number, follow_symlinks=True)  # by linkat, which follows it
