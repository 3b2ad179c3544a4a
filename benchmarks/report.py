"""The results of step, ops and end_to_end as one page of tables.

    python -m benchmarks.report FOLDER [--out FILE]

FOLDER holds step.json, step_compiled.json, ops.json and end_to_end.json, or some of them. What was compiled stands
beside the case that it is of. FILE is FOLDER/results.md where not given.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import FLOOR, PRODUCTS
from benchmarks.step_files import FILES, by_case, document_of
from benchmarks.targets import COMMAND_CPU, COMMAND_CUDA, STEP_CPU, STEP_CUDA, Target

Row = dict[str, Any]


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return [*lines, *(f"| {' | '.join(cells)} |" for cells in rows), ""]


def about(machine: Row) -> list[str]:
    """One line on what a file was measured on."""
    parts = [f"{name} {machine[name]}" for name in ("gpu", "driver", "cuda", "cpu", "torch") if machine.get(name)]
    return [f"{', '.join(parts)}; {machine['date']}; revision {machine['build'].get('git_revision', 'unknown')}", ""]


def ratio(row: Row, name: str) -> str:
    """Time of the other / time of the first one, with its interval."""
    if name in row.get("failed", {}):
        return "failed"
    if name not in row.get("ratios", {}):
        return "-"
    low, high = row["detail"][name]["interval"]
    return f"{row['ratios'][name]:.2f} [{low:.2f}, {high:.2f}]"


def failures(rows: Iterable[Row]) -> list[str]:
    lines = [f"- {row['case']}: {name}: {text}" for row in rows for name, text in row.get("failed", {}).items()]
    return [*lines, ""] if lines else []


def targets(wanted: Sequence[Target], rows: dict[str, Row]) -> list[str]:
    cells = []
    for target in wanted:
        measured, verdict = target.verdict(rows.get(target.name))
        cells.append((target.name, target.precision, target.what, f"{target.wanted:g}", measured, verdict))
    return table(("case", "precision", "what", "target", "measured", ""), cells)


def share(row: Row) -> str:
    return f"{100 * row['floor']['share']:.0f} % {row['floor']['library']}" if row.get("floor") else "-"


def microseconds(row: Row, name: str, unit: str = "") -> str:
    """Of a step by a contender."""
    if name in row.get("failed", {}):
        return "failed"
    return f"{row['detail'][name]['microseconds']:.1f}{unit}" if name in row.get("detail", {}) else "-"


def cases(rows: Sequence[Row]) -> list[str]:
    """Every case: the fused step's time, its share of the floor, and the others against it."""
    libraries = (FLOOR, "MKL", "brgemm", "own matmuls")
    names = dict.fromkeys(name for row in rows for name in (*row.get("ratios", {}), *row.get("failed", {})))
    others = [name for name in names if name not in (*libraries, "fused", "the row")]
    cells = []
    for row in rows:
        ran = row.get("first") == "fused"
        noise = "[{:.2f}, {:.2f}]".format(*row["noise"]) if ran else "-"
        cells.append(
            (
                row["case"],
                row.get("precision", "-"),
                f"{row['fused_us_per_step']:.1f}" if ran else "failed",
                share(row) if ran else "-",
                *(ratio(row, name) if ran else microseconds(row, name, " us") for name in others),
                noise,
            )
        )
    titles = ("case", "precision", "fused, us a step", "floor / fused", *others, "fused again")
    said = "Time of the other / time of the fused step, with the 95 % interval; floor: the products alone."
    return [said, "", *table(titles, cells), *failures(rows)]


def populations(rows: Sequence[Row]) -> list[str]:
    """Time per step of one network, alone and among others."""
    names = list(dict.fromkeys(name for row in rows for name in (*row.get("detail", {}), *row.get("failed", {}))))
    names = [name for name in names if name.endswith("at once")]
    cells = [(row["case"], row.get("precision", "-"), *(microseconds(row, name) for name in names)) for row in rows]
    titles = ("case", "precision", *(f"{name}, us a step of one" for name in names))
    return [*table(titles, cells), *failures(rows)]


def ladder(rows: Sequence[Row]) -> list[str]:
    """The step by its own products and by the library's, each with its share of the floor."""
    cells = []
    own_name, library_name = PRODUCTS
    for row in rows:
        detail = row.get("detail", {})
        floor = detail.get(FLOOR, {}).get("microseconds")
        own, library = (detail.get(name, {}).get("microseconds") for name in PRODUCTS)
        shares = [f"{100 * floor / time:.0f} %" if floor and time else "-" for time in (own, library)]
        faster = "-"
        if own and library:
            low, high = detail[library_name]["interval"]
            faster = "tiles" if low > 1 else "library" if high < 1 else "even"
        times = [microseconds(row, name) for name in (own_name, library_name, FLOOR)]
        cells.append((row["case"], row.get("precision", "-"), *times, *shares, faster))
    titles = ("case", "precision", "tiles, us", "library, us", "products alone, us", "floor / tiles", "floor / library")
    return [*table((*titles, "faster"), cells), *failures(rows)]


PARTS = (
    ("cases", "The training step", cases),
    ("population", "Several networks at once", populations),
    ("ladder", "Own products or the library's", ladder),
)


def step_page(document: Row) -> list[str]:
    rows, on_gpu = document["rows"], bool(document["machine"]["gpu"])
    by_name = by_case(rows)
    lines = ["## Targets of the step", "", *about(document["machine"])]
    lines += targets(STEP_CUDA if on_gpu else STEP_CPU, by_name)
    for part, title, write in PARTS:
        if chosen := list(by_name.values()) if part == "cases" else [row for row in rows if row.get("part") == part]:
            lines += [f"## {title}", "", *about(document["machine"]), *write(chosen)]
    return lines


def over(row: Row, name: str) -> str:
    """Time of the other / time of an op, with its interval."""
    if name not in row:
        return "failed" if name in row["failed"] else "-"
    return "{:.2f} [{:.2f}, {:.2f}]".format(row[name]["ratio"], *row[name]["interval"])


def ops_page(document: Row) -> list[str]:
    cells = []
    for row in document["rows"]:
        others = [over(row, name) for name in ("eager", "torch.compile")]
        floor = "-" if row["floor"] is None else f"{100 * row['floor']:.0f} %"
        cells.append((row["case"], document["machine"]["precision"], f"{row['fused_us']:.1f}", *others, floor))
    titles = ("op", "precision", "fused, us", "eager / fused", "torch.compile / fused", "floor / fused")
    return ["## Ops", "", *about(document["machine"]), *table(titles, cells), *failures(document["rows"])]


def command_page(document: Row) -> list[str]:
    machine, rows = document["machine"], document["rows"]
    cells = []
    for row in rows:
        ratios = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("ratio", "training_ratio")]
        precision = machine["precision"] if row["name"].startswith("stackae") else "fp32"
        name = row["name"] + " (scaled from fewer epochs)" * row["scaled"]
        cells.append((name, precision, f"{row['seconds']:.2f}", ratios[0], f"{row['training_seconds']:.2f}", ratios[1]))
    said = (
        f"stackae pretrain --layers {machine['layers']}, {machine['epochs']} epochs a layer, batches of "
        f"{machine['batch_size']}, {machine['data']}; processes from start to exit, and their training passes alone."
    )
    titles = ("contender", "precision", "seconds", "ratio", "training, seconds", "ratio of training")
    wanted = targets(COMMAND_CUDA if machine["gpu"] else COMMAND_CPU, {row["name"]: row for row in rows})
    broken = [f"- {name}: {text}" for name, text in document["failed"].items()]
    return ["## The whole command", "", *about(machine), said, "", *wanted, *table(titles, cells), *broken, ""]


PAGES = ((FILES, step_page), (("end_to_end.json",), command_page), (("ops.json",), ops_page))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, metavar="FILE")
    asked = parser.parse_args()
    lines, missing = ["# Results", ""], []
    for names, write in PAGES:
        if document := document_of(asked.folder, names):
            lines += write(document)
        else:
            missing.append(names[0])
            lines += [f"{names[0]}: not measured.", ""]
    (asked.out or asked.folder / "results.md").write_text("\n".join(lines))
    print("\n".join(lines))
    if len(missing) == len(PAGES):
        sys.exit(f"{asked.folder}: expected at least one of {', '.join(missing)}, got none")


if __name__ == "__main__":
    main()
