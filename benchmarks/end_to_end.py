"""The whole command `stackae pretrain` on MNIST against plain PyTorch scripts that train the same stack.

    python -m benchmarks.end_to_end --data-root DIR
        [--epochs N] [--layers N,M,K] [--batch-size N] [--rounds N] [--threads N] [--workers N] [--json FILE]
        [--device cuda] [--precision tf32] [--usual-epochs N] [--rows N] [--tolerance SHARE]

Every contender is a process, timed from its start to its exit: imports, reading the files, training, a validation pass
an epoch, saving. Beside that stand the seconds of its training passes alone. Rows, split, batch size, epochs, model
(untied, sigmoid), loss, masking noise, Adam and its schedule are the same on all sides. So, to within 2 %, must be
every layer's last validation loss, or the exit code is 1: its mean over the rounds, each of which has its own seed
(from seed to seed it varies by about 1 %). Where there is no MNIST, the embedded digits are repeated to its size; with
--rows to that many rows, to try this out, for which so few rows and epochs want a wider --tolerance.

usual script: benchmarks/usual_script.py as notebooks write it, with --device cuda both on the CPU and on the GPU; in
memory: the same file with --in-memory, written with care. With --usual-epochs both scripts run fewer epochs, the time
of which is scaled to --epochs, and their losses are not compared. --precision is that of stackae alone; the scripts
are in float32. Contenders take turns, in an order that is flipped from round to round; stackae runs twice a round, so
that the ratio to itself shows what is noise. ratio: time of the other / time of stackae in the same round, median and
extremes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.end_to_end_contenders import OURS, Contender, Metrics, contenders
from benchmarks.end_to_end_data import held_out_rows, prepare
from benchmarks.machine import machine, write
from benchmarks.processes import output_of
from benchmarks.timing import turns


class Outcome(NamedTuple):
    """One run: its seconds, those of its training passes, and the losses of each layer after its last epoch."""

    seconds: float
    training_seconds: float
    losses: list[float]
    validation_losses: list[float]


def timed(contender: Contender, run: Path, seed: int, threads: int, scale: float) -> Outcome:
    """Runs the contender, which leaves metrics.jsonl in the folder ``run``; its epochs count ``scale`` times.

    Raises:
        RuntimeError: it failed.
    """
    command = contender.command(run, seed)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    printed = output_of(command, run.parent, environment)
    seconds = time.perf_counter() - started
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    last: dict[str, Metrics] = {record["stage"]: record for record in records}
    training = contender.training_seconds(records, printed)
    epochs = training + sum(record.get("validation_seconds", 0.0) for record in records)
    return Outcome(
        seconds + (scale - 1) * epochs,
        scale * training,
        [record["loss"] for record in last.values()],
        [record["validation_loss"] for record in last.values()],
    )


class Measured(NamedTuple):
    """One outcome a contender and round; and what those failed with that failed, which then are left out."""

    outcomes: dict[str, list[Outcome]]
    failed: dict[str, str]


def measure(asked: argparse.Namespace, folder: Path) -> Iterator[Measured]:
    """What is known after each run."""
    outcomes: dict[str, list[Outcome]] = {}
    failed: dict[str, str] = {}
    known = contenders(asked, folder)
    for number, name in turns(known, asked.rounds):
        if name in failed:
            continue
        run = folder / f"{number} {name}"
        scale = asked.epochs / (known[name].epochs or asked.epochs)
        try:
            outcome = timed(known[name], run, number, asked.threads, scale)
        except RuntimeError as error:
            failed[name] = str(error)
            outcomes.pop(name, None)
            print(f"round {number + 1}  {name:18} failed: {error}", flush=True)
        else:
            outcomes.setdefault(name, []).append(outcome)
            print(f"round {number + 1}  {name:18} {outcome.seconds:8.2f} s", flush=True)
        yield Measured(outcomes, failed)


def means(rounds: list[list[float]]) -> list[float]:
    """The mean over the rounds, layer by layer."""
    return [statistics.mean(losses) for losses in zip(*rounds, strict=True)]


def summary(outcomes: dict[str, list[Outcome]], scaled: set[str]) -> list[dict[str, Any]]:
    """A row a contender; ratios where stackae ran."""
    rows = []
    for name, runs in outcomes.items():
        pairs = list(zip(runs, outcomes.get(OURS, []), strict=False))
        ratios = [other.seconds / ours.seconds for other, ours in pairs]
        trainings = [other.training_seconds / ours.training_seconds for other, ours in pairs]
        rows.append(
            {
                "name": name,
                "seconds": statistics.median(run.seconds for run in runs),
                "ratio": statistics.median(ratios) if ratios else None,
                "smallest_ratio": min(ratios, default=None),
                "largest_ratio": max(ratios, default=None),
                "training_seconds": statistics.median(run.training_seconds for run in runs),
                "training_ratio": statistics.median(trainings) if trainings else None,
                "scaled": name in scaled,
                "losses": means([run.losses for run in runs]),
                "validation_losses": means([run.validation_losses for run in runs]),
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    layers = range(1, len(rows[0]["losses"]) + 1)
    titles = "".join(f" | layer {layer}: loss, validation" for layer in layers)
    print(f"{'':18} | {'seconds':>8} | ratio                  | training, ratio   {titles}")
    for row in rows:
        losses = "".join(
            f" | {loss:13.4f}, {held:10.4f}" for loss, held in zip(row["losses"], row["validation_losses"], strict=True)
        )
        ratio, training = f"{'-':>22}", f"{'-':>8}"
        if row["ratio"] is not None:
            ratio = f"{row['ratio']:6.2f} [{row['smallest_ratio']:5.2f}, {row['largest_ratio']:5.2f}]"
            training = f"{row['training_ratio']:8.2f}"
        own = f"{row['training_seconds']:8.2f} {training}{' (scaled)' * row['scaled']}"
        print(f"{row['name']:18} | {row['seconds']:8.2f} | {ratio} | {own}{losses}")


def disagreements(rows: list[dict[str, Any]], tolerance: float) -> list[str]:
    """A sentence for every layer that a script did not bring to the validation loss of stackae."""
    own = next((row["validation_losses"] for row in rows if row["name"] == OURS), None)
    if own is None:
        return []
    return [
        f"layer {layer}: expected validation losses within {tolerance:.0%}, "
        f"got {ours:.4f} by {OURS} and {theirs:.4f} by {row['name']}"
        for row in rows
        if not row["scaled"]
        for layer, (ours, theirs) in enumerate(zip(own, row["validation_losses"], strict=True), start=1)
        if not abs(theirs - ours) <= tolerance * ours
    ]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--usual-epochs", type=int, help="of the scripts; as many as --epochs where not given")
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=0, help="of the usual script's DataLoader")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--precision", default="fp32", help="of stackae's products")
    parser.add_argument("--rows", type=int, help="of the embedded digits, in the place of MNIST")
    parser.add_argument("--tolerance", type=float, default=0.02, help="between validation losses, as a share of them")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    torch.set_num_threads(asked.threads)
    names = ("layers", "epochs", "usual_epochs", "batch_size", "rounds", "threads", "workers")
    about = {**machine(asked.device), **{name: getattr(asked, name) for name in names}, "precision": asked.precision}
    print({name: value for name, value in about.items() if name != "build"})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        about["data"] = prepare(asked.data_root, folder, asked.rows)
        (folder / "held-out").write_text("\n".join(map(str, held_out_rows(folder))))
        scaled = {name for name, each in contenders(asked, folder).items() if each.epochs not in (None, asked.epochs)}
        rows: list[dict[str, Any]] = []
        failed: dict[str, str] = {}
        for outcomes, failed in measure(asked, folder):
            rows = summary(outcomes, scaled)
            if asked.json:
                runs = {name: [run._asdict() for run in found] for name, found in outcomes.items()}
                write(asked.json, {"machine": about, "rows": rows, "runs": runs, "failed": failed})
    print(about["data"])
    if rows:
        show(rows)
    if wrong := [*(f"{name}: {error}" for name, error in failed.items()), *disagreements(rows, asked.tolerance)]:
        sys.exit("\n".join(wrong))
    print(f"every layer's validation loss agrees within {asked.tolerance:.0%}")


if __name__ == "__main__":
    main()
