"""Estimators that train quickly, and rows for them: what the tests of stackae.sklearn share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from stackae.sklearn import StackClassifier

X, Y = load_iris(return_X_y=True)
QUICK: dict[str, Any] = {"layers": (8, 3), "epochs": 4, "random_state": 0}
FEW = {"max_epochs": 40, "learning_rate": 0.02}


def classifier(**settings: Any) -> StackClassifier:
    return StackClassifier(**{**QUICK, "finetune_config": FEW, **settings})


def frame() -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of which two columns are text, and labels that follow from them."""
    rng = np.random.default_rng(0)
    colour, size = rng.choice(["red", "green", "blue"], 200), rng.normal(size=200)
    shape = rng.choice(["round", "flat"], 200)
    return pd.DataFrame({"colour": colour, "size": size, "shape": shape}), (colour == "red") ^ (shape == "flat")
