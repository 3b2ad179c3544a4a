"""The processes that benchmarks.end_to_end compares: how each is started, and where its seconds are read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.timing import AGAIN

OURS, USUAL, CAREFUL = "stackae", "usual script", "in memory"
MASKING, LEARNING_RATE = 0.3, 1e-3
SCRIPT = Path(__file__).with_name("usual_script.py")
COMMAND = "from stackae.cli.main import main; main()"  # also where the package is on the path and not installed

Metrics = dict[str, Any]


class Contender(NamedTuple):
    """How to start a run in a folder with a seed, and how many epochs it trains where these are not all.

    ``training_seconds``: of its training passes, from its metrics and what it printed. Those of stackae are alike for
    every run of the same settings, and have no times.
    """

    command: Callable[[Path, int], list[str]]
    training_seconds: Callable[[list[Metrics], str], float]
    epochs: int | None = None


def own_training_seconds(records: list[Metrics], printed: str) -> float:
    return float(sum(layer["seconds"] for layer in json.loads(printed)["layers"]))


def recorded_training_seconds(records: list[Metrics], printed: str) -> float:
    return float(sum(record["seconds"] for record in records))


def stackae_command(asked: argparse.Namespace, data_root: Path, run: Path, seed: int) -> list[str]:
    return [
        *(sys.executable, "-c", COMMAND),
        *("pretrain", "--layers", asked.layers, "--data", "mnist", "--data-root", str(data_root), "--run", str(run)),
        *("--epochs", str(asked.epochs), "--batch-size", str(asked.batch_size), "--device", str(asked.device)),
        *("--patience", "0"),  # the scripts pass over the rows so often, whatever comes of it
        *("--corruption", f"masking:{MASKING}", "--weights", "untied", "--optimizer", "adam", "--schedule", "cosine"),
        *("--learning-rate", str(LEARNING_RATE), "--weight-decay", "0", "--seed", str(seed)),
        *("--precision", asked.precision, "--json"),
    ]


def script(
    asked: argparse.Namespace, data_root: Path, device: str, *options: str, epochs: int | None = None
) -> Contender:
    def command(run: Path, seed: int) -> list[str]:
        run.mkdir()
        return [
            *(sys.executable, str(SCRIPT), "--data-root", str(data_root), "--held-out", str(data_root / "held-out")),
            *("--metrics", str(run / "metrics.jsonl"), "--layers", asked.layers),
            *("--epochs", str(epochs or asked.epochs), "--batch-size", str(asked.batch_size)),
            *("--learning-rate", str(LEARNING_RATE), "--masking", str(MASKING), "--workers", str(asked.workers)),
            *("--device", device, "--seed", str(seed), *options),
        ]

    return Contender(command, recorded_training_seconds, epochs)


def contenders(asked: argparse.Namespace, data_root: Path) -> dict[str, Contender]:
    """stackae, the usual script on every device at hand, the careful one on that of stackae, and stackae again."""
    ours = Contender(lambda run, seed: stackae_command(asked, data_root, run, seed), own_training_seconds)
    device = str(asked.device)
    usual = {f"{USUAL}, {each}": each for each in ("cpu", device)} if device != "cpu" else {USUAL: device}
    return {
        OURS: ours,
        **{name: script(asked, data_root, each, epochs=asked.usual_epochs) for name, each in usual.items()},
        CAREFUL: script(asked, data_root, device, "--in-memory", epochs=asked.usual_epochs),
        OURS + AGAIN: ours,
    }
