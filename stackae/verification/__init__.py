"""What `stackae verify` checks: that this build, on this machine, computes what it is said to compute.

Every check runs the code that training runs, on small layers, and compares it with what is computed in another way:
differences, autograd's Jacobian, the SVD, draws, plain torch. Nothing of it is left to chance: draws are the same ones
each time.
"""

from stackae.verification import engines, gradients, laws, noise, resuming, sampling
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
    *engines.CHECKS,
    *resuming.CHECKS,
]
CHECKS: tuple[Check, ...] = tuple(sorted(_ALL, key=lambda check: GROUPS.index(check.group)))
"""In the order of ``GROUPS``, which are the names that ``--only`` takes."""
