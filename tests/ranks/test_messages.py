"""What ranks say to each other: tasks, their end, and why one of them failed; and what a launcher may say."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.distributed import HashStore, Store, TCPStore

from stackae.config import PretrainConfig
from stackae.data import memory
from stackae.errors import DataError, SetupError, StoppedError
from stackae.ops.engine import choose_device
from stackae.ranks import ALONE, LostRankError, Ranks, group, here, member, rank, ready, shared
from stackae.ranks.following import Follower, ReleasedError
from stackae.ranks.launch import launched
from stackae.training.checkpointing import Following, Leading, NoCheckpoints
from stackae.training.choice import RANKS, layer_steps
from stackae.workflows.stacks import built, check_built, check_same

NO_SIGNAL = SimpleNamespace(stop=None)
DONE: list[object] = []


def pair() -> tuple[Ranks, Ranks]:
    """Two ranks with messages of their own."""
    store: Store = HashStore()
    return Ranks(0, 2, 0, 2, store), Ranks(1, 2, 1, 2, store)


def note(thing: object) -> None:
    DONE.append(thing)


def fail() -> None:
    raise DataError("moons.npy: expected rows, got none")


def test_a_launcher_names_the_rank() -> None:
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert launched(told) == Ranks(5, 8, 1, 4)
    assert launched({}) is launched({"RANK": "0", "WORLD_SIZE": "1"}) is ALONE


@pytest.mark.parametrize("wrong", [{"RANK": "8"}, {"RANK": "x"}, {"LOCAL_RANK": "4"}, {"LOCAL_WORLD_SIZE": "9"}])
def test_numbers_that_do_not_fit_each_other_are_refused(wrong: dict[str, str]) -> None:
    told = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"} | wrong
    with pytest.raises(
        SetupError, match=r"ranks: expected the numbers that torchrun sets in the environment, got RANK"
    ):
        launched(told)


def test_alone_nothing_is_shared_and_nobody_is_asked() -> None:
    with shared(partial(note, "never")):
        assert here() is ALONE and here().agreed(3) == 3
    ready()
    ALONE.end()
    assert ALONE.failure() is None and not here().several


def test_a_follower_does_each_task_until_the_end() -> None:
    first, second = pair()
    DONE.clear()
    for number, thing in enumerate((1, 2)):
        first.say(f"task{number}", partial(note, thing))
    first.say("end", True)
    Follower(second, NO_SIGNAL).follow()  # the end is heard before a task that nobody waits for any more
    assert DONE == [] and first.heard("left1") is True

    first, second = pair()
    first.say("task0", partial(note, 1))
    thread = threading.Timer(0.2, lambda: first.say("end", True))
    thread.start()
    Follower(second, NO_SIGNAL).follow()
    assert DONE == [1]


def test_rank_0_waits_until_the_others_have_their_data() -> None:
    first, second = pair()
    with member(first):
        thread = threading.Timer(0.2, lambda: second.say("ready0-1", True))
        thread.start()
        with shared(partial(note, 1)):
            assert here() is first
        assert here() is ALONE and group() is first
    assert second.heard("task0") is not None


def test_a_follower_that_fails_is_reported_with_its_reason() -> None:
    first, second = pair()
    first.say("task0", fail)
    with pytest.raises(DataError) as raised, member(second):
        Follower(second, NO_SIGNAL).follow()
    second.fail(raised.value)
    with pytest.raises(LostRankError) as lost, member(first), shared(partial(note, 1)):
        pass
    assert str(lost.value) == (
        f"rank 1 (process {os.getpid()} on {os.uname().nodename}): moons.npy: expected rows, got none"
    )
    assert (lost.value.rank, lost.value.exit_code) == (1, 3) and second.failure() is None
    second.fail(SetupError("later"))
    assert str(first.failure()) == str(lost.value)  # the first reason is the one


def test_a_follower_obeys_a_signal_that_rank_0_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.ranks.following.GRACE", 0.1)
    _, second = pair()
    with pytest.raises(StoppedError):
        Follower(second, SimpleNamespace(stop=15)).follow()


def test_a_rank_whose_process_is_gone_is_named() -> None:
    first, second = pair()
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    second.say("rank1", (os.uname().nodename, gone.pid))
    with pytest.raises(LostRankError, match=rf"rank 1 \(process {gone.pid} on .*\): .* got its end: it was killed"):
        first.lost(RuntimeError("Connection closed by peer"))
    second.say("rank1", (os.uname().nodename, os.getpid()))
    first.check()


def test_a_sum_that_fails_for_another_reason_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank, "LAST_WORDS", 0.0)
    first, _ = pair()
    with pytest.raises(LostRankError, match=r"ranks: expected all 2 of them to go on, got 'no route'"):
        first.lost(RuntimeError("no route\nmore"))


def test_messages_end_with_the_process_that_holds_them() -> None:
    def check(names: list[str]) -> bool:
        raise RuntimeError("Connection reset by peer")

    with pytest.raises(LostRankError, match=r"rank 0: expected its messages, got its end") as lost:
        Ranks(1, 2, store=SimpleNamespace(check=check)).heard("end")
    assert lost.value.rank == 0


def test_a_message_may_be_larger_than_torchs_store_takes_at_a_time() -> None:
    own = Ranks(0, 2, store=TCPStore("127.0.0.1", 0, 1, is_master=True))  # as torchrun's
    thing = os.urandom(3 * rank.LARGEST + 1)
    own.say("task0", thing)
    assert own.heard("task0") == thing and own.heard("task1") is None


def test_all_stop_where_the_checkpointer_of_rank_0_does() -> None:
    said: list[object] = []

    class Stopping(NoCheckpoints):
        def pause(self, *given: object) -> None:
            raise StoppedError(2)

    told = SimpleNamespace(agreed=lambda thing: said.append(thing) or thing)
    with pytest.raises(StoppedError):
        Leading(Stopping(), told).pause("layer1", dict, False)
    Leading(NoCheckpoints(), told).pause("layer1", dict, False)
    assert said == [False, True]


def test_a_follower_stops_where_it_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.training.checkpointing.here", lambda: SimpleNamespace(agreed=lambda: False))
    with pytest.raises(ReleasedError):
        Following().pause("layer1", dict, False)


def test_other_data_than_those_of_rank_0_are_refused() -> None:
    check_same("abc", "abc", "moons.npy")
    with pytest.raises(DataError, match=r"moons.npy: expected the rows and labels that rank 0 reads, got others; give"):
        check_same("abd", "abc", "moons.npy")


@pytest.mark.parametrize("name", ["torch", "processor", "extension"])
def test_a_process_that_computes_other_bits_is_refused(name: str) -> None:
    check_built(built())
    with pytest.raises(SetupError, match=rf"{name}: expected another in every process, as in rank 0, got .*; train on"):
        check_built(built() | {name: "another"})


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("cuda", r"expected a GPU for each of the 2 processes on this machine, got 1; start as many by torchrun"),
        ("cuda:0", r"expected that each of 2 processes takes a GPU of its own, got one for all; use device='cuda'"),
    ],
)
def test_each_process_trains_on_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch, asked: str, sentence: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with member(pair()[0]), pytest.raises(SetupError, match=sentence):
        choose_device(asked)


def test_the_step_that_ranks_do_not_share_fused_is_eager_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PretrainConfig.from_options("8,6,4,3", sparsity="none,batch-top-k:2,lifetime:0.2", device="cpu")
    with member(pair()[0]):
        lacks = [step.lacks for step in layer_steps(config).values()]
        assert lacks == ["", f"sparsity batch-top-k, over {RANKS}", f"sparsity lifetime, over {RANKS}"]
    assert [step.lacks for step in layer_steps(config).values()] == ["", "", ""]


def test_ranks_on_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, free in (("_of_machine", 100), ("_of_container", None), ("_of_process", None)):
        monkeypatch.setattr(memory, name, lambda free=free: free)
    assert memory.free_memory() == 100
    with member(pair()[0]):
        assert memory.free_memory() == 50
