"""What fine-tuning by the defaults makes of few labels: the test error over draws of the labels, and the seconds.

    python -m benchmarks.few_labels [--data mnist --data-root DIR] [--layers ...] [--labels N] [--draws N]
        [--tune NAME=VALUE ...] [--json FILE]

One stack is pretrained; each draw fine-tunes it, as `stackae finetune --labels N --labels-seed DRAW` does. With all
labels a draw is a seed, and pretrains anew.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.machine import machine, write
from stackae.config import DataConfig, FinetuneConfig, PretrainConfig, RunConfig
from stackae.config.values import validated
from stackae.workflows import finetune_run, pretrain_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--labels", default="100", help="as of finetune; all for every one")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first-draw", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of pretraining")
    parser.add_argument("--tune", nargs="*", default=[], metavar="NAME=VALUE", help="settings of fine-tuning")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    tuning = dict(item.split("=", 1) for item in asked.tune)
    stack = PretrainConfig.from_options(asked.layers, **dict(item.split("=", 1) for item in asked.set))
    errors, seconds = list[float](), list[float]()
    data, pretraining = DataConfig(data=asked.data, data_root=asked.data_root), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for draw in range(asked.first_draw, asked.first_draw + asked.draws):
            seed = draw if asked.labels == "all" else stack.seed
            run = Path(folder) / str(seed)
            if not run.exists():
                started = time.perf_counter()
                pretrain_run(RunConfig(data=data, pretrain=stack.model_copy(update={"seed": seed})), run)
                pretraining = time.perf_counter() - started
            kept = {"labels": asked.labels, "labels_seed": draw, "seed": draw}
            started = time.perf_counter()
            figures = finetune_run(run, validated(FinetuneConfig, {**kept, **tuning})).tested.figures
            seconds.append(time.perf_counter() - started)
            errors.append(100 * (1 - figures["accuracy"]))
            print(f"draw {draw}  test error {errors[-1]:.2f} %  ({seconds[-1]:.0f} s)", flush=True)
    spread = statistics.stdev(errors) if len(errors) > 1 else 0.0
    print(f"{asked.data}, {asked.labels} labels: {statistics.mean(errors):.2f} %, standard deviation {spread:.2f}")
    if asked.json:
        document = {
            "machine": machine(torch.device("cpu")),
            "data": asked.data,
            "layers": asked.layers,
            "labels": asked.labels,
            "set": asked.set,
        }
        figures = {"tune": asked.tune, "errors": errors, "seconds": seconds, "pretraining_seconds": pretraining}
        write(asked.json, document | figures | {"mean": statistics.mean(errors), "standard_deviation": spread})


if __name__ == "__main__":
    main()
