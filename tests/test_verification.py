"""Laws of the checks behind `stackae verify`: here all of them hold, and each fails where what it guards is off."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stackae import ops, reference
from stackae.autoencoders import contraction as contracting
from stackae.autoencoders import dense, linear, marginalized, variational
from stackae.autoencoders.conv import Convolution
from stackae.corruption import Dropout
from stackae.errors import ConfigError
from stackae.losses import LOSSES
from stackae.moments import CorruptedMoments
from stackae.penalties import KlSparsity
from stackae.runs import journal
from stackae.training import heads, layer, reconstruction
from stackae.training import variational as training
from stackae.training.step import EagerStep
from stackae.verification import CHECKS, Case, Check, NotHereError, Outcome, chosen, run, run_all
from stackae.verification.gradients import differences
from stackae.verification.subjects import furthest, z_score

Patch = pytest.MonkeyPatch
BY_NAME = {f"{check.group}: {check.name}": check for check in CHECKS}
ON_CUDA = [name for name in BY_NAME if name.endswith("CUDA")]
WHERE_THERE_IS_ONE = {"fused: step, bfloat16": ops.products("cpu", "bf16") is not None}


# ---- faults: each a small change to what the library computes


def nudged(value: Tensor) -> Tensor:
    """The same value, with a gradient that is a thousandth too large."""
    return value.detach() + 1.001 * (value - value.detach())


def through(patch: Patch, owner: Any, name: str, change: Callable[[Tensor], Tensor]) -> None:
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *given, **named: change(real(*given, **named)))


def at_rate(patch: Patch, factor: float, fewest: int = 1) -> None:
    """The fused step of at least so many networks takes steps of another length."""
    real = ops.FusedPopulation.advance

    def advance(self: Any, batches: Any, batch_size: int, step: int) -> Any:
        longer = [each._replace(learning_rates=[factor * rate for rate in each.learning_rates]) for each in batches]
        return real(self, longer if len(batches) >= fewest else batches, batch_size, step)

    patch.setattr(ops.FusedPopulation, "advance", advance)


def untied_in_the_middle(patch: Patch) -> None:
    real = EagerStep.advance

    def advance(self: Any, rows: Tensor, batch_size: int, step: int, *given: Any) -> Any:
        one = self._objective.autoencoder
        if step == 4:
            one.decoder_weight = nn.Parameter(one.encoder.weight.t().detach().clone())
        return real(self, rows, batch_size, step, *given)

    patch.setattr(EagerStep, "advance", advance)


def other_losses(patch: Patch) -> None:
    real = ops.FusedPopulation.advance

    def advance(self: Any, *given: Any) -> Any:
        return [each._replace(total=each.total * (1 + 1e-6)) for each in real(self, *given)]

    patch.setattr(ops.FusedPopulation, "advance", advance)


def noise_of_level(patch: Patch, factor: float) -> None:
    real = ops.corrupt
    patch.setattr(ops, "corrupt", lambda x, kind, level, *rest: real(x, kind, factor * level, *rest))


def noise_by_threads(patch: Patch) -> None:
    real = ops.corrupt
    patch.setattr(ops, "corrupt", lambda *given: real(*given) + (torch.get_num_threads() == 3))


def blind_to_nan(z: Tensor, y: Tensor) -> Tensor:
    return (z - y.nan_to_num()).square().sum()


def moments_of(patch: Patch, **factors: float) -> None:
    real = CorruptedMoments.of.__func__

    def of(cls: Any, *given: Any) -> CorruptedMoments:
        exact = real(cls, *given)
        return dataclasses.replace(exact, **{name: f * getattr(exact, name) for name, f in factors.items()})

    patch.setattr(CorruptedMoments, "of", classmethod(of))


def other_components(patch: Patch, change: Callable[[Any], Any]) -> None:
    through(patch, linear, "principal_components", change)


def other_rows(patch: Patch) -> None:
    """What is trained is not what was given: features weigh differently."""
    real = layer.reconstruction

    def told(*given: Any) -> Any:
        found = real(*given)
        return dataclasses.replace(found, x=found.x * torch.linspace(1, 1.1, found.x.shape[1]))

    patch.setattr(layer, "reconstruction", told)


def resumed_elsewhere(patch: Patch) -> None:
    through(patch, journal, "read_left", lambda left: left._replace(rows=left.rows or 16))


FAULTS: dict[str, Callable[[Patch], None]] = {
    "gradients: activations": lambda p: through(p, reference, "dense_act", nudged),
    "gradients: losses and outputs": lambda p: p.setitem(LOSSES, "bce", lambda *a, f=LOSSES["bce"]: nudged(f(*a))),
    "gradients: penalties": lambda p: through(p, KlSparsity, "__call__", nudged),
    "gradients: contraction": lambda p: through(p, reconstruction, "contraction", nudged),
    "gradients: kept units": lambda p: through(p, dense, "batch_top_k", nudged),
    "gradients: noise, emphasis, dropout": lambda p: through(p, Dropout, "__call__", nudged_noise),
    "gradients: variational": lambda p: through(p, training, "gaussian_kl", nudged),
    "gradients: convolutional": lambda p: through(p, Convolution, "logits", nudged),
    "gradients: heads": lambda p: through(p, heads, "cross_entropy", nudged),
    "gradients: missing targets": lambda p: p.setattr(heads, "squared_error", blind_to_nan),
    "gradients: dense, fused step": lambda p: at_rate(p, 1.001),
    "gradients: others, compiled ops": lambda p: through(p, ops, "dense_act", nudged),
    "gradients: heads, fused": lambda p: at_rate(p, 1.001),
    "contraction: every activation": lambda p: p.setitem(contracting.SLOPES, "gelu", lambda a: torch.sigmoid(1.7 * a)),
    "contraction: 784-300": lambda p: through(p, reconstruction, "contraction", lambda found: 1.01 * found),
    "marginalized: moments": lambda p: moments_of(p, cross=1.02),
    "marginalized: expected error": lambda p: through(p, CorruptedMoments, "error", lambda found: 1.02 * found),
    "marginalized: no better weights": lambda p: through(p, marginalized, "denoising_map", lambda found: 0.99 * found),
    "linear: trained by gradient": other_rows,
    "linear: closed form": lambda p: other_components(
        p, lambda found: found._replace(components=found.components.flip(0))
    ),
    "linear: what is left out": lambda p: other_components(p, lambda f: f._replace(components=f.components.roll(1, 0))),
    "tied: eager step": untied_in_the_middle,
    "tied: fused step": other_losses,
    "noise: masking": lambda p: noise_of_level(p, 1.02),
    "noise: salt-and-pepper": lambda p: noise_of_level(p, 1.02),
    "noise: gaussian": lambda p: noise_of_level(p, 1.01),
    "noise: dropout": lambda p: through(p, Dropout, "__call__", lambda left: 1.02 * left),
    "noise: words": lambda p: p.setattr("stackae.random._ROUNDS", 9),
    "noise: threads": noise_by_threads,
    "variational: KL": lambda p: through(p, training, "gaussian_kl", lambda kl: kl + 0.1),
    "variational: KL, quadrature": lambda p: through(p, variational, "bent", lambda logvar: 1.01 * logvar),
    "variational: draws": lambda p: through(p, variational.VariationalAutoencoder, "sample", lambda h: 1.05 * h),
    "fused: dense_act": lambda p: through(p, ops, "dense_act", lambda y: y + 1e-3),
    "fused: sparsity_kl": lambda p: through(p, ops, "sparsity_kl", lambda kl: kl * (1 + 1e-3)),
    "fused: corrupt": lambda p: through(p, ops, "corrupt", lambda x: x + 1e-3),
    "fused: step, squared error": lambda p: at_rate(p, 1.001),
    "fused: step, cross-entropy": lambda p: at_rate(p, 1.001),
    "fused: step, heads": lambda p: at_rate(p, 1.001),
    "fused: step, float32": lambda p: at_rate(p, 1.5),
    "fused: step, bfloat16": lambda p: at_rate(p, 4.0),
    "fused: step, together": lambda p: at_rate(p, 1.001, fewest=2),
    "resuming: fused": resumed_elsewhere,
    "resuming: eager": resumed_elsewhere,
}


def nudged_noise(left: Tensor) -> Tensor:
    return nudged(left) if left.requires_grad else left


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
    monkeypatch.setitem(sys.modules, "stackae.ops", None)
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


def test_groups_are_chosen_by_name_and_an_unknown_one_is_told_with_those_there_are() -> None:
    assert chosen(CHECKS, None) == list(CHECKS)
    assert {check.group for check in chosen(CHECKS, "tied, noise")} == {"tied", "noise"}
    for text, got in (("gradient", "got 'gradient'; did you mean 'gradients'?"), ("", "got ''"), ("tied,", "got ''")):
        with pytest.raises(ConfigError) as caught:
            chosen(CHECKS, text)
        known = "gradients, contraction, marginalized, linear, tied, noise, variational, fused, resuming"
        assert str(caught.value) == f"--only: expected names out of {known}, {got}"


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
    assert z_score(torch.tensor(3.0), torch.tensor(2.0), torch.tensor(0.25)) == pytest.approx(4)
    assert z_score(torch.tensor(2.0), torch.tensor(2.0), torch.tensor(0.0)) == 0
