"""The convolutional autoencoder: what it computes, how far it sees, and that it is a layer like any other."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from stackae.autoencoders.conv import ConvolutionalAutoencoder, glorot_kernels
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.dense import Autoencoder
from stackae.models.stack import in_batches
from stackae.objectives.losses import LOSSES
from stackae.objectives.penalties import KlSparsity
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops.reference import ACTIVATIONS
from stackae.training.step import EagerStep

SHAPES = [(8, 8, 1), (7, 5, 3), (5, 8, 1), (1, 1, 1), (1, 6, 3), (2, 3, 2)]


def rows(shape, count=5, seed=0):
    return torch.rand(count, math.prod(shape), generator=torch.Generator().manual_seed(seed))


def maps(x, shape):
    """Channel-major and contiguous, as textbooks have it."""
    return x.view(len(x), *shape).movedim(3, 1).contiguous()


def flat(y):
    return y.movedim(1, 3).flatten(1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_encode_and_decode_are_torch_convolutions_of_channel_major_maps(shape, pool, kernel):
    one = ConvolutionalAutoencoder(shape, 4, kernel=kernel, pool=pool, output_activation="tanh", seed=1)
    x, (height, width, _) = rows(shape), shape
    h = F.relu(F.conv2d(maps(x, shape), one.encoder.weight, one.encoder.bias, padding="same"))
    if pool:
        h = F.max_pool2d(F.pad(h, (0, width % 2, 0, height % 2), value=-math.inf), 2)
    code = one.encode(x)
    torch.testing.assert_close(code, flat(h))
    grown = h.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width] if pool else h
    logits = F.conv2d(grown, one.decoder.weight, one.decoder.bias, padding="same")
    torch.testing.assert_close(one.decode_logits(code), flat(logits))
    torch.testing.assert_close(one.reconstruct(x), flat(torch.tanh(logits)))
    assert torch.equal(one(x), one.decode(one.encode(x)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_taken_for_the_code_and_for_the_output(activation):
    shape = (4, 4, 1)
    one = ConvolutionalAutoencoder(shape, 2, pool=False, activation=activation, output_activation=activation, seed=1)
    linear = ConvolutionalAutoencoder(shape, 2, pool=False, activation="linear", output_activation="linear", seed=1)
    x, f = rows(shape), ACTIVATIONS[activation]
    torch.testing.assert_close(one.encode(x), f(linear.encode(x)))
    torch.testing.assert_close(one.decode(one.encode(x)), f(one.decode_logits(one.encode(x))))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pool", [True, False])
def test_rows_come_back_as_wide_as_they_went_in_and_a_stage_reads_the_code_below(shape, pool):
    below = ConvolutionalAutoencoder(shape, 4, pool=pool, seed=1)
    above = ConvolutionalAutoencoder(below.code_shape, 3, pool=pool, seed=1, layer=2)
    height, width, _ = shape
    assert below.code_shape == ((math.ceil(height / 2), math.ceil(width / 2), 4) if pool else (height, width, 4))
    assert (below.n_visible, below.n_hidden) == (math.prod(shape), math.prod(below.code_shape))
    code = below.encode(rows(shape))
    assert code.shape == (5, below.n_hidden) and above.n_visible == below.n_hidden
    assert below.decode(above.reconstruct(code)).shape == (5, below.n_visible)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_any_number_of_rows_and_batching_changes_nothing(count):
    one = ConvolutionalAutoencoder((5, 4, 1), 2)
    x = rows((5, 4, 1), count)
    assert one.reconstruct(x).shape == x.shape
    torch.testing.assert_close(in_batches(one.encode, x, one.device), one.encode(x).detach())
    for i in range(count):
        torch.testing.assert_close(one.encode(x)[i], one.encode(x[i : i + 1])[0])


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_pixel_moves_the_codes_within_reach_and_no_other(kernel):
    shape, at, reach = (12, 12, 1), (6, 3), kernel // 2
    one = ConvolutionalAutoencoder(shape, 8, kernel=kernel, activation="linear", seed=2)
    x = rows(shape, 1)
    other = x.clone()
    other.view(shape)[at] += 100.0  # so much that it decides every maximum in which it takes part
    moved = (one.encode(x) != one.encode(other)).view(*one.code_shape).any(2)
    within = torch.zeros(6, 6, dtype=torch.bool)
    within[(at[0] - reach) // 2 : (at[0] + reach) // 2 + 1, (at[1] - reach) // 2 : (at[1] + reach) // 2 + 1] = True
    assert torch.equal(moved, within)


def test_two_pixels_to_the_right_are_one_code_to_the_right():
    shape = (8, 12, 2)
    one = ConvolutionalAutoencoder(shape, 4, seed=2)
    image = rows(shape, 1).view(shape)
    there = torch.roll(image, 2, dims=1)
    code, moved = (one.encode(each.reshape(1, -1)).view(one.code_shape) for each in (image, there))
    torch.testing.assert_close(moved[:, 2:-1], code[:, 1:-2])


def test_each_code_is_repeated_over_its_four_pixels():
    one = ConvolutionalAutoencoder((5, 6, 1), 1, kernel=1, output_activation="linear")
    with torch.no_grad():
        one.decoder.weight.fill_(1.0)
    code = rows(one.code_shape, 1)
    z = one.decode(code).view(5, 6)
    assert all(z[i, j] == code.view(3, 3)[i // 2, j // 2] for i in range(5) for j in range(6))


@pytest.mark.parametrize("pool", [True, False])
def test_the_gradient_is_that_of_differences(pool):
    one = ConvolutionalAutoencoder((5, 4, 2), 3, pool=pool, activation="tanh", seed=4).double()
    x = rows((5, 4, 2), 2).double().requires_grad_()
    assert gradcheck(lambda x, *parameters: one.reconstruct(x), (x, *one.trained))


def test_weights_are_a_function_of_seed_and_layer_within_glorots_bound_and_biases_start_at_zero():
    one, same, other, above = (
        ConvolutionalAutoencoder((6, 6, 8), 8, seed=seed, layer=layer)
        for seed, layer in [(1, 1), (1, 1), (2, 1), (1, 2)]
    )
    assert torch.equal(one.encoder.weight, same.encoder.weight)
    for different in (other, above):
        assert not torch.equal(one.encoder.weight, different.encoder.weight)
    assert not torch.equal(one.encoder.weight, one.decoder.weight)
    assert not one.encoder.bias.any() and not one.decoder.bias.any()
    bound = math.sqrt(6 / (9 * (16 + 32)))
    assert 0.99 * bound < glorot_kernels(32, 16, 3, seed=0, layer=0).abs().max() <= bound


def test_what_is_trained_is_every_parameter_and_a_state_survives_its_dictionary():
    one, other = (ConvolutionalAutoencoder((5, 4, 1), 2, seed=seed) for seed in (1, 2))
    assert [id(each) for each in one.trained] == [id(each) for each in one.parameters()]
    other.load_state_dict(one.state_dict())
    x = rows((5, 4, 1))
    assert torch.equal(other.reconstruct(x), one.reconstruct(x))


@pytest.mark.parametrize("tied", [True, False])
def test_a_dense_autoencoder_names_the_same_things(tied):
    dense = Autoencoder(6, 4, activation="tanh", tied=tied, engine="eager")
    assert (dense.engine, dense.activation) == (dense.encoder.engine, "tanh")
    assert {id(each) for each in dense.trained} == {id(each) for each in dense.parameters()}
    assert [each.dim() for each in dense.trained] == ([2, 1, 1] if tied else [2, 1, 2, 1])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_a_few_steps_lower_the_loss(loss, optimizer):
    shape = (8, 8, 1)
    x = (rows(shape, 24).view(24, 8, 8).cumsum(1) / 8).flatten(1).clamp(0, 1)
    one = ConvolutionalAutoencoder(shape, 4, activation="sigmoid", seed=1)
    noise, penalty = Corruption("masking", 0.1), KlSparsity(0.3, 0.01)
    objective = ReconstructionObjective(one, x, loss=loss, corruption=noise, sparsity=penalty, seed=0, layer=1)
    step = EagerStep(objective, optimizer(one.parameters(), lr=0.01))
    losses = [step.advance(torch.arange(24), 8, 3 * number, [0.01] * 3).total for number in range(60)]
    floor = 0.0 if loss == "mse" else 24 * F.binary_cross_entropy(x, x).item() * 64
    assert losses[-1] - floor < 0.9 * (losses[0] - floor)


def test_no_copy_is_made_of_rows_on_their_way_to_the_products():
    one = ConvolutionalAutoencoder((6, 5, 3), 4)
    seen = []
    one.encoder.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    x = rows((6, 5, 3))
    code = one.encode(x)
    assert seen[0].data_ptr() == x.data_ptr() and seen[0].is_contiguous(memory_format=torch.channels_last)
    assert code.is_contiguous()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"shape": (28, 28)}, r"shape: expected \(height, width, channels\) .* got \(28, 28\); give grey images one"),
        ({"shape": (28, 0, 1)}, r"shape: expected \(height, width, channels\) of at least 1 each, got \(28, 0, 1\)"),
        ({"channels": 0}, "channels: expected at least 1, got 0; 16 is usual"),
        ({"kernel": 4}, "kernel: expected an odd number of pixels, got 4; use 3 or 5"),
        ({"kernel": -1}, "kernel: expected an odd number of pixels, got -1"),
        ({"activation": "swish"}, "activation: expected one of sigmoid, .* got 'swish'"),
        ({"output_activation": "swish"}, "output_activation: expected one of sigmoid, .* got 'swish'"),
    ],
)
def test_what_is_no_convolution_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        ConvolutionalAutoencoder(**{"shape": (4, 4, 1), "channels": 2, **options})


@pytest.mark.parametrize(("call", "width"), [("encode", 16), ("decode", 8), ("decode_logits", 8)])
def test_a_wrong_width_is_named(call, width):
    with pytest.raises(ValueError, match=rf"expected shape \(batch, {width}\), got \(2, 5\)"):
        getattr(ConvolutionalAutoencoder((4, 4, 1), 2), call)(torch.zeros(2, 5))
