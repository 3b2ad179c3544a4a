"""Modules that read rows in the data's own units and call torch's ops alone, so that torch.export can trace them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.conv import Convolution
from stackae.autoencoders.dense import Dense
from stackae.data.scaling import Scaling
from stackae.models.heads import Finetuned
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import choose_engine

M = TypeVar("M", bound=nn.Module)


class Scaled(nn.Module):
    """``Scaling.transform``: x (batch, d) in the data's own units and the scaling's precision -> float32."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.clip = scaling.clip
        self.offset: Tensor
        self.scale: Tensor
        self.fill: Tensor | None
        for name in ("offset", "scale", "fill"):
            tensor = getattr(scaling, name)
            self.register_buffer(name, None if tensor is None else tensor.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        if self.fill is not None:
            x = torch.where(x.isnan(), self.fill, x)
        x = (x - self.offset) / self.scale
        if self.clip is not None:
            x = x.clamp(-self.clip, self.clip)
        return x.float()


class Unscaled(nn.Module):
    """``Scaling.inverse_transform``: z (batch, d) float32 -> the data's own units, in the scaling's precision."""

    def __init__(self, scaling: Scaling) -> None:
        super().__init__()
        self.offset: Tensor
        self.scale: Tensor
        self.register_buffer("offset", scaling.offset.detach().clone())
        self.register_buffer("scale", scaling.scale.detach().clone())

    def forward(self, z: Tensor) -> Tensor:
        return z.to(self.offset.dtype) * self.scale + self.offset


class Mapped(nn.Module):
    """One output: the modules one after the other."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.steps(x),)


class Answering(nn.Module):
    """What a head says of rows: its decisions where it makes any, then its values."""

    def __init__(self, scaled: Scaled, model: Finetuned) -> None:
        super().__init__()
        self.scaled, self.model = scaled, plain_copy(model)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        values, chosen = self.model.answers(self.model.outputs(self.scaled(x)))
        return (values,) if chosen is None else (chosen, values)


def plain_copy(module: M) -> M:
    """A copy on the CPU whose dense layers call torch's ops, not the extension's."""
    plain = copy.deepcopy(module).cpu().eval()
    for each in plain.modules():
        if isinstance(each, (Dense, Convolution)):
            each.engine = choose_engine("eager")
    return plain


def encoders_of(network: StackedAutoencoder | Finetuned, layer: int | None) -> list[Encoder]:
    """Copies of the encoders up to a layer, bottom first."""
    if isinstance(network, StackedAutoencoder):
        return [plain_copy(each.encoder_alone("eager")) for each in network.autoencoders[:layer]]
    return [plain_copy(each) for each in [*network.encoders][:layer] if isinstance(each, Encoder)]


def decoders_of(stack: StackedAutoencoder, layer: int | None) -> list[Encoder]:
    """Copies of the decoders from a layer down, top first."""
    return [plain_copy(each.decoder_alone("eager")) for each in reversed(stack.autoencoders[:layer])]
