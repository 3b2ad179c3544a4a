"""Counter-based randomness: a pure function of its key and counter, with the moments it should have."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stackae.random import (
    CHUNK_WORDS,
    KeyedPermutation,
    Purpose,
    normal_rows,
    permutation,
    permutations,
    philox,
    raw_words,
    row_words,
    uniform,
)

KEYS = {"seed": 3, "purpose": Purpose.ORDER, "layer": 2, "counter": 5}


def test_words_are_dealt_in_chunks_of_sixteen_blocks_lane_by_lane():
    where = [KEYS["counter"], 0, int(KEYS["purpose"]) << 24 | KEYS["layer"]]
    words = raw_words(3 * CHUNK_WORDS, **KEYS)
    for chunk, block, lane in ((0, 0, 0), (0, 15, 3), (2, 7, 1)):
        counter = np.array([16 * chunk + block, *where], dtype=np.uint32)[:, None]
        known = philox(counter, np.array([KEYS["seed"], 0], dtype=np.uint32))[lane, 0]
        assert words[CHUNK_WORDS * chunk + 16 * lane + block] == known


@pytest.mark.parametrize("width", [1, 63, 64, 65, 784])
def test_every_row_begins_with_a_chunk_of_its_own(width):
    words = row_words(5, width, **KEYS)
    assert words.shape[1] % CHUNK_WORDS == 0 and width <= words.shape[1] < width + CHUNK_WORDS
    assert np.array_equal(words.reshape(-1), raw_words(words.size, **KEYS))


@given(seed=st.integers(0, 2**63 - 1), counter=st.integers(0, 2**40), count=st.integers(0, 50))
def test_a_draw_depends_on_its_key_and_counter_alone(seed, counter, count):
    first = raw_words(count, seed=seed, purpose=Purpose.SPLIT, counter=counter)
    raw_words(7, seed=seed + 1, purpose=Purpose.SPLIT)
    assert np.array_equal(first, raw_words(count, seed=seed, purpose=Purpose.SPLIT, counter=counter))
    assert len(first) == count


@pytest.mark.parametrize("change", [{"seed": 4}, {"purpose": Purpose.SPLIT}, {"layer": 3}, {"counter": 6}])
def test_any_change_of_key_or_counter_gives_another_stream(change):
    same = raw_words(4096, **KEYS) == raw_words(4096, **{**KEYS, **change})
    assert same.sum() <= 1  # 4096 / 2^32 expected


def test_a_shorter_draw_is_the_beginning_of_a_longer_one():
    assert np.array_equal(raw_words(9, **KEYS), raw_words(100, **KEYS)[:9])


def test_uniform_numbers_have_the_moments_of_the_unit_interval():
    u = uniform((1000, 1000), **KEYS)
    assert u.min() >= 0
    assert u.max() < 1
    assert u.double().mean().item() == pytest.approx(0.5, abs=5 / math.sqrt(12e6))
    assert u.double().var().item() == pytest.approx(1 / 12, rel=0.01)


def test_normal_numbers_have_the_moments_of_the_normal_distribution():
    z = normal_rows(999, 1001, **KEYS).double()
    assert z.mean().item() == pytest.approx(0.0, abs=5e-3)
    assert z.var().item() == pytest.approx(1.0, rel=0.01)
    assert (z**4).mean().item() == pytest.approx(3.0, rel=0.03)
    assert bool(z.isfinite().all())


@given(count=st.integers(0, 300), seed=st.integers(0, 1000))
def test_a_permutation_holds_every_index_once(count, seed):
    order = permutation(count, seed=seed, purpose=Purpose.ORDER)
    assert torch.equal(order.sort().values, torch.arange(count))


def test_every_index_is_equally_likely_to_come_first():
    firsts = [int(permutation(5, seed=0, purpose=Purpose.ORDER, counter=i)[0]) for i in range(5000)]
    assert np.bincount(firsts, minlength=5) == pytest.approx(1000, abs=150)  # 5 standard deviations


# ---- permutations that are not stored


@given(count=st.integers(0, 3000), seed=st.integers(0, 2**63 - 1), counter=st.integers(0, 2**40))
def test_a_keyed_permutation_holds_each_number_once_whatever_is_asked(count, seed, counter):
    order = KeyedPermutation(count, seed=seed, purpose=Purpose.ORDER, counter=counter)
    whole = order[:]
    assert len(order) == count and whole.dtype == torch.int64 and torch.equal(whole.sort().values, torch.arange(count))
    for start, stop in ((0, 7), (5, 5), (count // 2, count + 9)):
        assert torch.equal(order[start:stop], whole[start:stop])


@pytest.mark.parametrize("count", [10**6 + 3, 10**9, 2**31, 2**40 + 1])
def test_a_keyed_permutation_costs_what_is_asked_of_it(count):
    order = KeyedPermutation(count, **KEYS)
    places = np.array([0, 1, count // 2, count - 1])
    found = order.at(places)
    assert ((found >= 0) & (found < count)).all() and len(set(found.tolist())) == 4
    assert np.array_equal(order.at(places[::-1]), found[::-1])
    assert np.array_equal(order[count - 5 : count][-1:], found[-1:])


@pytest.mark.parametrize("change", [{"seed": 4}, {"purpose": Purpose.SPLIT}, {"layer": 3}, {"counter": 6}])
def test_any_change_of_key_or_counter_gives_another_keyed_permutation(change):
    one, other = (KeyedPermutation(10_000, **{**KEYS, **each})[:] for each in ({}, change))
    assert (one == other).sum() <= 8  # one in expectation: P(more than 8) is about 1e-6


def test_a_keyed_permutation_mixes():
    """As uniform draws do: neighbours lie far apart, halves evenly in halves, and every order of three is as likely."""
    count = 60_000
    order = KeyedPermutation(count, **KEYS)[:].numpy()
    assert np.abs(np.diff(order)).mean() == pytest.approx(count / 3, rel=0.02)
    low = (order[: count // 2] < count // 2).sum()
    assert abs(low - count / 4) < 5 * math.sqrt(count / 16)
    orders = [tuple(KeyedPermutation(3, seed=seed, purpose=Purpose.ORDER)[:].tolist()) for seed in range(6000)]
    assert all(abs(orders.count(each) - 1000) < 5 * math.sqrt(1000) for each in set(orders)) and len(set(orders)) == 6


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 500])
def test_permutations_of_several_counters_are_those_of_each(count):
    stream = {"seed": 2**63 + 5, "purpose": Purpose.ORDER, "layer": 1000}
    counters = range(2**32 - 2, 2**32 + 2)
    drawn = permutations(count, counters, **stream)
    assert drawn.shape == (4, count)
    for counter, own in zip(counters, drawn, strict=True):
        assert torch.equal(own, permutation(count, counter=counter, **stream))
        assert torch.equal(own.sort().values, torch.arange(count))
