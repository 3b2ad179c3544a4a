"""AUROC of classes that were left out, by the score's defaults beside other detectors, over divisions of the rows.

    python -m benchmarks.detection [--tables breast-cancer,wine] [--images digits --data-root DIR --rows N]
        [--classes A;B,C] [--divisions N] [--set NAME=VALUE ...] [--json FILE]

Each division shuffles the rows (but for the first), and a stack is pretrained and scored for each class, as
`stackae pretrain --leave-out A --seed DIVISION` and `stackae score --anomalies A` do.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.machine import machine, write
from stackae.config import DataConfig
from stackae.data.loading import load_source
from stackae.workflows import pretrain_run, run_settings, score

TABLES = {"breast-cancer": "30,20,10", "wine": "13,8,4"}
IMAGES = "784,300,150"
PEERS = ("mahalanobis", "isolation_forest", "lof")
SHOWN = ("combined", "autoencoder", *PEERS)
MARGIN = 0.01


class Rows(NamedTuple):
    """Rows with the names of their classes, and the layers of their stacks."""

    name: str
    x: np.ndarray
    y: np.ndarray
    layers: str


def table(name: str) -> Rows:
    from sklearn import datasets

    bunch = {"breast-cancer": datasets.load_breast_cancer, "wine": datasets.load_wine}[name]()
    return Rows(name, bunch.data, np.asarray(bunch.target_names)[bunch.target], TABLES[name])


def images(name: str, root: str, rows: int) -> Rows:
    source = load_source(DataConfig(data=name, data_root=root))
    assert source.y is not None
    return Rows(name, source.x[:rows], np.asarray(source.classes)[source.y[:rows]], IMAGES)


def measured(rows: Rows, classes: str, divisions: int, given: dict[str, str]) -> dict[str, Any]:
    """The mean AUROC over divisions of each detector, and of each division."""
    found: dict[str, list[float]] = {name: [] for name in SHOWN}
    for division in range(divisions):
        order = np.random.default_rng(division).permutation(len(rows.x)) if division else np.arange(len(rows.x))
        with tempfile.TemporaryDirectory() as folder:
            data, run = Path(folder) / "rows.npz", Path(folder) / "run"
            np.savez(data, x=rows.x[order], y=rows.y[order].astype(str))
            asked = {"data": str(data), "layers": rows.layers, "leave_out": classes, "seed": division}
            pretrain_run(run_settings(asked | given), run)
            methods = score(run, anomalies=classes).to_dict()["methods"]
        for name in SHOWN:
            found[name].append(methods[name]["auroc"])
    means = {name: statistics.mean(each) for name, each in found.items()}
    short = means["combined"] < max(means[name] for name in PEERS) - MARGIN
    return {"data": rows.name, "left_out": classes, **means, "below": short, "divisions": found}


def everything(asked: argparse.Namespace) -> Iterator[tuple[Rows, str]]:
    for name in filter(None, asked.tables.split(",")):
        rows = table(name)
        for each in np.unique(rows.y):
            yield rows, str(each)
    if asked.images:
        rows = images(asked.images, asked.data_root, asked.rows)
        chosen = asked.classes.split(";") if asked.classes else map(str, np.unique(rows.y))
        yield from ((rows, each) for each in chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default=",".join(TABLES))
    parser.add_argument("--images", metavar="NAME", help="a named set: digits, mnist, fashion-mnist")
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--rows", type=int, help="of the named set, from its beginning")
    parser.add_argument("--classes", help="of the named set, apart by semicolons; each by itself if not named")
    parser.add_argument("--divisions", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of pretraining")
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args()
    given, found = dict(item.split("=", 1) for item in asked.set), list[dict[str, Any]]()
    for rows, classes in everything(asked):
        found.append(measured(rows, classes, asked.divisions, given))
        figures = "  ".join(f"{name} {found[-1][name]:.3f}" for name in SHOWN)
        print(f"{rows.name} without {classes}: {figures}{'  BELOW' if found[-1]['below'] else ''}", flush=True)
        if asked.json:
            about = {"machine": machine(torch.device("cpu")), "set": asked.set, "rows": found}
            write(asked.json, about)


if __name__ == "__main__":
    main()
