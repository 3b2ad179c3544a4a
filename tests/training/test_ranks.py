"""Steps of several ranks: each computes its share of a batch, and together they make the step of one process."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from rank_cases import on_ranks
from step_cases import HALF, bits, byte_rows, classification, objective, orders, rows_of

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.config import TrainingConfig
from stackae.objectives.penalties import KlSparsity, L1Sparsity
from stackae.ops.compiled import train_step
from stackae.ranks import ALONE
from stackae.training.fused import kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.step import EagerStep

N, D, H, BATCH, STEPS = 230, 21, 18, 50, 200  # the last batch of an epoch has 30 rows
MASKING, KL = Corruption("masking", 0.3), KlSparsity(0.1, 0.5)
MADE: dict[str, dict[str, object]] = {
    "kl and masking": {"corruption": MASKING, "sparsity": KL},
    "tanh kl, untied": {"activation": "tanh", "tied": False, "sparsity": KL},
    "contraction": {"contraction": 0.1, "corruption": Corruption("gaussian", 0.2)},
    "l1, weights and norms": {"sparsity": L1Sparsity(0.01), "weight_l1": 0.01, "max_norm": 1.5, "tied": False},
    "dropout and emphasis": {
        "corruption": Corruption("salt-and-pepper", 0.3),
        "dropout": (Dropout(0.2, 1), Dropout(0.3, 2)),
        "emphasis": Emphasis(2.0, 0.5),
    },
    "bce": {"loss": "bce", "corruption": MASKING},
    "top-k": {"activation": "relu", "keeps": 4, "tied": False, "dropout": (Dropout(0.2, 1), Dropout(0.2, 2))},
    "top-k, auxiliary": {"activation": "relu", "keeps": 2, "auxiliary": (4, 60), "tied": False},
}
OVER_BATCH: dict[str, dict[str, object]] = {
    "batch-top-k": {"activation": "relu", "keeps": 4, "over_batch": True, "tied": False},
    "lifetime": {"activation": "relu", "share": 0.1, "tied": False},
}
CONFIG = TrainingConfig(optimizer="adam", momentum=0.9)


def made(name, dtype=torch.float64, rows=N, x=None):
    given = {**MADE, **OVER_BATCH}[name]
    return objective(rows_of(rows, D, dtype) if x is None else x, H, dtype, **given)


def step_of(one, engine, ranks, precision="fp32"):
    if engine == "fused":
        return train_step(kernel_training(one, CONFIG, 1e-4), precision, ranks)
    return EagerStep(one, make_optimizer(one.network, CONFIG, 0.0, 1e-4), ranks=ranks)


def trained(make, engine, ranks=ALONE, steps=STEPS, batch=BATCH, precision="fp32"):
    """The objective, and the sums of losses of calls of an epoch's batches."""
    one = make()
    step, n, losses, done = step_of(one, engine, ranks, precision), len(one.x), [], 0
    per_epoch = -(-n // batch)
    for order in orders(n, -(-steps // per_epoch)):
        count = min(per_epoch, steps - done)
        result = step.advance(order[: count * batch], batch, done, [0.01] * count)
        assert result.steps == count
        losses.append(result.total)
        done += count
    state = [each.clone() for each in step.optimizer_state()]
    return one, losses, state


def assert_same_training(found, expected, tolerance):
    for one, losses, _ in found:
        assert losses == pytest.approx(expected[1], rel=tolerance)
        for own, other in zip(one.network.parameters(), expected[0].network.parameters(), strict=True):
            torch.testing.assert_close(own, other, rtol=tolerance, atol=tolerance)


def assert_same_bits(found):
    """On all ranks: parameters, optimizer state and losses."""
    one, losses, state = found[0]
    for other, others_losses, others_state in found[1:]:
        assert bits(other) == bits(one)
        assert others_losses == losses
        assert all(torch.equal(a, b) for a, b in zip(state, others_state, strict=True))


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("name", MADE)
def test_ranks_make_the_training_of_one_process(name, engine, ranks):
    def make():
        return made(name)

    alone = trained(make, engine)
    found = on_ranks(ranks, lambda own: trained(make, engine, own))
    assert_same_bits(found)
    assert_same_training(found, alone, 1e-8)


@pytest.mark.parametrize("name", OVER_BATCH)
def test_ranks_select_units_over_the_whole_batch(name):
    alone = trained(lambda: made(name), "eager", steps=60)
    found = on_ranks(2, lambda own: trained(lambda: made(name), "eager", own, steps=60))
    assert_same_bits(found)
    assert_same_training(found, alone, 1e-8)


@pytest.mark.parametrize("name", OVER_BATCH)
def test_the_fused_step_refuses_what_ranks_select_over_the_batch(name):
    with pytest.raises(ValueError, match=r"ranks: expected a code of which each row keeps its own units"):
        on_ranks(1, lambda own: step_of(made(name), "fused", own))


@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_a_penalty_per_rank_is_another_objective(engine):
    """The test above would not see it if it were the same: the loss of each half of a batch, averaged."""
    x = rows_of(N, D)
    halves = [step_of(made("tanh kl, untied", x=x), engine, ALONE) for _ in range(2)]
    rows = torch.arange(N).chunk(2)
    mean = sum(step.advance(own, N, 0, [0.01]).total for step, own in zip(halves, rows, strict=True)) / N
    whole = step_of(made("tanh kl, untied", x=x), engine, ALONE).advance(torch.arange(N), N, 0, [0.01]).total / N
    (found, _) = on_ranks(2, lambda own: step_of(made("tanh kl, untied", x=x), engine, own).advance(
        torch.arange(N), N, 0, [0.01]).total / N)  # fmt: skip
    assert found == pytest.approx(whole, rel=1e-12)
    assert mean > whole * (1 + 1e-6)  # the KL is convex


@pytest.mark.parametrize("name", [*MADE])
def test_a_sum_over_one_rank_changes_no_bit(name):
    def make():
        return made(name, torch.float32)

    alone, (found,) = trained(make, "fused", steps=20), on_ranks(1, lambda own: trained(make, "fused", own, steps=20))
    assert_same_bits([alone, found])


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("name", ["kl and masking", "top-k, auxiliary"])
def test_repeats_have_the_same_bits(name, engine):
    def once():
        return on_ranks(2, lambda own: trained(lambda: made(name, torch.float32), engine, own, steps=30))

    assert_same_bits([*once(), *once()])


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("name", ["kl and masking", "top-k, auxiliary", "contraction"])
def test_batches_may_have_fewer_rows_than_there_are_ranks(name, engine):
    def make():
        return made(name, rows=11)

    alone = trained(make, engine, steps=20, batch=3)
    found = on_ranks(4, lambda own: trained(make, engine, own, steps=20, batch=3))
    assert_same_bits(found)
    assert_same_training(found, alone, 1e-8)


@HALF
def test_ranks_make_the_training_of_one_process_in_bfloat16():
    def make():
        return made("kl and masking", torch.float32)

    alone = trained(make, "fused", precision="bf16", steps=50)
    assert_same_bits([alone, *on_ranks(1, lambda own: trained(make, "fused", own, precision="bf16", steps=50))])
    found = on_ranks(2, lambda own: trained(make, "fused", own, precision="bf16", steps=50))
    assert_same_bits(found)
    assert_same_training(found, alone, 1e-2)


def test_ranks_train_on_bytes_and_labels():
    y = torch.arange(N) % 3

    def make():
        found = classification(byte_rows(N, D), y, (D, 9, 3), torch.float64, "sigmoid")
        return dataclasses.replace(found, corruption=MASKING, dropout=(Dropout(0.1, 1), Dropout(0.2, 2)))

    alone = trained(make, "fused")
    found = on_ranks(2, lambda own: trained(make, "fused", own))
    assert_same_bits(found)
    assert_same_training(found, alone, 1e-8)


def test_each_rank_computes_its_share_in_two_sums_per_step():
    seen = []

    def work(own):
        seen.append(own.meeting)
        return trained(lambda: made("kl and masking"), "fused", own, steps=10)

    on_ranks(2, work)
    assert seen[0].sums == 2 * 10


def test_a_loss_that_is_not_finite_moves_no_rank():
    x = rows_of(8, D)
    x[6] = torch.inf  # in the share of the last rank alone

    def work(own):
        one = made("kl and masking", x=x)
        before = bits(one)
        result = step_of(one, "fused", own).advance(torch.arange(8), 8, 0, [0.01])
        return result.steps, bits(one) == before

    assert on_ranks(2, work) == [(0, True)] * 2


def test_an_error_of_a_sum_ends_the_call():
    def lost(numbers):
        raise RuntimeError("rank 1 has ended")

    one = made("kl and masking")
    before = bits(one)
    broken = SimpleNamespace(rank=0, count=2, several=True, sum=lost)
    with pytest.raises(RuntimeError, match="rank 1 has ended"):
        step_of(one, "fused", broken).advance(torch.arange(8), 8, 0, [0.01])
    assert bits(one) == before
