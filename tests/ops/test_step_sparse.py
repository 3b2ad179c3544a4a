"""The fused step of a code that keeps few units: the eager one's numbers, and what a step promises beside them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_cases import (
    DEVICE_STEP,
    assert_equal_training,
    bits,
    both_steps,
    byte_rows,
    fused_step,
    objective,
    orders,
    parameters,
    rows_of,
    train,
)
from torch.profiler import ProfilerActivity, profile

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.config import TrainingConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data.paired import PairedRows
from stackae.ops.compiled import Batches, train_step, train_together
from stackae.training.fused import kernel_training
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import ramp_of
from stackae.training.step import EagerStep, OneByOne

pytestmark = pytest.mark.skipif(DEVICE_STEP, reason="the step of a GPU keeps all units")

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SHAPES = [(1, 1, 1, 1), (7, 3, 2, 7), (70, 65, 33, 64), (90, 20, 31, 17), (40, 300, 17, 40), (300, 33, 130, 290)]
PLAIN_SGD = {"optimizer": "sgd", "momentum": 0.0}
CASE = {"activation": "relu", "output_activation": "linear", "tied": False, "keeps": 5}


def dropout(inputs: float, units: float) -> tuple[Dropout, Dropout]:
    return Dropout(inputs, 1), Dropout(units, 2)


@st.composite
def cases(draw: Any) -> dict[str, Any]:
    """Everything that may stand beside kept units. No noise makes equal rows: what is equal is told apart below."""
    loss = draw(st.sampled_from(["mse", "bce"]))
    way = draw(st.sampled_from(["top-k", "batch-top-k", "lifetime"]))
    kind = draw(st.sampled_from(["none", "gaussian", *(["salt-and-pepper"] if way != "lifetime" else [])]))
    dead = draw(st.sampled_from([{}, {"auxiliary": (3, 20)}, {"auxiliary": (1000, 1)}])) if way != "lifetime" else {}
    return {
        "activation": draw(st.sampled_from(tuple(ACTIVATIONS))),
        "output_activation": "sigmoid" if loss == "bce" else draw(st.sampled_from(tuple(ACTIVATIONS))),
        "loss": loss,
        "tied": draw(st.booleans()),
        "over_batch": way == "batch-top-k",
        "share": draw(st.sampled_from([0.01, 0.25, 0.9])) if way == "lifetime" else 0.0,
        "corruption": Corruption(kind, 0.3 if kind != "none" else 0.0, -0.5, 1.5),
        "weight_l1": draw(st.sampled_from([0.0, 0.01])),
        "max_norm": draw(st.sampled_from([0.0, 0.5])),
        "dropout": draw(st.sampled_from([None, dropout(0.2, 0.0), dropout(0.0, 0.4)])),
        **dead,
    }


@FEW
@given(
    case=cases(),
    shape=st.sampled_from(SHAPES),
    share=st.sampled_from([0.0, 0.2, 1.0]),
    training=st.fixed_dictionaries(
        {"optimizer": st.sampled_from(["sgd", "adam", "adamw"]), "momentum": st.sampled_from([0.0, 0.9])}
    ),
    decay=st.sampled_from([0.0, 1e-2]),
    steps=st.sampled_from([1, 10, 200]),
)
def test_fused_equals_eager_to_rounding(case, shape, share, training, decay, steps):
    n, width, n_hidden, batch_size = shape
    x, keeps = rows_of(n, width), 0 if case["share"] else max(1, round(share * n_hidden))
    pair = both_steps(lambda: objective(x, n_hidden, keeps=keeps, **case), decay, **training)
    rate = 0.01 / max(width, n_hidden) if training["optimizer"] == "sgd" else 0.01
    assert_equal_training(pair, n, batch_size, steps, 1e-9, rate)


BESIDE: dict[str, dict[str, Any]] = {
    "emphasis": {"corruption": Corruption("masking", 0.3), "emphasis": Emphasis(1.0, 0.5)},
    "dropout of inputs": {"dropout": dropout(0.2, 0.0)},
    "clean rows beside noisy ones": {},
    "clean rows with gaps, and an auxiliary loss": {"auxiliary": (4, 64)},
    "emphasis and an auxiliary loss": {
        "corruption": Corruption("salt-and-pepper", 0.3),
        "emphasis": Emphasis(1.0, 0.5),
        "auxiliary": (4, 64),
    },
}
KEPT = {"top-k": {}, "batch-top-k": {"over_batch": True}, "lifetime": {"keeps": 0, "share": 0.1}}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("kept", KEPT)
def test_what_stands_beside_kept_units_equals_eager_to_rounding(beside, kept):
    if kept == "lifetime" and "auxiliary" in BESIDE[beside]:
        return
    x = rows_of(90, 65)
    clean = torch.where(x < 0.2, torch.nan, x) if "gaps" in beside else x
    rows = PairedRows(x.flip(0), clean) if beside.startswith("clean") else x
    given = {**CASE, **KEPT[kept], **BESIDE[beside]}
    pair = both_steps(lambda: replace(objective(x, 33, **given), x=rows), 1e-3)
    assert_equal_training(pair, 90, 32, 30, 1e-9)


def test_the_momentum_of_sgd_follows_its_ramp():
    config = TrainingConfig(optimizer="sgd", momentum=0.5, momentum_ramp="0.9:3")
    one, other = (objective(rows_of(64, 20), 10, **CASE) for _ in range(2))
    ramp = ramp_of(config, 64, 16)
    fused = train_step(kernel_training(one, config, 1e-3, ramp=ramp))
    eager = EagerStep(other, make_optimizer(other.network, config, 0.0, 1e-3), ramp=ramp)
    assert_equal_training([(one.network, fused), (other.network, eager)], 64, 16, 20, 1e-9, 0.001)


@pytest.mark.parametrize("over_batch", [False, True])
@pytest.mark.parametrize("kind", ["masking", "none"])
@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_in_float32_a_step_is_as_near_to_float64_as_eager(over_batch, kind, activation):
    case = {**CASE, "activation": activation, "over_batch": over_batch, "corruption": Corruption(kind, 0.3)}
    single, double = rows_of(290, 300, torch.float32), rows_of(290, 300)
    pair = both_steps(lambda: objective(single, 600, torch.float32, **case), **PLAIN_SGD)
    truth = objective(double, 600, **case)
    steps = [pair[0][1], pair[1][1], fused_step(truth, TrainingConfig(**PLAIN_SGD), 0.0)]
    losses = [train(step, 290, 290, 1) for step in steps]
    assert losses[0] == pytest.approx(losses[2], rel=1e-5)
    for a, b in zip(pair[0][0].parameters(), truth.network.parameters(), strict=True):
        assert (a.double() - b).abs().max().item() <= 3e-5 * max(1.0, b.abs().max().item())


def test_the_gradients_are_those_of_autograd():
    one = objective(rows_of(40, 30), 20, **CASE)
    before = parameters(one)
    one(torch.arange(40), 0).backward()
    wanted = [parameter.grad.clone() for parameter in one.network.parameters()]
    fused_step(one, TrainingConfig(**PLAIN_SGD), 0.0).advance(torch.arange(40), 40, 0, [1.0])
    for old, new, gradient in zip(before, parameters(one), wanted, strict=True):
        torch.testing.assert_close(old - new, gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("over_batch", "moved"), [(False, [0, 1]), (True, [0, 1, 2, 3, 4])])
def test_of_equal_units_the_first_are_kept_and_of_equal_rows(over_batch, moved):
    """Of 4 rows, the 2 first units each; of the batch the 8 first places: all 5 units of row 0, and 3 of row 1."""
    case = {"activation": "linear", "output_activation": "linear", "tied": False}
    one = objective(torch.zeros(4, 7, dtype=torch.float64), 5, keeps=2, over_batch=over_batch, **case)
    with torch.no_grad():
        one.network.encoder.bias.fill_(1.0)
    outgoing = one.network.decoder_weight.detach().clone()
    step = fused_step(one, TrainingConfig(**PLAIN_SGD), 0.0)
    step.advance(torch.arange(4), 4, 0, [0.1])
    assert (one.network.encoder.bias != 1).nonzero().flatten().tolist() == moved
    kept = torch.zeros(4, 5, dtype=torch.float64)
    kept.view(-1)[:8] = 1
    if not over_batch:
        kept = torch.tensor([1.0, 1, 0, 0, 0], dtype=torch.float64).repeat(4, 1)
    gradient = (2 / 4) * (kept @ outgoing.t()).t() @ kept
    torch.testing.assert_close(one.network.decoder_weight.detach(), outgoing - 0.1 * gradient)


def test_of_equal_rows_a_unit_keeps_the_first():
    """Of 7 rows, each of the 5 units keeps round(0.3 * 7) = 2: the output moves towards the rows 0 and 1."""
    case = {"activation": "linear", "output_activation": "linear", "tied": False}
    one = objective(torch.zeros(7, 3, dtype=torch.float64), 5, share=0.3, **case)
    with torch.no_grad():
        one.network.encoder.bias.fill_(1.0)
    outgoing = one.network.decoder_weight.detach().clone()
    fused_step(one, TrainingConfig(**PLAIN_SGD), 0.0).advance(torch.arange(7), 7, 0, [0.1])
    kept = (torch.arange(7) < 2).double().unsqueeze(1).expand(7, 5)
    gradient = (2 / 7) * (kept @ outgoing.t()).t() @ kept
    torch.testing.assert_close(one.network.decoder_weight.detach(), outgoing - 0.1 * gradient)


def test_silent_rows_are_counted_as_by_the_eager_step():
    pair = both_steps(lambda: objective(rows_of(90, 20), 31, **{**CASE, "keeps": 2, "auxiliary": (4, 100)}))
    for step in range(12):
        counts = []
        for _, each in pair:
            each.advance(torch.arange(90).roll(7 * step), 32, 3 * step, [0.01] * 3)
            counts.append(each.optimizer_state()[-1].tolist())
        assert counts[0] == counts[1]
        assert len(counts[0]) == 31 and 0 in counts[0] and max(counts[0]) == (90 if step == 0 else 100)


def trained(threads: int, cuts: list[int], **given: Any) -> list[bytes]:
    """The bits after 24 steps, handed over in calls that end at the given steps."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        noise = Corruption("masking", 0.3)
        one = objective(byte_rows(300, 130), 700, torch.float32, corruption=noise, **{**CASE, **given})
        step = fused_step(one, TrainingConfig(), 1e-4)
        order = torch.cat(orders(300, 16))
        for begin, end in zip([0, *cuts], [*cuts, 24], strict=True):
            step.advance(order[begin * 200 : end * 200], 200, begin, [0.01] * (end - begin))
        return bits(one)
    finally:
        torch.set_num_threads(before)


FORMS = pytest.mark.parametrize(
    "form",
    [
        {},
        {"tied": True},
        {"over_batch": True},
        {"activation": "gelu"},
        {"auxiliary": (12, 500)},
        {"auxiliary": (400, 100), "tied": True, "over_batch": True},
        {"dropout": dropout(0.1, 0.3), "max_norm": 0.5},
        {"max_norm": 0.5, "tied": True},
        {"keeps": 0, "share": 0.05},
        {"keeps": 0, "share": 0.3, "tied": True, "activation": "silu"},
    ],
    ids=str,
)


@FORMS
def test_any_number_of_threads_gives_the_same_bits(form):
    one = trained(1, [], **form)
    assert all(trained(threads, [], **form) == one for threads in (2, 3, 4))


@FORMS
def test_how_many_steps_a_call_takes_does_not_change_a_bit(form):
    assert trained(1, [], **form) == trained(1, [1, 5, 23], **form)


@FORMS
def test_a_new_step_goes_on_bit_for_bit_where_another_stopped(form):
    order, rates = torch.cat(orders(300, 16)), [0.01] * 24
    whole, first, second = (objective(byte_rows(300, 130), 70, torch.float32, **{**CASE, **form}) for _ in range(3))
    steps = [fused_step(one, TrainingConfig(), 1e-4) for one in (whole, first, second)]
    steps[0].advance(order, 200, 0, rates)
    steps[1].advance(order[: 11 * 200], 200, 0, rates[:11])
    second.network.load_state_dict(first.network.state_dict())
    for kept, fresh in zip(steps[1].optimizer_state(), steps[2].optimizer_state(), strict=True):
        fresh.copy_(kept)
    steps[2].advance(order[11 * 200 :], 200, 11, rates[11:])
    assert bits(whole) == bits(second)
    assert all(torch.equal(a, b) for a, b in zip(steps[0].optimizer_state(), steps[2].optimizer_state(), strict=True))


def test_weights_changed_from_outside_are_what_the_next_step_starts_from():
    first, second = (objective(rows_of(64, 20), 10, **CASE) for _ in range(2))
    step = fused_step(first, TrainingConfig(**PLAIN_SGD), 0.0)
    train(step, 64, 16, 4)
    first.network.load_state_dict(second.network.state_dict())
    assert train(step, 64, 16, 4) == train(fused_step(second, TrainingConfig(**PLAIN_SGD), 0.0), 64, 16, 4)


@pytest.mark.parametrize("form", [*KEPT.values(), {"keeps": 2, "auxiliary": (4, 16)}], ids=str)
def test_a_batch_whose_loss_is_not_finite_moves_nothing(form):
    x = rows_of(64, 20, torch.float32)
    x[40] = float("nan")
    one = objective(x, 10, torch.float32, **{**CASE, **form})
    step = fused_step(one, TrainingConfig(), 0.0)
    assert step.advance(torch.arange(16), 16, 0, [0.1]).steps == 1
    before, state = bits(one), [each.clone() for each in step.optimizer_state()]
    total, steps = step.advance(torch.arange(32, 64), 16, 1, [0.1, 0.1])
    assert steps == 0 and not math.isfinite(total)
    assert bits(one) == before
    assert all(torch.equal(own, kept) for own, kept in zip(step.optimizer_state(), state, strict=True))


def test_an_update_that_is_not_finite_is_refused_and_the_weights_stay_finite():
    one = objective(rows_of(16, 20, torch.float32), 10, torch.float32, **CASE)
    progress = fused_step(one, TrainingConfig(**PLAIN_SGD), 0.0).advance(torch.arange(16), 16, 0, [1e39])
    assert progress.steps == 0
    assert all(bool(parameter.isfinite().all()) for parameter in one.network.parameters())


def allocated(n_hidden: int, calls: int, size: int = 512, **given: Any) -> list[int]:
    """The bytes that each call asks torch for."""
    one = objective(rows_of(size, 4, torch.float32), n_hidden, torch.float32, **{**CASE, **given})
    step, order = fused_step(one, TrainingConfig(), 0.0), torch.arange(size)
    found = []
    for call in range(calls):
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiler:
            step.advance(order, size, call, [0.01])
        found.append(sum(max(0, each.self_cpu_memory_usage) for each in profiler.events()))
    return found


def test_the_first_batch_alone_asks_for_memory_and_none_for_a_dense_code():
    narrow, again = allocated(1024, 2)
    wide, _ = allocated(4096, 2)
    dense_code = 4 * 512 * (4096 - 1024)
    assert narrow > 0 and again == 0
    assert 0 < wide - narrow < dense_code / 10


@pytest.mark.parametrize(
    "form",
    [
        {"auxiliary": (12, 512)},
        {"keeps": 0, "share": 0.05},
        {"dropout": dropout(0.1, 0.3), "max_norm": 0.5},
    ],
    ids=str,
)
def test_no_later_batch_asks_for_memory(form):
    first, *later = allocated(700, 3, **form)
    assert first > 0 and later == [0, 0]


def test_networks_that_keep_different_numbers_of_units_train_together():
    made = [[objective(rows_of(64, 20), 10, **{**CASE, "keeps": keeps}) for keeps in (2, 9)] for _ in range(2)]
    together = train_together([kernel_training(one, TrainingConfig(), 0.0) for one in made[0]])
    apart = OneByOne([fused_step(one, TrainingConfig(), 0.0) for one in made[1]])
    batches = [Batches(torch.arange(64), [0.01] * 4)] * 2
    assert together.advance(batches, 16, 0) == apart.advance(batches, 16, 0)
    assert [bits(one) for one in made[0]] == [bits(one) for one in made[1]]
