"""The parts that are exported: each a graph, what its outputs mean, and what stackae itself answers for the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from stackae.analysis.anomaly import ReconstructionError, calibrated, score_rows
from stackae.analysis.calibration import CalibratedScore
from stackae.autoencoders.base import Encoder
from stackae.data.rows import Rows, known_of
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError
from stackae.exporting.graphs import Answering, Mapped, Scaled, Unscaled, decoders_of, encoders_of, plain_copy
from stackae.exporting.scorers import Scoring
from stackae.models.heads import Finetuned
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.stack import StackedAutoencoder

PARTS = ("encoder", "decoder", "autoencoder", "head", "scorer")
PartName = Literal["encoder", "decoder", "autoencoder", "head", "scorer"]
Answer = tuple[Tensor, ...]


class Output(NamedTuple):
    """An output of a graph: its name, what it is in words, and its width, None for one number per row and 0 for one
    number in all.

    ``names`` are those of its columns, or of the classes that its numbers stand for where it is a ``choice`` of
    them. An output that ``decides`` does so by the probabilities that follow it.
    ``unit`` (width,) or (1,) is the least scale of its columns, where it has one by nature.
    """

    name: str
    meaning: str
    width: int | None = None
    names: tuple[str, ...] = ()
    choice: bool = False
    decides: bool = False
    unit: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a model: its ``graph``, which maps rows (batch, width) of ``dtype`` to the outputs.

    ``original`` is what stackae answers for rows as its networks read them, or for codes, where it
    reads those: ``coded`` are then the codes of rows.
    """

    name: PartName
    graph: nn.Module
    original: Callable[[Rows], Answer]
    outputs: tuple[Output, ...]
    width: int
    dtype: torch.dtype
    coded: Callable[[Rows], Tensor] | None = None

    @property
    def reads(self) -> Literal["rows", "codes"]:
        return "rows" if self.coded is None else "codes"


def encoder(network: StackedAutoencoder | Finetuned, scaling: Scaling, layer: int | None = None) -> Part:
    """codes = encode(x) of a layer, from 1; None is the top."""
    layers = encoders_of(network, layer)
    output = Output("codes", f"the code of layer {len(layers)}", layers[-1].sizes[1])
    graph = Mapped([Scaled(scaling), *layers])
    return _of_rows("encoder", graph, lambda x: (network.encode(_on(network, x), layer),), (output,), scaling)


def decoder(network: StackedAutoencoder | DeepAutoencoder, scaling: Scaling, layer: int | None = None) -> Part:
    """reconstruction = decode(codes), in the data's own units."""
    layers = _decoders(network, layer)
    decode = partial(network.decode, layer=layer) if isinstance(network, StackedAutoencoder) else network.decode

    def original(h: Rows) -> Answer:
        return (scaling.inverse_transform(decode(_on(network, h)).cpu()),)

    graph = Mapped([*layers, Unscaled(scaling)])
    outputs = (_reconstruction(scaling),)

    def coded(x: Rows) -> Tensor:
        return network.encode(_on(network, x), layer)

    return Part("decoder", graph, original, outputs, layers[0].sizes[0], torch.float32, coded)


def autoencoder(
    network: StackedAutoencoder | DeepAutoencoder,
    scaling: Scaling,
    layer: int | None = None,
    name: PartName = "autoencoder",
) -> Part:
    """reconstruction = decode(encode(x)), in the data's own units."""
    layers = [*encoders_of(network, layer), *_decoders(network, layer)]
    answer = (
        partial(network.reconstruct, layer=layer) if isinstance(network, StackedAutoencoder) else network.reconstruct
    )

    def original(x: Rows) -> Answer:
        return (scaling.inverse_transform(answer(_on(network, x)).cpu()),)

    graph = Mapped([Scaled(scaling), *layers, Unscaled(scaling)])
    return _of_rows(name, graph, original, (_reconstruction(scaling),), scaling)


def head(network: Finetuned, names: tuple[str, ...], scaling: Scaling) -> Part:
    """What a head says of rows: a classifier the label and probabilities, a regressor values, a multilabel head labels
    and probabilities, a reconstruction head the reconstruction."""
    if isinstance(network, DeepAutoencoder):
        return autoencoder(network, scaling, name="head")

    def original(x: Rows) -> Answer:
        values, chosen = network.answers(network.outputs(_on(network, x)).cpu())
        return (values,) if chosen is None else (chosen, values)

    outputs = HEADS[type(network).__name__](names)
    return _of_rows("head", Answering(Scaled(scaling), network), original, outputs, scaling)


def scorer(
    methods: Mapping[str, CalibratedScore], scaling: Scaling, rate: float, layer: int | None, masked: bool
) -> Part:
    """The default anomaly score of a run, the error per feature, and the threshold of that false alarm rate.

    Raises:
        ConfigError: a rate that is not between 0 and 1.
    """
    name, (score, validation) = next(iter(methods.items()))
    threshold = calibrated(validation, rate)
    graph = Scoring(Scaled(scaling), score, threshold, masked)
    stack: StackedAutoencoder = score.stack  # type: ignore[attr-defined]  # which Scoring has checked
    errors = ReconstructionError(stack, layer)

    def original(x: Rows) -> Answer:
        every = slice(None)
        error = errors.errors(x[every], known_of(x, every) if masked else None)
        return score_rows(score, x), error.float(), torch.tensor(threshold, dtype=torch.float64)

    outputs = (
        Output("score", f"the anomaly score ({name}): higher is more anomalous"),
        Output("errors", "the squared error of each scaled feature", len(scaling.offset), unit=torch.ones(1)),
        Output(
            "threshold",
            f"a row whose score is above it is flagged: of rows like the validation rows, {rate:.2%} at most",
            0,
        ),
    )
    return _of_rows("scorer", graph, original, outputs, scaling)


def _of_classes(names: tuple[str, ...]) -> tuple[Output, ...]:
    label = Output("label", "the most probable class", None, names, choice=True, decides=True)
    return label, Output("probabilities", "of each class", len(names), names)


def _of_labels(names: tuple[str, ...]) -> tuple[Output, ...]:
    labels = Output("labels", "1 where a label has a probability above 1/2", len(names), names, decides=True)
    return labels, Output("probabilities", "of each label", len(names), names)


HEADS: dict[str, Callable[[tuple[str, ...]], tuple[Output, ...]]] = {
    "Classifier": _of_classes,
    "MultilabelClassifier": _of_labels,
    "Regressor": lambda names: (Output("values", "the targets in their own units", len(names), names),),
}


def _of_rows(
    name: PartName,
    graph: nn.Module,
    original: Callable[[Rows], Answer],
    outputs: tuple[Output, ...],
    scaling: Scaling,
) -> Part:
    return Part(name, graph, original, outputs, len(scaling.offset), scaling.offset.dtype)


def _reconstruction(scaling: Scaling) -> Output:
    return Output("reconstruction", "in the units of the data", len(scaling.offset), unit=scaling.scale)


def _decoders(network: StackedAutoencoder | DeepAutoencoder, layer: int | None) -> list[Encoder]:
    if isinstance(network, StackedAutoencoder):
        return [*decoders_of(network, layer)]
    if layer not in (None, len(network.encoders)):
        raise ConfigError(
            f"layer: expected {len(network.encoders)}, the top of what was fine-tuned as one, got {layer}"
        )
    return [*map(plain_copy, network.head.each)]


def _on(network: StackedAutoencoder | Finetuned, x: Rows) -> Tensor:
    return x[:].to(network.device) if not isinstance(x, Tensor) else x.to(network.device)
