"""The convolutional layer, and the convolutional autoencoder of two such layers."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stackae.autoencoders.base import Decoder, Encoder, LayerAutoencoder
from stackae.autoencoders.dense import check_width
from stackae.config import LayerConfig
from stackae.ops.engine import Engine, choose_engine
from stackae.ops.reference import ACTIVATIONS
from stackae.random import Purpose, uniform

Shape = tuple[int, int, int]


class Convolution(nn.Module):
    """y = f(w * x + b), with zero padding, so that y has as many pixels as x.

    weight (channels, channels_in, kernel, kernel), bias (channels,).
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: str, engine: str = "auto") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation
        self.engine = choose_engine(engine)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels_in, height, width) -> (batch, channels, height, width)."""
        return ACTIVATIONS[self.activation](self.logits(x))

    def logits(self, x: Tensor) -> Tensor:
        """The pre-activation w * x + b."""
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[2] // 2)

    def extra_repr(self) -> str:
        channels, channels_in, kernel, _ = self.weight.shape
        return f"{channels_in} -> {channels}, {kernel}x{kernel}, {self.activation}, {self.engine.name}"


class ConvolutionalEncoder(Encoder):
    """pool(f(w * x + b)) of flat rows."""

    def __init__(self, convolution: Convolution, shape: Shape, pool: bool) -> None:
        super().__init__()
        self.convolution, self.shape, self.pool = convolution, shape, pool

    @property
    def trained(self) -> list[Tensor]:
        return [self.convolution.weight, self.convolution.bias]

    @property
    def sizes(self) -> tuple[int, int]:
        code = shape_of_code(self.shape, self.convolution.weight.shape[0], self.pool)
        return math.prod(self.shape), math.prod(code)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, n_in) -> (batch, n_out)."""
        return pooled(self.convolution, x, self.shape, self.pool)


class ConvolutionalDecoder(Decoder):
    """g(w' * grow(h) + c) of flat codes; ``shape`` is that of the reconstruction."""

    def __init__(self, convolution: Convolution, shape: Shape, pool: bool) -> None:
        super().__init__()
        self.convolution, self.shape, self.pool = convolution, shape, pool

    @property
    def code_shape(self) -> Shape:
        return shape_of_code(self.shape, self.convolution.weight.shape[1], self.pool)

    @property
    def trained(self) -> list[Tensor]:
        return [self.convolution.weight, self.convolution.bias]

    @property
    def sizes(self) -> tuple[int, int]:
        return math.prod(self.code_shape), math.prod(self.shape)

    def forward(self, h: Tensor) -> Tensor:
        """h: (batch, n_in) -> (batch, n_out)."""
        return _rows(self.convolution(grown(h, self.shape, self.code_shape, self.pool)))

    def logits(self, h: Tensor) -> Tensor:
        return _rows(self.convolution.logits(grown(h, self.shape, self.code_shape, self.pool)))


class ConvolutionalAutoencoder(LayerAutoencoder):
    """h = pool(f(w * x + b)), z = g(w' * grow(h) + c), untied: pool is 2x2 max pooling, grow repeats pixels 2x2.

    Rows are flat, as for every layer: pixel by pixel, row by row, with the channels of a pixel side by side. A row of x
    is an image (height, width, channels_in), and a row of the code is one of ``code_shape``, which is the ``shape`` of
    a convolutional layer above. Where height or width is odd, the last row or column is pooled without a partner, and
    grow crops its result to the input's size.

    Args:
        shape: (height, width, channels_in) of the input x and of the reconstruction z.
        channels: of the code.
        kernel: height and width of both kernels w and w', odd.
        pool: True halves height and width, rounded up; False gives the code as many pixels as x.
        activation: f, by a name of ``stackae.ops.reference.ACTIVATIONS``.
        output_activation: g; sigmoid for data in [0, 1], linear for data of any range.
        seed: the weights are a function of (seed, layer) alone.
        engine: of corruption and penalties; torch computes the convolutions, channels last, on flat rows in place.

    Raises:
        ValueError: an invalid shape, number of channels, kernel or activation.

    Masci, Meier, Cireşan & Schmidhuber (2011), Stacked convolutional auto-encoders for hierarchical feature
    extraction.
    """

    def __init__(
        self,
        shape: Shape,
        channels: int,
        *,
        kernel: int = 3,
        pool: bool = True,
        activation: str = "relu",
        output_activation: str = "sigmoid",
        seed: int = 0,
        layer: int = 0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        _check(shape, channels, kernel, (activation, output_activation))
        channels_in = shape[2]
        self.shape, self.pool, self.output_activation = shape, pool, output_activation
        there = glorot_kernels(channels, channels_in, kernel, seed=seed, layer=layer)
        back = glorot_kernels(channels_in, channels, kernel, seed=seed, layer=layer, part=1)
        self.encoder = Convolution(there, torch.zeros(channels), activation, engine)
        self.decoder = Convolution(back, torch.zeros(channels_in), output_activation, engine)

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        return cls(
            _image(n_visible, layer),
            layer.channels,
            kernel=layer.kernel,
            pool=layer.pool,
            activation=layer.activation,
            output_activation=layer.output_activation,
            engine=engine,
            seed=seed,
            layer=number,
        )

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        there, back = layer.channels, _image(n_visible, layer)[2]
        return 2 * there * back * layer.kernel**2 + there + back

    @classmethod
    def row_numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        height, width, _ = _image(n_visible, layer)
        return n_visible + 2 * height * width * layer.channels  # before and after f; pooled ones are fewer

    @property
    def code_shape(self) -> Shape:
        """(height, width, channels) of the code."""
        return shape_of_code(self.shape, self.encoder.weight.shape[0], self.pool)

    @property
    def n_visible(self) -> int:
        return math.prod(self.shape)

    @property
    def n_hidden(self) -> int:
        return math.prod(self.code_shape)

    @property
    def activated(self) -> int:
        return math.prod(self.shape[:2]) * self.encoder.weight.shape[0]

    @property
    def activation(self) -> str:
        return self.encoder.activation

    @property
    def engine(self) -> Engine:
        return self.encoder.engine

    @property
    def trained(self) -> list[Tensor]:
        return [self.encoder.weight, self.encoder.bias, self.decoder.weight, self.decoder.bias]

    @property
    def filters(self) -> tuple[Tensor, Shape]:
        kernels = self.encoder.weight.permute(0, 2, 3, 1)
        return kernels.flatten(1), (kernels.shape[1], kernels.shape[2], kernels.shape[3])

    def code(self, x: Tensor) -> Tensor:
        """pool(f(w * x + b)), flat."""
        return pooled(self.encoder, x, self.shape, self.pool)

    def decode(self, h: Tensor) -> Tensor:
        return _rows(self.decoder(grown(h, self.shape, self.code_shape, self.pool)))

    def decode_logits(self, h: Tensor) -> Tensor:
        return _rows(self.decoder.logits(grown(h, self.shape, self.code_shape, self.pool)))

    def encoder_alone(self, engine: str = "auto") -> ConvolutionalEncoder:
        weight, bias = self.encoder.weight.detach().clone(), self.encoder.bias.detach().clone()
        return ConvolutionalEncoder(Convolution(weight, bias, self.activation, engine), self.shape, self.pool)

    def decoder_alone(self, engine: str = "auto") -> ConvolutionalDecoder:
        weights = self.decoder.weight.detach().clone(), self.decoder.bias.detach().clone()
        return ConvolutionalDecoder(Convolution(*weights, self.output_activation, engine), self.shape, self.pool)

    def not_dense(self, decoding: bool) -> str:
        return "kind convolutional"

    def anew(self, seed: int, layer: int) -> ConvolutionalAutoencoder:
        channels, _, kernel, _ = self.encoder.weight.shape
        return ConvolutionalAutoencoder(
            self.shape,
            channels,
            kernel=kernel,
            pool=self.pool,
            activation=self.activation,
            output_activation=self.output_activation,
            seed=seed,
            layer=layer,
            engine=self.engine.name,
        )

    def extra_repr(self) -> str:
        return f"{self.shape} -> {self.code_shape}"


def _image(n_visible: int, layer: LayerConfig) -> Shape:
    """The image shape that a layer reads; settings of this kind have one."""
    return layer.shape or (1, n_visible, 1)


def shape_of_code(shape: Shape, channels: int, pool: bool) -> Shape:
    """Return (height, width, channels) of the code of images of that shape."""
    height, width, _ = shape
    return (-(-height // 2), -(-width // 2), channels) if pool else (height, width, channels)


def pooled(convolution: Convolution, x: Tensor, shape: Shape, pool: bool) -> Tensor:
    """Convolve and pool flat rows x (batch, height · width · channels_in) -> their codes, flat."""
    check_width("x", x, math.prod(shape))
    maps: Tensor = convolution(_images(x, shape))
    return _rows(F.max_pool2d(maps, 2, ceil_mode=True) if pool else maps)


def grown(h: Tensor, shape: Shape, code_shape: Shape, pool: bool) -> Tensor:
    """Upsample flat codes h (batch, n_hidden) -> maps (batch, channels, height, width) of the size of ``shape``."""
    check_width("h", h, math.prod(code_shape))
    maps = _images(h, code_shape)
    if not pool:
        return maps
    height, width, _ = shape
    larger = F.interpolate(maps, scale_factor=2, mode="nearest")[:, :, :height, :width]
    return larger.contiguous(memory_format=torch.channels_last)


def glorot_kernels(channels: int, channels_in: int, kernel: int, *, seed: int, layer: int, part: int = 0) -> Tensor:
    """Draw weights from U(±√(6 / (kernel² (channels_in + channels)))): Glorot & Bengio (2010)."""
    bound = math.sqrt(6.0 / (kernel**2 * (channels_in + channels)))
    stream = {"seed": seed, "layer": layer, "counter": part}
    draw = uniform((channels, channels_in, kernel, kernel), purpose=Purpose.INITIALISATION, **stream)
    return (2.0 * draw - 1.0) * bound


def _images(rows: Tensor, shape: Shape) -> Tensor:
    """View (batch, height · width · channels) as (batch, channels, height, width), channels last, without a copy."""
    return rows.reshape(rows.shape[0], *shape).permute(0, 3, 1, 2)


def _rows(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(1)


def _check(shape: Shape, channels: int, kernel: int, activations: tuple[str, str]) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"shape: expected (height, width, channels) of at least 1 each, got {shape}; "
            "give grey images one channel, such as (28, 28, 1)"
        )
    if channels < 1:
        raise ValueError(f"channels: expected at least 1, got {channels}; 16 is usual")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel: expected an odd number of pixels, got {kernel}; use 3 or 5")
    for name, activation in zip(("activation", "output_activation"), activations, strict=True):
        if activation not in ACTIVATIONS:
            raise ValueError(f"{name}: expected one of {', '.join(ACTIVATIONS)}, got '{activation}'")
