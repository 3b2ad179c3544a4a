"""stackae doctor: what this installation is made of, and whether it works."""

from __future__ import annotations

import os
import platform
from typing import Any

from . import options as o

EXAMPLES = """[bold]Examples[/bold]

stackae doctor

stackae doctor --json
"""


def command(json: o.Json = False) -> None:
    """Show versions, the compiled extension, devices and threads; exit code 6 where the extension does not load."""
    from stackae.errors import SetupError

    from .console import emit_json, say

    report, problem = examine()
    if json:
        emit_json({**report, "problem": problem})
    else:
        width = max(len(name) for name in report)
        for name, value in report.items():
            say(f"{name.replace('_', ' '):{width}}  {value}")
        if not problem:
            say("", "next        stackae pretrain --layers 784,300,150")
    if problem:
        raise SetupError(problem)


def examine() -> tuple[dict[str, Any], str]:
    """The report, and what is wrong ("" when nothing is)."""
    import torch

    from stackae import __version__
    from stackae.engine import find_extension

    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    report: dict[str, Any] = {
        "stackae": __version__,
        "python": platform.python_version(),
        "torch_installed": torch.__version__,
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "gpus": ", ".join(gpus) or "none",
    }
    extension = find_extension()
    if extension.ops is None:
        told = "not built" if extension.state == "absent" else f"there, but does not load: {extension.cause}"
        return report | {"extension": told}, extension.problem
    return report | {f"extension_{name}": value for name, value in extension.ops.build_info().items()}, ""
