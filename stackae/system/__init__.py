"""What operating systems do differently: locks of files, limits on memory, flags of open files."""

from __future__ import annotations

from stackae.system.files import FOLDER, PLAIN, PRIVATE, WITHOUT_WAITING, begin_of
from stackae.system.limits import address_space
from stackae.system.locks import lock, try_lock

__all__ = ["FOLDER", "PLAIN", "PRIVATE", "WITHOUT_WAITING", "address_space", "begin_of", "lock", "try_lock"]
