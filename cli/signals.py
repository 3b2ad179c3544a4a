"""What signals do: the first lets a training finish its step and save, the second ends the program at once.

SIGINT and SIGTERM end it, SIGUSR1 makes it save and go on. Where nothing is being trained, the first ends the program.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stackae.runs import Requests

ENDING = (signal.SIGINT, signal.SIGTERM)
INTERRUPT = signal.SIGINT
_listening: list[Requests] = []


class Ended(BaseException):
    """The program is to end now; no handler of errors on the way takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def install() -> None:
    """From here on signals are heard."""
    _listening.clear()
    for number in ENDING:
        signal.signal(number, _end)
    signal.signal(signal.SIGUSR1, _save)


def heard_by(requests: Requests) -> Requests:
    """These are told of signals from now on."""
    _listening[:] = [requests]
    return requests


def _end(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        if requests.heard:
            requests.stop = number
            for each in ENDING:
                signal.signal(each, signal.SIG_DFL)
            return
    raise Ended(number)


def _save(number: int, frame: FrameType | None) -> None:
    for requests in _listening:
        requests.save = True
