"""One trained stage, one file: tensors with a JSON description, in safetensors, the same bytes for the same content.

Everything that is read is checked before it is used; a file that does not hold what it should is a RunError that
names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.dense import Dense
from stackae.autoencoders.kinds import KINDS, build, numbers_of
from stackae.autoencoders.parameters import fill, forms
from stackae.config import LayerConfig, PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data.scaling import Scaling
from stackae.errors import RunError, StackaeError
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.others import DeepAutoencoder, MultilabelClassifier, Regressor
from stackae.models.stack import StackedAutoencoder

TargetsModelT = TypeVar("TargetsModelT", Regressor, MultilabelClassifier)
DESCRIPTION = "stackae"  # the one metadata key: safetensors writes several in random order
LARGEST_HEADER = 1 << 20  # bytes: names, shapes, and names of classes


def pack(tensors: Mapping[str, Tensor], **description: Any) -> bytes:
    """The file's content."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, {DESCRIPTION: json.dumps(description, sort_keys=True)})


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """The tensors and the description in a file's content; whatever fails in the body, the file is to blame.

    Raises:
        RunError: the content is damaged, or not what the body expects.
    """
    try:
        description = _description(content)
        tensors = load(content)
        broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
        if broken:
            raise ValueError(f"{broken[0]} holds NaN or Inf")
        yield tensors, description
    except (
        SafetensorError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
        NotImplementedError,
        StackaeError,
    ) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise RunError(f"{path}: expected a stage of this run, got a damaged file ({reason}); train it again") from None


def _description(content: bytes) -> dict[str, Any]:
    """What ``pack`` wrote beside the tensors: eight bytes say how long the header is, which is JSON."""
    length = int.from_bytes(content[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(content) - 8):
        raise ValueError(f"a header of {length:,} bytes")
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][DESCRIPTION])
    if not isinstance(described, dict):
        raise TypeError(f"a description that is a {type(described).__name__}")
    return described


def pack_scaling(scaling: Scaling) -> bytes:
    return pack(scaling.to_tensors(), kind=scaling.kind)


def read_scaling(path: Path, content: bytes, n_visible: int) -> Scaling:
    with opened(path, content) as (tensors, description):
        scaling = Scaling.from_tensors(description["kind"], tensors)
        if len(scaling.offset) != n_visible:
            raise ValueError(f"{len(scaling.offset)} features instead of {n_visible}")
        return scaling


def layer_name(number: int) -> str:
    """Of a layer's training, and of its file."""
    return f"layer{number}"


def classifier_numbers(config: PretrainConfig, classes: int) -> int:
    """How many numbers the file of a classifier on such a stack holds, at the most."""
    layers = zip(config.layer_sizes, config.layers, strict=False)
    return sum(numbers_of(n, layer) for n, layer in layers) + (config.layer_sizes[-1] + 1) * classes


def _check_numbers(tensors: Mapping[str, Tensor], wanted: int, fewest: int | None = None) -> None:
    """Before anything of that size is made. Raises ValueError."""
    found = sum(tensor.numel() for tensor in tensors.values())
    if not (wanted if fewest is None else fewest) <= found <= wanted:
        raise ValueError(f"tensors {forms(tensors)}, {found:,} numbers instead of {wanted:,}")


def pack_weights(weights: Mapping[str, Tensor], layer: LayerConfig) -> bytes:
    """A layer's file: the parameters of the autoencoder that ``layer``, with every ``auto`` settled, describes."""
    return pack(
        weights,
        kind=layer.kind,
        activation=layer.activation,
        output_activation=layer.output_activation,
        tied=layer.tied,
    )


def read_layer(path: Path, content: bytes, n_visible: int, layer: LayerConfig, engine: str) -> LayerAutoencoder:
    """The autoencoder that config.toml describes, with the weights of the file."""
    with opened(path, content) as (tensors, description):
        wanted = {
            "kind": layer.kind,
            "activation": layer.activation,
            "output_activation": layer.output_activation,
            "tied": layer.tied,
        }
        found = {name: description[name] for name in wanted}
        if any(wanted[name] not in (found[name], "auto") for name in wanted):
            raise ValueError(f"{found} instead of {wanted}")
        _check_numbers(tensors, numbers_of(n_visible, layer))
        own = layer.model_copy(update={"output_activation": found["output_activation"]})
        autoencoder = build(n_visible, own, engine=engine)
        fill(autoencoder, tensors)
        return autoencoder


def pack_classifier(model: Classifier, classes: tuple[str, ...]) -> bytes:
    return pack(model.state_dict(), kind="classifier", sizes=model.layer_sizes, classes=classes)


def read_classifier(
    path: Path, content: bytes, config: PretrainConfig, engine: str
) -> tuple[Classifier, tuple[str, ...]]:
    """The fine-tuned classifier and its class names."""
    with opened(path, content) as (tensors, description):
        classes = tuple(str(name) for name in description["classes"])
        sizes = (*config.layer_sizes, len(classes))
        if tuple(description["sizes"]) != sizes:
            raise ValueError(f"sizes {description['sizes']} instead of {list(sizes)}")
        head_numbers = (sizes[-2] + 1) * sizes[-1]
        _check_numbers(tensors, classifier_numbers(config, len(classes)), head_numbers)
        encoders = [
            build(n, settled(layer), engine=engine).encoder_alone(engine)
            for n, layer in zip(sizes, config.layers, strict=False)
        ]
        head = Dense.initialised(sizes[-2], sizes[-1], "linear", seed=0, layer=0, engine=engine)
        model = Classifier(encoders, head)
        fill(model, tensors)
        return model, classes


def unrolled_numbers(config: PretrainConfig) -> int:
    """How many numbers the file of such a stack holds, unrolled."""
    pairs = zip(config.layer_sizes, config.layers, strict=False)
    return sum(KINDS[layer.kind].unrolled_numbers_of(n, layer) for n, layer in pairs)


def pack_reconstruction(model: DeepAutoencoder, outputs: Sequence[str]) -> bytes:
    """``outputs`` are the output activations of the stack's layers, bottom first."""
    return pack(model.state_dict(), kind="reconstruction", sizes=model.layer_sizes, outputs=list(outputs))


def read_reconstruction(path: Path, content: bytes, config: PretrainConfig, engine: str) -> DeepAutoencoder:
    """The unrolled stack that config.toml describes, with the weights of the file."""
    with opened(path, content) as (tensors, description):
        sizes, outputs = (*config.layer_sizes, config.n_visible), tuple(description["outputs"])
        if description["kind"] != "reconstruction" or tuple(description["sizes"]) != sizes:
            raise ValueError(f"{description['kind']} of sizes {description['sizes']} instead of {list(sizes)}")
        wanted = [layer.output_activation for layer in config.layers]
        fit = [own in ACTIVATIONS and asked in (own, "auto") for own, asked in zip(outputs, wanted, strict=True)]
        if not all(fit):
            raise ValueError(f"output activations {list(outputs)} instead of {wanted}")
        _check_numbers(tensors, unrolled_numbers(config))
        layers = [
            layer.model_copy(update={"output_activation": output})
            for layer, output in zip(config.layers, outputs, strict=True)
        ]
        stack = [build(n, layer, engine=engine) for n, layer in zip(sizes, layers, strict=False)]
        model = DeepAutoencoder.unrolled(StackedAutoencoder(stack), engine)
        fill(model, tensors)
        return model


def pack_targets(model: Regressor | MultilabelClassifier, head: str, targets: tuple[str, ...]) -> bytes:
    return pack(model.state_dict(), kind=head, sizes=model.layer_sizes, targets=targets)


def read_targets(
    path: Path, content: bytes, config: PretrainConfig, engine: str, kind: type[TargetsModelT], head: str
) -> tuple[TargetsModelT, tuple[str, ...]]:
    """The fine-tuned regressor, or the multilabel classifier, and the names of its targets."""
    with opened(path, content) as (tensors, description):
        targets = tuple(str(name) for name in description["targets"])
        sizes = (*config.layer_sizes, len(targets))
        if description["kind"] != head or tuple(description["sizes"]) != sizes:
            raise ValueError(f"{description['kind']} of sizes {description['sizes']} instead of {list(sizes)}")
        most, fewest = classifier_numbers(config, len(targets)), (sizes[-2] + 1) * sizes[-1]
        _check_numbers(tensors, most + 2 * len(targets), fewest)
        encoders = [
            build(n, settled(layer), engine=engine).encoder_alone(engine)
            for n, layer in zip(sizes, config.layers, strict=False)
        ]
        model = kind(encoders, Dense.initialised(sizes[-2], sizes[-1], "linear", seed=0, layer=0, engine=engine))
        if isinstance(model, Regressor) and tensors.keys() >= {"offset", "scale"}:
            precisions = {tensors["offset"].dtype, tensors["scale"].dtype}
            if precisions == {torch.float64}:
                model.offset, model.scale = model.offset.double(), model.scale.double()
        fill(model, tensors)
        return model, targets


def settled(layer: LayerConfig) -> LayerConfig:
    """With an output activation, where only the encoder is of interest."""
    return layer.model_copy(update={"output_activation": "linear"}) if layer.output_activation == "auto" else layer
