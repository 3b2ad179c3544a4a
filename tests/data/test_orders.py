"""Orders of rows: each row once, whatever is asked of them, and the same after a resume."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from data_files import laws
from hypothesis import given
from hypothesis import strategies as st
from replica_cases import HELD_OUT, ROWS, assert_same, config

from stackae.config import PretrainConfig
from stackae.data import minibatches
from stackae.data.minibatches import BlockOrder, epoch_order
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
    monkeypatch.setattr(minibatches, "MOST_SORTED", 100)
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
