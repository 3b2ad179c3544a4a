"""Base classes of fine-tuned models: the encoders of a stack under a head, and the interface of every head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.data import Part, Rows
from stackae.models.plain import sequential
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.base import Objective
from stackae.objectives.kinds import build, numbers_of
from stackae.ops.engine import choose_engine

HEAD_NUMBER = 1000  # the head's layer number in random streams: larger than that of any layer


class Finetuned(nn.Module):
    """head(encoders(x))."""

    def __init__(self, encoders: Iterable[Encoder], head: Encoder) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """Build an untrained head on copied encoders, and select its training rows. Raises DataError for no such rows.

        Rows without the targets that the head learns are skipped.
        """
        raise NotImplementedError

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        """Bound the numbers in the file of such a head on a stack of these settings."""
        raise NotImplementedError

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        """Read the model in a file, on a stack of these settings, and the names of its classes, targets or labels.

        Raises:
            ValueError: the file does not hold such a head on such a stack.
        """
        raise NotImplementedError

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        """Describe the head for its file, besides its sizes; ``names`` are its classes, targets or labels."""
        raise NotImplementedError

    def report(self, x: Rows, y: Tensor | None) -> Any:
        """Evaluate on rows x (n, n_visible) with targets y. Raises DataError where no row can be evaluated."""
        raise NotImplementedError

    def answers(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Interpret the ``outputs`` of n rows: values (n, k), and the decisions by them, or None without decisions."""
        raise NotImplementedError

    def outputs(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> the input of ``answers`` (batch, k)."""
        return self.forward(x)

    def head_alone(self) -> Self:
        """Return a model of the same head (not a copy) without encoders, which reads codes."""
        return type(self)([], self.head)

    def to_torch(self) -> nn.Sequential:
        """Copy the model into ``torch.nn`` modules that compute ``forward``. Raises ConfigError as a stack's does."""
        return sequential(self.parts)

    @property
    def device(self) -> torch.device:
        return self.head.trained[0].device

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ..., outputs of the head)"""
        return (self.parts[0].sizes[0], *(part.sizes[1] for part in self.parts))

    @property
    def parts(self) -> list[Encoder]:
        """The encoders and the head."""
        return [part for part in (*self.encoders, self.head) if isinstance(part, Encoder)]

    def encode(self, x: Tensor, layer: int | None = None) -> Tensor:
        """x (batch, n_visible) -> code (batch, n_hidden) of a layer, counted from 1; None is the top."""
        for encoder in list(self.encoders)[:layer]:
            x = encoder(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> head(encode(x)) (batch, n_out)."""
        out: Tensor = self.head(self.encode(x))
        return out


@dataclass(frozen=True)
class FinetuneObjective(Objective):
    """The objective of a head on encoders: the base class of every head's."""

    network: Finetuned
    layer: int = field(default=HEAD_NUMBER, kw_only=True)

    @property
    def codes(self) -> int:
        return len(self.network.encoders)

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for part in self.network.parts for parameter in part.trained]

    def code(self, rows: Tensor, step: int) -> Tensor:
        """Encode these rows as a step sees them: corrupted, and with dropout of inputs and of every layer's code.

        Noise is drawn by (seed, layer, step), each layer from a stream of its own.
        """
        one, engine = self.network, self.batch_share.placed(choose_engine("auto"))
        h = self.x[rows].to(one.device)
        h = self.corruption(h, engine, seed=self.seed, layer=self.layer, step=step)
        if self.dropout is None:
            return one.encode(h)
        inputs, units = self.dropout
        h = inputs(h, engine, seed=self.seed, layer=self.layer, step=step)
        for number, encoder in enumerate(one.encoders):
            h = units(encoder(h), engine, seed=self.seed, layer=self.layer + number, step=step)
        return h


class HeadTask(NamedTuple):
    """The inputs of fine-tuning: a stack, rows with their targets, and settings.

    n_classes is the width of a classifier; loss, mse or bce, is for a reconstruction. ``begun`` is a model of the same
    head and shape that is trained on, in the place of a new head on the stack's encoders.
    """

    stack: StackedAutoencoder
    train: Part
    validation: Part | None
    config: FinetuneConfig
    n_classes: int = 0
    loss: str = "mse"
    begun: Finetuned | None = None

    @property
    def start(self) -> StackedAutoencoder:
        """The stack to start from: the given one, or an untrained one of the same shape."""
        if self.config.init != "random":
            return self.stack
        layers = enumerate(self.stack.autoencoders, start=1)
        return StackedAutoencoder(each.anew(self.config.seed, number) for number, each in layers)

    @property
    def encoders(self) -> list[Encoder]:
        """Copies of the encoders of ``start``, or of what is trained on."""
        if self.begun is not None:
            return [copy.deepcopy(part) for part in self.begun.parts[:-1]]
        return [each.encoder_alone(self.config.engine) for each in self.start.autoencoders]

    def dense(self, outputs: int) -> Dense:
        """Build an untrained linear layer on the top code, or copy the one that is trained on."""
        if self.begun is not None and isinstance(self.begun.head, Dense):
            return copy.deepcopy(self.begun.head)
        config = self.config
        return Dense.initialised(
            self.stack.layer_sizes[-1],
            outputs,
            "linear",
            initial=config.initial_weights,
            seed=config.seed,
            layer=HEAD_NUMBER,
            engine=config.engine,
        )


ModelT = TypeVar("ModelT", bound=Finetuned)


class Prepared(NamedTuple, Generic[ModelT]):
    """A head that is ready to be trained.

    Attributes:
        model: untrained, on the CPU.
        x: (n, n_visible) the training rows.
        held_out: (n_validation, n_visible) the validation rows, which choose the best epoch.
        objective: makes the objective from (network, read, rows): the model or its head alone; the input of that, rows
            or their codes; and the rows themselves.
        validate: computes, from the same three for the validation rows, the loss per row and the error rate (None
            where the head has none).
        y: the targets of x as the head learns them: classes (n,), or standardized numbers (n, k), NaN where one is
            missing; None for a head that has none.
        weight: (n_classes,) weights of the classes in the loss; None means 1.
    """

    model: ModelT
    x: Rows
    held_out: Rows | None
    objective: Callable[[ModelT, Rows, Rows], FinetuneObjective]
    validate: Callable[[ModelT, Rows, Rows], tuple[float, float | None]]
    y: Tensor | None = None
    weight: Tensor | None = None


def dense_numbers(config: PretrainConfig, outputs: int) -> int:
    """Bound the numbers in the file of a linear layer with ``outputs`` units on such a stack."""
    layers = zip(config.layer_sizes, config.layers, strict=False)
    return sum(numbers_of(n, layer) for n, layer in layers) + (config.layer_sizes[-1] + 1) * outputs


def unfilled(config: PretrainConfig, outputs: int, engine: str) -> tuple[list[Encoder], Dense]:
    """Build the encoders of such a stack and a linear layer on them, to be filled from a file."""
    n, layers = config.layer_sizes, map(_settled, config.layers)
    encoders = [build(*each, engine=engine).encoder_alone(engine) for each in zip(n, layers, strict=False)]
    return encoders, Dense.initialised(n[-1], outputs, "linear", seed=0, layer=0, engine=engine)


def _settled(layer: LayerConfig) -> LayerConfig:
    """Settle an ``auto`` output activation to any value: only the encoder is used."""
    return layer.model_copy(update={"output_activation": "linear"}) if layer.output_activation == "auto" else layer


def check_description(description: Mapping[str, Any], kind: str, sizes: tuple[int, ...]) -> None:
    """Raise ValueError unless the description is of a head of this kind and these layer sizes."""
    if description["kind"] != kind or tuple(description["sizes"]) != sizes:
        raise ValueError(f"{description['kind']} of sizes {description['sizes']} instead of {list(sizes)}")
