"""What a whole short run takes: the seconds of `stackae pretrain` for one epoch by part, and the peak of its memory.

    python -m benchmarks.start [--data mnist --data-root DIR] [--layers N,M,K] [--epochs N] [--rounds N]
        [--threads N ...] [--json FILE]

Each round starts the command in a process of its own (benchmarks/start_watched.py), for each number of threads in turn,
after one run that is not counted and leaves Python's bytecode. A part is what the main thread is at, or waits for,
whatever other threads do meanwhile; its figures are medians over the rounds. "beyond" is all but `import torch` and the
training. Processor seconds count all threads, and neighbours of a shared machine lengthen them less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.machine import machine, save

WATCHED = Path(__file__).with_name("start_watched.py")
NOT_BEYOND = ("import torch", "training")
MEGABYTE = 1e6


def watched(asked: argparse.Namespace, threads: int, folder: Path) -> dict[str, Any]:
    """Run the command once; what benchmarks/start_watched.py writes of it."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    found = folder / "watched.json"
    words = ["--layers", asked.layers, "--epochs", str(asked.epochs), "--data", asked.data]
    words += ["--data-root", asked.data_root, "--run", str(folder / "run"), "--force"]
    command = [sys.executable, str(WATCHED), str(found), "pretrain", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if not found.exists():
        sys.exit(f"the command failed:\n{done.stderr}")
    document: dict[str, Any] = json.loads(found.read_text())
    found.unlink()
    return document


def summed(rounds: list[dict[str, Any]], threads: int) -> list[dict[str, Any]]:
    """A row per part, the longest first, then one for what is beyond and one for the whole."""
    names = {name for each in rounds for name in each["seconds"]}

    def row(case: str, *parts: str) -> dict[str, Any]:
        figures = {
            unit: median(sum(each[unit].get(name, 0.0) for name in parts) for each in rounds)
            for unit in ("seconds", "processor")
        }
        held = max((each["held"].get(name, 0.0) for each in rounds for name in parts), default=0.0)
        return {"case": case, "threads": threads, **figures, "held": held}

    rows = sorted((row(name, name) for name in names), key=lambda each: -each["processor"])
    rows.append(row("beyond", *sorted(names.difference(NOT_BEYOND))))
    whole = row("whole", *sorted(names))
    more = {name: median(each[name] for each in rounds) for name in ("peak", "peak_of_torch")}
    return [*rows, {**whole, **more}]


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{rows[0]['threads']} threads {'seconds':>36} {'processor':>10} {'MB held':>8}")
    for row in rows:
        print(f"{row['case']:42} {row['seconds']:9.2f} {row['processor']:10.2f} {row['held'] / MEGABYTE:8.0f}")
    peak, of_torch = (rows[-1][name] / MEGABYTE for name in ("peak", "peak_of_torch"))
    print(f"memory peaks at {peak:.0f} MB, {peak - of_torch:.0f} MB above that of import torch\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    rounds: dict[int, list[dict[str, Any]]] = {threads: [] for threads in asked.threads}
    with tempfile.TemporaryDirectory() as place:
        watched(asked, asked.threads[0], Path(place))
        for _ in range(asked.rounds):
            for threads, found in rounds.items():
                found.append(watched(asked, threads, Path(place)))
    rows = [row for threads, found in rounds.items() for row in summed(found, threads)]
    for threads in rounds:
        show([row for row in rows if row["threads"] == threads])
    if asked.json:
        given = {name: getattr(asked, name) for name in ("data", "layers", "epochs", "rounds")}
        save(asked.json, {**machine(torch.device("cpu")), **given}, rows)


if __name__ == "__main__":
    main()
