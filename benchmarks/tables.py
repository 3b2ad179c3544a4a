"""What reading a large table of text costs: ours against pyarrow's reader, and against our own cache.

    python -m benchmarks.tables [--rows N] [--columns N] [--rounds N] [--folder DIR] [--json FILE]

The table has numbers of 9 characters, every other one whole, and a last column of three texts: 280,000 x 79 take
175 MB. Each round reads it by ``pyarrow.csv.read_csv``, by ours without a cache, by ours with the cache to be written,
and from the cache, one thread each. Seconds are those of the processor, which others on the machine do not lengthen,
beside those of the clock; ratio: ours without a cache / pyarrow's in the same round, median and extremes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.machine import machine, save
from stackae.data.formats.text_frame import read_frame
from stackae.data.spool.home import SWITCH

AT_ONCE = 10_000  # rows that are written together


def write_table(path: Path, rows: int, columns: int) -> None:
    draw = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join([*(f" Feature {place}" for place in range(columns - 1)), " Label"]) + "\n")
        for start in range(0, rows, AT_ONCE):
            count = min(AT_ONCE, rows - start)
            cells = [
                [f"{value:.8g}" if place % 2 else str(int(value)) for value in draw.lognormal(9, 4, count)]
                for place in range(columns - 1)
            ]
            cells.append(draw.choice(["BENIGN", "DDoS", "PortScan"], count).tolist())
            file.write("\n".join(map(",".join, zip(*cells, strict=True))) + "\n")


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """Of the processor, and of the clock."""
    clock, started = time.perf_counter(), time.process_time()
    call()
    return time.process_time() - started, time.perf_counter() - clock


def measured(path: Path, home: Path) -> dict[str, tuple[float, float]]:
    """A round: seconds by what is done."""
    from pyarrow import csv

    for kept in home.glob("*"):
        kept.unlink()
    found = {"pyarrow": seconds(lambda: csv.read_csv(path, csv.ReadOptions(use_threads=False)))}
    with mock.patch.dict(os.environ, {SWITCH: "off"}):
        found["parsed"] = seconds(lambda: read_frame(path))
    with mock.patch.dict(os.environ, {SWITCH: str(home)}):
        found["parsed and kept"] = seconds(lambda: read_frame(path))
        found["from the cache"] = seconds(lambda: read_frame(path))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=280_000)
    parser.add_argument("--columns", type=int, default=79)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    import pyarrow

    pyarrow.set_cpu_count(1)
    torch.set_num_threads(1)
    rounds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        path, home = Path(folder) / "table.csv", Path(folder) / "cache"
        write_table(path, asked.rows, asked.columns)
        size = path.stat().st_size
        print(f"{asked.rows:,} x {asked.columns}, {size:,} bytes")
        for number in range(asked.rounds):
            found = measured(path, home)
            rounds.append({"case": f"{asked.rows} x {asked.columns}", "bytes": size, **found})
            shown = ", ".join(f"{name} {cpu:.2f} s ({clock:.2f})" for name, (cpu, clock) in found.items())
            print(f"round {number}: {shown}", flush=True)
    ratios = [each["parsed"][0] / each["pyarrow"][0] for each in rounds]
    print(f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if asked.json:
        save(asked.json, {**machine(torch.device("cpu")), "pyarrow": pyarrow.__version__}, rounds)


if __name__ == "__main__":
    main()
