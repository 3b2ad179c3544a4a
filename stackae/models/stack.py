"""The stack: trained autoencoders, bottom first; each reads the code of the one below."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.parameters import fill
from stackae.data.minibatches import in_order
from stackae.data.placement import home
from stackae.data.rows import Rows
from stackae.errors import ConfigError
from stackae.models.plain import both_ways, dense_layers
from stackae.ranks.turns import in_turns

ROWS_AT_ONCE = 1024


class StackedAutoencoder(nn.Module):
    """n -> m -> k: ``encode`` applies the encoders upwards, ``decode`` the decoders downwards.

    ``layer`` counts from 1 at the bottom; None means the top.

    Bengio, Lamblin, Popovici & Larochelle (2006); Vincent et al. (2010).
    """

    def __init__(self, layers: Iterable[LayerAutoencoder]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        if not self.layers:
            raise ConfigError("layers: expected at least one autoencoder, got none")
        for below, above in zip(self.autoencoders, self.autoencoders[1:], strict=False):
            if below.n_hidden != above.n_visible:
                raise ConfigError(
                    f"layers: expected a layer that reads {below.n_hidden} codes, got one that reads {above.n_visible}"
                )

    @property
    def autoencoders(self) -> list[LayerAutoencoder]:
        return [layer for layer in self.layers if isinstance(layer, LayerAutoencoder)]

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ...)"""
        return (self.autoencoders[0].n_visible, *(layer.n_hidden for layer in self.autoencoders))

    def encode(self, x: Tensor, layer: int | None = None) -> Tensor:
        """x (batch, n_visible) -> code of the given layer (batch, n_hidden)."""
        for autoencoder in self._up_to(layer):
            x = autoencoder.encode(x)
        return x

    def decode(self, h: Tensor, layer: int | None = None) -> Tensor:
        """Code of the given layer (batch, n_hidden) -> reconstruction (batch, n_visible)."""
        for autoencoder in reversed(self._up_to(layer)):
            h = autoencoder.decode(h)
        return h

    def logits(self, x: Tensor, layer: int | None = None) -> Tensor:
        """``reconstruct`` before the last activation, (batch, n_visible)."""
        h = self.encode(x, layer)
        for autoencoder in reversed(self._up_to(layer)[1:]):
            h = autoencoder.decode(h)
        return self.autoencoders[0].decode_logits(h)

    def reconstruct(self, x: Tensor, layer: int | None = None) -> Tensor:
        """decode(encode(x)) through the given layer, (batch, n_visible)."""
        return self.decode(self.encode(x, layer), layer)

    forward = reconstruct

    def take_encoders(self, encoders: Iterable[nn.Module]) -> None:
        """Copy the weights of fine-tuned encoders, bottom first, into its autoencoders, which are dense."""
        for autoencoder, encoder in zip(self.autoencoders, encoders, strict=True):
            assert isinstance(autoencoder, Autoencoder)
            fill(autoencoder.encoder, encoder.state_dict())

    @classmethod
    def from_torch(cls, network: nn.Sequential, decoder: nn.Sequential | None = None) -> Self:
        """Build a stack of dense layers with copies of the weights of torch's modules.

        Args:
            network: the encoder, ``nn.Linear`` layers, each perhaps with an activation after it; or both, as children
                named ``encoder`` and ``decoder``, as ``to_torch`` gives them.
            decoder: the same back, an ``nn.Linear`` for each of the encoder's. Weights that are the encoder's,
                transposed, are tied. None: they are, biases are 0, and outputs linear or, above another layer, of the
                activation of that one.

        Raises:
            ConfigError: other modules, or a decoder that does not lead back.
        """
        return cls(dense_layers(network, decoder))

    def to_torch(self) -> nn.Sequential:
        """Copy the stack into ``torch.nn`` modules: x (batch, n_visible) -> reconstruction, children ``encoder`` and
        ``decoder``.

        They read and give what ``encode`` and ``decode`` do. Tied weights are two copies. A pickle or a state dict of
        them needs torch alone.

        Raises:
            ConfigError: torch.nn has no such module: top-k codes, and artanh, by which a marginalized layer decodes
                tanh codes.
        """
        layers = self.autoencoders
        return both_ways([each.encoder_alone() for each in layers], [each.decoder_alone() for each in layers[::-1]])

    @property
    def device(self) -> torch.device:
        return self.autoencoders[0].device

    def check_layer(self, layer: int | None) -> None:
        """Raise ConfigError unless there is such a layer."""
        count = len(self.autoencoders)
        if layer is not None and not 1 <= layer <= count:
            raise ConfigError(f"layer: expected 1 to {count}, or None for the top, got {layer}")

    def _up_to(self, layer: int | None) -> list[LayerAutoencoder]:
        self.check_layer(layer)
        return self.autoencoders[:layer]


@torch.no_grad()
def in_batches(
    function: Callable[[Tensor], Tensor],
    x: Rows,
    device: torch.device | None = None,
    keep: torch.device | None = None,
) -> Tensor:
    """Compute function(x) for any number of rows, in batches of ROWS_AT_ONCE, on ``device`` or that of x.

    Ranks that are ``dividing`` passes make it together. The result is stored on ``keep``, or where
    ``stackae.data.placement.home`` chooses. Only one copy of it exists: each batch is written into its slice.
    """
    device = device or x.device
    parts = list(in_order(len(x), ROWS_AT_ONCE)) or [slice(0, 0)]
    results = torch.empty(0)
    pieces = in_turns(parts, lambda part: function(x[part].to(device)))
    for part, piece in zip(parts, pieces, strict=True):
        if part.start == 0:
            shape = (len(x), *piece.shape[1:])
            place = keep or home(math.prod(shape) * piece.element_size(), device)
            results = piece.new_empty(shape, device=place)
        results[part] = piece
    return results
