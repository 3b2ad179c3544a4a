"""What tests of the Python face share: rows of 0 and 1, labels, and a stack that was trained on them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

import stackae

X = np.random.default_rng(0).integers(0, 2, (40, 8)).astype(np.float64)
X[:2] = [[0] * 8, [1] * 8]  # no column is constant
Y = np.arange(40) % 3
NAMES = np.array(["ant", "bee", "cat"])
QUICK: dict[str, Any] = {"max_epochs": 2, "device": "cpu"}


@cache
def trained_stack() -> stackae.PretrainedStack:
    return stackae.pretrain(X, (6, 4), scale="minmax", **QUICK)
