"""The two commands of the README with their defaults, on MNIST, in one precision after the other: test accuracy.

    python -m benchmarks.gpu_accuracy [--data-root DIR] [--device cuda] [--precisions tf32 default]

Where there is no MNIST it is the embedded digits, and the last line says so. ``default``: whatever that is.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.end_to_end_contenders import COMMAND

LAYERS = "784,300,150"


class Trained(NamedTuple):
    """Test accuracy in percent, and the seconds of both commands."""

    accuracy: float
    pretrained: float
    fine_tuned: float


def said(*arguments: str) -> tuple[dict[str, Any], float]:
    """What a command of stackae prints as JSON, and its seconds; ends with its words where it fails."""
    started = time.perf_counter()
    command = [sys.executable, "-c", COMMAND, *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"stackae {' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}{done.stdout}")
    print(done.stderr, end="", flush=True)
    document: dict[str, Any] = json.loads(done.stdout)
    return document, time.perf_counter() - started


def trained(data: list[str], options: list[str], run: Path) -> Trained:
    _, pretrained = said("pretrain", "--layers", LAYERS, *data, *options, "--run", str(run))
    found, fine_tuned = said("finetune", "--head", "classifier", *options, "--run", str(run))
    return Trained(100 * found["accuracy"], pretrained, fine_tuned)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precisions", nargs="+", default=["tf32", "default"])
    parser.add_argument("--epochs", help="other than the default, to try this out")
    asked = parser.parse_args()
    is_there = (asked.data_root / "MNIST" / "raw").exists()
    data = ["--data", "mnist", "--data-root", str(asked.data_root)] if is_there else []
    common = ["--device", asked.device, *(["--epochs", asked.epochs] if asked.epochs else [])]
    accuracies = []
    with tempfile.TemporaryDirectory() as folder:
        for precision in asked.precisions:
            options = common if precision == "default" else [*common, "--precision", precision]
            found = trained(data, options, Path(folder) / precision)
            seconds = f"pretrained in {found.pretrained:.1f} s, fine-tuned in {found.fine_tuned:.1f} s"
            accuracies.append(f"{precision} {found.accuracy:.2f} % ({seconds})")
            print(accuracies[-1], flush=True)
    print(f"test accuracy on {'MNIST' if is_there else 'the embedded digits'}: {', '.join(accuracies)}")


if __name__ == "__main__":
    main()
