"""Entry point of `stackae`: install the signal handlers before anything else is loaded."""

from __future__ import annotations

import signal
import sys
from typing import Any

from . import signals


def main() -> None:
    """Load the command line and run it; see ``stackae.cli.main.main``."""
    signals.install()
    sys.unraisablehook = _unraised
    try:
        from .main import main as command

        command()
    finally:
        for number in signals.ENDING:  # all is done but the interpreter's shutdown, which a signal may cut short
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def _unraised(unraisable: Any) -> None:
    """End the program too for a signal that arrived where no exception can propagate, as in a destructor."""
    if isinstance(unraisable.exc_value, signals.Ended):
        signals.end_at_once(unraisable.exc_value.number)
    sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    main()
