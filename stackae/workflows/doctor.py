"""Examine this installation, and verify that its results are correct."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from typing import Any

import torch

from stackae import __version__, verification
from stackae.errors import VerificationError
from stackae.ops.engine import find_extension
from stackae.threads import shown_threads
from stackae.verification import FAILED, PASSED, SKIPPED, Outcome, chosen, run_all
from stackae.verification.subjects import OF_THE_EXTENSION

STATES = (PASSED, FAILED, SKIPPED)


def examine_installation() -> tuple[dict[str, Any], str]:
    """Return versions, compiled extension, devices and threads; and the problem found, "" if there is none."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    report: dict[str, Any] = {
        "stackae": __version__,
        "python": platform.python_version(),
        "torch_installed": torch.__version__,
        "processor": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "threads": shown_threads(torch.get_num_threads()),
        "gpus": ", ".join(gpus) or "none",
    }
    extension = find_extension()
    if extension.ops is None:
        described = "not built" if extension.state == "absent" else f"there, but does not load: {extension.cause}"
        return report | {"extension": described}, extension.problem
    built = extension.ops.build_info() | {"sources": extension.sources}
    return report | {f"extension_{name}": value for name, value in built.items()}, ""


class InstallationChecks:
    """Checks of this installation, each run when iterated to; ``outcomes`` are those of the checks so far.

    ``machine`` and ``problem`` are the results of ``examine_installation``.
    """

    def __init__(self, only: str | None = None) -> None:
        self._started = time.perf_counter()
        self._checks = chosen(verification.CHECKS, only)
        self.machine, self.problem = examine_installation()
        self.outcomes: list[Outcome] = []
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Outcome]:
        for outcome in run_all(self._checks):
            self.outcomes.append(outcome)
            yield outcome
        self.seconds = time.perf_counter() - self._started

    @property
    def counts(self) -> dict[str, int]:
        """Return how many checks passed, failed and were skipped."""
        states = [outcome.state for outcome in self.outcomes]
        return {state: states.count(state) for state in STATES}

    @property
    def unchecked(self) -> list[Outcome]:
        """Return the checks that were skipped because the compiled extension is missing or does not load."""
        return [outcome for outcome in self.outcomes if outcome.reason.startswith(OF_THE_EXTENSION)]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae verify`; its measurements may still be infinite or NaN."""
        return {
            "machine": self.machine | {"problem": self.problem},
            "checks": [_checked(outcome) for outcome in self.outcomes],
            **self.counts,
            "seconds": round(self.seconds, 3),
        }

    def raise_failures(self) -> None:
        """Raise VerificationError if a check failed, or the extension is there and does not load."""
        unloaded = [self.problem] if find_extension().state == "broken" else []
        failed = [outcome.reason for outcome in self.outcomes if outcome.state == FAILED]
        if failed or unloaded:
            raise VerificationError(*unloaded, *failed)


def verify_installation(only: str | None = None) -> InstallationChecks:
    """Check gradients, closed forms, noise, the fused step and resuming, in less than a minute.

    ```
    checks = verify_installation()
    for outcome in checks:
        print(outcome.check.name, outcome.state)
    checks.raise_failures()
    ```

    Args:
        only: groups of checks, as "gradients,fused"; None is all.

    Raises:
        ConfigError: no such group.
    """
    return InstallationChecks(only)


def _checked(outcome: Outcome) -> dict[str, Any]:
    check = outcome.check
    return {
        "group": check.group,
        "name": check.name,
        "expected": check.compared,
        "figure": check.figure,
        "cases": outcome.cases,
        "worst_case": outcome.worst,
        "shown": outcome.shown,
        "measured": outcome.measured,
        "bound": outcome.bound,
        "state": outcome.state,
        "reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
    }
