"""What libraries say on their own: warnings and logs become notes, so that their text takes the console's door."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from .console import note


class _Noted(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(f"warning     {' '.join(record.getMessage().split())}")


@contextmanager
def _logs_noted() -> Iterator[None]:
    """What libraries log, where nobody else asked for it."""
    before, logging.lastResort = logging.lastResort, _Noted(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = before


@contextmanager
def warnings_noted() -> Iterator[None]:
    """Warnings of libraries are notes; where training steps eagerly is said by the summary of a training."""
    with _logs_noted(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "stackae's compiled extension", RuntimeWarning)
        warnings.showwarning = lambda message, *more, **named: note(f"warning     {' '.join(str(message).split())}")
        yield
