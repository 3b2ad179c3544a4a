"""Files of arrays: what their steps compute, in numpy, is what stackae gives."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from heads_cases import KINDS, TRAIN, stack_of

import stackae
from stackae.data.given_rows import UNKNOWN
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError
from stackae.exporting import parts
from stackae.exporting.described import described
from stackae.exporting.formats import FORMATS
from stackae.exporting.parts import Part
from stackae.exporting.verified import compared

SCALING = Scaling.fit("robust", TRAIN.x, gaps=True)
ARRAYS = [FORMATS[suffix] for suffix in (".safetensors", ".npz")]


def compare(part: Part) -> None:
    x = TRAIN.x.numpy() if part.coded is None else part.coded(SCALING.transform(TRAIN.x)).detach().numpy()
    read = SCALING.transform(x) if part.coded is None else torch.from_numpy(x)
    one = described(part, UNKNOWN, {}, texts=False)
    for form in ARRAYS:
        found = compared(one, form.opened(form.pack(one), one), x, read)
        assert found.largest <= 1e-5 and not found.changed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "convolutional"])
def test_steps_of_every_dense_kind_give_what_stackae_does(kind: str) -> None:
    for part in (parts.encoder, parts.decoder, parts.autoencoder):
        compare(part(stack_of(kind), SCALING))


def test_steps_of_heads_give_what_stackae_does() -> None:
    x, y = TRAIN.x.numpy(), TRAIN.y.numpy()
    stack = stackae.pretrain(x, (8, 5), max_epochs=2, device="cpu", scale=SCALING)
    targets: dict[str, Any] = {"classifier": y, "regressor": y * 1e3, "multilabel": np.stack([y > 0, y > 1], axis=1)}
    for head, wanted in targets.items():
        model = stackae.finetune(stack, x, wanted, head=head, max_epochs=2, device="cpu")
        compare(parts.head(model.network, model.names, SCALING))


@pytest.mark.parametrize("form", ARRAYS, ids=lambda form: form.name)
def test_convolutions_are_refused(form: Any) -> None:
    one = described(parts.encoder(stack_of("convolutional"), SCALING), UNKNOWN, {}, texts=False)
    with pytest.raises(
        ConfigError, match=r"part: expected dense layers for a file of arrays, .* choose \.onnx or \.pt2"
    ):
        form.pack(one)


def test_numpy_alone_computes_a_stack() -> None:
    """The reader of docs/export.md."""
    stack = stack_of("tied")
    content = FORMATS[".npz"].pack(described(parts.autoencoder(stack, SCALING), UNKNOWN, {}, texts=False))
    arrays = np.load(io.BytesIO(content))
    x = TRAIN.x.numpy().copy()
    x[0, 0] = np.nan
    h = x
    activations = {"sigmoid": lambda a: 1 / (1 + np.exp(-a)), "tanh": np.tanh, "linear": lambda a: a}
    for step in json.loads(str(arrays["stackae"]))["steps"]:
        if step["op"] == "scale":
            h = np.where(np.isnan(h), arrays[step["fill"]], h)
            h = (h - arrays[step["offset"]]) / arrays[step["scale"]]
            h = np.clip(h, -step["clip"], step["clip"])
        elif step["op"] == "dense":
            h = activations[step["activation"]](h @ arrays[step["weight"]].T + arrays[step["bias"]])
        else:
            h = h * arrays[step["scale"]] + arrays[step["offset"]]
    wanted = SCALING.inverse_transform(stack.reconstruct(SCALING.transform(x)).detach())
    np.testing.assert_allclose(h, wanted, atol=1e-5)
