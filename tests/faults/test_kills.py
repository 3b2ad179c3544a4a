"""SIGKILL at random moments: of a whole training, which is then resumed, and of a process that saves without pause."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from data_files import TEST_DATA, needs_data
from fault_cases import ALL, result
from shell import Shell

from stackae.runs import Folder, latest
from stackae.runs.checkpoints import Checkpoint, numbered, write_checkpoint
from stackae.runs.pruning import prune, remove_unfinished
from stackae.runs.verify import damages

SEED = 20
LAYERS = ("--layers", "784,48,24", "--batch-size", "100", "--epochs", "6")
RUN = ("--run", "runs/it", "--checkpoint-every", "0.2", "--device", "cpu")
DIGITS = ("--data", "digits")
MNIST = ("--data", "mnist", "--data-root", str(TEST_DATA))


def begun(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A process of its own that runs the command."""
    line = [sys.executable, "-m", "stackae.cli.main", *arguments]
    return subprocess.Popen(line, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def done(process: subprocess.Popen[bytes]) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err.decode()


def killed(process: subprocess.Popen[bytes], run: Path, chosen: random.Random, span: float) -> bool:
    """Whether it still ran when it was killed: at any moment of a start or, mostly, of what the log tells of."""
    log, deadline = run / "log.txt", time.monotonic() + 120
    before = log.stat().st_size if log.exists() else 0
    if chosen.random() < 0.8:  # else the interpreter and the data are being loaded, and the folder made
        while process.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    try:
        process.wait(chosen.uniform(0, span))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    done(process)
    return False


def where(run: Path) -> str:
    """What it had come to."""
    entries = numbered(run)
    label = entries[-1][1].name.partition("-")[2] if entries else "nothing saved"
    return f"kills after {label.rstrip('0123456789')}"


class Undisturbed:
    """Both commands, run through: what they left, and how long either took once it had begun."""

    def __init__(self, folder: Path, data: tuple[str, ...]) -> None:
        self.pretrain = ("pretrain", *LAYERS, *data, *RUN, "--resume")
        self.finetune = ("finetune", *RUN, "--epochs", "6", "--batch-size", "100")
        self.results, self.spans, run = list[dict[str, Any]](), list[float](), folder / "runs" / "it"
        for command in (self.pretrain, self.finetune):
            process, log = begun(folder, *command), run / "log.txt"
            before = log.stat().st_size if log.exists() else 0
            while process.poll() is None and (log.stat().st_size if log.exists() else 0) == before:
                time.sleep(0.002)
            started = time.monotonic()
            done(process)
            self.spans.append(time.monotonic() - started)
            self.results.append(result(run))


def kill_again_and_again(folder: Path, data: tuple[str, ...], kills: int, figures: Counter[str]) -> None:
    """Pretrains and fine-tunes under kills until both are done, anew until there were so many kills."""
    undisturbed = Undisturbed(folder, data)
    chosen, run, count = random.Random(SEED), folder / "runs" / "it", 0
    while True:
        shutil.rmtree(folder / "runs")
        for stage, expected in enumerate(undisturbed.results):
            ended = False
            while not ended:
                command = undisturbed.pretrain
                if stage == 1:
                    path = run / "classifier.safetensors"
                    began = path.exists() or any("finetune" in each.name for _, each in numbered(run))
                    command = ("resume", "runs/it", "--checkpoint-every", "0.2") if began else undisturbed.finetune
                process = begun(folder, *command)
                if count < kills:
                    ended = not killed(process, run, chosen, 1.1 * undisturbed.spans[stage] + 0.1)
                    count += not ended
                    figures[where(run)] += not ended
                    if not ended and (run / "manifest.json").exists():
                        assert not damages(run), (SEED, count)
                else:
                    done(process)
                    ended = True
            assert result(run) == expected, (SEED, count)
            assert not damages(run)
        if count >= kills:
            return


def test_a_training_that_is_killed_again_and_again(tmp_path: Path, figures: Counter[str]) -> None:
    kill_again_and_again(tmp_path, DIGITS, 25 if ALL else 2, figures)


@needs_data
@pytest.mark.skipif(not ALL, reason="minutes of it: `make faults` kills it, and the test above does so with less data")
def test_a_training_on_mnist_that_is_killed_again_and_again(tmp_path: Path, figures: Counter[str]) -> None:
    kill_again_and_again(tmp_path, MNIST, 25, figures)


# ---- kills during saves


def save_without_pause(folder: Path, whole: Checkpoint, tell: int) -> None:
    """Checkpoints and files of a run, each told when it is saved; what a resumed training does first, first."""
    remove_unfinished(folder)
    number = max((number for number, _ in numbered(folder)), default=0)
    state = whole.state.model_copy(update={"begun": 1, "ended": {}, "stage": None})
    while True:
        number += 1
        content = number.to_bytes(8, "little") * (1 << 15)
        write_checkpoint(folder, number, f"layer1-epoch{number}", state, {0: content, 1: content[:-8]})
        os.write(tell, b"c" + number.to_bytes(8, "little"))
        prune(folder, "pretrain", 1, done=False)
        Folder(folder).publish({"one.png": content, "two.png": content[8:]}, number)
        os.write(tell, b"p" + number.to_bytes(8, "little"))


def told(pipe: int) -> Iterator[tuple[str, int]]:
    with os.fdopen(pipe, "rb") as file:
        while len(message := file.read(9)) == 9:
            yield message[:1].decode(), int.from_bytes(message[1:], "little")


def saved_then_killed(folder: Path, whole: Checkpoint, after: float) -> dict[str, int]:
    """The newest numbers that a process told before it was killed."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            save_without_pause(folder, whole, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(after)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL, status
    return dict(told(reading))


def test_kills_during_saves_lose_nothing(first_run: Shell, tmp_path: Path, figures: Counter[str]) -> None:
    whole = latest(first_run.run, "pretrain", lambda error: None)
    assert whole is not None
    folder, chosen, newest = tmp_path / "saved", random.Random(SEED), {"c": 0, "p": 0}
    folder.mkdir()
    kill, longest = 0, 0.06
    while kill < (200 if ALL else 25) or min(newest.values()) <= 5:
        kill += 1
        longest *= 1.1 if min(newest.values()) < kill / 5 else 1.0  # a disk that is busy needs longer to save anything
        newest |= saved_then_killed(folder, whole, chosen.uniform(0, longest))
        passed: list[Exception] = []
        found = latest(folder, None, passed.append)
        assert not passed and (found.number if found else 0) >= newest["c"], (SEED, kill, passed)
        if newest["p"] or (folder / "manifest.json").exists():
            assert not damages(folder), (SEED, kill)
            published = int.from_bytes((folder / "one.png").read_bytes()[:8], "little")
            assert published >= newest["p"] and Folder(folder).manifest.made_from >= newest["p"], (SEED, kill)
        figures["kills during saves, nothing lost"] += 1
