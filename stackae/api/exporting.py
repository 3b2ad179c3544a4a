"""``stackae.export``: a part of a stack or a model as a file that opens without stackae."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from stackae.api.model import FinetunedModel
from stackae.api.rows import check_made
from stackae.api.stack import PretrainedStack
from stackae.data.arraylike import ArrayLike
from stackae.data.given_rows import Given
from stackae.errors import ConfigError, nearest
from stackae.exporting import parts
from stackae.exporting.formats import FORMATS
from stackae.exporting.making import Tried, made
from stackae.exporting.parts import Part
from stackae.exporting.verified import Verified
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.runs.durable import write_files
from stackae.workflows.outputs import check_out

ExportedPart = Literal["encoder", "decoder", "autoencoder", "head"]
NAMES = ("encoder", "decoder", "autoencoder", "head")


def export(
    model: PretrainedStack | FinetunedModel,
    part: ExportedPart,
    path: str | Path,
    x: ArrayLike,
    *,
    layer: int | None = None,
    int8: bool = False,
    force: bool = False,
) -> Verified:
    """Write a part of a stack or a model as a graph that reads rows in the data's own units, compared with it first.

    `stackae export` is the same of runs, anomaly scores included (``stackae.workflows.export_run``). A page of the
    file's name and .md, beside it, says what its inputs and outputs are.

    Args:
        model: what ``pretrain``, ``finetune`` or ``load`` gives.
        part: encoder, decoder, autoencoder or head; a model has a decoder where it reconstructs.
        path: .onnx or .pt2.
        x: rows that the file is tried on before it is written, as ``pretrain`` takes them; 256 of them are enough.
        layer: whose code, from 1; None is the top.
        int8: with weights of 8 bits (.onnx); the loss is in the page.
        force: replace a file that is there.

    Returns:
        How near the file comes to ``model`` on these rows: ``largest``, at most 1e-5, and ``differences`` per output.

    Raises:
        ConfigError: no such part, layer or format, or something is there already. DataError: as ``model.encode``.
        SetupError: a package of the format is missing. VerificationError: the file gives something else.
    """
    check_made("model", model, PretrainedStack, FinetunedModel)
    path = Path(path)
    check_out(path, FORMATS, must_be_new=not force)
    check_out(Path(f"{path}.md"), (".md",), must_be_new=not force)
    stack = model if isinstance(model, PretrainedStack) else model.stack
    stack.network.check_layer(layer)
    chosen = _part(model, part, layer)
    tried = Tried.of(stack.read(Given(x)), stack.scaling)
    sizes = "-".join(map(str, stack.layer_sizes))
    found = made(chosen, path, stack.known, {"layers": sizes}, tried, int8)
    write_files(path.parent, found.files)
    return found.verified


def _part(model: PretrainedStack | FinetunedModel, part: str, layer: int | None) -> Part:
    if part not in NAMES:
        more = "; scores of anomalies are exported from runs, by stackae.workflows.export_run" * (part == "scorer")
        raise ConfigError(f"part: expected {', '.join(NAMES)}, got '{part}'{more or nearest(part, NAMES)}")
    if isinstance(model, PretrainedStack):
        if part == "head":
            raise ConfigError("part: expected encoder, decoder or autoencoder of a stack, got head; give a model")
        builders = {"encoder": parts.encoder, "decoder": parts.decoder, "autoencoder": parts.autoencoder}
        return builders[part](model.network, model.scaling, layer)
    scaling = model.stack.scaling
    if part == "head":
        return parts.head(model.network, model.names, scaling)
    if part == "encoder":
        return parts.encoder(model.network, scaling, layer)
    if not isinstance(model.network, DeepAutoencoder):
        raise ConfigError(f"part: expected encoder or head of a {model.head}, got {part}; give its stack")
    return (parts.decoder if part == "decoder" else parts.autoencoder)(model.network, scaling, layer)
