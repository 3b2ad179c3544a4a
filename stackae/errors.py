"""What can go wrong that a user can mend, each with the exit code that the command line ends with.

Messages read "what: expected X, got Y; remedy". Anything that is not one of these is a bug (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StackaeError(Exception):
    """The root of every error that stackae raises on purpose."""

    exit_code = 1


class ConfigError(StackaeError, ValueError):
    """A setting, or a combination of settings, that cannot work."""

    exit_code = 2


class DataError(StackaeError, ValueError):
    """Data that is missing, damaged, or does not fit what was asked."""

    exit_code = 3


class RunError(StackaeError):
    """A run folder that is missing, incomplete, damaged, or of another shape."""

    exit_code = 4


class DivergedError(StackaeError, ArithmeticError):
    """Training left the finite numbers."""

    exit_code = 5


class SetupError(StackaeError, RuntimeError):
    """The machine or the installation lacks what was asked for."""

    exit_code = 6


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean 'sigmoid'?', or nothing when no known word is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{found[0]}'?" if found else ""
