"""Output to the console: results go to stdout, notes to stderr (progress too, see progress.py).

All text is printed by this module and never parsed as markup: newlines and other invisible characters are escaped, so
that names of files, columns and classes can be printed as they are.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stackae.errors import WHOLE, legible
from stackae.errors import shown as shown
from stackae.workflows.callbacks import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import JustifyMethod

    from stackae.errors import StackaeError

WIDEST = 10_000  # columns, wider than any terminal

stdout = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
stderr = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)


_documents = [0]


def emit_json(document: dict[str, Any]) -> None:
    """Print a JSON document in ASCII; numbers that are not finite become null."""
    from stackae.documents import to_json

    _documents[0] += 1
    sys.stdout.write(to_json(document, indent=2) + "\n")


def emit_error(error: StackaeError) -> None:
    """Print the error as a document unless the command has printed one: stdout never holds two."""
    if _documents[0]:
        return
    found: dict[str, Any] = {"code": error.code, "exit_code": error.exit_code, "message": str(error)}
    emit_json({"error": found | ({"details": error.details} if error.details else {})})


def forget_documents() -> None:
    """Reset the count of printed documents for a new command."""
    _documents[0] = 0


def say(*lines: str, style: str = "") -> None:
    """Print lines of a result to stdout; "" is an empty line."""
    for line in lines:
        stdout.print(Text(legible(line, WHOLE), style))


def tell(*lines: str, style: str = "") -> None:
    """Print lines about the work in progress to stderr."""
    for line in lines:
        stderr.print(Text(legible(line, WHOLE), style))


def note(*lines: str) -> None:
    """Print lines about the work in progress to stderr, and write them into the open log of the run, if any."""
    for line in lines:
        tell(line)
        log(legible(line, WHOLE))


def progress_note(text: str) -> None:
    """Print the name of a step that takes a moment, if stderr is a terminal."""
    if stderr.is_terminal:
        tell(text, style="dim")


def width() -> int:
    """Return the width of the terminal for results, in columns."""
    return stdout.width


def in_columns(cells: Sequence[tuple[str, int, JustifyMethod, str]]) -> None:
    """Print one line of a table that grows while it is shown: text, width, alignment and style of each cell."""
    row = Table.grid(padding=(0, 2, 0, 0))
    for _, wide, side, _ in cells:
        row.add_column(width=wide, justify=side, overflow="fold")
    row.add_row(*(Text(legible(text, WHOLE), style=style) for text, _, _, style in cells))
    stdout.print(row, soft_wrap=False, width=sum(wide + 2 for _, wide, _, _ in cells))


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    stdout.print(_built(title, columns, rows))


def listing(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Print a table if it fits; else two lines per row, so that its name can be read, and copied, whole."""
    built = _built(title, columns, rows)
    if stdout.measure(built, options=stdout.options.update(width=WIDEST)).maximum <= stdout.width:
        stdout.print(built)
        return
    say(title, style="bold")
    for name, *cells in rows:
        named = [f"{column} {cell}" for column, cell in zip(columns[1:], cells, strict=True) if cell != "-"]
        say(name, f"    {', '.join(named)}")


def _built(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    built = Table(title=Text(legible(title, WHOLE)), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        side: JustifyMethod = "left" if index == 0 else "right"
        built.add_column(Text(legible(column, WHOLE)), justify=side, overflow="fold")
    for row in rows:
        built.add_row(*(Text(legible(cell, WHOLE)) for cell in row))
    return built


def closing(folder: Path, files: list[str], next_command: str) -> None:
    """Print the names of the files that were made, and the next command."""
    folder = shown(folder)
    say(f"run folder  {folder}", *(f"            {folder / name}" for name in files), f"next        {next_command}")


def aligned(values: dict[str, Any]) -> None:
    """Print one line per value, each after its name, in aligned columns."""
    wide = max(map(len, values))
    for name, value in values.items():
        say(f"{name.replace('_', ' '):{wide}}  {value}")


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def number(value: float | None) -> str:
    """Format a number with four significant digits."""
    return "-" if value is None else f"{value:.4g}"


def cell(value: str | float) -> str:
    """Format a name, a count or a measurement as a cell of a table."""
    return legible(value) if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def run_option(run: Path) -> str:
    """Return what to append to a command so that it selects this run; "" for the newest."""
    from stackae.runs import LATEST

    return "" if LATEST.resolve() == run.resolve() else f" --run {shlex.quote(str(shown(run)))}"
