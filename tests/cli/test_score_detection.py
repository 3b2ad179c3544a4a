"""`stackae score` detects as well as the best of the detectors beside it, but for 0.01 of AUROC."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shell import Shell

PEERS = ("mahalanobis", "isolation_forest", "lof")


@pytest.mark.parametrize(
    ("unseen", "options"), [("malignant", ()), ("benign", ()), ("malignant", ("--corruption", "none"))]
)
def test_breast_cancer_whose_one_class_was_left_out_is_told_from_the_other(
    fresh: Shell, unseen: str, options: tuple[str, ...]
) -> None:
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    np.savez(fresh.folder / "cells.npz", x=bunch.data, y=np.asarray(bunch.target_names)[bunch.target])
    data = ("--data", "cells.npz", "--leave-out", unseen, "--epochs", "auto")
    fresh.does("pretrain", "--layers", "30,20,10", *data, *options)
    document = json.loads(fresh.does("score", "--anomalies", unseen, "--json"))
    found = {name: method["auroc"] for name, method in document["methods"].items()}
    assert found["combined"] >= max(found[name] for name in PEERS) - 0.01, found
