"""What a layer may be asked to do: corruption, loss and penalty, against the laws that define them."""

from __future__ import annotations

import math

import pytest
import torch

from stackae.autoencoders.dense import Autoencoder
from stackae.corruption import Corruption
from stackae.engine import choose_engine
from stackae.losses import binary_cross_entropy, squared_error
from stackae.penalties import KlSparsity, L1Sparsity

X = torch.rand(400, 250, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
ENGINE = choose_engine()
WHERE = {"seed": 1, "layer": 1}
KINDS = ["gaussian", "masking", "salt-and-pepper"]


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_drawn_anew_each_step_and_again_the_same_for_the_same_step(kind):
    noise = Corruption(kind, 0.3)
    first = noise(X, ENGINE, step=0, **WHERE)
    assert torch.equal(first, noise(X, ENGINE, step=0, **WHERE))
    for where in ({"step": 1, **WHERE}, {"step": 0, "seed": 2, "layer": 1}, {"step": 0, "seed": 1, "layer": 2}):
        assert not torch.equal(first, noise(X, ENGINE, **where))
    assert not torch.equal(first[0] - X[0], first[1] - X[1])


@pytest.mark.parametrize("kind", ["none", *KINDS])
def test_corruption_leaves_its_input_alone_and_level_0_changes_nothing(kind):
    before = X.clone()
    assert torch.equal(Corruption(kind, 0.0)(X, ENGINE, step=0, **WHERE), X)
    Corruption(kind, 0.5)(X, ENGINE, step=0, **WHERE)
    assert torch.equal(X, before)


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_masking_zeroes_the_named_share_and_does_not_rescale_survivors(level):
    noisy = Corruption("masking", level)(X, ENGINE, step=3, **WHERE)
    struck = noisy == 0
    assert struck.double().mean().item() == pytest.approx(level, abs=5 * math.sqrt(level * (1 - level) / X.numel()))
    assert torch.equal(noisy[~struck], X[~struck])


@pytest.mark.parametrize("level", [0.2, 1.0])
def test_salt_and_pepper_strikes_the_named_share_half_low_half_high(level):
    noisy = Corruption("salt-and-pepper", level, low=-1.0, high=2.0)(X, ENGINE, step=3, **WHERE)
    assert (noisy == -1.0).double().mean().item() == pytest.approx(level / 2, abs=0.01)
    assert (noisy == 2.0).double().mean().item() == pytest.approx(level / 2, abs=0.01)
    assert bool(((noisy == X) | (noisy == -1.0) | (noisy == 2.0)).all())


def test_gaussian_noise_has_the_named_standard_deviation_and_no_mean():
    noise = Corruption("gaussian", 0.4)(X, ENGINE, step=3, **WHERE) - X
    assert noise.std().item() == pytest.approx(0.4, rel=0.02)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.01)


def autoencoder(**options):
    return Autoencoder(6, 4, seed=3, **options).double()


@pytest.mark.parametrize("batch", [1, 5])
def test_squared_error_is_summed_over_features_and_averaged_over_rows(batch):
    network, x = autoencoder(), torch.rand(batch, 6, dtype=torch.float64)
    z = network.reconstruct(x)
    wanted = sum(((z[i] - x[i]) ** 2).sum() for i in range(batch)) / batch
    assert squared_error(network, network.encode(x), x).item() == pytest.approx(wanted.item(), rel=1e-12)


def test_binary_cross_entropy_equals_its_formula_and_its_gradient_survives_saturation():
    network, x = autoencoder(), torch.rand(5, 6, dtype=torch.float64)
    z = network.reconstruct(x)
    wanted = -(x * z.log() + (1 - x) * (1 - z).log()).sum() / 5
    assert binary_cross_entropy(network, network.encode(x), x).item() == pytest.approx(wanted.item(), rel=1e-12)
    with torch.no_grad():
        network.decoder_bias.fill_(800.0)  # the output is exactly 1
    loss = binary_cross_entropy(network, network.encode(x), torch.zeros_like(x))
    (gradient,) = torch.autograd.grad(loss, network.decoder_bias)
    assert gradient.tolist() == pytest.approx([1.0] * 6)  # z - x


@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_the_penalty_of_a_tanh_code_is_that_of_the_code_mapped_into_the_unit_interval(engine):
    h = torch.tanh(torch.randn(20, 3, dtype=torch.float64))
    chosen = choose_engine(engine)
    mapped = KlSparsity(0.1, 2.0)((h + 1) / 2, "sigmoid", chosen)
    assert KlSparsity(0.1, 2.0)(h, "tanh", chosen).item() == pytest.approx(mapped.item(), rel=1e-12)


def test_the_l1_penalty_is_the_mean_over_rows_of_the_sum_of_magnitudes():
    h = torch.tensor([[1.0, -2.0], [0.0, 3.0], [0.5, 0.5]])
    assert L1Sparsity(0.2)(h, "linear", ENGINE).item() == pytest.approx(0.2 * (3 + 3 + 1) / 3)


def test_descending_the_penalty_brings_the_mean_activation_to_the_target():
    x = torch.rand(200, 10, generator=torch.Generator().manual_seed(1))
    network = Autoencoder(10, 8, seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        KlSparsity(0.1, 1.0)(network.encode(x), "sigmoid", network.encoder.engine).backward()
        optimizer.step()
    assert network.encode(x).mean(0).tolist() == pytest.approx([0.1] * 8, abs=0.005)
