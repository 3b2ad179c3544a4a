"""Autoencoder, stack and classifier: shapes, tying, and how they are put together."""

from __future__ import annotations

import pytest
import torch

from stackae.autoencoders.dense import Autoencoder
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.ops.reference import ACTIVATIONS

X = torch.rand(9, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_encode_and_decode_are_the_layer_equations(activation):
    network = Autoencoder(6, 4, activation=activation, output_activation="linear", tied=False, seed=1)
    h = ACTIVATIONS[activation](X @ network.encoder.weight.t() + network.encoder.bias)
    z = h @ network.decoder_weight.t() + network.decoder_bias
    torch.testing.assert_close(network.encode(X), h)
    torch.testing.assert_close(network.reconstruct(X), z)


def test_fused_and_eager_engines_compute_the_same():
    fused, eager = (Autoencoder(6, 4, seed=1, engine=engine) for engine in ("fused", "eager"))
    torch.testing.assert_close(fused.reconstruct(X), eager.reconstruct(X))


def test_tied_weights_are_one_matrix():
    names = dict(Autoencoder(6, 4, seed=1).named_parameters())
    assert set(names) == {"encoder.weight", "encoder.bias", "decoder_bias"}


def test_weights_are_a_function_of_seed_and_layer_and_biases_start_at_zero():
    one, same, other, above = (
        Autoencoder(6, 4, tied=False, seed=seed, layer=layer) for seed, layer in [(1, 1), (1, 1), (2, 1), (1, 2)]
    )
    assert torch.equal(one.encoder.weight, same.encoder.weight)
    for different in (other, above):
        assert not torch.equal(one.encoder.weight, different.encoder.weight)
    assert not torch.equal(one.encoder.weight, one.decoder_weight.t())
    assert not one.encoder.bias.any() and not one.decoder_bias.any()


@pytest.mark.parametrize(("call", "width"), [("encode", 6), ("decode", 4)])
def test_a_wrong_width_is_named(call, width):
    with pytest.raises(ValueError, match=rf"expected shape \(batch, {width}\), got \(2, 5\)"):
        getattr(Autoencoder(6, 4), call)(torch.zeros(2, 5))


def stack():
    return StackedAutoencoder([Autoencoder(6, 4, seed=1), Autoencoder(4, 3, seed=2), Autoencoder(3, 2, seed=3)])


def test_a_stack_climbs_its_encoders_and_descends_its_decoders():
    whole = stack()
    a, b, c = whole.autoencoders
    assert whole.layer_sizes == (6, 4, 3, 2)
    assert torch.equal(whole.encode(X), c.encode(b.encode(a.encode(X))))
    assert torch.equal(whole.encode(X, layer=1), a.encode(X))
    assert torch.equal(whole.reconstruct(X, layer=2), a.decode(b.reconstruct(a.encode(X))))
    assert torch.equal(whole(X), whole.reconstruct(X, layer=3))


@pytest.mark.parametrize("layer", [0, 4, -1])
def test_a_layer_that_the_stack_has_not_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer: expected 1 to 3, or None for the top, got {layer}"):
        stack().encode(X, layer=layer)


def test_layers_that_do_not_fit_on_each_other_are_refused():
    with pytest.raises(ValueError, match="expected a layer that reads 4 codes, got one that reads 5"):
        StackedAutoencoder([Autoencoder(6, 4), Autoencoder(5, 3)])
    with pytest.raises(ValueError, match="expected at least one autoencoder, got none"):
        StackedAutoencoder([])


@pytest.mark.parametrize("rows", [0, 1, 4096, 4097])
def test_batching_does_not_change_the_result(rows):
    network = Autoencoder(3, 2)
    x = torch.rand(rows, 3)
    torch.testing.assert_close(in_batches(network.encode, x), network.encode(x).detach())
