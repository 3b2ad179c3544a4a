"""stackae verify: whether this build computes on this machine what it is said to compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from . import options as o
from .options import option

if TYPE_CHECKING:
    from stackae.verification import Outcome

COLUMNS = ("check", "what is expected; what is measured", "cases", "measured", "bound", "result", "s")
STYLES = {"passed": "green", "failed": "bold red", "skipped": "yellow"}
NARROWEST, WIDEST = 80, 140
BESIDE = 120  # columns from which on the text stands beside its figures; else below them
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
            "gradients, contraction, marginalized, linear, tied, noise, variational, fused, resuming.",
            o.OUTPUT,
            "all",
            metavar="NAME[,NAME]",
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
    import time

    from stackae.engine import find_extension
    from stackae.errors import VerificationError
    from stackae.verification import CHECKS, FAILED, chosen, run_all

    from .console import emit_json, say
    from .doctor import examine

    started = time.perf_counter()
    checks = chosen(CHECKS, only)
    machine, problem = examine()
    table = None if json else _Table()
    if table:
        _show_machine(machine)
        table.head()
    outcomes = []
    for outcome in run_all(checks):
        outcomes.append(outcome)
        if table:
            table.row(outcome)
    seconds = time.perf_counter() - started
    failed = [outcome for outcome in outcomes if outcome.state == FAILED]
    if json:
        emit_json({"machine": machine | {"problem": problem}, **_document(outcomes), "seconds": round(seconds, 3)})
    else:
        _show_end(outcomes, seconds)
    unloaded = [problem] if find_extension().state == "broken" else []
    if failed or unloaded:
        raise VerificationError(*unloaded, *(outcome.reason for outcome in failed))
    if not json:
        say("next        stackae pretrain --layers 784,300,150")


def _document(outcomes: list[Outcome]) -> dict[str, Any]:
    states = [outcome.state for outcome in outcomes]
    return {
        "checks": [
            {
                "group": outcome.check.group,
                "name": outcome.check.name,
                "expected": outcome.check.compared,
                "figure": outcome.check.figure,
                "cases": outcome.cases,
                "worst_case": outcome.worst,
                "shown": outcome.shown,
                "measured": _finite(outcome.measured),
                "bound": outcome.bound,
                "state": outcome.state,
                "reason": outcome.reason,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
        **{state: states.count(state) for state in STYLES},
    }


def _finite(number: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    from math import isfinite

    return number if number is not None and isfinite(number) else None


def _show_machine(machine: dict[str, Any]) -> None:
    from .console import say

    width = max(len(name) for name in machine)
    for name, value in machine.items():
        say(f"{name.replace('_', ' '):{width}}  {value}")


def _show_end(outcomes: list[Outcome], seconds: float) -> None:
    from stackae.verification.subjects import OF_THE_EXTENSION

    from .console import say

    states = [outcome.state for outcome in outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in STYLES if state in states)
    say("", f"verified    {counts}, in {seconds:.1f} s")
    unchecked = [outcome for outcome in outcomes if outcome.reason.startswith(OF_THE_EXTENSION)]
    if unchecked:
        names = "; ".join(f"{outcome.check.group}: {outcome.check.name}" for outcome in unchecked)
        why = unchecked[0].reason.partition(":")[0]
        checks = "1 check" if len(unchecked) == 1 else f"{len(unchecked)} checks"
        say(f"left out    {checks} of what is compiled, as {why}: {names}")


class _Table:
    """Rows that are printed as they come, as wide as the terminal is, within limits."""

    def __init__(self) -> None:
        from .console import width

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
        from .console import in_columns

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
