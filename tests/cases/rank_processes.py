"""Processes that train together, as torchrun or another launcher starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from shell import QUICK, Shell

SECONDS, CASES = 120, Path(__file__).parent


def environment(rank: int, count: int, port: int) -> dict[str, str]:
    """What a launcher tells a process of one machine, beside what tests set."""
    told = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    named = {name: str(value) for name, value in told.items()} | {"MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1"}
    return {name: value for name, value in os.environ.items() if not name.startswith("STACKAE_E")} | QUICK | named


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def start_ranks(shell: Shell, count: int, *arguments: object) -> list[subprocess.Popen[str]]:
    """One process per rank, each of which runs the command."""
    return start_script("rank_main", shell.folder, count, *arguments)


def start_script(name: str, folder: Path, count: int, *arguments: object) -> list[subprocess.Popen[str]]:
    """One process per rank, each of which runs the script of this folder."""
    line, port = [sys.executable, str(CASES / f"{name}.py"), *map(str, arguments)], free_port()
    return [
        subprocess.Popen(
            line,
            cwd=folder,
            env=environment(rank, count, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def end_ranks(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each; none of them outlives the test."""
    with ExitStack() as stack:
        for each in processes:
            stack.callback(each.kill)
        return [(each.wait(SECONDS), *outputs) for each in processes for outputs in [each.communicate(timeout=SECONDS)]]


def on_processes(shell: Shell, count: int, *arguments: object) -> str:
    """What rank 0 prints to stderr; all succeed, and the others print nothing."""
    (code, _, err), *others = end_ranks(start_ranks(shell, count, *arguments))
    assert code == 0, err
    assert others == [(0, "", "")] * (count - 1)
    return err


def start_torchrun(shell: Shell, logs: Path, count: int, *arguments: str) -> subprocess.Popen[str]:
    """torchrun, which starts one process per rank; they print into the folder of logs."""
    line = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    line += ["--log-dir", str(logs), "--redirects", "3", "-m", "--", "stackae", *arguments]
    own = {name: value for name, value in environment(0, 1, 0).items() if "RANK" not in name and "WORLD" not in name}
    return subprocess.Popen(line, cwd=shell.folder, env=own, stderr=subprocess.PIPE, text=True)


def log_of(logs: Path, rank: int) -> Path:
    """What the rank prints to stderr, as soon as it is there."""
    deadline = time.monotonic() + SECONDS
    while not (found := [path for path in logs.rglob("stderr.log") if path.parent.name == str(rank)]):
        assert time.monotonic() < deadline, f"rank {rank} never started"
        time.sleep(0.01)
    return found[0]


def process_of(launcher: int, rank: int) -> int:
    """The child of torchrun that has this rank."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    named = {each: Path(f"/proc/{each}/environ").read_text().split("\0") for each in children}
    return next(int(each) for each, given in named.items() if f"RANK={rank}" in given)
