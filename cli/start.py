"""Where the `stackae` command begins: signals are heard before anything else is loaded."""

from __future__ import annotations

import signal
import sys
from typing import Any

from . import signals


def main() -> None:
    """Loads the command line and runs it; see ``stackae.cli.main.main``."""
    signals.install()
    sys.unraisablehook = _unraised
    try:
        from .main import main as command

        command()
    finally:
        for number in signals.ENDING:  # all is done; what is left is to take down what was loaded
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)


def _unraised(unraisable: Any) -> None:
    """A signal that was heard where no exception gets out, as where an object is deleted, ends the program too."""
    if isinstance(unraisable.exc_value, signals.Ended):
        signals.end_at_once(unraisable.exc_value.number)
    sys.__unraisablehook__(unraisable)


if __name__ == "__main__":
    main()
