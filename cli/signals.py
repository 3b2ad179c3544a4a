"""What signals do: the first lets a training finish its step and save, the second ends the program at once.

SIGINT, SIGTERM and SIGHUP end it, SIGUSR1 makes it save and go on. Where nothing is being trained, the first ends the
program. A terminal that closes may send SIGHUP more than once, by way of its shell: only the first counts, and
none where it was ignored from the start, as by `nohup`.
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

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPT = signal.SIGINT
_listening: list[Requests] = []
_received: list[int] = []
_last_words: list[Callable[[], str]] = []


class Ended(BaseException):
    """The program is to end now; no handler of errors on the way takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def install() -> None:
    """From here on signals are heard."""
    _listening.clear()
    _received.clear()
    _last_words.clear()
    for number in ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    signal.signal(signal.SIGUSR1, _save)


def requests() -> Requests:
    """New ones, which are told of signals from now on."""
    from stackae.runs import Requests

    _listening[:] = [Requests()]
    return _listening[0]


def _end(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        if requests.heard:
            requests.stop = number
            for each in ENDING:
                signal.signal(each, signal.SIG_IGN if each == signal.SIGHUP else signal.SIG_DFL)
            return
    _received.append(number)
    if _loads(frame):
        end_at_once(number)
    raise Ended(number)


def received() -> int | None:
    """The signal that is to end the program, whatever libraries have made of the exception since."""
    return _received[-1] if _received else None


@contextmanager
def last_words(sentence: Callable[[], str]) -> Iterator[None]:
    """What is to be said first where a signal ends the program at once meanwhile; "" is nothing."""
    _last_words.append(sentence)
    try:
        yield
    finally:
        _last_words.pop()


def end_at_once(number: int) -> NoReturn:
    """Says so and ends. Files are whole at every moment; nothing of what waits to be done is missed."""
    said = ""
    with suppress(Exception):  # streams, or what is asked, may be in the middle of something
        said = "".join(f"{line}\n" for sentence in _last_words if (line := sentence()))
        screen.flush()
    code = 128 + number
    document = f'{{"error": {{"code": "interrupted", "exit_code": {code}, "message": "interrupted"}}}}\n'
    for stream, text in ((2, f"{said}error: interrupted\n"), (1, document if "--json" in sys.argv else "")):
        with suppress(OSError):
            os.write(stream, text.encode())
    os._exit(code)


def leave(code: int) -> NoReturn:
    """Ends while a thread is in the middle of a call that nobody waits for: to end in order would wait, or crash it."""
    with suppress(Exception):
        screen.flush()
    os._exit(code)


def _loads(frame: FrameType | None) -> bool:
    """Whether a module is being imported: an exception in the middle of one becomes an ImportError, or is lost."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _save(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        requests.save = True
