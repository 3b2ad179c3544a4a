"""What rows cost as they grow in number: seconds per row and memory of `stackae pretrain`, in memory and from disk.

    python -m benchmarks.scale [--rows N,M,...] [--columns N] [--layers N,M] [--ways WAY ...] [--rounds N]
        [--threads N] [--folder DIR] [--json FILE]

Files of seeded pixels, one byte each, are written to the folder (a temporary one unless given, where they stay for the
next time), and each command trains one epoch in a process of its own; the ways of a count take turns. Ways: memory
(rows and codes), disk (rows stay in their file, codes in a cache), recompute (rows stay in their file, codes are
computed anew). Per row are the microseconds of training alone and of the whole command; memory is the largest sum of
all pages of the process, its mapped files included, and of those that are no file's, sampled every 20 ms, in MB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine, save

WAYS = {
    "memory": ("--storage", "memory", "--codes", "memory"),
    "disk": ("--storage", "disk", "--codes", "disk"),
    "recompute": ("--storage", "disk", "--codes", "recompute"),
}
CHUNK = 4096
FACTORS = 24
EVERY = 0.02  # seconds between samples of memory


def written(path: Path, rows: int, columns: int) -> Path:
    """A .npy file of rows that a few factors make, with noise, of chunks that are each drawn by its number."""
    if path.exists():
        return path
    part = path.with_suffix(".part")
    mixing = np.random.default_rng(0).normal(size=(FACTORS, columns)).astype(np.float32)
    with part.open("wb") as file:
        form = {"descr": "|u1", "fortran_order": False, "shape": (rows, columns)}
        np.lib.format.write_array_header_1_0(file, form)
        for number, start in enumerate(range(0, rows, CHUNK)):
            generator = np.random.default_rng([1, number])
            count = min(CHUNK, rows - start)
            signal = generator.standard_normal((count, FACTORS), dtype=np.float32) @ mixing
            signal += generator.standard_normal((count, columns), dtype=np.float32)
            np.clip(128 + 24 * signal, 0, 255, out=signal)
            file.write(signal.astype(np.uint8).data)
    part.rename(path)
    return path


def memory_of(process: int) -> tuple[float, float]:
    """MB of all pages of a process, and of those of no file; zeros when it has ended."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        kept = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "RssAnon")))
        if kept:
            total, anonymous = (int(kept[name].split()[0]) / 1000 for name in ("VmRSS", "RssAnon"))
            return total, anonymous
    return 0.0, 0.0


def watched(command: list[str], threads: int) -> dict[str, float]:
    """Run a command; its seconds and the peaks of its memory."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    started, peak, peak_anonymous = time.perf_counter(), 0.0, 0.0
    with tempfile.TemporaryFile() as output:
        with subprocess.Popen(command, stdout=output, stderr=output, env=environment) as child:
            while child.poll() is None:
                total, anonymous = memory_of(child.pid)
                peak, peak_anonymous = max(peak, total), max(peak_anonymous, anonymous)
                time.sleep(EVERY)
        if child.returncode:
            output.seek(0)
            sys.exit(f"the command failed:\n{output.read().decode()}")
    return {"seconds": time.perf_counter() - started, "peak": peak, "anonymous": peak_anonymous}


def trained(asked: argparse.Namespace, path: Path, way: str, folder: Path) -> dict[str, float]:
    """Train one epoch in a process of its own; seconds, memory, and microseconds per row of all layers' steps alone."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        run = Path(place) / "run"
        words = ["--data", str(path), "--layers", asked.layers, "--epochs", "1", "--run", str(run)]
        found = watched([sys.executable, "-m", "stackae.cli.main", "pretrain", *words, *WAYS[way]], asked.threads)
        rates = re.findall(r"epoch 1/1 .* ([\d,]+) rows/s", (run / "log.txt").read_text())
    return {**found, "training_per_row": sum(1e6 / float(rate.replace(",", "")) for rate in rates)}


def row_of(rows: int, way: str, rounds: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "rows": rows,
        "way": way,
        "training_per_row": median(each["training_per_row"] for each in rounds),
        "whole_per_row": median(each["seconds"] for each in rounds) / rows * 1e6,
        "seconds": median(each["seconds"] for each in rounds),
        "peak": max(each["peak"] for each in rounds),
        "anonymous": max(each["anonymous"] for each in rounds),
    }


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['rows']:>12,} {row['way']:10} {row['training_per_row']:9.2f} {row['whole_per_row']:10.2f} "
        f"{row['seconds']:9.1f} {row['peak']:8.0f} {row['anonymous']:8.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="6000,60000,600000,6000000")
    parser.add_argument("--columns", type=int, default=784)
    parser.add_argument("--layers", default="auto,300,150")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found: list[dict[str, Any]] = []
    print(f"{'rows':>12} {'way':10} {'us/row':>9} {'whole':>10} {'seconds':>9} {'MB':>8} {'no file':>8}")
    with contextlib.ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        for rows in map(int, asked.rows.split(",")):
            path = written(folder / f"{rows}x{asked.columns}.npy", rows, asked.columns)
            rounds: dict[str, list[dict[str, float]]] = {way: [] for way in asked.ways}
            for _ in range(asked.rounds):
                for way, results in rounds.items():
                    results.append(trained(asked, path, way, folder))
            found += [row_of(rows, way, results) for way, results in rounds.items()]
            for row in found[-len(rounds) :]:
                show(row)
    if asked.json:
        save(asked.json, machine(torch.device("cpu")) | {"threads": asked.threads, "layers": asked.layers}, found)


if __name__ == "__main__":
    main()
