"""Read and write one file per trained stage: safetensors with a JSON description, the same bytes for the same content.

Everything that is read is validated before it is used; a file with unexpected content raises a RunError that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stackae.autoencoders.base import LayerAutoencoder
from stackae.autoencoders.parameters import fill, forms
from stackae.config import LayerConfig
from stackae.data.scaling import Scaling
from stackae.errors import RunError, StackaeError
from stackae.objectives.kinds import build, numbers_of

DESCRIPTION = "stackae"  # the one metadata key: safetensors writes several in random order
LARGEST_HEADER = 1 << 20  # bytes: names, shapes, and names of classes


def pack(tensors: Mapping[str, Tensor], **description: Any) -> bytes:
    """Serialize tensors and description to the content of a file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(plain, {DESCRIPTION: json.dumps(description, sort_keys=True)})


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[tuple[dict[str, Tensor], dict[str, Any]]]:
    """Yield the tensors and the description in a file's content; errors of the body are blamed on the file.

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
    """Parse the description that ``pack`` wrote: it lies in the JSON header, whose length is the first eight bytes."""
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
    """Name the stage that trains a layer, and its file."""
    return f"layer{number}"


def check_numbers(tensors: Mapping[str, Tensor], wanted: int, fewest: int | None = None) -> None:
    """Check the size of a file's tensors before a model of that size is allocated. Raises ValueError."""
    found = sum(tensor.numel() for tensor in tensors.values())
    if not (wanted if fewest is None else fewest) <= found <= wanted:
        raise ValueError(f"tensors {forms(tensors)}, {found:,} numbers instead of {wanted:,}")


def pack_weights(weights: Mapping[str, Tensor], layer: LayerConfig) -> bytes:
    """Serialize a layer's file: the parameters of the autoencoder that ``layer``, every ``auto`` settled, describes."""
    return pack(
        weights,
        kind=layer.kind,
        activation=layer.activation,
        output_activation=layer.output_activation,
        tied=layer.tied,
    )


def read_layer(path: Path, content: bytes, n_visible: int, layer: LayerConfig, engine: str) -> LayerAutoencoder:
    """Build the autoencoder that config.toml describes, with the weights of the file."""
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
        check_numbers(tensors, numbers_of(n_visible, layer))
        own = layer.model_copy(update={"output_activation": found["output_activation"]})
        autoencoder = build(n_visible, own, engine=engine)
        fill(autoencoder, tensors)
        return autoencoder
