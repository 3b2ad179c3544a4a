"""stackae report: one page of HTML that says whether a training worked, and shows what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackae.errors import shown

from . import options as o
from .console import emit_json, say
from .options import option
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae report

stackae report runs/one runs/two --out both.html
"""


def command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders; several are laid side by side. [dim]\\[default: runs/latest][/dim]", metavar="[RUN]..."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(
            "--out",
            "Page to write.",
            o.OUTPUT,
            "report.html in the run folder; of several runs/report.html, or -2, -3 ...",
            metavar="<file.html>",
        ),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Did it work? One page with numbers, curves, pictures and settings, which needs no network and no other files."""
    from stackae.workflows import report_runs

    result = report_runs(runs or [], out=out, force=force, callbacks=Shown())
    if json:
        emit_json(result.to_dict())
        return
    if "verdict" in result.found:
        verdict, head = result.found["verdict"], result.found["head"]
        say(
            f"verdict     {verdict['sentence']}",
            *([f"            {head['sentence']}"] if head["state"] != "open" else []),
        )
        for each in result.found["layers"]:
            say(f"layer {each['layer']:<5} {each['state']}: {each['sentence']}")
    say(f"page        {shown(result.file.resolve())}", f"next        {result.next_command}")
