"""Orders of rows: each row once, whatever is asked of them, and the same after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import laws, peak_of
from hypothesis import given
from hypothesis import strategies as st
from replica_cases import HELD_OUT, ROWS, assert_same, config

from stackae import random
from stackae.config import DataConfig, PretrainConfig
from stackae.data.division import TEST, VALIDATION, divided
from stackae.data.minibatches import BlockOrder, epoch_order
from stackae.data.order.held_out import hold_out
from stackae.data.source import Source
from stackae.errors import ConfigError
from stackae.pretraining import pretrain_stack
from stackae.random import KeyedPermutation

KEYS = {"seed": 3, "layer": 1, "epoch": 2}


@laws
@given(st.integers(1, 900), st.integers(1, 200), st.integers(0, 9), st.data())
def test_blocks_hold_each_row_once(count: int, block: int, seed: int, data: st.DataObject) -> None:
    order = BlockOrder(count, block, seed=seed, layer=1, epoch=1)
    whole = order[:]
    assert len(order) == count and torch.equal(whole.sort().values, torch.arange(count))
    start, stop = data.draw(st.integers(0, count)), data.draw(st.integers(0, count + 5))
    assert torch.equal(order[start:stop], whole[start:stop])


def test_rows_that_are_read_together_lie_in_eight_blocks() -> None:
    order = BlockOrder(100_000, 500, **KEYS)
    for start in range(0, 100_000, 4000):
        blocks = np.unique(order[start : start + 4000].numpy() // 500)
        assert len(blocks) == 8
    first = order[:4000]
    assert (first[1:] - first[:-1] == 1).float().mean() < 0.01  # and are shuffled there
    assert not torch.equal(order[:4000], BlockOrder(100_000, 500, seed=3, layer=1, epoch=3)[:4000])


def test_small_sets_have_the_order_of_sorted_keys_and_large_ones_store_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(epoch_order(1 << 20, **KEYS), torch.Tensor)
    assert isinstance(epoch_order((1 << 20) + 1, **KEYS), KeyedPermutation)
    assert isinstance(epoch_order(10, block=3, **KEYS), BlockOrder)
    monkeypatch.setattr(random, "MOST_SORTED", 100)
    one = config("20,12")
    first, second = (pretrain_stack(ROWS, one, validation=HELD_OUT) for _ in range(2))
    assert_same(first, second)
    assert first.history[-1].loss < first.history[0].loss


def test_the_order_is_a_setting() -> None:
    exact, blocks = (pretrain_stack(ROWS, config("20,12", shuffle=each)) for each in ("exact", "blocks:10"))
    assert not torch.equal(exact.stack.encode(ROWS), blocks.stack.encode(ROWS))
    assert torch.allclose(exact.stack.encode(ROWS), blocks.stack.encode(ROWS), atol=0.1)
    for wrong in ("blocks", "blocks:0", "blocks:x", "sorted"):
        with pytest.raises(ConfigError, match="shuffle: expected exact or blocks:ROWS, such as blocks:65536, got"):
            PretrainConfig.from_options("4,2", shuffle=wrong)


@pytest.mark.parametrize("labels", [None, np.repeat([-1, 0, 4], (3000, 800, 201))], ids=["none", "three"])
def test_large_sets_are_held_out_in_the_same_shares(monkeypatch: pytest.MonkeyPatch, labels: np.ndarray | None) -> None:
    sorted_keys = hold_out(labels, 4001, 0.25, 7, 0)
    monkeypatch.setattr(random, "MOST_SORTED", 500)
    kept, held = hold_out(labels, 4001, 0.25, 7, 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(4001))
    groups = np.zeros(4001, int) if labels is None else labels
    for group in np.unique(groups):
        assert (groups[held] == group).sum() == (groups[sorted_keys[1]] == group).sum()
    assert not np.array_equal(held, sorted_keys[1])
    np.testing.assert_array_equal(held, hold_out(labels, 4001, 0.25, 7, 0)[1])
    assert np.histogram(held, 2, (0, 4001))[0].min() > 400  # from everywhere


def test_rows_are_divided_in_a_few_bytes_each() -> None:
    count = 3 << 20
    source = Source("rows", np.broadcast_to(np.float32(1), (count, 2)))
    fractions = DataConfig(test_fraction=0.1, validation_fraction=0.1)
    assert peak_of(lambda: divided(source, fractions)) < 8 * count
    parts = divided(source, fractions)
    assert (parts == TEST).sum() == round(count / 10) and (parts == VALIDATION).sum() == round(0.09 * count)
