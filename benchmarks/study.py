"""Does pretraining help? The error by the number of labels on six data sets, by `stackae compare` and its defaults.

    python -m benchmarks.study [--data-root DIR] [--only NAME ...] [--folder DIR] [--json FILE] [--picture FILE]

MNIST and Fashion-MNIST are those of DIR; the others come with scikit-learn. Each comparison has a folder of its own in
--folder: the same command goes on where it was interrupted. The JSON and the picture show all that are finished there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.machine import machine, write
from stackae.analysis.comparison.verdict import Measured
from stackae.plots.compare import Panel, error_by_labels
from stackae.workflows import compare
from stackae.workflows.callbacks import Callbacks

OF_CLASSES = "pretrained,unlabelled,random,logistic,svm,spread-pca"
OF_NUMBERS = "pretrained,random,ridge,svm,neighbors-pca"
NETWORKS = ("pretrained", "random", "unlabelled")


class Study(NamedTuple):
    """A data set, the layers of the networks, numbers of labels, and how often they are drawn.

    ``load`` names the function of sklearn.datasets; None is a data set that stackae knows by the name.
    """

    title: str
    layers: str
    labels: str
    seeds: int
    contenders: str
    load: str | None = None


STUDIES = {
    "mnist": Study("MNIST", "784,300,150", "100,1000", 2, OF_CLASSES),
    "fashion-mnist": Study("Fashion-MNIST", "784,300,150", "100,1000", 2, OF_CLASSES),
    "digits": Study("digits", "784,300,150", "10,144,all", 3, OF_CLASSES),
    "breast-cancer": Study("breast cancer", "30,16,8", "10,46,all", 10, OF_CLASSES, "load_breast_cancer"),
    "wine": Study("wine", "13,16,8", "6,14,all", 10, OF_CLASSES, "load_wine"),
    "diabetes": Study("diabetes", "10,16,8", "10,35,all", 10, OF_NUMBERS, "load_diabetes"),
}


class Printing(Callbacks):
    def note(self, *lines: str) -> None:
        print(*lines, sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES), metavar="NAME")
    parser.add_argument("--folder", type=Path, default=Path("build/study"))
    parser.add_argument("--seeds", type=int, help="draws of the labels, instead of those of each data set")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--picture", type=Path, metavar="FILE")
    asked = parser.parse_args()
    for name in asked.only:
        fit(name, STUDIES[name], asked.data_root, asked.folder, asked.seeds)
    found = {name: document_of(asked.folder / name) for name in STUDIES if finished(asked.folder / name)}
    print(*table_of(found), sep="\n")
    for name, document in found.items():
        print("", STUDIES[name].title, *(f"- {verdict}" for verdict in document["verdicts"]), sep="\n")
    if asked.json:
        write(asked.json, summary_of(found))
    if asked.picture:
        asked.picture.write_bytes(error_by_labels([panel_of(STUDIES[name], each) for name, each in found.items()]))


def fit(name: str, study: Study, data_root: str, folder: Path, seeds: int | None) -> None:
    """Compare on one data set, or go on with it."""
    options: dict[str, Any] = {"layers": study.layers, "data": name, "data_root": data_root}
    if study.load is not None:
        kind = "numbers" if study.contenders == OF_NUMBERS else "classes"
        options |= {"data": str(table(study.load, folder / f"{name}.npz")), "target_kind": kind}
    compare(
        options,
        contenders=study.contenders,
        labels=study.labels,
        seeds=seeds or study.seeds,
        out=folder / name,
        callbacks=Printing(),
    )


def table(load: str, path: Path) -> Path:
    """Write a table of scikit-learn to a file, where there is none yet."""
    from sklearn import datasets

    loader: Callable[..., tuple[np.ndarray, np.ndarray]] = getattr(datasets, load)
    if not path.exists():
        x, y = loader(return_X_y=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, x=x, y=y)
    return path


def finished(folder: Path) -> bool:
    return (folder / "compare.json").exists()


def document_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "compare.json").read_text())
    return document


def rows_of(document: dict[str, Any]) -> list[Measured]:
    return [Measured(**each) for each in document["contenders"]]


def table_of(found: dict[str, dict[str, Any]]) -> list[str]:
    """The lines of a Markdown table: a row per data set and number of labels, a column per kind of contender."""
    lines = [f"| data | labels | {' | '.join(COLUMNS)} | pretrained less random |", "|---" * (len(COLUMNS) + 3) + "|"]
    for name, document in found.items():
        rows = rows_of(document)
        to_random = {
            each["labels"]: each
            for each in document["differences"]
            if (each["contender"], each["other"]) == ("pretrained", "random")
        }
        for count in sorted({row.labels for row in rows}):
            own = {row.contender: row for row in rows if row.labels == count}
            cells = [next((shown(own[each]) for each in names if each in own), "") for names in COLUMNS.values()]
            labels = f"all {count:,}" if count == document["labels"] else f"{count:,}"
            cells = [STUDIES[name].title, labels, *cells, said(to_random[count]) if count in to_random else ""]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


COLUMNS = {
    "unlabelled": ("unlabelled",),
    "pretrained": ("pretrained",),
    "random": ("random",),
    "linear": ("logistic", "ridge"),
    "SVM": ("svm",),
    "neighbors": ("spread-pca", "neighbors-pca"),
}


def shown(row: Measured) -> str:
    """The error in percent, and its standard deviation over draws, where there are several."""
    return f"{100 * row.error:.1f}" + (f" ± {100 * row.spread:.1f}" if len(row.errors) > 1 else "")


def said(difference: dict[str, Any]) -> str:
    low, high = 100 * difference["low"], 100 * difference["high"]
    word = "helps" if high < 0 else "hurts" if low > 0 else "within noise"
    return f"{word} ({low:+.1f} to {high:+.1f})"


def summary_of(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The results of all data sets: a line each, and a row per contender and number of labels.

    ``less_random`` of a row is the difference of its error to that of random weights, with its interval.
    """
    rows = []
    for name, document in found.items():
        to_random = {
            (each["contender"], each["labels"]): [each["difference"], each["low"], each["high"]]
            for each in document["differences"]
            if each["other"] == "random"
        }
        for row in document["contenders"]:
            rows.append({"data": name, **row, "less_random": to_random.get((row["contender"], row["labels"]))})
    studies = [
        {"data": name, "layers": STUDIES[name].layers} | {key: document[key] for key in ABOUT}
        for name, document in found.items()
    ]
    return {"machine": machine(torch.device("cpu")), "studies": studies, "rows": rows}


ABOUT = ("measure", "training_rows", "test_rows", "labels", "chance", "seeds", "budget", "verdicts")


def panel_of(study: Study, document: dict[str, Any]) -> Panel:
    rows = rows_of(document)
    measure = "error rate" if document["measure"] == "error" else "1 - R²"
    draws = len(document["seeds"])
    networks = [name for name in NETWORKS if any(row.contender == name for row in rows)]
    return Panel(f"{study.title}, {draws} draw{'s' * (draws > 1)}", rows, networks, document["labels"], measure)


if __name__ == "__main__":
    main()
