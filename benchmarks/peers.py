"""One autoencoder trained by stackae and by its peers, on the same rows.

    python -m benchmarks.peers --data-root DIR [--environment DIR] [--only NAME ...] [--json FILE]
        [--epochs N] [--hidden N] [--batch-size N] [--rate R] [--rounds N] [--threads N ...] [--rows N]
        [--limit S] [--patience S] [--append]

Every contender (benchmarks.peers_contenders) is a process with N cores, that trains on a few batches, and then from new
weights, which is timed: the passes over the rows alone (training), and the whole call that a user writes (call), with
what else that does: stackae's also scales the rows and makes their digests, PyOD's scores them afterwards. Contenders
take turns, in an order that is flipped from round to round; each round has its seed, and stackae runs twice in it, so
that the ratio to itself shows what is noise. ratio: time of the other / time of stackae in the same round, median with
95 % interval. loss: squared error per held-out row, mean and extremes over rounds, computed here from what each
reconstructed. A training waits until other processes leave it its cores, and is done again where they kept a tenth of
one busy meanwhile, for as long as --patience allows; how many cores they did keep busy is told.

Rows are MNIST's 60,000, and its test rows are held out; where there is no MNIST, the embedded digits are repeated to
its size, and losses are then of rows that were trained on. --rows takes so many digits, to try this out.

What a peer needs beside stackae's own packages (benchmarks/peers.txt) is installed into the virtual environment DIR,
build/peers if not given: two gigabytes, once. A peer that cannot be installed, or fails, is a row that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence, Set
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.end_to_end_data import prepare
from benchmarks.machine import machine, save
from benchmarks.peers_contenders import CONTENDERS, OURS, busy_beside_this, kept_busy
from benchmarks.peers_environment import Environment, prepared
from benchmarks.processes import output_of
from benchmarks.report import table
from benchmarks.timing import AGAIN, median_interval, turns
from stackae.data.formats.idx import load_idx_folder

ROOT = Path(__file__).resolve().parents[1]
SHARED = 0.1
"""Cores that other processes may keep busy during a training, beside those that it does not use."""

Row = dict[str, Any]


class Place(NamedTuple):
    """A contender, by its name or with AGAIN behind it, on so many threads."""

    threads: int
    name: str


class Outcome(NamedTuple):
    """Seconds of the training and of the whole call, the loss of the held-out rows, how many cores other processes kept
    busy meanwhile, and versions of packages."""

    training: float
    call: float
    loss: float
    others: float
    versions: dict[str, str]


def write_rows(data_root: Path, folder: Path, rows: int | None) -> str:
    """Write rows.npy and held-out.npy, float32 in [0, 1], and the same rows as MNIST/raw; say which they are."""
    said = prepare(data_root, folder, rows)
    source = load_idx_folder("mnist", folder)
    for part, x in (("rows", source.x), ("held-out", source.x_test)):
        np.save(folder / f"{part}.npy", np.asarray(x, np.float32) / 255)
    return said


def trained(asked: argparse.Namespace, environment: Environment, folder: Path, place: Place, seed: int) -> Outcome:
    """One training in its process.

    Raises:
        RuntimeError: it could not be installed, it failed, or what it reconstructed is not of the rows' shape.
    """
    name = place.name.removesuffix(AGAIN)
    needs = CONTENDERS[name].needs
    if lacking := [environment.lacking[heading] for heading in needs if heading in environment.lacking]:
        raise RuntimeError(f"not installed: {lacking[0]}")
    python, out = environment.python if needs else sys.executable, folder / "reconstructed.npy"
    settings = {"epochs": asked.epochs, "hidden": asked.hidden, "batch-size": asked.batch_size, "rate": asked.rate}
    settings |= {"folder": folder, "out": out, "seed": seed, "threads": place.threads}
    options = [f"--{option}={value}" for option, value in settings.items()]
    printed = output_of([str(python), "-m", "benchmarks.peers_contenders", name, *options], ROOT, limit=asked.limit)
    said = json.loads(printed.splitlines()[-1])
    found = loss(folder / "held-out.npy", out)
    return Outcome(said["training"], said["call"], found, said["others"], said["versions"])


def trained_alone(train: Callable[[], Outcome], spare: int, patience: float) -> Outcome:
    """One training while other processes keep to the ``spare`` cores, or, when patience has ended, as it is."""
    until, allowed = time.monotonic() + patience, spare + SHARED
    while True:
        while time.monotonic() < until and others_over(1.0) > allowed:
            pass
        outcome = train()
        if outcome.others <= allowed or time.monotonic() >= until:
            return outcome


def cores() -> int:
    return len(os.sched_getaffinity(0))


def others_over(seconds: float) -> float:
    """How many cores other processes keep busy, over so many seconds."""
    before, started = busy_beside_this(), time.perf_counter()
    time.sleep(seconds)
    return kept_busy(before, started)


def loss(held_out: Path, reconstructed: Path) -> float:
    """Squared error per row."""
    x, z = np.load(held_out), np.load(reconstructed)
    if x.shape != z.shape:
        raise RuntimeError(f"expected reconstructions of shape {x.shape}, got {z.shape}")
    return float(np.square(z.astype(np.float64) - x).sum(axis=1).mean())


def row_of(place: Place, runs: Sequence[Outcome], ours: Sequence[Outcome], generator: np.random.Generator) -> Row:
    row: Row = {"case": place.name, "threads": place.threads}
    for part in ("training", "call"):
        ratios = [getattr(run, part) / getattr(own, part) for run, own in zip(runs, ours, strict=False)]
        row[f"{part}_seconds"] = statistics.median(getattr(run, part) for run in runs)
        row[f"{part}_ratio"] = statistics.median(ratios)
        row[f"{part}_interval"] = median_interval(np.array(ratios), generator)
    losses = [run.loss for run in runs]
    row["loss"], row["losses"] = statistics.mean(losses), [min(losses), max(losses)]
    row["others"] = max(run.others for run in runs)
    row["rounds"] = [run[:4] for run in runs]
    contender = CONTENDERS[place.name.removesuffix(AGAIN)]
    return {**row, "versions": runs[0].versions, "differs": contender.differs}


def found(outcomes: dict[Place, list[Outcome]], failed: dict[Place, str]) -> list[Row]:
    """A row per contender and number of threads, as far as they ran, and of those that failed why."""
    generator, rows = np.random.default_rng(0), []
    for place, runs in outcomes.items():
        ours = outcomes[Place(place.threads, OURS)]
        if place in failed:
            rows.append({"case": place.name, "threads": place.threads, "failed": failed[place]})
        elif runs and ours:
            rows.append(row_of(place, runs, ours, generator))
    return rows


def measure(
    asked: argparse.Namespace, environment: Environment, folder: Path, known: Set[Place] = frozenset()
) -> Iterator[list[Row]]:
    """The rows that are found after each run, of contenders that are not known; stackae runs beside them in any case.

    Raises:
        RuntimeError: stackae failed, so that there is nothing to compare with.
    """
    names = [name for name in CONTENDERS if name == OURS or any(text in name for text in asked.only)]
    every = [Place(threads, name) for threads in asked.threads for name in (*names, OURS + AGAIN)]
    places = [place for place in every if place not in known or place.name.removesuffix(AGAIN) == OURS]
    outcomes: dict[Place, list[Outcome]] = {place: [] for place in places}
    failed: dict[Place, str] = {}
    for number, place in turns(places, asked.rounds):
        if place in failed:
            continue
        told = f"round {number + 1}, {place.threads} threads  {place.name:22}"
        try:
            train = partial(trained, asked, environment, folder, place, number)
            outcome = trained_alone(train, cores() - place.threads, asked.patience)
        except (RuntimeError, ValueError, OSError) as error:
            if place.name.removesuffix(AGAIN) == OURS:
                raise RuntimeError(f"{place.name}: {error}") from error
            failed[place] = str(error)
            print(f"{told} failed: {error}", flush=True)
        else:
            outcomes[place].append(outcome)
            times = f"{outcome.training:7.2f} s, call {outcome.call:7.2f} s"
            print(f"{told} {times}, loss {outcome.loss:.3f}, {outcome.others:.2f} cores shared", flush=True)
        yield found(outcomes, failed)


def over(row: Row, part: str) -> str:
    """Time of the other / time of stackae, with its interval."""
    return "{:.2f} [{:.2f}, {:.2f}]".format(row[f"{part}_ratio"], *row[f"{part}_interval"])


def cells(row: Row) -> list[str]:
    if "failed" in row:
        return [str(row["threads"]), row["case"], "failed", "-", "-", "-", row["failed"]]
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
    said = f"{versions}; {row['differs']}" if row["differs"] else versions
    losses = "{:.2f} [{:.2f}, {:.2f}]".format(row["loss"], *row["losses"])
    times = [f"{row['training_seconds']:.2f}", over(row, "training"), over(row, "call")]
    return [str(row["threads"]), row["case"], *times, losses, said]


def verdict(rows: Sequence[Row], threads: int) -> str:
    """What stackae gains over the best of its peers, and whether its loss is as low as the lowest of the same model."""
    ran = [row for row in rows if row["threads"] == threads and "failed" not in row]
    ours = next(row for row in ran if row["case"] == OURS)
    peers = [row for row in ran if not row["case"].startswith(OURS)]
    if not peers:
        return f"{threads} threads: no peer ran"
    training, call = (min(peers, key=lambda row: row[f"{part}_ratio"]) for part in ("training", "call"))
    lowest = min((row for row in peers if not row["differs"]), key=lambda row: row["loss"], default=None)
    quality = (
        ""
        if lowest is None
        else f"; loss {ours['loss']:.3f}, the lowest of theirs {lowest['loss']:.3f}, {lowest['case']}"
    )
    return (
        f"{threads} threads: the best peer takes {training['training_ratio']:.2f} times as long to train "
        f"({training['case']}), {call['call_ratio']:.2f} for the whole call ({call['case']}){quality}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers", metavar="DIR")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="peers whose name holds one of these")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--hidden", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--limit", type=float, default=600, metavar="S", help="seconds that a process may take")
    parser.add_argument("--patience", type=float, default=60, metavar="S", help="for other processes, per training")
    parser.add_argument("--rows", type=int, help="of the embedded digits, in the place of MNIST")
    parser.add_argument("--json", type=Path, metavar="FILE", help="written after every run")
    parser.add_argument("--append", action="store_true", help="keep what FILE has, and measure the rest")
    asked = parser.parse_args()
    if max(asked.threads) > cores() or min(asked.threads) < 1:
        sys.exit(
            f"--threads: expected 1 to {cores()}, as many as there are cores, got {max(asked.threads)}; use --threads 1"
        )
    return asked


def main() -> None:
    asked = arguments()
    names = ("epochs", "hidden", "batch_size", "rate", "rounds", "threads")
    about = {**machine(torch.device("cpu")), **{name: getattr(asked, name) for name in names}}
    chosen = [each for name, each in CONTENDERS.items() if any(text in name for text in asked.only)]
    environment = prepared(asked.environment, {heading for each in chosen for heading in each.needs})
    had = json.loads(asked.json.read_text())["rows"] if asked.append and asked.json.exists() else []
    had = [row for row in had if "failed" not in row]
    known = {Place(row["threads"], row["case"]) for row in had}
    rows: list[Row] = had
    with tempfile.TemporaryDirectory() as temporary:
        about["data"] = write_rows(asked.data_root, Path(temporary), asked.rows)
        print({name: value for name, value in about.items() if name != "build"})
        try:
            for found_now in measure(asked, environment, Path(temporary), known):
                rows = had + [row for row in found_now if Place(row["threads"], row["case"]) not in known]
                if asked.json:
                    save(asked.json, about, rows)
        except RuntimeError as error:
            sys.exit(str(error))
    titles = ("threads", "", "training, s", "ratio", "ratio of the call", "loss", "")
    print("\n".join(table(titles, map(cells, rows))))
    print("\n".join(verdict(rows, threads) for threads in asked.threads))
    shared = max((row["others"] for row in rows if "failed" not in row), default=0.0)
    print(f"other processes kept up to {shared:.2f} cores busy meanwhile")


if __name__ == "__main__":
    main()
