"""The variational autoencoder: its divergence, its draws, its objective and its bound, by the laws that fix them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.distributions import Normal, kl_divergence

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.variational import VariationalAutoencoder, bent, gaussian_kl, prior_grid
from stackae.errors import DataError
from stackae.models.stack import in_batches
from stackae.objectives.losses import LOSSES
from stackae.objectives.variational import VariationalObjective, elbo
from stackae.ops.reference import ACTIVATIONS
from stackae.random import Purpose, normal_rows
from stackae.training.step import EagerStep

X = torch.rand(12, 6, generator=torch.Generator().manual_seed(0))
ROWS = torch.arange(12)
ERRORS = 5  # standard errors that a mean of draws may be off


def numbers(*shape, seed=0, scale=1.0):
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def network(**options):
    return VariationalAutoencoder(6, 3, **{"hidden": 5, "seed": 3, **options})


def objective(model, loss="mse", beta=1.0, corruption=None, x=X, **where):
    where = {"seed": 1, "layer": 2} | where
    return VariationalObjective(
        model, x.to(model.mu.weight.dtype), loss=loss, corruption=corruption or Corruption(), beta=beta, **where
    )


def set_posterior(model, mu_weight, mu_bias, logvar):
    """q(h|x) = N(A x + a, e^logvar), whatever x."""
    with torch.no_grad():
        model.mu.weight.copy_(mu_weight)
        model.mu.bias.copy_(mu_bias)
        model.logvar.weight.zero_()
        model.logvar.bias.copy_(logvar)


# ---- the divergence


@pytest.mark.parametrize("logvar", [-1e30, -200.0, 88.0, 200.0, 1e28])
def test_an_extreme_logvar_gives_finite_numbers_and_a_gradient_back_to_the_prior(logvar):
    logvar = torch.full((2, 3), logvar, requires_grad=True)
    noise = torch.ones(2, 3)
    kl, h = gaussian_kl(torch.zeros(2, 3), logvar), network().sample(torch.zeros(2, 3), logvar, noise)
    assert kl.isfinite() and h.isfinite().all()
    (gradient,) = torch.autograd.grad(kl + 0 * h.sum(), logvar)
    assert gradient.isfinite().all() and bool((gradient * logvar > 0).all())


def test_the_divergence_is_that_of_the_distribution_that_is_drawn_from_beyond_the_bend_too():
    logvar = torch.tensor([[20.0, 20.5, 40.0, 1e6]], dtype=torch.float64)
    scale = network().sample(torch.zeros_like(logvar), logvar, torch.ones_like(logvar))
    wanted = kl_divergence(Normal(0.0, scale), Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(gaussian_kl(torch.zeros_like(logvar), logvar), wanted)
    torch.testing.assert_close(scale.square(), math.exp(20) * (logvar - 19))  # the tangent


def test_the_bend_changes_nothing_below_it_and_neither_value_nor_slope_jump_there():
    below = torch.linspace(-50, 20, 30, dtype=torch.float64)
    assert torch.equal(bent(below), below)
    near = torch.tensor([20 - 1e-9, 20.0, 20 + 1e-9], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(bent(near).sum(), near)
    assert bent(near).tolist() == pytest.approx([20.0] * 3, abs=2e-9) and slope.tolist() == pytest.approx([1.0] * 3)
    mu, logvar = numbers(2, 3).requires_grad_(), torch.tensor([[-3.0, 1.0, 4.0]] * 2).double().requires_grad_()
    assert gradcheck(gaussian_kl, (mu, logvar))
    beyond = (logvar.detach().abs() + 20).requires_grad_()
    assert gradcheck(lambda over: gaussian_kl(torch.zeros_like(over), over), (beyond,), rtol=1e-6)


# ---- the model


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [0, 5])
def test_posterior_and_decoder_are_the_layer_equations(hidden, activation):
    one = network(hidden=hidden, activation=activation, output_activation=activation)
    f = ACTIVATIONS[activation]
    below = f(X @ one.encoder_hidden.weight.t() + one.encoder_hidden.bias) if hidden else X
    mu, logvar = one.posterior(X)
    torch.testing.assert_close(mu, below @ one.mu.weight.t() + one.mu.bias)
    torch.testing.assert_close(logvar, below @ one.logvar.weight.t() + one.logvar.bias)
    above = f(mu @ one.decoder_hidden.weight.t() + one.decoder_hidden.bias) if hidden else mu
    logits = above @ one.output.weight.t() + one.output.bias
    torch.testing.assert_close(one.decode_logits(mu), logits)
    torch.testing.assert_close(one.decode(mu), f(logits))


def test_the_code_is_mu_and_a_reconstruction_draws_nothing():
    one = network()
    assert torch.equal(one.encode(X), one.posterior(X)[0])
    assert torch.equal(one.reconstruct(X), one.decode(one.encode(X))) and torch.equal(one(X), one.reconstruct(X))
    assert (one.n_visible, one.n_hidden, one.activation, one.output_activation) == (6, 3, "linear", "sigmoid")
    assert in_batches(one.encode, X, one.device).shape == (12, 3)


def test_fused_and_eager_engines_compute_the_same():
    fused, eager = (network(engine=engine) for engine in ("fused", "eager"))
    assert (fused.engine.name, eager.engine.name) == ("fused", "eager")
    torch.testing.assert_close(fused.reconstruct(X), eager.reconstruct(X))


def test_weights_are_a_function_of_seed_and_layer_and_no_two_layers_share_theirs():
    one, same, other, above = (
        VariationalAutoencoder(4, 4, hidden=4, seed=seed, layer=layer)
        for seed, layer in [(1, 1), (1, 1), (2, 1), (1, 2)]
    )
    weights = [parameter for parameter in one.trained if parameter.dim() == 2]
    assert all(map(torch.equal, one.trained, same.trained))
    for different in (other, above):
        assert not any(map(torch.equal, weights, (each for each in different.trained if each.dim() == 2)))
    assert len({tuple(weight.flatten().tolist()) for weight in weights}) == len(weights) == 5
    assert not any(parameter.any() for parameter in one.trained if parameter.dim() == 1)


@pytest.mark.parametrize("hidden", [0, 5])
def test_what_is_trained_is_every_parameter_and_a_state_survives_its_dictionary(hidden):
    one, other = network(hidden=hidden), network(hidden=hidden, seed=8)
    assert {id(each) for each in one.trained} == {id(each) for each in one.parameters()}
    assert len(one.trained) == (10 if hidden else 6)
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.reconstruct(X), one.reconstruct(X))


def test_widths_that_do_not_fit_are_named():
    for call, width in (("encode", 6), ("posterior", 6), ("decode", 3), ("decode_logits", 3)):
        with pytest.raises(ValueError, match=rf"expected shape \(batch, {width}\), got \(2, 7\)"):
            getattr(network(), call)(torch.zeros(2, 7))
    with pytest.raises(ValueError, match="hidden of at least 0, got 6, 3 and -1; hidden 0 is no hidden layer"):
        network(hidden=-1)
    with pytest.raises(ValueError, match="n_hidden of at least 1"):
        VariationalAutoencoder(6, 0)


# ---- draws


def test_samples_of_the_prior_are_standard_normal_and_a_function_of_the_seed():
    count = 40_000
    h = network().prior_samples(count, seed=4)
    assert h.shape == (count, 3) and torch.equal(h[:9], network(seed=9).prior_samples(9, seed=4))
    assert not torch.equal(h[:9], network().prior_samples(9, seed=5))
    bound = ERRORS / math.sqrt(count)
    assert h.mean(0).abs().max() < bound and (h.T.cov() - torch.eye(3)).abs().max() < bound * math.sqrt(2)
    distance = (torch.special.ndtr(h[:, 0]).sort().values - (torch.arange(count) + 0.5) / count).abs().max()
    assert distance < 1.95 / math.sqrt(count)  # Kolmogorov and Smirnov's, at 0.1 %


def test_the_noise_of_a_step_is_drawn_again_the_same_and_anew_in_another():
    model = network()
    first = objective(model)(ROWS, 7)
    assert torch.equal(first, objective(model)(ROWS, 7))
    for where in ({"seed": 2}, {"layer": 3}):
        assert not torch.equal(first, objective(model, **where)(ROWS, 7))
    assert not torch.equal(first, objective(model)(ROWS, 8))


def test_noise_of_codes_and_of_inputs_have_streams_of_their_own():
    where = {"seed": 1, "layer": 2, "counter": 3}
    assert not torch.equal(
        normal_rows(4, 6, purpose=Purpose.LATENT, **where), normal_rows(4, 6, purpose=Purpose.CORRUPTION, **where)
    )
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_the_grid_halves_the_prior_as_evenly_as_it_can(side):
    units = torch.special.ndtr(prior_grid(side)).view(side, side, 2)
    wanted = (torch.arange(side) + 0.5) / side
    torch.testing.assert_close(units[..., 0], wanted.expand(side, side))  # grows to the right
    torch.testing.assert_close(units[..., 1], wanted.flip(0)[:, None].expand(side, side))  # and upwards


# ---- the objective


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("corruption", [Corruption(), Corruption("masking", 0.4)])
def test_without_spread_and_without_beta_it_is_the_loss_of_a_plain_autoencoder(loss, corruption):
    model = network().double()
    set_posterior(model, model.mu.weight, model.mu.bias, torch.full((3,), -800.0))
    noisy = corruption(X.double(), model.engine, seed=1, layer=2, step=5)
    wanted = LOSSES[loss](model, model.encode(noisy), X.double())
    torch.testing.assert_close(objective(model, loss, 0.0, corruption)(ROWS, 5), wanted)


def test_beta_weighs_the_divergence():
    model = network().double()
    none, some, more = (objective(model, beta=beta)(ROWS, 5) for beta in (0.0, 0.5, 2.0))
    kl = gaussian_kl(*model.posterior(X.double()))
    torch.testing.assert_close(some - none, 0.5 * kl)
    torch.testing.assert_close(more - none, 2.0 * kl)


@pytest.mark.parametrize("loss", ["mse", "bce"])
def test_a_few_steps_lower_the_loss_and_repeat_bit_for_bit(loss):
    def trained():
        model = network()
        asked = objective(model, loss, 0.01)
        step = EagerStep(asked, torch.optim.Adam(model.parameters(), lr=0.01))
        first = step.advance(ROWS, 4, 0, [0.01] * 3).total
        for number in range(3, 240, 3):
            last = step.advance(ROWS, 4, number, [0.01] * 3).total
        return first, last, model

    first, last, model = trained()
    assert last < 0.9 * first
    assert all(map(torch.equal, model.trained, trained()[2].trained))


# ---- the bound


@pytest.mark.parametrize(("loss", "beta"), [("mse", 0.4), ("bce", 1.0)])
def test_the_objective_is_the_negative_bound_up_to_its_scale_and_constant(loss, beta):
    model = network().double()
    set_posterior(model, model.mu.weight, model.mu.bias, torch.full((3,), -60.0))  # so that no draw matters
    report = elbo(model, X.double(), loss, variance=beta / 2)
    constant = 6 / 2 * math.log(math.pi * beta) if loss == "mse" else 0.0
    assert objective(model, loss, beta)(ROWS, 0).item() / beta + constant == pytest.approx(-report.elbo, rel=1e-9)


def test_more_draws_bring_the_importance_weighted_bound_up_from_the_elbo():
    model, x = network().double(), X.double()
    few, many = (
        [elbo(model, x, "bce", draws=draws, seed=seed) for seed in range(count)]
        for draws, count in ((1, 200), (16, 40))
    )
    bounds = torch.tensor([report.importance for report in few])
    error = bounds.std().item() / math.sqrt(len(bounds))
    wanted = sum(report.elbo for report in many) / len(many)
    assert bounds.mean().item() == pytest.approx(wanted, abs=ERRORS * error)  # one draw: the same in the mean
    assert all(report.importance > report.elbo for report in many)
    assert sum(report.importance for report in many) / len(many) > bounds.mean().item()


def test_an_evaluation_is_a_function_of_its_seed():
    model = network()
    report = elbo(model, X, "bce", seed=1)
    assert report == elbo(model, X, "bce", seed=1) != elbo(model, X, "bce", seed=2)
    assert report.elbo == pytest.approx(report.log_likelihood - report.kl)


def test_what_cannot_be_evaluated_is_refused():
    model = network()
    with pytest.raises(DataError, match="data: expected rows to evaluate, got none"):
        elbo(model, X[:0], "bce")
    with pytest.raises(ValueError, match="loss: expected one of mse, bce, got 'mae'"):
        elbo(model, X, "mae")
    for bad in ({"draws": 0}, {"variance": 0.0}):
        with pytest.raises(ValueError, match="expected draws of at least 1 and a variance above 0"):
            elbo(model, X, "mse", **bad)
