"""Computations of which a single call may take minutes, such as LAPACK's: on a thread of their own, so that signals are
heard meanwhile.

A signal reaches Python between two of its instructions, and a call of a library is one of them. The main thread waits
for the other instead: what a signal's handler raises there ends the waiting at once. The call itself cannot be stopped.
It goes on until it is done or the process ends, and what it would have given is lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
SLICE = 0.1  # seconds after which the main thread looks, where a signal went to another thread

_left: list[threading.Event] = []  # of computations that nobody waits for, set when they are done


def apart(function: Callable[P, T]) -> Callable[P, T]:
    """The function, which the main thread waits for and does not compute itself; other threads call it as it is.

    The same bits: gradients are recorded, and as many threads used, as where it is called.
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
    """Whether something is computed still that nobody waits for: the process then ends without taking its turn."""
    return not all(done.is_set() for done in _left)
