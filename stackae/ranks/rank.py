"""One of the processes that train together: how it adds up numbers with the others, and how they hear of each other."""

from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from stackae.errors import SetupError, StackaeError

if TYPE_CHECKING:
    from torch import Tensor

TIMEOUT = timedelta(minutes=10)  # of a rank that answers no more; all come to a sum within moments of each other
KILLED = "it was killed, as the system does where memory is short"
LOOK, LAST_WORDS = 0.05, 3.0  # seconds between two looks for a message, and for which a reason is waited for
LARGEST = 1 << 22  # bytes of a message: torch's store ends its connection at more than 8 MiB, so it is left in parts


class LostRankError(SetupError):
    """Another rank ended, or no longer answers; the message says which and why, as far as it left word.

    ``rank`` is its number; None where that is not known.
    """

    def __init__(self, message: str, rank: int | None = None) -> None:
        super().__init__(message)
        self.rank = rank


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank, count: its number from 0, and their number.
        local, beside: the same among those on its machine.
        store: the messages between them; None for one that is alone.
    """

    rank: int = 0
    count: int = 1
    local: int = 0
    beside: int = 1
    store: Any = None

    @property
    def several(self) -> bool:
        return self.count > 1

    @property
    def leads(self) -> bool:
        """True on rank 0, which decides, prints and writes."""
        return self.rank == 0

    def begin(self, size: int) -> int:
        """The first row of this rank's share of a batch of ``size`` rows; shares lie in the order of ranks."""
        return size * self.rank // self.count

    def end_of(self, size: int) -> int:
        """The end of that share, where the next one begins."""
        return size * (self.rank + 1) // self.count

    def sum(self, numbers: Tensor) -> None:
        """Replace ``numbers`` by their sums over the ranks, the same bits on each; the order of a sum is fixed.

        All ranks call it for the same tensors in the same order. Raises LostRankError where one of them ended.
        """
        import torch.distributed as dist

        with self._among_all():
            dist.all_reduce(numbers)

    def agreed(self, thing: Any = None, source: int = 0) -> Any:
        """Return the ``thing`` of rank ``source`` on every rank; what the others give is not read. Errors are those of
        ``sum``.

        For what may differ between ranks, such as measured times, wherever their steps depend on it.
        """
        import torch
        import torch.distributed as dist

        if not self.several:
            return thing
        content = _packed(thing) if self.rank == source else torch.empty(0, dtype=torch.uint8)
        with self._among_all():
            size = torch.tensor([len(content)])
            dist.broadcast(size, source)
            box = content if self.rank == source else torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(box, source)
        return thing if self.rank == source else pickle.loads(box.numpy().data)

    def send(self, thing: Any) -> None:
        """Give a thing to rank 0, and wait until it ``receives`` it. Errors are those of ``sum``."""
        import torch
        import torch.distributed as dist

        content = _packed(thing)
        with self._among_all():
            dist.send(torch.tensor([len(content)]), 0)
            dist.send(content, 0)

    def receive(self, rank: int) -> Any:
        """Return, on rank 0, the next thing that another rank sends. Errors are those of ``sum``."""
        import torch
        import torch.distributed as dist

        with self._among_all():
            size = torch.tensor([0])
            dist.recv(size, rank)
            box = torch.empty(int(size), dtype=torch.uint8)
            dist.recv(box, rank)
        return pickle.loads(box.numpy().data)

    def say(self, name: str, thing: Any) -> None:
        """Leave a message for the other ranks; a thing that is not None."""
        content = pickle.dumps(thing)
        parts = [content[start : start + LARGEST] for start in range(0, len(content), LARGEST)]
        for number, part in enumerate(parts):
            self.store.set(f"{name}/{number}", part)
        self.store.set(name, str(len(parts)))

    def heard(self, name: str) -> Any:
        """Return the message of that name; None where there is none yet.

        Raises LostRankError where the messages are gone, with the process that held them.
        """
        try:
            parts = int(self.store.get(name)) if self.store.check([name]) else 0
            content = b"".join(self.store.get(f"{name}/{number}") for number in range(parts))
        except RuntimeError as error:
            raise LostRankError(f"rank 0: expected its messages, got its end: {KILLED}", 0) from error
        return pickle.loads(content) if content else None

    def wait_for(self, *names: str, idle: Callable[[], object]) -> tuple[str, Any]:
        """Wait until there is a message of one of these names; return the name and the message."""
        while True:
            for name in names:
                if (thing := self.heard(name)) is not None:
                    return name, thing
            idle()
            time.sleep(LOOK)

    @contextmanager
    def _among_all(self) -> Iterator[None]:
        """Translate the error of a sum in which not all ranks took part."""
        try:
            yield
        except RuntimeError as error:
            self.lost(error)

    def check(self) -> None:
        """Raise LostRankError where another rank ended, by its own last words if it left any."""
        if (failed := self.failure()) is not None:
            raise failed
        for rank in range(self.count):
            if line := self._gone(rank):
                raise LostRankError(f"{line}: expected it to go on, got its end: {KILLED}", rank)

    def loss(self) -> StackaeError | None:
        """Return the error that ``check`` raises; None where all are there, or this one is alone."""
        try:
            if self.several:
                self.check()
        except StackaeError as error:
            return error
        return None

    def lost(self, error: Exception) -> NoReturn:
        """Raise the error of the rank that ended."""
        until = time.monotonic() + LAST_WORDS
        while time.monotonic() < until and not self.ended():
            self.check()
            time.sleep(LOOK)
        first, *_ = str(error).splitlines() or [""]
        raise LostRankError(f"ranks: expected all {self.count} of them to go on, got '{first}'") from error

    def failure(self) -> StackaeError | None:
        """Return the error by which another rank said that it ends; None where none did."""
        found = None
        with suppress(LostRankError):
            found = self.heard("failed") if self.several else None
        if found is None:
            return None
        rank, where, message, code = found
        error = LostRankError(f"rank {rank} ({where}): {message}", rank)
        error.exit_code = code
        return error if rank != self.rank else None

    def fail(self, error: StackaeError) -> None:
        """Tell the others that this rank ends, and why."""
        with suppress(RuntimeError):  # the messages are gone
            if self.heard("failed") is None:  # the first to fail says why
                self.say("failed", (self.rank, _here(), str(error), error.exit_code))

    def end(self) -> None:
        """Tell the others that rank 0 is done, and let them hear it: the messages may be held by this process.

        Sums end first, for those that wait in one where an error ended rank 0.
        """
        if not self.several:
            return
        until, others = time.monotonic() + LAST_WORDS, set(range(1, self.count))
        with suppress(RuntimeError):
            self.say("end", True)
            leave()
            while others and time.monotonic() < until:
                time.sleep(LOOK)
                others = {rank for rank in others if self.heard(f"left{rank}") is None and not self._gone(rank)}

    def ended(self) -> bool:
        """Whether rank 0 said that it ends; False where its messages are gone."""
        with suppress(LostRankError):
            return self.heard("end") is not None
        return False

    def _gone(self, rank: int) -> str:
        """Name the rank if its process was on this machine and is there no more; else ""."""
        found = None
        with suppress(LostRankError):
            found = self.heard(f"rank{rank}")
        if found is None or rank == self.rank or found[0] != socket.gethostname() or _lives(found[1]):
            return ""
        return f"rank {rank} (process {found[1]} on {found[0]})"


ALONE = Ranks()


def leave() -> None:
    """Take part in no more sums."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _packed(thing: Any) -> Tensor:
    """The bytes that the thing is sent as, (n,) uint8."""
    import torch

    return torch.frombuffer(bytearray(pickle.dumps(thing)), dtype=torch.uint8)


def _here() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _lives(process: int) -> bool:
    """Whether that process of this machine computes; one that ended and was not waited for does not."""
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return not Path("/proc").is_dir()
