"""What a person sees while a large table is read: nothing for a second, then the share that is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar

QUIET = 1.0  # seconds

Tell = Callable[[float], None]
Step = Callable[[str], AbstractContextManager[Tell]]

_step: ContextVar[Step | None] = ContextVar("step", default=None)


@contextmanager
def shown_by(step: Step) -> Iterator[None]:
    """Within this context, tables that are read enter ``step`` with a name and tell it the share, 0 to 1."""
    before = _step.set(step)
    try:
        yield
    finally:
        _step.reset(before)


@contextmanager
def telling(name: str) -> Iterator[Tell]:
    """What the reader of a table calls with the share that is read."""
    step, began = _step.get(), time.monotonic()
    with ExitStack() as entered:
        shown: list[Tell] = []

        def tell(share: float) -> None:
            if not shown and step is not None and time.monotonic() - began >= QUIET:
                shown.append(entered.enter_context(step(f"reading {name}")))
            for each in shown:
                each(share)

        yield tell
