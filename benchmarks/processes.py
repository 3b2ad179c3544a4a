"""Processes that benchmarks start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def output_of(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str] | None = None, limit: float | None = None
) -> str:
    """Run the command and return what it printed; what a failed one says in the end goes to standard error.

    Raises:
        RuntimeError: it failed, took longer than ``limit`` seconds, or could not be started; the last line it said.
    """
    try:
        done = subprocess.run(
            list(command), cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"expected an end within {limit:g} s, got none") from error
    except OSError as error:
        raise RuntimeError(f"expected {command[0]} to start, got: {error}") from error
    if done.returncode != 0:
        print(f"{' '.join(command)}\n{done.stderr}", file=sys.stderr)
        last_line = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise RuntimeError(f"expected exit code 0, got {done.returncode}: {last_line}")
    return done.stdout
