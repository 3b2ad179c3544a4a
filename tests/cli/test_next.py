"""What is proposed after a pretraining: what its labels can be learned by, or what needs none."""

from __future__ import annotations

import pytest
from shell import Shell

LAYERS = ("--layers", "auto,3", "--epochs", "1")


@pytest.mark.parametrize(
    ("options", "proposed"),
    [
        (("--data", "unlabelled.npy"), "stackae score"),
        (("--data", "labelled.csv", "--drop", "kind"), "stackae score"),
        (("--data", "labelled.csv", "--target", "kind"), "stackae finetune --head classifier"),
        (("--data", "labelled.csv", "--drop", "kind", "--target", "f0", "--target-kind", "numbers"),
         "stackae finetune --head regressor"),
    ],
)  # fmt: skip
def test_what_fits_the_labels_is_proposed_and_works(fresh: Shell, options: tuple[str, ...], proposed: str) -> None:
    for command in (("pretrain", *options, *LAYERS), ("evaluate",)):
        assert fresh.does(*command).splitlines()[-1] == f"next        {proposed}"
    told = fresh.does(*proposed.split()[1:])
    assert "next        " in told


def test_seeds_that_train_together_are_told_the_same(fresh: Shell) -> None:
    told = fresh.does("pretrain", "--data", "unlabelled.npy", *LAYERS, "--seeds", "2")
    assert told.splitlines()[-1] == "next        stackae score"
