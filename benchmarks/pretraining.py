"""What pretraining is worth with the default settings: test accuracy after fine-tuning, pretrained against random.

    python -m benchmarks.pretraining [--data mnist --data-root DIR]
        [--seeds N] [--first-seed N] [--set NAME=VALUE ...] [--tune NAME=VALUE ...]

Both sides get the same data, fine-tuning and seeds; only the weights that fine-tuning starts from differ.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

from benchmarks.machine import write
from stackae.config import DataConfig, FinetuneConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data import Dataset, load_data
from stackae.finetuning import finetune_stack
from stackae.models.stack import StackedAutoencoder
from stackae.pretraining import pretrain_stack


def fine_tuned_accuracy(stack: StackedAutoencoder, dataset: Dataset, config: FinetuneConfig) -> float:
    """Test accuracy in percent."""
    model = finetune_stack(
        stack,
        dataset.train,
        config,
        n_classes=len(dataset.classes),
        validation=dataset.validation,
    ).model
    accuracy: float | None = model.report(*dataset.test).accuracy
    assert accuracy is not None  # the test part has labels
    return 100 * accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of pretraining")
    parser.add_argument("--tune", nargs="*", default=[], metavar="NAME=VALUE", help="settings of fine-tuning")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    options = dict(item.split("=", 1) for item in asked.set)
    tuning = dict(item.split("=", 1) for item in asked.tune)
    dataset = load_data(DataConfig(data=asked.data, data_root=asked.data_root))
    results: dict[str, list[float]] = {"pretrained": [], "random": []}
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        started = time.perf_counter()
        config = PretrainConfig.from_options(asked.layers, **options, seed=seed)
        stack = pretrain_stack(dataset.train.x, config, validation=dataset.validation.x).stack
        for init, accuracies in results.items():
            settings = validated(FinetuneConfig, {**tuning, "init": init, "seed": seed})
            accuracies.append(fine_tuned_accuracy(stack, dataset, settings))
        shown = "  ".join(f"{init} {accuracies[-1]:.2f} %" for init, accuracies in results.items())
        print(f"seed {seed}  {shown}  ({time.perf_counter() - started:.0f} s)", flush=True)
    means = {init: statistics.mean(accuracies) for init, accuracies in results.items()}
    for init, accuracies in results.items():
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        print(f"{init:10}  mean {means[init]:.3f} %  standard deviation {spread:.3f}")
    print(f"pretraining is worth {means['pretrained'] - means['random']:+.3f} points on {dataset.name}")
    if asked.json:
        write(asked.json, {"data": dataset.name, "first_seed": asked.first_seed, **results, "means": means})


if __name__ == "__main__":
    main()
