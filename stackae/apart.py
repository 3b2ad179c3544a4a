"""Run library calls that may take minutes, such as LAPACK's, on a thread of their own, so that signals are handled.

Python handles a signal between two of its instructions, and a call into a library is one instruction. Here the main
thread only waits for the computing thread: an exception that a signal handler raises ends the wait at once. The call
itself cannot be stopped; it runs until it is done or the process ends, and its result is discarded.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Generic, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
Key = TypeVar("Key")
Item = TypeVar("Item")
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


class Once(Generic[Key, T]):
    """Values by key, each made once, by the first thread that asks for it; others wait for it."""

    def __init__(self) -> None:
        self._lock, self._locks, self._values = threading.Lock(), dict[Key, threading.Lock](), dict[Key, T]()

    def get(self, key: Key, make: Callable[[], T]) -> T:
        """Return the value of the key, which ``make`` makes where there is none."""
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            if key not in self._values:
                self._values[key] = make()
            return self._values[key]


def side_by_side(
    work: Callable[[Item], T], items: Iterable[Item], threads: int, idle: Callable[[], None] = lambda: None
) -> Iterator[tuple[Item, T]]:
    """Yield each item with work(item), as they are done; so many threads take the items in their order.

    Each thread computes with one torch thread. An exception of ``work`` is raised here, and no further item is begun;
    so is one of ``idle``, which is called now and then.
    """
    todo, done = iter(items), queue.SimpleQueue[tuple[Item | None, T | None, BaseException | None]]()
    taking, ended = threading.Lock(), threading.Event()

    def compute(own: threading.Event) -> None:
        torch.set_num_threads(1)
        try:
            while not ended.is_set():
                with taking:
                    item = next(todo)
                try:
                    done.put((item, work(item), None))
                except BaseException as error:
                    done.put((item, None, error))
        except StopIteration:  # no item is left
            done.put((None, None, None))
        except BaseException as error:  # of the items
            done.put((None, None, error))
        finally:
            own.set()

    before, ends = torch.get_num_threads(), [threading.Event() for _ in range(threads)]
    try:
        for own in ends:
            threading.Thread(target=compute, args=(own,), name="side by side", daemon=True).start()
        working = threads
        while working:
            item, result, error = _next(done, idle)
            if error is not None:
                raise error
            if item is None:
                working -= 1
            else:
                yield item, result  # type: ignore[misc]  # there is no error, so that it is what work returned
        for own in ends:
            own.wait()
    finally:
        ended.set()
        _left.extend(own for own in ends if not own.is_set())
        torch.set_num_threads(before)


def _next(done: queue.SimpleQueue[T], idle: Callable[[], None]) -> T:
    """Wait for the next result, and for signals meanwhile."""
    while True:
        try:
            return done.get(timeout=SLICE)
        except queue.Empty:
            idle()


def goes_on() -> bool:
    """Return whether an abandoned computation still runs; the process then has to end without waiting for it."""
    return not all(done.is_set() for done in _left)
