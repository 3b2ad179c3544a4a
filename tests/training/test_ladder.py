"""The ladder of training: calls and threads of which nothing depends, and who is told what."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from replica_cases import LINEAR, ROWS, UNLIKE, assert_same, config, together
from torch import Tensor

from stackae.data import epoch_order
from stackae.data.minibatches import FEW, epoch_orders
from stackae.pretraining import pretrain_stack, pretrain_together
from stackae.training.callbacks import EpochRecord, NoCallback
from stackae.training.trainer import Pace


@pytest.mark.parametrize("reported_every", [0.0, 1e9])
def test_how_many_batches_a_call_takes_does_not_matter(monkeypatch, reported_every):
    usual = together(UNLIKE)
    monkeypatch.setattr("stackae.training.trainer.REPORTED_EVERY", reported_every)
    for one, other in zip(usual, together(UNLIKE), strict=True):
        assert_same(one, other)


def test_a_call_soon_takes_a_whole_epoch_and_goes_on_to_in_the_next(monkeypatch):
    monkeypatch.setattr("stackae.training.trainer.REPORTED_EVERY", 1e9)
    calls: list[int] = []

    class Counting(NoCallback):
        def batch(self, rows: int, loss: float) -> None:
            calls.append(rows)

    together([config("20,12", batch_size=10, max_epochs=6)], callback=Counting())
    assert calls == [10, 20, 40, 80] + [150] * 5


@given(times=st.lists(st.sampled_from([0.0, 0.07, 1.0]), max_size=40))
def test_a_pace_is_at_least_one_batch_and_grows_by_full_calls_alone(times):
    pace = Pace()
    for seconds in times:
        before = pace.batches
        pace.learn(before, seconds)
        assert pace.batches == {0.0: before * 2, 0.07: before, 1.0: max(1, before // 2)}[seconds]
    grown = pace.batches
    pace.learn(grown - 1, 0.0)
    assert pace.batches == grown


# ---- orders of rows, computed ahead


@pytest.mark.parametrize("count", [1, 50, FEW - 1, FEW + 1])  # few rows: several epochs at once, without a thread
def test_orders_are_those_of_each_seed_and_epoch_and_leave_no_thread(count):
    before = threading.active_count()
    found = list(epoch_orders(count, lambda: {3, 7}, layer=2, epochs=6, first=3))
    assert threading.active_count() == before and len(found) == 4
    for epoch, orders in enumerate(found, start=3):
        assert orders.keys() == {3, 7}
        assert all(torch.equal(order, epoch_order(count, seed=s, layer=2, epoch=epoch)) for s, order in orders.items())


def test_orders_of_few_rows_follow_the_seeds_that_are_left():
    left = {3, 7}
    orders = epoch_orders(5000, lambda: set(left), layer=2, epochs=3)
    assert next(orders).keys() == {3, 7}
    left.remove(3)
    assert [each.keys() for each in orders] == [{7}, {7}]


def test_orders_that_are_given_up_leave_no_thread():
    before = threading.active_count()
    orders = epoch_orders(FEW + 1, lambda: {0}, layer=1, epochs=100)
    next(orders)
    assert threading.active_count() == before + 1
    orders.close()
    assert threading.active_count() == before


def test_an_order_that_cannot_be_made_is_an_error_of_its_epoch(monkeypatch):
    def made(count: int, *, seed: int, layer: int, epoch: int, block: int) -> Tensor:
        if epoch == 3:
            raise MemoryError("no room")
        return torch.arange(count)

    monkeypatch.setattr("stackae.data.minibatches.FEW", 0)
    monkeypatch.setattr("stackae.data.minibatches.epoch_order", made)
    before, seen = threading.active_count(), []
    with pytest.raises(MemoryError, match="no room"):
        seen.extend(epoch_orders(5, lambda: {0}, layer=1, epochs=9))
    assert threading.active_count() == before
    with pytest.raises(MemoryError, match="no room"):
        pretrain_stack(ROWS, config())
    assert threading.active_count() == before


def test_an_error_in_training_leaves_no_thread():
    class Failing(NoCallback):
        def batch(self, rows: int, loss: float) -> None:
            raise LookupError("the shelf is empty")

    before = threading.active_count()
    with pytest.raises(LookupError):
        pretrain_stack(ROWS, config(), callback=Failing())
    assert threading.active_count() == before


# ---- who is told


class Kept(NoCallback):
    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int, int]] = []
        self.rows = 0
        self.records: list[Mapping[int, EpochRecord]] = []

    def start_stage(self, stage: str, title: str, replicas: int, rows: int, epochs: int, passed: int) -> None:
        self.stages.append((title, replicas, rows, epochs))

    def batch(self, rows: int, loss: float) -> None:
        assert math.isfinite(loss)
        self.rows += rows

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        self.records.append(records)


def test_a_callback_gets_each_network_by_its_index():
    kept = Kept()
    results = together(UNLIKE, callback=kept)
    assert kept.stages == [("layer 1/2 20-12-20", len(UNLIKE), 150, 5), ("layer 2/2 12-6-12", len(UNLIKE), 150, 5)]
    assert kept.rows == 2 * 5 * 150 and len(kept.records) == 2 * 5
    for place, result in enumerate(results):
        assert [records[place] for records in kept.records] == result.history


def test_places_stay_when_one_has_diverged():
    kept = Kept()
    rates = ["1e30", "0.001", "0.001"]
    configs = [config(sparsity="none", seed=i, learning_rate=rate, **LINEAR) for i, rate in enumerate(rates)]
    kept.batch = lambda rows, loss: None
    results = pretrain_together(ROWS, configs, callback=kept)
    assert [replicas for _, replicas, _, _ in kept.stages] == [3, 2]
    assert all(records.keys() == {1, 2} for records in kept.records)
    assert [records[2] for records in kept.records] == results[2].history


@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_what_is_said_of_a_divergence_does_not_depend_on_the_length_of_calls(monkeypatch, engine):
    hopeless = config("20,12", sparsity="none", learning_rate=1e30, engine=engine, batch_size=8, **LINEAR)
    sentences = set()
    for reported_every in (0.0, 0.1, 1e9):
        monkeypatch.setattr("stackae.training.trainer.REPORTED_EVERY", reported_every)
        for configs in ([hopeless], [hopeless, hopeless]):
            sentences |= {str(result) for result in pretrain_together(ROWS, configs)}
    assert len(sentences) == 1
