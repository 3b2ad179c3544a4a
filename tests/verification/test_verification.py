"""Laws of the checks behind `stackae verify`: here all of them hold, and each fails where what it guards is off."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from verify_cases import FAULTS

from stackae.autoencoders.corruption import Corruption
from stackae.config.values import ACTIVATIONS
from stackae.errors import ConfigError
from stackae.ops import compiled as ops
from stackae.verification import (
    CHECKS,
    Case,
    Check,
    NotHereError,
    Outcome,
    chosen,
    gradients,
    noise,
    run,
    run_all,
    sampling,
)
from stackae.verification.gradients import differences
from stackae.verification.subjects import against_draws, furthest

Patch = pytest.MonkeyPatch
BY_NAME = {f"{check.group}: {check.name}": check for check in CHECKS}
ON_CUDA = [name for name in BY_NAME if name.endswith("CUDA")]
WHERE_THERE_IS_ONE = {
    "fused: step, bfloat16": ops.products("cpu", "bf16") is not None,
}


# ---- the checks


@pytest.mark.parametrize("name", BY_NAME)
def test_every_check_holds_here_and_leaves_all_as_it_was(name: str) -> None:
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state()
    outcome = run(BY_NAME[name])
    after = torch.get_num_threads(), torch.get_default_dtype(), torch.random.get_rng_state()
    assert before[:2] == after[:2] and torch.equal(before[2], after[2])
    if name in ON_CUDA and not torch.cuda.is_available():
        assert (outcome.state, outcome.reason, outcome.measured) == ("skipped", "no CUDA device", None)
    elif WHERE_THERE_IS_ONE.get(name, True):
        assert outcome.state == "passed", outcome.reason
        assert outcome.cases >= 1 and outcome.measured <= outcome.bound and outcome.reason == ""


@pytest.mark.parametrize("name", FAULTS)
def test_every_check_fails_where_what_it_guards_is_off(name: str, monkeypatch: Patch) -> None:
    if not WHERE_THERE_IS_ONE.get(name, True):
        pytest.skip("this machine has no such products")
    FAULTS[name](monkeypatch)
    check = BY_NAME[name]
    outcome = run(check)
    assert outcome.state == "failed" and outcome.measured > outcome.bound, outcome
    assert outcome.reason.startswith(f"{check.group}, {check.name}: expected {check.compared}, {check.figure} of at ")
    assert f"measured {outcome.measured:.3g} for {outcome.worst}" in outcome.reason and "\n" not in outcome.reason
    assert ("`--engine eager`" in outcome.reason) == (check.remedy != "")
    assert outcome.reason.endswith("report it together with what `stackae doctor` prints")


def test_every_check_that_runs_on_a_cpu_has_a_fault() -> None:
    assert set(FAULTS) == set(BY_NAME) - set(ON_CUDA)


def test_figures_are_the_same_again() -> None:
    for name in ("noise: masking", "marginalized: moments", "variational: KL", "fused: step, heads"):
        assert run(BY_NAME[name]).measured == run(BY_NAME[name]).measured


def test_without_the_extension_what_is_compiled_is_skipped_and_the_rest_holds(monkeypatch: Patch) -> None:
    monkeypatch.setitem(sys.modules, "stackae.ops.compiled", None)
    skipped = {name for name, check in BY_NAME.items() if _is_of_the_extension(run_skipping(check))}
    wanted = {name for name in BY_NAME if name.startswith("fused:")} | {
        "gradients: dense, fused step",
        "gradients: others, compiled ops",
        "gradients: heads, fused",
        "tied: fused step",
        "resuming: fused",
    }
    assert skipped == wanted
    for name in ("gradients: activations", "noise: masking", "tied: eager step", "linear: closed form"):
        assert run(BY_NAME[name]).state == "passed"


def run_skipping(check: Check) -> Outcome:
    """Its outcome up to the first case."""

    def first() -> Iterator[Case]:
        yield next(iter(check.measure()))

    return run(dataclasses.replace(check, measure=first))


def _is_of_the_extension(outcome: Outcome) -> bool:
    return outcome.state == "skipped" and "the extension is not built" in outcome.reason


# ---- the laws at their edges, which the command has no time or no word for

EXTREME = (
    Corruption(),
    Corruption("masking", 1.0),
    Corruption("salt-and-pepper", 1.0),
    Corruption("salt-and-pepper", 0.25, low=-0.5, high=2.0),
)
WITH_LIMITS = {f: {"activation": f, "tied": False, "contraction": 0.3, "weight_l1": 0.01} for f in ACTIVATIONS}
DROPPED = {f"{loss}, dropout": {"loss": loss, "dropout": "0.2:0.5", "sparsity": "l1:0.1"} for loss in ("mse", "bce")}
EDGES: dict[str, Callable[[], Iterator[Case]]] = {
    "moments of corrupted rows": lambda: sampling.moment_cases(EXTREME),
    "expected errors": lambda: sampling.error_cases(EXTREME),
    "bound": lambda: sampling.bound_cases((0.3, 1.0)),
    "all masked": lambda: noise.masking_cases((1.0,)),
    "all salt and pepper": lambda: noise.salt_cases((1.0,)),
    "gradients of contraction with L1 of weights": lambda: gradients.layer_cases("eager", [WITH_LIMITS]),
    "gradients of a penalty with dropout": lambda: gradients.layer_cases("eager", [DROPPED]),
}


@pytest.mark.parametrize("name", EDGES)
def test_a_law_holds_at_its_edges(name: str) -> None:
    cases = list(EDGES[name]())
    assert cases and [case for case in cases if not case.holds] == []


# ---- the runner


def check_of(*cases: Case, error: Exception | None = None, remedy: str = "") -> Check:
    def measure() -> Iterator[Case]:
        yield from cases
        if error is not None:
            raise error

    return Check("group", "name", "a to be b", "relative error", measure, remedy)


def test_the_case_that_is_told_is_the_one_nearest_to_its_bound_or_furthest_beyond() -> None:
    passed = run(check_of(Case("one", 1.0, 10.0), Case("two", 0.5, 1.0), Case("three", 0.0, 0.0)))
    assert (passed.state, passed.worst, passed.measured, passed.bound, passed.cases) == ("passed", "two", 0.5, 1.0, 3)
    failed = run(check_of(Case("one", 3.0, 1.0), Case("two", 50.0, 10.0)))
    assert (failed.state, failed.worst) == ("failed", "two")
    assert failed.reason == (
        "group, name: expected a to be b, relative error of at most 10, measured 50 for two; report it together with "
        "what `stackae doctor` prints"
    )


@pytest.mark.parametrize("measured", [float("nan"), float("inf"), 1e-30])
def test_nan_infinity_and_any_difference_where_none_is_allowed_fail(measured: float) -> None:
    outcome = run(check_of(Case("fine", 0.5, 1.0), Case("bad", measured, 0.0)))
    assert (outcome.state, outcome.worst) == ("failed", "bad")


def test_an_error_inside_a_check_is_a_row_that_failed_and_the_others_go_on() -> None:
    checks = [
        check_of(Case("one", 0.0, 1.0), error=ZeroDivisionError("by what\nwas 0")),
        check_of(error=NotHereError("no such thing")),
        check_of(),
        check_of(Case("one", 0.0, 1.0), remedy="do without"),
    ]
    outcomes = list(run_all(checks))
    assert [outcome.state for outcome in outcomes] == ["failed", "skipped", "failed", "passed"]
    assert "expected a to be b, got ZeroDivisionError: by what; report it" in outcomes[0].reason
    assert outcomes[0].measured is None and "\n" not in outcomes[0].reason
    assert outcomes[1].reason == "no such thing" and "got no case to compare" in outcomes[2].reason


def test_what_a_check_changes_is_put_back_whatever_becomes_of_it() -> None:
    def measure() -> Iterator[Case]:
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        torch.randn(3)
        raise ValueError("broken")
        yield

    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    assert run(Check("group", "name", "a to be b", "how many", measure)).state == "failed"
    assert torch.get_num_threads() == threads and torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.random.get_rng_state(), state)


def test_small_networks_are_checked_on_one_thread_and_what_threads_share_on_all_that_are_set() -> None:
    before, seen = torch.get_num_threads(), []

    def measure() -> Iterator[Case]:
        seen.append(torch.get_num_threads())
        yield Case("one", 0.0, 1.0)

    try:
        torch.set_num_threads(2)
        for threads in (False, True):
            run(Check("group", "name", "a to be b", "how many", measure, threads=threads))
        assert seen == [1, 2] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_groups_are_chosen_by_name_and_an_unknown_one_is_told_with_those_there_are() -> None:
    assert chosen(CHECKS, None) == list(CHECKS)
    assert {check.group for check in chosen(CHECKS, "tied, noise")} == {"tied", "noise"}
    for text, got in (("gradient", "got 'gradient'; did you mean 'gradients'?"), ("", "got ''"), ("tied,", "got ''")):
        with pytest.raises(ConfigError) as caught:
            chosen(CHECKS, text)
        known = "gradients, contraction, marginalized, linear, tied, noise, variational, fused, resuming"
        assert str(caught.value) == f"only: expected names out of {known}, {got}"


# ---- what checks compare by


def test_differences_are_the_gradient_and_leave_the_parameters_as_they_were() -> None:
    weight = torch.linspace(-1, 1, 6, dtype=torch.float64).view(2, 3).t()  # of any strides
    before = weight.clone()
    (found,) = differences(lambda: weight.pow(3).sum(), [weight])
    torch.testing.assert_close(found, 3 * before.square(), rtol=0, atol=1e-9)
    assert torch.equal(weight, before)


def test_distances_and_standard_errors_say_how_far_apart_two_are() -> None:
    one = [torch.tensor([1.0, 2.0]), torch.tensor([1e-9])]
    assert furthest(one, one) == 0 and furthest(one, one[:1]) == float("inf") and furthest([], one) == float("inf")
    assert furthest([one[0] + 0.2, one[1]], one) == pytest.approx(0.1)
    assert furthest([one[0], one[1] + 0.002], one) == pytest.approx(1.0)  # of a thousandth of the largest
    assert str(furthest([one[0] * float("nan"), one[1]], one)) == "nan"
    case = against_draws("a", torch.tensor([2.0, 3.0]).double(), torch.tensor([2.0, 2.0]).double(), 0.25)
    assert case == Case("a", 4.0, 5.0, "3 ± 0.2, expected 2") and case.holds
    assert against_draws("a", torch.tensor(2.0).double(), 2.0, 0.0).measured == 0
    assert not against_draws("a", torch.tensor([2.0, float("nan")]).double(), 2.0, 0.25).holds
