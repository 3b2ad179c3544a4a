"""stackae doctor: examine this installation, and check that it works."""

from __future__ import annotations

from stackae.errors import SetupError

from . import options as o
from .console import aligned, emit_json, say

EXAMPLES = """[bold]Examples[/bold]

stackae doctor

stackae doctor --json
"""


def command(json: o.Json = False) -> None:
    """Show versions, the compiled extension, devices and threads; exit code 6 where the extension does not load."""
    from stackae.workflows import examine_installation

    report, problem = examine_installation()
    if json:
        emit_json({**report, "problem": problem})
    else:
        aligned(report)
        if not problem:
            say("", "next        stackae pretrain --layers 784,300,150")
    if problem:
        raise SetupError(problem)
