"""stackae verify: check that this build computes correct results on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from . import options as o
from .console import aligned, emit_json, in_columns, say, width
from .options import option

if TYPE_CHECKING:
    from stackae.verification import Outcome
    from stackae.workflows.doctor import InstallationChecks

COLUMNS = ("check", "what is expected; what is measured", "cases", "measured", "bound", "result", "s")
STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
NARROWEST, WIDEST = 80, 140
BESIDE = 120  # columns of the terminal from which on the text stands beside the measurements, else below
EXAMPLES = """[bold]Examples[/bold]

stackae verify

stackae verify --only gradients,fused

stackae verify --json
"""


def command(
    only: Annotated[
        o.Text,
        option(
            "--only",
            "Checks to run: gradients, contraction, marginalized, linear, tied, noise, variational, fused, resuming.",
            o.OUTPUT,
            "all",
            metavar="<a,b>",
        ),
    ] = None,
    json: o.Json = False,
) -> None:
    """Check gradients, closed forms, noise, the compiled step and resuming, in less than a minute; exit code 1 if any
    fails.

    Each row tells what is expected, the figure of the case that came nearest to its bound, and the bound.
    Nothing is random: the same build on the same machine gives the same figures.
    A check of what this machine or build does not have is skipped, and says why; that is no failure.
    A compiled extension that is there and does not load is one: what it computes cannot be checked.
    """
    from stackae.workflows import verify_installation

    checks = verify_installation(only)
    table = None if json else _Table()
    if table:
        aligned(checks.machine)
        table.head()
    for outcome in checks:
        if table:
            table.row(outcome)
    if json:
        emit_json(checks.to_dict())
    else:
        _show_end(checks)
    checks.raise_failures()
    if not json:
        say("next        stackae pretrain --layers 784,300,150")


def _show_end(checks: InstallationChecks) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in checks.counts.items() if count)
    say("", f"verified    {counts}, in {checks.seconds:.1f} s")
    if checks.unchecked:
        names = "; ".join(f"{outcome.check.group}: {outcome.check.name}" for outcome in checks.unchecked)
        why = checks.unchecked[0].reason.partition(":")[0]
        many = "1 check" if len(checks.unchecked) == 1 else f"{len(checks.unchecked)} checks"
        say(f"left out    {many} of what is compiled, as {why}: {names}")


class _Table:
    """Print rows as they come, as wide as the terminal within limits."""

    def __init__(self) -> None:
        whole = min(WIDEST, max(NARROWEST, width()))
        figures = (5, 8, 7, 7, 4)
        self._beside = whole >= BESIDE
        room = whole - sum(figures) - 2 * (len(figures) + self._beside)
        names = room * 2 // 5 if self._beside else room
        self._widths = (names, room - names, *figures)

    def head(self) -> None:
        self._print(COLUMNS if self._beside else ("check", "", *COLUMNS[2:]), "bold")
        self._print(tuple("-" * width for width in self._widths), "dim")

    def row(self, outcome: Outcome) -> None:
        check = outcome.check
        measured, bound = ("-" if number is None else f"{number:.2g}" for number in (outcome.measured, outcome.bound))
        name = f"{check.group}: {check.name}"
        text = (
            outcome.reason
            if outcome.state == "skipped"
            else f"{check.compared}; {check.figure}{f': {outcome.shown}' if outcome.shown else ''}"
        )
        cells = (f"{outcome.cases or '-'}", measured, bound, outcome.state, f"{outcome.seconds:.1f}")
        self._print((name, text, *cells), "", STYLES[outcome.state])

    def _print(self, cells: tuple[str, ...], style: str, state: str = "") -> None:
        shown = [place for place in range(len(cells)) if self._beside or place != 1]
        in_columns(
            [
                (
                    cells[place],
                    self._widths[place],
                    "left" if place in (0, 1, 5) else "right",
                    state if place == 5 else style,
                )
                for place in shown
            ]
        )
        if not self._beside and cells[1]:
            room = sum(self._widths) + 2 * len(shown) - 6
            in_columns([("", 2, "left", ""), (cells[1], room - 2, "left", "dim")])
