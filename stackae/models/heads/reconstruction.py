"""The reconstruction head: the stack's decoders on its encoders, unrolled into one network and trained together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Decoder, Encoder
from stackae.autoencoders.parameters import fill
from stackae.config import PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data import Rows, in_order
from stackae.data.rows import aim_of
from stackae.errors import ConfigError, DataError
from stackae.models.evaluation import ReconstructionReport, reconstruction_report, spread_of
from stackae.models.files import check_numbers
from stackae.models.heads.base import Finetuned, FinetuneObjective, HeadTask, Prepared, check_description
from stackae.models.plain import both_ways
from stackae.models.stack import ROWS_AT_ONCE, StackedAutoencoder
from stackae.objectives.base import links
from stackae.objectives.kinds import KINDS, build
from stackae.objectives.losses import LOSSES
from stackae.ops.step import DenseLayer


class Decoders(Decoder):
    """z = g_1(... g_L(h)): the decoders of a stack, top first."""

    def __init__(self, layers: Iterable[Decoder]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @property
    def each(self) -> list[Decoder]:
        return [layer for layer in self.layers if isinstance(layer, Decoder)]

    @property
    def trained(self) -> list[Tensor]:
        return [parameter for layer in self.each for parameter in layer.trained]

    @property
    def sizes(self) -> tuple[int, int]:
        return self.each[0].sizes[0], self.each[-1].sizes[1]

    def forward(self, h: Tensor) -> Tensor:
        """Code h (batch, n_hidden) -> reconstruction z (batch, n_visible)."""
        for layer in self.each:
            h = layer(h)
        return h

    def logits(self, h: Tensor) -> Tensor:
        """The reconstruction before the last activation, (batch, n_visible)."""
        for layer in self.each[:-1]:
            h = layer(h)
        return self.each[-1].logits(h)


class DeepAutoencoder(Finetuned):
    """z = decode(encode(x)): an unrolled stack, whose encoders and decoders are no longer tied.

    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
    """

    head: Decoders
    output_activations: Sequence[str] = ()
    """The output activations of the stack's layers, bottom first."""

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """Prepare for any rows. Raises ConfigError for a loss of bce unless the output of layer 1 is sigmoid."""
        output, loss, norm = task.stack.autoencoders[0].output_activation, task.loss, task.config.max_norm
        if loss == "bce" and output != "sigmoid":
            raise ConfigError(f"loss bce: expected a sigmoid output of layer 1, got {output}; use loss mse")
        if not len(task.train.x):
            raise DataError("data: expected at least one training row, got none")
        return Prepared(
            cls.unrolled(task.start, task.config.engine),
            task.train.x,
            None if task.validation is None else task.validation.x,
            lambda one, read, rows: UnrolledObjective(one, read, rows, loss=loss, max_norm=norm),
            lambda one, read, rows: (reconstruction_loss(one, read, rows, loss), None),
        )

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        pairs = zip(config.layer_sizes, config.layers, strict=False)
        return sum(KINDS[layer.kind].autoencoder.unrolled_numbers_of(n, layer) for n, layer in pairs)

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        sizes, outputs = (*config.layer_sizes, config.n_visible), tuple(description["outputs"])
        check_description(description, "reconstruction", sizes)
        wanted = [layer.output_activation for layer in config.layers]
        fit = [own in ACTIVATIONS and asked in (own, "auto") for own, asked in zip(outputs, wanted, strict=True)]
        if not all(fit):
            raise ValueError(f"output activations {list(outputs)} instead of {wanted}")
        check_numbers(tensors, cls.most_numbers(config))
        settled = [
            layer.model_copy(update={"output_activation": output})
            for layer, output in zip(config.layers, outputs, strict=True)
        ]
        stack = StackedAutoencoder(build(n, layer, engine=engine) for n, layer in zip(sizes, settled, strict=False))
        model = cls.unrolled(stack, engine)
        fill(model, tensors)
        return model, ()

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        return {"kind": "reconstruction", "outputs": self.output_activations}

    def report(self, x: Rows, y: Tensor | None = None, loss: str = "mse") -> ReconstructionReport:
        """Report on the reconstruction of n >= 1 rows by the whole network; y is not used.

        With ``loss`` bce, it is on the cross-entropy too.
        """
        top, logits = len(self.encoders), self.logits if loss == "bce" else None
        return reconstruction_report(top, self.layer_sizes[top], self.reconstruct, x, spread_of(x), logits)

    @classmethod
    def unrolled(cls, stack: StackedAutoencoder, engine: str = "auto") -> Self:
        """Unroll copies of the stack's encoders and decoders; before training, it reconstructs as the stack does."""
        below = stack.autoencoders
        decoders = Decoders(each.decoder_alone(engine) for each in reversed(below))
        model = cls([each.encoder_alone(engine) for each in below], decoders)
        model.output_activations = [each.output_activation for each in below]
        return model

    def to_torch(self) -> nn.Sequential:
        return both_ways([each for each in self.encoders if isinstance(each, Encoder)], self.head.each)

    def decode(self, h: Tensor) -> Tensor:
        """Top code h (batch, n_hidden) -> reconstruction z (batch, n_visible)."""
        z: Tensor = self.head(h)
        return z

    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before the last activation, (batch, n_visible)."""
        return self.head.logits(h)

    def logits(self, x: Tensor) -> Tensor:
        """``reconstruct`` before the last activation, (batch, n_visible)."""
        return self.decode_logits(self.encode(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> reconstruction z (batch, n_visible)."""
        return self.forward(x)


@dataclass(frozen=True)
class UnrolledObjective(FinetuneObjective):
    """(1/B) Σ_i L(t_i, decode(encode(x_i))), where t_i is x_i itself, its target of ``PairedRows``, or the row
    whose code x_i is.

    Hinton & Salakhutdinov (2006), Reducing the dimensionality of data with neural networks.
    """

    network: DeepAutoencoder
    target: Rows

    @property
    def wanted(self) -> Rows:
        return self.target

    @property
    def chain(self) -> list[DenseLayer]:
        return links([*self.network.encoders, *self.network.head.each], self.loss)

    def __call__(self, rows: Tensor, step: int) -> Tensor:
        one = self.network
        code = self.code(rows, step)
        aim = self.aim(rows, self.target)
        return LOSSES[self.loss](one, code, aim.target, aim.weight)


@torch.no_grad()
def reconstruction_loss(model: DeepAutoencoder, x: Rows, target: Rows, loss: str) -> float:
    """Compute the loss per row of decode(encode(x)); x (n, n_in) is ``target`` (n, n_visible), or its codes."""
    total = 0.0
    for part in in_order(len(x), ROWS_AT_ONCE):
        code = model.encode(x[part].to(model.device))
        aim = aim_of(target, part).to(model.device)
        total += LOSSES[loss](model, code, aim.target, aim.weight).item() * len(code)
    return total / len(x)
