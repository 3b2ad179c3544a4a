"""Parts as arrays with the steps that they are for: .safetensors and .npz, for whoever computes with them otherwise.

A step is an object with ``op``: scale, dense, top_k, threshold, artanh, softmax, sigmoid or unscale; the names of its
arrays, and its numbers.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Dense, FewUnits
from stackae.autoencoders.marginalized import Inverting, inverted
from stackae.autoencoders.selection import top_k
from stackae.autoencoders.variational import DenseChain
from stackae.errors import ConfigError
from stackae.exporting.described import KEY, Described
from stackae.exporting.graphs import Answering, Mapped, Scaled, Unscaled
from stackae.exporting.programs import Runs
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.multilabel import MultilabelClassifier
from stackae.models.heads.regressor import Regressor
from stackae.ops.reference import ACTIVATIONS

Step = dict[str, Any]
"""With arrays in place of their names."""


def pack_safetensors(one: Described, int8: bool = False) -> bytes:
    """The content of a .safetensors file; its description is metadata."""
    from safetensors.torch import save

    arrays, text = _named(one)
    content: bytes = save(arrays, {KEY: text})
    return content


def pack_npz(one: Described, int8: bool = False) -> bytes:
    """The content of an .npz file; its description is the text ``stackae``."""
    arrays, text = _named(one)
    file = io.BytesIO()
    plain: dict[str, Any] = {KEY: np.array(text), **{name: each.numpy() for name, each in arrays.items()}}
    np.savez(file, **plain)
    return file.getvalue()


def opened_safetensors(content: bytes, one: Described) -> Runs:
    """Open the content of a .safetensors file."""
    from safetensors.torch import load

    length = int.from_bytes(content[:8], "little")
    return _running(json.loads(content[8 : 8 + length])["__metadata__"][KEY], load(content), one)


def opened_npz(content: bytes, one: Described) -> Runs:
    """Open the content of an .npz file."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files if name != KEY}
        return _running(str(file[KEY]), arrays, one)


def _named(one: Described) -> tuple[dict[str, Tensor], str]:
    """The arrays by name, and the description with the steps."""
    arrays, steps = dict[str, Tensor](), list[Step]()
    for place, step in enumerate(steps_of(one.part.graph)):
        named = {name: f"{place}.{name}" for name, each in step.items() if isinstance(each, Tensor)}
        arrays |= {named[name]: step[name].detach().clone().contiguous() for name in named}
        steps.append({**step, **named})
    return arrays, json.dumps({**one.document(), "steps": steps})


def _running(text: str, arrays: Mapping[str, Tensor], one: Described) -> Runs:
    steps: list[Step] = json.loads(text)["steps"]

    @torch.no_grad()
    def run(x: np.ndarray) -> list[np.ndarray]:
        h = torch.from_numpy(x).to(one.part.dtype)
        for step in steps:
            h = _done(
                {name: arrays.get(each, each) if isinstance(each, str) else each for name, each in step.items()}, h
            )
        values = h.numpy()
        [*decided, _] = one.part.outputs
        return [*(values.argmax(1) if each.choice else (values > 0.5).astype(np.int64) for each in decided), values]

    return run


@singledispatch
def steps_of(module: nn.Module) -> Iterable[Step]:
    """The steps of a part's graph. Raises ConfigError for what is none: convolutions and scorers."""
    raise ConfigError(
        f"part: expected dense layers for a file of arrays, got a {type(module).__name__}; choose .onnx or .pt2"
    )


@steps_of.register
def _(module: Mapped) -> Iterator[Step]:
    for each in module.steps:
        yield from steps_of(each)


@steps_of.register
def _(module: Answering) -> Iterator[Step]:
    model = module.model
    for each in (module.scaled, *model.encoders, model.head):
        yield from steps_of(each)
    if isinstance(model, Regressor):
        yield {"op": "unscale", "offset": model.offset, "scale": model.scale}
    elif isinstance(model, (Classifier, MultilabelClassifier)):
        yield {"op": "softmax" if isinstance(model, Classifier) else "sigmoid"}


@steps_of.register
def _(module: Scaled) -> Iterator[Step]:
    fill = {} if module.fill is None else {"fill": module.fill}
    yield {"op": "scale", **fill, "offset": module.offset, "scale": module.scale, "clip": module.clip}


@steps_of.register
def _(module: Unscaled) -> Iterator[Step]:
    yield {"op": "unscale", "offset": module.offset, "scale": module.scale}


@steps_of.register
def _(module: Dense) -> Iterator[Step]:
    yield {"op": "dense", "weight": module.weight, "bias": module.bias, "activation": module.activation}


@steps_of.register
def _(module: FewUnits) -> Iterator[Step]:
    yield {"op": "dense", "weight": module.weight, "bias": module.bias, "activation": module.activation}
    few: Step = {"op": "top_k", "count": module.keeps}
    yield few if module.threshold is None else {"op": "threshold", "value": module.threshold}


@steps_of.register
def _(module: Inverting) -> Iterator[Step]:
    yield {"op": "artanh", "bound": module.bound}
    yield {"op": "dense", "weight": module.weight, "bias": module.bias, "activation": module.activation}


@steps_of.register
def _(module: DenseChain) -> Iterator[Step]:
    for each in module.dense:
        yield from steps_of(each)


def _done(step: Step, h: Tensor) -> Tensor:
    """One step on rows h (batch, n)."""
    op = step["op"]
    if op == "scale":
        h = torch.where(h.isnan(), step["fill"], h) if "fill" in step else h
        h = (h - step["offset"]) / step["scale"]
        h = h if step["clip"] is None else h.clamp(-step["clip"], step["clip"])
        return h.float()
    if op == "unscale":
        own: Tensor = h.to(step["offset"].dtype) * step["scale"] + step["offset"]
        return own
    if op == "dense":
        made: Tensor = ACTIVATIONS[step["activation"]](h @ step["weight"].t() + step["bias"])
        return made
    if op == "top_k":
        return top_k(h, step["count"])
    if op == "threshold":
        return torch.where(h > step["value"], h, 0.0)
    if op == "artanh":
        return inverted(h, step["bound"])
    return h.softmax(dim=1) if op == "softmax" else h.sigmoid()
