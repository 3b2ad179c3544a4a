"""What keeping a training costs: a checkpoint written and synced, and read and compared, beside a torch.save.

    python -m benchmarks.checkpoints [--folder DIR] [--rounds N] [--only TEXT] [--json FILE]

The contenders of a row take turns. ``save`` is what a training waits for: tensors packed, files written and synced,
the folder renamed and synced, the one before the last removed. ``torch.save`` is one file with the same tensors, not
synced: what a kill leaves of it is not promised.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.machine import machine, save
from stackae.autoencoders.dense import Autoencoder
from stackae.config import DataConfig, PretrainConfig, RunConfig
from stackae.runs import DiskCheckpointer, Folder, Requests, Work, latest
from stackae.runs.checkpoints import read_snapshot
from stackae.training.callbacks import EpochRecord
from stackae.training.checkpointing import ReplicaSnapshot, Snapshot

SIZES = ((64, 32), (784, 300), (784, 1000), (4096, 4096))


def measured(contenders: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each, medians over rounds in which all take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    return {name: median(each) for name, each in seconds.items()}


def row(n: int, m: int, folder: Path, rounds: int) -> tuple[int, dict[str, float]]:
    """Bytes of a checkpoint of an untied n-m-n autoencoder between two steps, and what is done with it."""
    weights = Autoencoder(n, m, seed=1).state_dict()
    moments = [torch.rand_like(each) for each in weights.values() for _ in range(2)]
    history = (EpochRecord("layer1", 1, 1.0, 1.0, None, 1e-3, 1.0, 1.0, True),)
    best = {name: tensor + 1 for name, tensor in weights.items()}
    replica = ReplicaSnapshot(0.0, (1.0,), 0, history, None, weights, best, moments)
    snapshot = Snapshot(2, 0, {0: replica})
    settings = RunConfig(data=DataConfig(), pretrain=PretrainConfig.from_options(f"{n},{m}"))
    work = Work(command="pretrain", runs=("",), settings=(settings,), data="0" * 64)
    checkpointer = DiskCheckpointer(Folder(folder), work, every=0, requests=Requests())
    checkpointer.open()
    most = {0: sum(each.nbytes for each in weights.values())}

    def save() -> None:
        checkpointer.pause("layer1", lambda: snapshot, epoch_ended=True)

    def read() -> None:
        checkpoint = latest(folder, "pretrain", lambda error: None)
        assert checkpoint is not None and checkpoint.state.stage is not None
        read_snapshot(checkpoint, checkpoint.state.stage, most)

    def plain() -> None:
        torch.save([replica[-3:]], folder / "plain.pt")

    save()
    return 4 * most[0], measured({"save": save, "read": read, "torch.save": plain}, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: the one for temporary files")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="layers whose sizes hold one of these")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    about = machine(torch.device("cpu"))
    rows: list[dict[str, Any]] = []
    print(about)
    print(f"{'layer':>12} {'MB':>7} {'save':>9} {'read':>9} {'torch.save':>11}")
    for n, m in SIZES:
        name = f"{n}-{m}-{n}"
        if not any(text in name for text in asked.only):
            continue
        with tempfile.TemporaryDirectory(dir=asked.folder) as place:
            size, seconds = row(n, m, Path(place), asked.rounds)
        figures = " ".join(f"{1e3 * seconds[name]:6.1f} ms" for name in ("save", "read", "torch.save"))
        print(f"{name:>12} {size / 1e6:7.1f} {figures}")
        rows.append({"case": name, "bytes": size, "seconds": seconds})
    if asked.json:
        save(asked.json, about, rows)


if __name__ == "__main__":
    main()
