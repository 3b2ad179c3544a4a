"""scikit-learn's checks of estimators: none fails, none is expected to, whatever the settings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from sklearn.utils.estimator_checks import check_estimator

from stackae.sklearn import StackClassifier, StackDetector, StackEncoder, StackRegressor

QUICK: dict[str, Any] = {"layers": (6, 4), "epochs": 2}
HEAD: dict[str, Any] = {**QUICK, "finetune_config": {"max_epochs": 60, "learning_rate": 0.02}}
ESTIMATORS = {
    "encoder": StackEncoder(**QUICK),
    "encoder, all codes": StackEncoder(**QUICK, codes="all", scale="standard", validation_fraction=0.3),
    "encoder, first code": StackEncoder(**QUICK, codes=1, activation="sigmoid", sparsity="kl:0.1:0.1", tied=True),
    "encoder, top-k": StackEncoder(**QUICK, sparsity="top-k:2", activation="relu", corruption="masking:0.2"),
    "encoder, tied by layer": StackEncoder(**QUICK, tied=(True, False), corruption=("gaussian:0.1", "none")),
    "encoder, variational": StackEncoder((4,), epochs=1, kind="variational"),
    "encoder, closed form": StackEncoder((1,), kind="pca"),
    "encoder, sgd": StackEncoder(**QUICK, config={"optimizer": "sgd", "momentum": 0.5, "weight_l1": 1e-4}),
    "classifier": StackClassifier(**HEAD),
    "classifier, head alone": StackClassifier(
        (12,),
        epochs=2,
        train="head",
        corruption="masking:0.1",
        finetune_config={"max_epochs": 60, "learning_rate": 0.1},
    ),
    "regressor": StackRegressor(**HEAD),
    "regressor, robust": StackRegressor(**HEAD, scale="robust", activation="softplus", corruption="gaussian:0.05"),
    "detector": StackDetector(**QUICK),
    "detector, contamination": StackDetector(**QUICK, contamination=0.2, validation_fraction=0.0),
    "detector, reconstruction": StackDetector(**QUICK, method="autoencoder", corruption="none"),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Rows are so few that several threads take twelve times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.filterwarnings("ignore")  # the checks provoke scikit-learn's own, and look at those that they mean
@pytest.mark.parametrize("name", ESTIMATORS)
def test_scikit_learns_checks_pass(name: str) -> None:
    results = check_estimator(ESTIMATORS[name], on_fail=None, on_skip=None)
    failed = {each["check_name"]: repr(each["exception"]) for each in results if each["status"] != "passed"}
    others = {check: error for check, error in failed.items() if not check.startswith("check_array_api")}
    assert not others and len(results) > 55
    assert not [each for each in results if each["expected_to_fail"]]


ARRAY_API = """
import warnings; warnings.simplefilter("ignore")
import torch; torch.set_num_threads(1)
from sklearn.utils.estimator_checks import check_array_api_input
from stackae.sklearn import *
quick = {"layers": (6, 4), "epochs": 2}
for estimator in (StackEncoder(**quick), StackEncoder(**quick, codes="all"), StackClassifier(**quick),
                  StackRegressor(**quick), StackDetector(**quick)):
    name = type(estimator).__name__
    check_array_api_input(name, estimator, "torch", "cpu", "float64", check_values=True, check_sample_weight=True)
check_array_api_input("StackEncoder", StackEncoder(**quick), "torch", "cpu", "float32", check_values=True)
print("checked")
"""


def test_tensors_give_tensors_of_the_same_numbers() -> None:
    """In a process of its own: scipy reads whether it takes other arrays when it is loaded."""
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run([sys.executable, "-c", ARRAY_API], env=environment, capture_output=True, text=True)
    assert done.stdout.endswith("checked\n"), done.stderr
