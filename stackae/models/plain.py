"""Networks as ``nn.Sequential`` of modules of ``torch.nn`` alone, and dense autoencoders made of such."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from functools import singledispatch
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.conv import Convolution, ConvolutionalDecoder, ConvolutionalEncoder, Shape
from stackae.autoencoders.dense import Autoencoder, Dense, FewUnits
from stackae.autoencoders.marginalized import Inverting
from stackae.autoencoders.parameters import fill
from stackae.autoencoders.variational import DenseChain
from stackae.errors import ConfigError
from stackae.ops.reference import MODULES

NOT_PLAIN = (
    "to_torch: expected layers that torch.nn has modules for, got {}; `stackae export` writes them as .onnx or .pt2"
)
WITHOUT_EFFECT = (nn.Identity, nn.Flatten, nn.Dropout)
"""What flat rows pass unchanged, when nothing is trained."""


M = TypeVar("M", nn.Linear, nn.Conv2d)


class Piece(NamedTuple):
    """Modules that read flat rows, or images (batch, channels, height, width) of the ``reads`` shape, and give rows, or
    images of the ``gives`` shape; shapes are (height, width, channels)."""

    modules: list[nn.Module]
    reads: Shape | None = None
    gives: Shape | None = None


@singledispatch
def plain(layer: nn.Module) -> Piece:
    """The layer as modules of torch.nn, which hold copies of its weights. Raises ConfigError where there are none."""
    raise ConfigError(NOT_PLAIN.format(f"a {type(layer).__name__}"))


@plain.register
def _(layer: Dense) -> Piece:
    return Piece(_dense_modules(layer))


@plain.register
def _(layer: FewUnits) -> Piece:
    if layer.threshold is None:
        raise ConfigError(NOT_PLAIN.format(f"sparsity top-k:{layer.keeps}"))
    return Piece([*_dense_modules(layer), nn.Threshold(float(layer.threshold), 0.0)])


@plain.register
def _(layer: Inverting) -> Piece:
    raise ConfigError(NOT_PLAIN.format("the decoder of a marginalized layer with tanh codes, which has an artanh"))


@plain.register
def _(layer: DenseChain) -> Piece:
    return Piece([module for each in layer.dense for module in plain(each).modules])


@plain.register
def _(layer: ConvolutionalEncoder) -> Piece:
    pool = [nn.MaxPool2d(2, ceil_mode=True)] if layer.pool else []
    height, width, _ = layer.shape
    channels = layer.convolution.weight.shape[0]
    code = (-(-height // 2), -(-width // 2), channels) if layer.pool else (height, width, channels)
    return Piece([*_convolution(layer.convolution), *pool], layer.shape, code)


@plain.register
def _(layer: ConvolutionalDecoder) -> Piece:
    grow = [nn.Upsample(size=layer.shape[:2], mode="nearest")] if layer.pool else []
    return Piece([*grow, *_convolution(layer.convolution)], layer.code_shape, layer.shape)


def sequential(layers: Iterable[Encoder]) -> nn.Sequential:
    """The layers one after the other, reading and giving flat rows as they do. Raises ConfigError as ``plain``."""
    modules, shape = list[nn.Module](), None
    for layer in layers:
        piece = plain(layer)
        if piece.reads is None or shape is None:
            modules += [*_as_rows(shape), *_as_images(piece.reads)]
        modules += piece.modules
        shape = piece.gives
    return nn.Sequential(*modules, *_as_rows(shape))


def both_ways(encoders: Iterable[Encoder], decoders: Iterable[Encoder]) -> nn.Sequential:
    """Encoders, bottom first, and decoders, top first, as children ``encoder`` and ``decoder``."""
    return nn.Sequential(OrderedDict(encoder=sequential(encoders), decoder=sequential(decoders)))


def dense_layers(network: nn.Sequential, decoder: nn.Sequential | None = None) -> list[Autoencoder]:
    """Autoencoders with the weights of an encoder x -> h, and of its decoder h -> x where there is one.

    ``network`` is the encoder, or has both as its children ``encoder`` and ``decoder``. Without a decoder, W′ = Wᵀ and
    c = 0, and each layer's output is linear or, above another, of the activation of that one. Raises ConfigError for
    modules that are no dense layers, and for a decoder that does not lead back.
    """
    if decoder is None and [name for name, _ in network.named_children()] == ["encoder", "decoder"]:
        return dense_layers(*network.children())  # type: ignore[arg-type]  # which _dense checks
    up = _dense("encoder", network)
    if not up:
        raise ConfigError(
            "network: expected an nn.Linear at least, got none; give an encoder such as nn.Linear(784, 64)"
        )
    down = _transposed_back(up) if decoder is None else _checked_back(up, _dense("decoder", decoder))
    return [_autoencoder(*one, *other) for one, other in zip(up, reversed(down), strict=True)]


Linears = list[tuple[nn.Linear, str]]


def _transposed_back(up: Linears) -> Linears:
    """The decoder of these layers, top first, with their weights, biases of 0, and the activations of those below."""
    found = Linears()
    for (linear, _), (_, below) in zip(up, [(None, "linear"), *up], strict=False):
        back = nn.Linear(linear.out_features, linear.in_features, device="meta")
        found.insert(0, (_filled(back, linear.weight.t(), linear.weight.new_zeros(linear.in_features)), below))
    return found


def _checked_back(up: Linears, down: Linears) -> Linears:
    """The decoder's layers, if they lead back through the sizes of the encoder's. Raises ConfigError."""
    sizes, back = [[(each.in_features, each.out_features) for each, _ in way] for way in (up, down)]
    if back != [size[::-1] for size in reversed(sizes)]:
        shown = [", ".join(f"{n}-{m}" for n, m in each) or "none" for each in ([s[::-1] for s in sizes[::-1]], back)]
        raise ConfigError(
            f"decoder: expected the encoder's layers backwards, nn.Linear of {shown[0]}, got {shown[1]}; give one for "
            "each, or leave the decoder out"
        )
    return down


def _autoencoder(linear: nn.Linear, activation: str, back: nn.Linear, output: str) -> Autoencoder:
    (weight, bias), (other, c) = _weights(linear), _weights(back)
    tied = torch.equal(other, weight.t())
    made = Autoencoder(
        linear.in_features, linear.out_features, activation=activation, output_activation=output, tied=tied
    )
    own = {} if tied else {"decoder_weight": other}
    fill(made, {"encoder.weight": weight, "encoder.bias": bias, "decoder_bias": c, **own})
    return made


def _weights(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    weight = linear.weight.detach().float()
    return weight, weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach().float()


def _dense(name: str, network: nn.Module) -> Linears:
    """The linear layers with their activations. Raises ConfigError for anything else."""
    if not isinstance(network, nn.Sequential):
        raise ConfigError(f"{name}: expected an nn.Sequential, got {type(network).__name__}; put its modules into one")
    known = {repr(make()): activation for activation, make in MODULES.items()} | {repr(nn.Softplus()): "softplus"}
    found, free = Linears(), False
    for path, module in network.named_modules():
        text = re.sub(r"(, )?inplace=True", "", repr(module)) if not isinstance(module, nn.Sequential) else ""
        if not text or isinstance(module, WITHOUT_EFFECT):
            continue
        if isinstance(module, nn.Linear):
            found.append((module, "linear"))
        elif text in known and free:
            found[-1] = (found[-1][0], known[text])
        else:
            raise ConfigError(
                f"{name}: expected nn.Linear layers, each with at most one activation of stackae's after it, got "
                f"{text.partition(chr(10))[0]} as module {path}; build stackae's own layers for other kinds"
            )
        free = isinstance(module, nn.Linear)
    return found


def _dense_modules(layer: Dense) -> list[nn.Module]:
    linear = nn.Linear(*layer.sizes, device="meta")  # where nothing is drawn
    return [_filled(linear, layer.weight, layer.bias), *_activation(layer.activation)]


def _filled(module: M, weight: Tensor, bias: Tensor) -> M:
    module.weight, module.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
    return module


def _activation(name: str) -> list[nn.Module]:
    return [] if name == "linear" else [MODULES[name]()]


def _convolution(layer: Convolution) -> list[nn.Module]:
    channels, channels_in, kernel, _ = layer.weight.shape
    conv = nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, device="meta")
    return [_filled(conv, layer.weight, layer.bias), *_activation(layer.activation)]


def _as_images(shape: Shape | None) -> list[nn.Module]:
    """Flat rows, the channels of a pixel side by side, -> (batch, channels, height, width); ChannelShuffle transposes
    pixels x channels."""
    if shape is None:
        return []
    height, width, channels = shape
    return [*_transposed(height * width, channels), nn.Unflatten(1, (channels, height, width))]


def _as_rows(shape: Shape | None) -> list[nn.Module]:
    if shape is None:
        return []
    height, width, channels = shape
    return [nn.Flatten(), *_transposed(channels, height * width)]


def _transposed(rows: int, columns: int) -> list[nn.Module]:
    """Flat (batch, rows · columns) -> the transposed matrices, flat."""
    if min(rows, columns) == 1:
        return []
    return [nn.Unflatten(1, (rows * columns, 1)), nn.ChannelShuffle(rows), nn.Flatten()]
