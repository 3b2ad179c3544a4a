"""Export a part of a trained run as a file that opens without stackae."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from stackae.data.run_rows import read_source
from stackae.data.scaling import Scaling
from stackae.data.source import Source
from stackae.errors import ConfigError, argument, nearest
from stackae.exporting.formats import FORMATS
from stackae.exporting.making import Exported, Tried, made
from stackae.exporting.parts import PARTS, Part, PartName, autoencoder, decoder, encoder, head, scorer
from stackae.exporting.verified import BOUND
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.runs import Run, open_run
from stackae.runs.durable import write_files
from stackae.runs.kept_data import known_of
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import DataRequest, check_weights, data_of, note_all, share, whole_number
from stackae.workflows.outputs import check_out


class ExportResult(NamedTuple):
    """The file that was written, the page beside it, what the file says of itself, and how near it comes to stackae:
    ``differences`` per output, ``bound``, the rows and batches that were tried; with weights of 8 bits, those too."""

    run: Path
    part: str
    file: Path
    card: Path
    bytes: int
    rows: int
    batches: tuple[int, ...]
    difference: float
    bound: float
    ties: int
    int8_difference: float | None
    int8_changed: float | None
    description: dict[str, Any]


def export_run(
    run: Run | Path | str | None = None,
    part: PartName | str = "encoder",
    *,
    layer: int | str | None = None,
    weights: str = "pretrained",
    head: str | None = None,
    false_alarm_rate: float | str = 0.01,
    int8: bool = False,
    data: DataRequest | str | None = None,
    engine: str = "auto",
    out: Path | str | None = None,
    force: bool = False,
    callbacks: Callbacks | None = None,
) -> ExportResult:
    """Write a part of a run as a graph that reads rows in the data's own units, and compare it with stackae first.

    Args:
        part: encoder, decoder, autoencoder, head or scorer.
        layer: the layer whose code it is, from 1, of a scorer that it reconstructs through; None is the top.
        weights: of an encoder, decoder or autoencoder: pretrained, or finetuned, those of the head trained last.
        head: classifier, regressor, multilabel or reconstruction; None is the one that was trained last.
        false_alarm_rate: of the threshold of a scorer.
        int8: with weights of 8 bits; the loss is measured, and no error.
        data: rows that the file is tried on; None is the run's own.
        out: the file, in the format of its suffix; None is PART.onnx of the run.

    Other arguments are those of ``stackae.workflows.score``.

    Raises:
        VerificationError: what the file gives is too far from stackae's own; nothing is written. SetupError: a package
            of the format is missing. ConfigError, DataError, RunError: as ``stackae.workflows.score``.
    """
    callbacks = callbacks or Callbacks()
    opened = open_run(run)
    if part not in PARTS:
        raise ConfigError(f"part: expected one of {', '.join(PARTS)}, got '{part}'{nearest(part, PARTS)}")
    path = opened.path / f"{part}.onnx" if out is None else Path(out)
    new = out is not None and not force
    check_out(path, FORMATS, must_be_new=new)
    check_out(Path(f"{path}.md"), (".md",), must_be_new=new)
    FORMATS[path.suffix.lower()].check()
    check_weights(weights)
    asked = _Asked(layer, weights, head, share(argument("false_alarm_rate"), false_alarm_rate), engine)
    chosen = _part(opened, part, asked)
    scaling = opened.load_scaling()
    tried = Tried.of(_source(opened, DataRequest.of(data), scaling, callbacks), scaling)
    callbacks.busy(f"exporting and verifying {path.name}")
    sizes = "-".join(map(str, opened.pretrain_config.layer_sizes))
    found = made(chosen, path, known_of(opened).pretraining, {"run": opened.path.name, "layers": sizes}, tried, int8)
    if out is None:
        opened.publish(found.files)
    else:
        write_files(path.parent, found.files)
    return _result(opened, path, found)


def _source(run: Run, request: DataRequest, scaling: Scaling, callbacks: Callbacks) -> Source:
    """The rows that the file is tried on, in their own units."""
    config, known = data_of(run, request), known_of(run)
    if request.target is None:
        config = config.model_copy(update={"target": None})
    with callbacks.progress(f"reading {config.data}") as tell:
        read = read_source(config, known, request.flags["target_given"], scaling, tell)
    note_all(read.notes, callbacks)
    return read.source


class _Asked(NamedTuple):
    layer: int | str | None
    weights: str
    head: str | None
    rate: float
    engine: str


def _part(run: Run, part: str, asked: _Asked) -> Part:
    scaling, count = run.load_scaling(), len(run.pretrain_config.layers)
    layer = None if asked.layer is None else whole_number(argument("layer"), asked.layer, count)
    if part == "head":
        kind = asked.head or ("classifier" if run.config.finetune is None else run.config.finetune.head)
        return head(*run.load_head(kind, asked.engine), scaling)
    if part == "scorer":
        masked = known_of(run).pretraining.config.missing == "mask"
        return scorer(run.load_detector(layer, asked.engine).methods, scaling, asked.rate, layer, masked)
    if asked.weights == "pretrained":
        builders = {"encoder": encoder, "decoder": decoder, "autoencoder": autoencoder}
        return builders[part](run.load_stack(asked.engine), scaling, layer)
    if part == "encoder":
        return encoder(run.load_encoders(asked.engine).eval(), scaling, layer)
    deep: DeepAutoencoder = run.load_head("reconstruction", asked.engine)[0].eval()
    return decoder(deep, scaling, layer) if part == "decoder" else autoencoder(deep, scaling, layer)


def _result(run: Run, path: Path, found: Exported) -> ExportResult:
    verified, int8 = found.verified, found.int8
    return ExportResult(
        run.path,
        str(found.document["part"]),
        path,
        Path(f"{path}.md"),
        len(found.files[path.name]),
        verified.rows,
        verified.batches,
        verified.largest,
        BOUND,
        verified.ties,
        None if int8 is None else int8.largest,
        None if int8 is None else int8.changed,
        found.document,
    )
