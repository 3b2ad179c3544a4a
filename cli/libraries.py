"""Turn warnings and log records of libraries into notes, so that the console prints their text too."""

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
    """Note log records of libraries that no other handler receives."""
    before, logging.lastResort = logging.lastResort, _Noted(logging.WARNING)
    try:
        yield
    finally:
        logging.lastResort = before


@contextmanager
def warnings_noted() -> Iterator[None]:
    """Note warnings of libraries; the one on a missing compiled extension is in the summary of a training already."""
    with _logs_noted(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "stackae's compiled extension", RuntimeWarning)
        warnings.showwarning = lambda message, *more, **named: note(f"warning     {' '.join(str(message).split())}")
        yield
