"""The checks of `stackae verify`: this build, on this machine, computes what the documentation says.

Every check runs the code that training runs, on small layers, and compares its results with those of another method:
finite differences, autograd's Jacobian, the SVD, random draws, plain torch. The checks are deterministic: draws are
the same each time.
"""

from stackae.verification import engines, gradients, laws, noise, ops, resuming, sampling
from stackae.verification.check import FAILED, PASSED, SKIPPED, Case, Check, NotHereError, Outcome, chosen, run, run_all

__all__ = [
    "CHECKS",
    "FAILED",
    "PASSED",
    "SKIPPED",
    "Case",
    "Check",
    "NotHereError",
    "Outcome",
    "chosen",
    "run",
    "run_all",
]

GROUPS = ("gradients", "contraction", "marginalized", "linear", "tied", "noise", "variational", "fused", "resuming")
_ALL = [
    *gradients.CHECKS,
    *laws.CHECKS,
    *sampling.CHECKS,
    *noise.CHECKS,
    *ops.CHECKS,
    *engines.CHECKS,
    *resuming.CHECKS,
]
CHECKS: tuple[Check, ...] = tuple(sorted(_ALL, key=lambda check: GROUPS.index(check.group)))
"""All checks, in the order of ``GROUPS``, whose names ``--only`` takes."""
