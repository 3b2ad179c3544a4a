"""Signal handlers: the first signal lets a training finish its step and save, the second ends the program at once.

SIGINT, SIGTERM and SIGHUP end a training, SIGUSR1 makes it save and continue. With no training, the first signal ends
the program. A closing terminal may send SIGHUP more than once, through its shell: only the first counts, and none if it
was ignored from the start, as by `nohup`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from . import screen

if TYPE_CHECKING:
    from stackae.runs import Requests

HANGUP, SAVE = (getattr(signal, name, None) for name in ("SIGHUP", "SIGUSR1"))  # Windows has neither
ENDING = tuple(number for number in (signal.SIGINT, signal.SIGTERM, HANGUP) if number is not None)
INTERRUPT = signal.SIGINT
_listening: list[Requests] = []
_received: list[int] = []
_last_words: list[Callable[[], str]] = []


class Ended(BaseException):
    """Raised to end the program now; a BaseException, so that no handler of errors catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def install() -> None:
    """Install the signal handlers."""
    _listening.clear()
    _received.clear()
    _last_words.clear()
    for number in ENDING:
        if number != HANGUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    if SAVE is not None:
        signal.signal(SAVE, _save)


def requests() -> Requests:
    """Return new requests, which record the signals from now on."""
    from stackae.runs import Requests

    _listening[:] = [Requests()]
    return _listening[0]


def _end(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        if requests.heard:
            requests.stop = number
            for each in ENDING:  # torchrun passes on what a terminal has sent already, and kills what stays
                ignored = each == HANGUP or _several()
                signal.signal(each, signal.SIG_IGN if ignored else signal.SIG_DFL)
            return
    _received.append(number)
    if _loads(frame):
        end_at_once(number)
    raise Ended(number)


def _several() -> bool:
    """Whether several processes train together; what would tell is loaded after the handlers are installed."""
    ranks = sys.modules.get("stackae.ranks")
    return ranks is not None and ranks.group().several


def ignore() -> None:
    """Ignore the signals that end a program from now on."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def received() -> int | None:
    """Return the signal that ends the program, even if a library has replaced the exception."""
    return _received[-1] if _received else None


@contextmanager
def last_words(sentence: Callable[[], str]) -> Iterator[None]:
    """Register a sentence to print first if a signal ends the program at once meanwhile; "" prints nothing."""
    _last_words.append(sentence)
    try:
        yield
    finally:
        _last_words.pop()


def end_at_once(number: int) -> NoReturn:
    """Print that the program was interrupted, and end it without cleanup: files are whole at every moment."""
    said = ""
    with suppress(Exception):  # the signal may interrupt a write to a stream, or what a sentence reads
        said = "".join(f"{line}\n" for sentence in _last_words if (line := sentence()))
        screen.flush()
    code = 128 + number
    document = f'{{"error": {{"code": "interrupted", "exit_code": {code}, "message": "interrupted"}}}}\n'
    for stream, text in ((2, f"{said}error: interrupted\n"), (1, document if "--json" in sys.argv else "")):
        with suppress(OSError):
            os.write(stream, text.encode())
    os._exit(code)


def leave(code: int) -> NoReturn:
    """End although a thread is in a call that nobody waits for: an orderly exit would wait for it, or crash."""
    with suppress(Exception):
        screen.flush()
    os._exit(code)


def _loads(frame: FrameType | None) -> bool:
    """Return whether a module is being imported: an exception there would become an ImportError, or be lost."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _save(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        requests.save = True
