"""Run library calls that may take minutes, such as LAPACK's, on a thread of their own, so that signals are handled.

Python handles a signal between two of its instructions, and a call into a library is one instruction. Here the main
thread only waits for the computing thread: an exception that a signal handler raises ends the wait at once. The call
itself cannot be stopped; it runs until it is done or the process ends, and its result is discarded.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
SLICE = 0.1  # seconds between two looks of the main thread, for signals that were delivered to another thread

_left: list[threading.Event] = []  # one per abandoned computation, set when it is done


def apart(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that, when the main thread calls it, another thread computes it.

    Other threads call the function directly. Results are bit-identical: the computing thread has the caller's gradient
    mode and number of torch threads.
    """

    @wraps(function)
    def waited_for(*arguments: P.args, **named: P.kwargs) -> T:
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments, **named)
        results: list[T] = []
        errors: list[BaseException] = []
        done = threading.Event()
        recorded, threads = torch.is_grad_enabled(), torch.get_num_threads()

        def compute() -> None:
            try:
                if torch.get_num_threads() != threads:
                    torch.set_num_threads(threads)
                with torch.set_grad_enabled(recorded):
                    results.append(function(*arguments, **named))
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()

        thread = threading.Thread(target=compute, name="apart", daemon=True)
        try:
            thread.start()
            while not done.wait(SLICE):  # Thread.join, interrupted, takes the thread for one that has stopped
                pass
        except BaseException:
            _left.append(done)
            raise
        if errors:
            raise errors[0]
        return results[0]

    return waited_for


def goes_on() -> bool:
    """Return whether an abandoned computation still runs; the process then has to end without waiting for it."""
    return not all(done.is_set() for done in _left)
