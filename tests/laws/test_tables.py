"""Each table has a row for each of its names, in Python and in the extension."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, get_args

import pytest
import torch

from stackae.config import activations, heads, kinds
from stackae.models.heads import HEADS
from stackae.objectives.kinds import KINDS
from stackae.ops import compiled, reference


@pytest.mark.parametrize(
    ("names", "tables"),
    [
        (activations.ActivationName, (activations.ACTIVATIONS, reference.ACTIVATIONS, reference.SLOPES)),
        (kinds.Kind, (kinds.KINDS, KINDS)),
        (heads.HeadName, (heads.HEADS, HEADS)),
    ],
    ids=["activations", "kinds", "heads"],
)
def test_every_name_has_a_row_in_each_table(names: Any, tables: Iterable[dict[str, Any]]) -> None:
    for table in tables:
        assert list(table) == list(get_args(names))


def test_the_extension_has_the_activations_of_the_table() -> None:
    with pytest.raises(ValueError, match=re.escape(", ".join(activations.ACTIVATIONS) + ", got 'none'")):
        compiled.dense_act(torch.zeros(1, 1), torch.zeros(1, 1), None, "none")
