"""Labels are kept as asked and held out only where they are many; rows stay in the order of their source."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import FinetuneConfig
from stackae.config.heads import HEADS
from stackae.config.values import labels_asked, validated
from stackae.data import ByteRows, Part, Scaling
from stackae.data.labelled import SCARCE, Parts, is_scarce, learned_parts
from stackae.errors import ConfigError, naming_options


def parts_of(y: torch.Tensor, held_out: list[int]) -> Parts:
    """Rows whose only cell is their place, of which some are held out."""
    places = torch.arange(len(y))
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[held_out] = True
    order = torch.cat((places[~mask], places[mask])).argsort()
    x = places.float()[:, None]
    return Parts(Part(x[~mask], y[~mask]), Part(x[mask], y[mask]), order)


@given(st.sets(st.integers(0, 59), max_size=20), st.integers(0, 2**40))
def test_the_same_labels_are_kept_whatever_is_held_out(held_out: set[int], seed: int) -> None:
    y = torch.arange(60) % 3
    settings = FinetuneConfig(labels="12", labels_seed=seed)
    found = learned_parts(parts_of(y, sorted(held_out)), settings)
    alone = learned_parts(parts_of(y, []), settings)
    assert len(found.validation.x) == 0 and torch.equal(found.train.x, alone.train.x)
    assert torch.equal(found.train.x.flatten(), torch.arange(60.0))
    assert found.train.y is not None and alone.train.y is not None and torch.equal(found.train.y, alone.train.y)
    assert found.train.y[found.train.y >= 0].bincount().tolist() == [4, 4, 4]


def test_many_labels_are_held_out_as_they_were_divided() -> None:
    parts = parts_of(torch.arange(3 * SCARCE) % 3, [0, 7, 9])
    found = learned_parts(parts, FinetuneConfig())
    assert found.validation.x.flatten().tolist() == [0, 7, 9] and len(found.train.x) == 3 * SCARCE - 3


def test_validation_rows_from_elsewhere_are_never_trained_on() -> None:
    parts = parts_of(torch.arange(12) % 3, [0, 5])._replace(order=None)
    found = learned_parts(parts, FinetuneConfig(labels="6"))
    assert len(found.validation.x) == 2 and found.validation.y is not None and bool((found.validation.y >= 0).all())
    assert found.train.y is not None and int((found.train.y >= 0).sum()) == 6


def test_bytes_stay_bytes() -> None:
    raw, scaling = torch.arange(8, dtype=torch.uint8)[:, None], Scaling("none", torch.zeros(1), torch.ones(1))
    y = torch.arange(8) % 2
    parts = Parts(
        Part(ByteRows(raw[1::2].contiguous(), scaling), y[1::2]),
        Part(ByteRows(raw[::2].contiguous(), scaling), y[::2]),
        None,
    )
    order = torch.tensor([4, 0, 5, 1, 6, 2, 7, 3])
    found = learned_parts(parts._replace(order=order), FinetuneConfig())
    assert isinstance(found.train.x, ByteRows) and torch.equal(found.train.x.raw, raw)


@pytest.mark.parametrize(
    ("head", "y", "scarce"),
    [
        ("classifier", torch.arange(100) % 2, False),
        ("classifier", torch.arange(99) % 2, True),
        ("classifier", torch.cat((torch.zeros(5000), torch.ones(3))).long(), False),
        ("classifier", torch.full((20,), -1), False),
        ("multilabel", (torch.arange(100) % 2).double()[:, None], False),
        ("multilabel", (torch.arange(100) % 3 == 0).double()[:, None], True),
        ("regressor", torch.zeros(500, 1), False),
        ("regressor", torch.cat((torch.zeros(499, 1), torch.full((9, 1), torch.nan))), True),
    ],
)
def test_when_labels_are_scarce(head: str, y: torch.Tensor, scarce: bool) -> None:
    assert is_scarce(y, HEADS[head]) == scarce


def test_how_labels_are_asked_for() -> None:
    given: list[Any] = ["all", "100", 100, "10-per-class"]
    assert [labels_asked(FinetuneConfig(labels=each).labels) for each in given] == [
        (None, False),
        (100, False),
        (100, False),
        (10, True),
    ]
    for text, sentence in (
        ("0", "labels: expected a whole number, such as 100, that number of each class, as 10-per-class, or all, got"),
        ("ten", "got 'ten'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            FinetuneConfig(labels=text)
    with pytest.raises(ConfigError, match="labels 9: expected a head that learns from labels, got reconstruction"):
        FinetuneConfig(labels="9", head="reconstruction")
    with pytest.raises(ConfigError, match="labels 9-per-class: expected head classifier, got regressor, which has no"):
        FinetuneConfig(labels="9-per-class", head="regressor")


def test_classes_in_place_of_a_method_are_sent_to_the_option_that_names_them() -> None:
    methods = "unlabelled: expected one of auto, none, pseudo-label, adversarial, ladder, got"
    remedy = "name classes whose rows have no label by"
    for text, rest in (("8,9", f"{remedy} background='8,9'"), ("laddr", "did you mean 'ladder'?")):
        with pytest.raises(ConfigError, match=re.escape(f"{methods} '{text}'; {rest}")):
            validated(FinetuneConfig, {"unlabelled": text})
    with naming_options(), pytest.raises(ConfigError, match=re.escape(f"{remedy} --background 8,9")):
        validated(FinetuneConfig, {"unlabelled": "8,9"})
