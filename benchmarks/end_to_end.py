"""The whole command `stackae pretrain` on MNIST against plain PyTorch scripts that train the same stack.

    python -m benchmarks.end_to_end --data-root DIR
        [--epochs N] [--layers N,M,K] [--batch-size N] [--rounds N] [--threads N] [--workers N] [--device cuda]
        [--json FILE]

Every contender is a process, timed from its start to its exit: imports, reading the files, training, a validation pass
an epoch, saving. Rows, split, batch size, epochs, model (untied, sigmoid), loss, masking noise, Adam and its schedule
are the same on all sides. So, to within 2 %, must be every layer's last validation loss, or the exit code is 1: its
mean over the rounds, each of which has its own seed (from seed to seed it varies by about 1 %).

usual script: benchmarks/usual_script.py as notebooks write it; in memory: the same file with --in-memory, written with
care. Contenders take turns, in an order that is flipped from round to round; stackae runs twice a round, so that the
ratio to itself shows what is noise. ratio: time of the other / time of stackae in the same round, median and extremes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.machine import machine
from benchmarks.timing import AGAIN
from stackae.config import DataConfig
from stackae.data.idx import load_idx_folder
from stackae.data.loading import SPLIT_SEED, VALIDATION
from stackae.data.split import hold_out

OURS, USUAL, CAREFUL = "stackae", "usual script", "in memory"
MASKING, LEARNING_RATE = 0.3, 1e-3
TOLERANCE = 0.02
SCRIPT = Path(__file__).with_name("usual_script.py")
FILES = [f"{part}-{kind}" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]


class Outcome(NamedTuple):
    """One run: its seconds, and the losses of each layer after its last epoch."""

    seconds: float
    losses: list[float]
    validation_losses: list[float]


def unpack(data_root: Path, folder: Path) -> None:
    """Puts the files of DATA_ROOT/MNIST/raw where all sides read them, unzipped, as torchvision wants them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in FILES:
        plain = data_root / "MNIST" / "raw" / name
        zipped = plain.with_name(name + ".gz")
        if plain.exists():
            (raw / name).symlink_to(plain.resolve())
        elif zipped.exists():
            with gzip.open(zipped) as packed, (raw / name).open("wb") as file:
                shutil.copyfileobj(packed, file)
        else:
            sys.exit(f"{plain}: expected this file, plain or .gz, got no such file; name its folder by --data-root")


def held_out_rows(data_root: Path) -> list[int]:
    """The validation rows that stackae chooses."""
    labels = load_idx_folder("mnist", data_root).y
    assert labels is not None
    fraction = DataConfig().validation_fraction
    _, held = hold_out(labels, len(labels), fraction, SPLIT_SEED, VALIDATION)
    return [int(row) for row in held]


def stackae_command(asked: argparse.Namespace, data_root: Path, run: Path, seed: int) -> list[str]:
    return [
        str(Path(sys.executable).with_name("stackae")),
        *("pretrain", "--layers", asked.layers, "--data", "mnist", "--data-root", str(data_root), "--run", str(run)),
        *("--epochs", str(asked.epochs), "--batch-size", str(asked.batch_size), "--device", str(asked.device)),
        *("--corruption", f"masking:{MASKING}", "--untied", "--optimizer", "adam", "--schedule", "cosine"),
        *("--learning-rate", str(LEARNING_RATE), "--weight-decay", "0", "--seed", str(seed)),
    ]


def script_command(asked: argparse.Namespace, data_root: Path, run: Path, seed: int, *options: str) -> list[str]:
    run.mkdir()
    return [
        *(sys.executable, str(SCRIPT), "--data-root", str(data_root), "--held-out", str(data_root / "held-out")),
        *("--metrics", str(run / "metrics.jsonl"), "--layers", asked.layers, "--epochs", str(asked.epochs)),
        *("--batch-size", str(asked.batch_size), "--learning-rate", str(LEARNING_RATE), "--masking", str(MASKING)),
        *("--workers", str(asked.workers), "--device", str(asked.device), "--seed", str(seed), *options),
    ]


def timed(command: list[str], run: Path, threads: int) -> Outcome:
    """Runs the command, which leaves metrics.jsonl in the folder ``run``."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=run.parent, env=environment, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: expected exit code 0, got {done.returncode}\n{done.stderr}")
    last: dict[str, dict[str, Any]] = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        last[record["stage"]] = record
    return Outcome(
        seconds,
        [record["loss"] for record in last.values()],
        [record["validation_loss"] for record in last.values()],
    )


def measure(asked: argparse.Namespace, folder: Path) -> dict[str, list[Outcome]]:
    """One outcome a contender and round."""
    unpack(asked.data_root, folder)
    (folder / "held-out").write_text("\n".join(map(str, held_out_rows(folder))))
    commands: dict[str, Callable[[Path, int], list[str]]] = {
        OURS: lambda run, seed: stackae_command(asked, folder, run, seed),
        USUAL: lambda run, seed: script_command(asked, folder, run, seed),
        CAREFUL: lambda run, seed: script_command(asked, folder, run, seed, "--in-memory"),
    }
    commands[OURS + AGAIN] = commands[OURS]
    outcomes: dict[str, list[Outcome]] = {name: [] for name in commands}
    for number in range(asked.rounds):
        for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
            run = folder / f"{number} {name}"
            outcomes[name].append(timed(commands[name](run, number), run, asked.threads))
            print(f"round {number + 1}  {name:16} {outcomes[name][-1].seconds:8.2f} s", flush=True)
    return outcomes


def means(rounds: list[list[float]]) -> list[float]:
    """The mean over the rounds, layer by layer."""
    return [statistics.mean(losses) for losses in zip(*rounds, strict=True)]


def summary(outcomes: dict[str, list[Outcome]]) -> list[dict[str, Any]]:
    rows = []
    for name, runs in outcomes.items():
        ratios = [other.seconds / ours.seconds for other, ours in zip(runs, outcomes[OURS], strict=True)]
        rows.append(
            {
                "name": name,
                "seconds": statistics.median(run.seconds for run in runs),
                "ratio": statistics.median(ratios),
                "smallest_ratio": min(ratios),
                "largest_ratio": max(ratios),
                "losses": means([run.losses for run in runs]),
                "validation_losses": means([run.validation_losses for run in runs]),
            }
        )
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    layers = range(1, len(rows[0]["losses"]) + 1)
    titles = "".join(f" | layer {layer}: loss, validation" for layer in layers)
    print(f"{'':16} | {'seconds':>8} | ratio                 {titles}")
    for row in rows:
        losses = "".join(
            f" | {loss:13.4f}, {held:10.4f}" for loss, held in zip(row["losses"], row["validation_losses"], strict=True)
        )
        spread = f"[{row['smallest_ratio']:5.2f}, {row['largest_ratio']:5.2f}]"
        print(f"{row['name']:16} | {row['seconds']:8.2f} | {row['ratio']:6.2f} {spread}{losses}")


def disagreements(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for every layer that a script did not bring to the validation loss of stackae."""
    return [
        f"layer {layer}: expected validation losses within {TOLERANCE:.0%}, "
        f"got {own:.4f} by {OURS} and {theirs:.4f} by {row['name']}"
        for row in rows
        for layer, (own, theirs) in enumerate(
            zip(rows[0]["validation_losses"], row["validation_losses"], strict=True), start=1
        )
        if not abs(theirs - own) <= TOLERANCE * own
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--workers", type=int, default=0, help="of the usual script's DataLoader")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    names = ("layers", "epochs", "batch_size", "rounds", "threads", "workers")
    about = {**machine(asked.device), **{name: getattr(asked, name) for name in names}}
    print({name: value for name, value in about.items() if name != "build"})
    with tempfile.TemporaryDirectory() as folder:
        outcomes = measure(asked, Path(folder))
    rows = summary(outcomes)
    show(rows)
    if asked.json:
        runs = {name: [run._asdict() for run in runs] for name, runs in outcomes.items()}
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps({"machine": about, "rows": rows, "runs": runs}, indent=1) + "\n")
    if wrong := disagreements(rows):
        sys.exit("\n".join(wrong))
    print(f"every layer's validation loss agrees within {TOLERANCE:.0%}")


if __name__ == "__main__":
    main()
