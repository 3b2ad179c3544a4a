"""Sweeps and comparisons of several processes: what one process trains, each training by one of them."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from process_cases import wait_for
from rank_processes import end_ranks, log_of, on_processes, process_of, start_ranks, start_torchrun
from shell import Shell
from torch.distributed import HashStore

from stackae.ranks import LostRankError, Ranks, alone, group, here, member
from stackae.ranks.divided import divided, watched
from stackae.ranks.following import ReleasedError
from stackae.training.callbacks import NoCallback, Watched

COMPARE = ("compare", "--layers", "8,4", "--data", "noisy.npz", "--labels", "12,all", "--batch-size", "16")
CONTENDERS = ("--contenders", "pretrained,random,joint,logistic,spread-codes")
SWEEP = ("sweep", "--below", "6", "--data", "labelled.npz", "--epochs", "3", "--batch-size", "16")


def figures(folder: Path) -> Any:
    """The content of compare.json without times."""
    document = json.loads((folder / "compare.json").read_text())
    for each in document["contenders"]:
        del each["seconds"], each["before"]
    return document


@pytest.fixture
def noisy(fresh: Shell) -> Shell:
    """With rows whose labels are not to be learned without errors."""
    random = np.random.default_rng(0)
    x = random.random((240, 8))
    np.savez(fresh.folder / "noisy.npz", x=x, y=(x[:, :3].sum(axis=1) + 0.5 * random.random(240) > 1.75).astype(int))
    return fresh


def test_two_processes_sweep_to_the_files_of_one(fresh: Shell) -> None:
    fresh.does(*SWEEP, "--widths", "1,2,3,4,5", "--out", "one")
    on_processes(fresh, 2, *SWEEP, "--widths", "1,2,3,4,5", "--out", "two")
    for name in ("sweep.json", "config.toml"):
        assert (fresh.folder / "two" / name).read_bytes() == (fresh.folder / "one" / name).read_bytes()


def test_three_processes_compare_what_one_does_and_one_goes_on(noisy: Shell) -> None:
    noisy.does(*COMPARE, *CONTENDERS, "--seeds", "2", "--out", "one")
    said = on_processes(noisy, 3, *COMPARE, *CONTENDERS, "--seeds", "2", "--out", "three")
    assert "fits     " in said
    assert figures(noisy.folder / "three") == figures(noisy.folder / "one")
    assert all(0 < each["error"] < 1 for each in figures(noisy.folder / "one")["contenders"])
    more = (*COMPARE, *CONTENDERS, "--seeds", "3", "--out")
    noisy.does(*more, "one")
    on_processes(noisy, 2, *more, "three")  # which begin with the stacks and the fits that are there
    assert figures(noisy.folder / "three") == figures(noisy.folder / "one")


def test_seconds_are_measured_by_one_process(noisy: Shell) -> None:
    (code, out, err), other = end_ranks(start_ranks(noisy, 2, *COMPARE, "--budget", "seconds"))
    assert code == 2 and out == "" and other == (0, "", "")
    assert err.startswith("error: --budget: expected epochs in several processes, got seconds, which one process")


def test_a_comparison_that_loses_a_process_keeps_what_is_done(noisy: Shell, tmp_path: Path) -> None:
    words = (*COMPARE, "--contenders", "pretrained,random", "--seeds", "40", "--epochs", "200", "--out", "it")
    with start_torchrun(noisy, tmp_path / "logs", 2, *words) as launcher:
        wait_for("fits", log_of(tmp_path / "logs", 0), launcher)
        while not list((noisy.folder / "it").glob("stack*")):
            assert launcher.poll() is None
        os.kill(process_of(launcher.pid, 1), signal.SIGKILL)
        launcher.communicate(timeout=60)
    said = log_of(tmp_path / "logs", 0).read_text()
    assert launcher.returncode == 1 and said.count("error: ") == 1 and "Traceback" not in said
    assert "error: rank 1 (process" in said and "the same command goes on from them" in said
    assert not (noisy.folder / "it" / "compare.json").exists()


# ---- who takes what


def on_two(make: Any, groups: list[list[int]]) -> list[Any]:
    """What each of two ranks, which are threads, gets of the work."""
    store, found = HashStore(), list[Any]([None, None])

    def one(rank: int) -> None:
        own = Ranks(rank, 2, 0, 2, store)
        own.say(f"rank{rank}", (os.uname().nodename, os.getpid()))
        found[rank] = list(divided(groups, make, own))

    threads = [threading.Thread(target=one, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_each_item_is_made_once_and_those_of_a_group_by_one_rank() -> None:
    takers: dict[int, int] = {}

    def make(items: Iterable[int]) -> Iterator[tuple[int, int]]:
        for item in items:
            assert item not in takers
            takers[item] = threading.get_ident()
            yield item, item * item

    groups = [[3 * number, 3 * number + 1, 3 * number + 2] for number in range(30)]
    first, second = on_two(make, groups)
    assert sorted(first) == [(item, item * item) for item in range(90)] and second == []
    assert all(len({takers[item] for item in group}) == 1 for group in groups)


def test_work_of_its_own_ends_where_rank_0_ends_or_another_is_gone() -> None:
    store = HashStore()
    first, second = Ranks(0, 2, 0, 2, store), Ranks(1, 2, 0, 2, store)
    callback = Watched(NoCallback(), watched(second))
    callback._looked = -1e9
    callback.batch(1, 0.0)
    first.say("end", True)
    callback._looked = -1e9
    with pytest.raises(ReleasedError):
        callback.batch(1, 0.0)
    second.say("rank1", (os.uname().nodename, 2**22 + 1))  # a process that cannot be
    with pytest.raises(LostRankError, match="rank 1"):
        watched(first)()
    watched(Ranks())()


def test_a_rank_alone_shares_nothing_but_the_machine() -> None:
    with member(Ranks(1, 4, 1, 2, HashStore())):
        with alone():
            assert not group().several and not here().several and group().beside == 2
        assert group().several
