"""Calls that cannot be stopped: signals are heard meanwhile, the bits are the same, and what was trained is kept."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from stackae.apart import Once, apart, goes_on, side_by_side
from stackae.autoencoders.pca import principal_components
from stackae.autoencoders.statistics import Moments

ENDLESS = """
import os, signal, sys, threading, torch
import stackae.cli.signals
number, name, after = int(sys.argv.pop(1)), sys.argv.pop(1), int(sys.argv.pop(1))
signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)  # the tests may run under nohup
whole, calls = getattr(torch.linalg, name), []

def endless(*arguments, **named):
    '''The call number `after` takes for ever, as one of LAPACK may seem to; then the signal comes.'''
    calls.append(1)
    if len(calls) == after:
        os.kill(os.getpid(), number)
        threading.Event().wait()
    return whole(*arguments, **named)

setattr(torch.linalg, name, endless)
from stackae.cli.main import main
main()
"""


class Told(BaseException):
    pass


@pytest.fixture
def alarm() -> Iterator[None]:
    """SIGALRM raises Told where the main thread is."""

    def told(number: int, frame: object) -> None:
        raise Told

    before = signal.signal(signal.SIGALRM, told)
    yield
    signal.signal(signal.SIGALRM, before)


def test_what_a_signal_raises_ends_the_waiting_and_not_the_call(alarm: None) -> None:
    released, ended = threading.Event(), threading.Event()

    @apart
    def long() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.3)  # by then the main thread is in the middle of waiting
        released.wait()
        ended.set()

    with pytest.raises(Told):
        long()
    assert not ended.is_set() and goes_on()
    released.set()
    assert ended.wait(60)


def test_values_and_errors_come_through_and_gradients_are_recorded_as_outside() -> None:
    x = torch.ones(2, requires_grad=True)
    assert apart(lambda a, b=1: a + b)(2, b=3) == 5
    assert apart(lambda: (2 * x).requires_grad)() is True
    with torch.no_grad():
        assert apart(lambda: (2 * x).requires_grad)() is False
    with pytest.raises(KeyError, match="of the call"):
        apart(lambda: {}["of the call"])()
    assert not goes_on()


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_and_threads_are_those_of_the_caller(threads: int) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        moments = Moments.of(torch.randn(300, 90, generator=torch.Generator().manual_seed(0)))
        there = principal_components(moments)
        here = principal_components.__wrapped__(moments)
        assert apart(torch.get_num_threads)() == threads
        assert all(torch.equal(a, b) for a, b in zip(there, here, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("number", "name", "after", "arguments", "kept"),
    [
        (2, "eigh", 1, ["pretrain", "--layers", "8,4", "--kind", "pca"], None),
        (1, "eigh", 2, ["pretrain", "--layers", "8,6,4", "--init", "pca", "--run", "runs/one"], "layer1-end"),
        (15, "cholesky_ex", 1, ["pretrain", "--layers", "8,8", "--kind", "marginalized"], None),
        (2, "eigh", 1, ["sweep", "--widths", "2,4"], None),
    ],
)
def test_the_first_signal_ends_a_command_in_the_middle_of_one(
    tmp_path: Path, number: int, name: str, after: int, arguments: list[str], kept: str | None
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 8)))
    line = [
        sys.executable,
        "-c",
        ENDLESS,
        str(number),
        name,
        str(after),
        *arguments,
        "--data",
        "x.npy",
        "--epochs",
        "2",
    ]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 128 + number and "error: interrupted" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    if kept is not None:
        assert "resume it by:  stackae resume runs/one" in done.stderr
        assert any(path.name.endswith(kept) for path in (tmp_path / "runs/one/checkpoints").iterdir())


HANGUP = """
import os, signal, sys
twice, ignored = sys.argv.pop(1) == "twice", sys.argv.pop(1) == "ignored"
signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)  # the tests may run under nohup
from stackae.cli import signals
from stackae.runs import DiskCheckpointer
pause, seen = DiskCheckpointer.pause, []

def hung_up(checkpointer, *rest, **named):
    seen.append(1)
    if len(seen) == 2:
        for _ in range(1 + twice):
            os.kill(os.getpid(), signal.SIGHUP)
    pause(checkpointer, *rest, **named)

DiskCheckpointer.pause = hung_up
from stackae.cli.main import main
main()
"""


@pytest.mark.parametrize(("times", "before", "code"), [("once", "", 129), ("twice", "", 129), ("twice", "ignored", 0)])
def test_a_terminal_that_closes_saves_the_training_like_sigterm(
    tmp_path: Path, times: str, before: str, code: int
) -> None:
    """The kernel and the shell may each send a SIGHUP; `nohup` has it ignored, and so it stays."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((60, 8)))
    given = ["pretrain", "--layers", "8,4", "--data", "x.npy", "--epochs", "3", "--run", "runs/one"]
    line = [sys.executable, "-c", HANGUP, times, before, *given, "--checkpoint-every", "1000"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    names = [path.name for path in (tmp_path / "runs/one/checkpoints").iterdir()]
    assert ("resume it by" in done.stderr) == (code != 0) == any("layer1-epoch" in name for name in names)


# ---- side by side


def test_side_by_side_every_item_is_computed_once_and_the_threads_of_torch_are_as_before() -> None:
    before, seen, once = torch.get_num_threads(), list[tuple[int, int]](), Once[int, int]()

    def work(item: int) -> int:
        seen.append((item, torch.get_num_threads()))
        return once.get(item % 2, lambda: 10 + item % 2) + item

    found = dict(side_by_side(work, range(20), 3))
    assert found == {item: 10 + item % 2 + item for item in range(20)}
    assert sorted(seen) == [(item, 1) for item in range(20)] and torch.get_num_threads() == before


def test_what_one_raises_ends_all_and_is_raised() -> None:
    begun = list[int]()

    def work(item: int) -> None:
        begun.append(item)
        if item == 2:
            raise ArithmeticError("two")

    with pytest.raises(ArithmeticError, match="two"):
        list(side_by_side(work, range(10**6), 2))
    assert len(begun) < 10**6


def test_a_signal_ends_the_waiting_for_all_of_them(alarm: None) -> None:
    released, ended = threading.Event(), threading.Event()

    def work(item: int) -> None:
        if item:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            released.wait()
            ended.set()

    with pytest.raises(Told):
        list(side_by_side(work, [0, 1, 2], 2))
    assert not ended.is_set() and goes_on()
    released.set()
    assert ended.wait(60)
