"""The numbers in a folder of results, as few as say what there is: targets first.

python -m benchmarks.gpu_numbers check|measure FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import COMPILED, COMPILED_IN_GRAPH, FLOOR, PRODUCTS
from benchmarks.gpu_output import cut
from benchmarks.step_files import FILES, by_case, document_of
from benchmarks.targets import COMMAND_CUDA, STEP_CUDA, Target

Row = dict[str, Any]
SHORT = {
    "eager, Adam": "eager",
    "eager, fused Adam": "fused Adam",
    "eager in a CUDA graph": "eager graph",
    COMPILED_IN_GRAPH: "compiled graph",
    **{name: f"compile {mode}" for name, mode in COMPILED.items()},
    FLOOR: "bare products",
}
WIDEST = 300
PROFILE_LINES = {"check": 28, "measure": 12}


def short(name: str) -> str:
    return SHORT.get(name, name)


def targets(wanted: Sequence[Target], rows: dict[str, Row]) -> Iterator[str]:
    for target in wanted:
        measured, verdict = target.verdict(rows.get(target.name))
        yield f"{target.name}: {target.what}: {target.wanted:g}; {measured}, {verdict}"


def step(row: Row) -> Iterator[str]:
    """A line of what a step takes, its share of the floor, and the others' time over it; one for each that failed."""
    detail = row.get("detail", {})
    if row.get("first") == "fused":
        scale = row["fused_us_per_step"] / detail["fused"]["microseconds"]
        low, high = (scale * part for part in detail["fused"]["quartiles"])
        floor = f", floor {100 * row['floor']['share']:.0f} %" if row["floor"] else ""
        others = ", ".join(f"{short(name)} {ratio:.2f}" for name, ratio in row["ratios"].items())
        noise = "noise {:.2f} to {:.2f}".format(*row["noise"])
        own = f"{row['fused_us_per_step']:.1f} us a step [{low:.1f}, {high:.1f}]{floor}"
        yield f"{row['case']}: {own}; {others}; {noise}"
    elif detail:
        yield f"{row['case']}: {times(row)}"
    for name, error in row.get("failed", {}).items():
        yield f"{row['case']}: {short(name)} failed: {error}"


def times(row: Row) -> str:
    own = [(name, each) for name, each in row.get("detail", {}).items() if not name.endswith(" (again)")]
    return ", ".join(f"{short(name)} {each['microseconds']:.1f} us" for name, each in own)


def ladder(rows: Sequence[Row]) -> Iterator[str]:
    """Of each precision and batch, the times of both kinds of products at every width."""
    for row in rows:
        if "detail" in row:
            cells = (row["detail"].get(name, {}).get("microseconds") for name in (*PRODUCTS, FLOOR))
            yield f"{row['case']}: " + " / ".join("-" if cell is None else f"{cell:.1f}" for cell in cells)


def command(document: Row) -> Iterator[str]:
    yield from targets(COMMAND_CUDA, {row["name"]: row for row in document["rows"]})
    for row in document["rows"]:
        ratios = ["-" if row[name] is None else f"{row[name]:.2f}" for name in ("ratio", "training_ratio")]
        yield (
            f"{row['name']}{' (scaled)' * row['scaled']}: {row['seconds']:.2f} s ({ratios[0]}), training "
            f"{row['training_seconds']:.2f} s ({ratios[1]})"
        )
    yield from (f"{name} failed: {error}" for name, error in document["failed"].items())


def sections(kind: str, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Titles and lines; of what is not there, none."""
    rows = (document_of(folder, FILES) or {"rows": []})["rows"]
    cases = by_case(rows)
    if kind == "measure":
        yield "targets of the step", list(targets(STEP_CUDA, cases))
    if document := document_of(folder, ["end_to_end.json"]):
        yield "the whole command", list(command(document))
    yield "the step, and the time of others over it", [line for row in cases.values() for line in step(row)]
    yield (
        "several at once, us a step of one",
        [f"{row['case']}: {times(row)}" for row in rows if row.get("part") == "population"],
    )
    yield (
        "ladder, us: tiles / library / bare products",
        list(ladder([row for row in rows if row.get("part") == "ladder"])),
    )
    if (path := folder / "profile.txt").exists():
        yield "profile", path.read_text().splitlines()[: PROFILE_LINES[kind]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=tuple(PROFILE_LINES))
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    for title, lines in sections(asked.kind, asked.folder):
        if lines:
            print("\n".join([f"== {title}", *(cut(line, WIDEST) for line in lines)]))


if __name__ == "__main__":
    main()
