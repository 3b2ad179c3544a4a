"""What fine-tuning trains: the encoders of a stack under a head, and what every head says of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Encoder
from stackae.autoencoders.dense import Dense
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.data import Part, Rows
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.base import Objective
from stackae.objectives.kinds import build, numbers_of

HEAD_NUMBER = 1000  # keeps the head's random streams apart from every layer's


class Finetuned(nn.Module):
    """head(encoders(x))."""

    def __init__(self, encoders: Iterable[Encoder], head: Encoder) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.head = head

    @classmethod
    def prepared(cls, task: HeadTask) -> Prepared[Self]:
        """An untrained head on new encoders, with the rows that it learns from. Raises DataError where there are none.

        The task's part may lack what the head learns; rows without it are skipped.
        """
        raise NotImplementedError

    @classmethod
    def most_numbers(cls, config: PretrainConfig) -> int:
        """How many numbers the file of such a head holds on a stack of these settings, at the most."""
        raise NotImplementedError

    @classmethod
    def read(
        cls, tensors: Mapping[str, Tensor], description: Mapping[str, Any], config: PretrainConfig, engine: str
    ) -> tuple[Self, tuple[str, ...]]:
        """The model that a file holds, on a stack of these settings, and the names of what it answers with.

        Raises:
            ValueError: the file does not hold such a head on such a stack.
        """
        raise NotImplementedError

    def described(self, names: Sequence[str]) -> dict[str, Any]:
        """What its file says of it besides its sizes; ``names`` are those of what it answers with."""
        raise NotImplementedError

    def report(self, x: Rows, y: Tensor | None) -> Any:
        """How it does on rows x (n, n_visible) with targets y. Raises DataError where there is nothing to measure."""
        raise NotImplementedError

    def answers(self, outputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """What the ``outputs`` of n rows say: values (n, k), and what is chosen by them, if anything is."""
        raise NotImplementedError

    def outputs(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> what ``answers`` reads."""
        return self.forward(x)

    def head_alone(self) -> Self:
        """The same head, not a copy, on no encoders: what it reads are codes."""
        return type(self)([], self.head)

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
        """x (batch, n_visible) -> the code of a layer, counted from 1; None is the top (batch, n_hidden)."""
        for encoder in list(self.encoders)[:layer]:
            x = encoder(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """x (batch, n_visible) -> what the head makes of its code (batch, n_out)."""
        out: Tensor = self.head(self.encode(x))
        return out


@dataclass(frozen=True)
class FinetuneObjective(Objective):
    """What a head on encoders is trained for, of whatever kind it is."""

    network: Finetuned

    @property
    def parameters(self) -> list[Tensor]:
        return [parameter for part in self.network.parts for parameter in part.trained]


class HeadTask(NamedTuple):
    """What a head is trained on: a stack, rows with their targets, and settings.

    n_classes is the width of a classifier; loss is that of a reconstruction, mse or bce.
    """

    stack: StackedAutoencoder
    train: Part
    validation: Part | None
    config: FinetuneConfig
    n_classes: int = 0
    loss: str = "mse"

    @property
    def start(self) -> StackedAutoencoder:
        """The stack, or an untrained one like it."""
        if self.config.init == "pretrained":
            return self.stack
        layers = enumerate(self.stack.autoencoders, start=1)
        return StackedAutoencoder(each.anew(self.config.seed, number) for number, each in layers)

    @property
    def encoders(self) -> list[Encoder]:
        """Copies of the stack's, or of untrained ones like them."""
        return [each.encoder_alone(self.config.engine) for each in self.start.autoencoders]

    def dense(self, outputs: int) -> Dense:
        """A linear layer on the top code, untrained."""
        config = self.config
        return Dense.initialised(
            self.stack.layer_sizes[-1], outputs, "linear", seed=config.seed, layer=HEAD_NUMBER, engine=config.engine
        )


ModelT = TypeVar("ModelT", bound=Finetuned)


class Prepared(NamedTuple, Generic[ModelT]):
    """A head that is about to be trained.

    Attributes:
        model: untrained, on the CPU.
        x: (n, n_visible) the rows that it learns from.
        held_out: (n_validation, n_visible) those that choose its best epoch.
        objective: of (network, read, rows): the model, or its head alone; what that reads, rows or their codes; and
            the rows themselves.
        validate: of the same for the rows held out, the loss per row, and the share that is wrong.
    """

    model: ModelT
    x: Rows
    held_out: Rows | None
    objective: Callable[[ModelT, Rows, Rows], FinetuneObjective]
    validate: Callable[[ModelT, Rows, Rows], tuple[float, float | None]]


def dense_numbers(config: PretrainConfig, outputs: int) -> int:
    """How many numbers the file of a linear layer on such a stack holds, at the most."""
    layers = zip(config.layer_sizes, config.layers, strict=False)
    return sum(numbers_of(n, layer) for n, layer in layers) + (config.layer_sizes[-1] + 1) * outputs


def unfilled(config: PretrainConfig, outputs: int, engine: str) -> tuple[list[Encoder], Dense]:
    """The encoders of such a stack and a linear layer on them, for the numbers of a file."""
    n, layers = config.layer_sizes, map(_settled, config.layers)
    encoders = [build(*each, engine=engine).encoder_alone(engine) for each in zip(n, layers, strict=False)]
    return encoders, Dense.initialised(n[-1], outputs, "linear", seed=0, layer=0, engine=engine)


def _settled(layer: LayerConfig) -> LayerConfig:
    """With an output activation, where only the encoder is of interest."""
    return layer.model_copy(update={"output_activation": "linear"}) if layer.output_activation == "auto" else layer


def check_description(description: Mapping[str, Any], kind: str, sizes: tuple[int, ...]) -> None:
    """Raises ValueError unless it is that of such a head of these layer sizes."""
    if description["kind"] != kind or tuple(description["sizes"]) != sizes:
        raise ValueError(f"{description['kind']} of sizes {description['sizes']} instead of {list(sizes)}")
