"""The disk under a command: every operation that changes it, to be counted, recorded, made to fail, or cut off.

Locks and the log are left alone, until everything is cut off: the log is never read, and the system undoes a lock.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

CHANGING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
NEEDING_SPACE = ("create", "write", "mkdir", "symlink")


class CutOffError(BaseException):
    """The process is dead: nothing of it reaches the disk any more. No handler of errors sees it."""


class Operation(NamedTuple):
    kind: str
    path: Path
    detail: Any = None


class Disk:
    """Calls ``before(number, operation)``, numbers from 1, before each operation inside ``root``, and records it."""

    def __init__(self, root: Path, before: Callable[[int, Operation], None] = lambda number, operation: None) -> None:
        self.root, self.operations = root.resolve(), list[Operation]()
        self._before, self._original = before, {name: getattr(os, name) for name in PATCHED}

    def _does(self, name: str, operation: Operation, *arguments: Any, **named: Any) -> Any:
        if operation.path != self.root and self.root not in operation.path.parents:
            return self._original[name](*arguments, **named)
        number = len(self.operations) + 1
        if operation.path.name not in ("log.txt", "lock"):
            self.operations.append(operation)
            self._before(number, operation)
        else:
            self._before(0, operation)
        return self._original[name](*arguments, **named)

    def open(self, path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if not flags & CHANGING:
            return self._original["open"](path, flags, *arguments, **named)
        return self._does("open", Operation("create", _at(path, named)), path, flags, *arguments, **named)

    def write(self, descriptor: int, content: Any) -> int:
        return self._does("write", Operation("write", _at(descriptor), bytes(content)), descriptor, content)

    def fsync(self, descriptor: int) -> None:
        self._does("fsync", Operation("fsync", _at(descriptor)), descriptor)

    def replace(self, path: Any, to: Any) -> None:
        self._does("replace", Operation("rename", _at(path), _at(to)), path, to)

    def rename(self, path: Any, to: Any) -> None:
        self._does("rename", Operation("rename", _at(path), _at(to)), path, to)

    def symlink(self, target: Any, path: Any, *arguments: Any, **named: Any) -> None:
        self._does("symlink", Operation("symlink", _at(path), str(target)), target, path, *arguments, **named)

    def _removing(self, name: str) -> Callable[..., None]:
        def remove(path: Any, *arguments: Any, **named: Any) -> None:
            if os.path.lexists(_at(path, named)):  # else it changes nothing
                self._does(name, Operation(name, _at(path, named)), path, *arguments, **named)
            else:
                self._original[name](path, *arguments, **named)

        return remove

    def mkdir(self, path: Any, *arguments: Any, **named: Any) -> None:
        if os.path.lexists(_at(path, named)):
            self._original["mkdir"](path, *arguments, **named)
        else:
            self._does("mkdir", Operation("mkdir", _at(path, named)), path, *arguments, **named)

    @contextmanager
    def watched(self) -> Iterator[Disk]:
        with ExitStack() as stack:
            for name in PATCHED:
                by = self._removing(name) if name in ("unlink", "rmdir") else getattr(self, name)
                stack.enter_context(patch.object(os, name, by))
            yield self


PATCHED = ("open", "write", "fsync", "replace", "rename", "symlink", "unlink", "rmdir", "mkdir")


def _at(path: Any, named: dict[str, Any] | None = None) -> Path:
    if isinstance(path, int):
        return Path(f"/proc/self/fd/{path}").readlink()
    folder = (named or {}).get("dir_fd")
    if folder is not None:
        path = Path(f"/proc/self/fd/{folder}").readlink() / os.fsdecode(path)
    return Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - links stay as they are


def failing(at: int, number: int) -> Callable[[int, Operation], None]:
    """Operation ``at`` fails with that error, and what would fail with it on a disk that is full or read-only."""
    state = {"failed": False}

    def before(count: int, operation: Operation) -> None:
        if count == at:
            state["failed"] = True
        again = state["failed"] and {
            errno.ENOSPC: operation.kind in NEEDING_SPACE,
            errno.EROFS: operation.kind not in ("write", "fsync"),
            errno.EIO: False,
        }.get(number, False)
        if count == at or again:
            raise OSError(number, os.strerror(number), str(operation.path))

    return before


def cut_off(at: int) -> Callable[[int, Operation], None]:
    """From operation ``at`` on nothing reaches the disk; of a write the first half still does."""
    state = {"dead": False}

    def before(count: int, operation: Operation) -> None:
        if count == at:
            state["dead"] = True
            if operation.kind == "write":
                with operation.path.open("r+b") as file:
                    file.write(operation.detail[: len(operation.detail) // 2])
        if state["dead"]:
            raise CutOffError

    return before
