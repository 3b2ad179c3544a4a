"""A training in a process of its own: started, waited for and ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from shell import Shell

LONG = "200000"
DATA = ("--layers", "8,6,4", "--data", "labelled.npz", "--device", "cpu", "--batch-size", "16")


def started(shell: Shell, *arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "stackae.cli.main", *arguments, "--run", "runs/it"]
    return subprocess.Popen(line, cwd=shell.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(text: str, log: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not (log.exists() and text in log.read_text().rpartition("$ stackae")[2]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"never came to: {text}"
        time.sleep(0.01)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, float]:
    """Exit code, what it said, and how long that took."""
    since = time.monotonic()
    _, err = process.communicate(timeout=60)
    return process.returncode, err, time.monotonic() - since
