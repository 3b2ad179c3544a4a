"""stackae export: write a part of a run as a file that opens without stackae."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stackae.config.heads import HEADS
from stackae.data.formats import listed
from stackae.errors import shown, suggested

from . import options as o
from .console import emit_json, percent, say
from .options import option
from .progress import Shown

EXAMPLES = """[bold]Examples[/bold]

stackae export encoder

stackae export head --out classifier.onnx --int8

stackae export scorer --false-alarm-rate 0.001 --out scorer.onnx

stackae export autoencoder --layer 1 --out layer1.pt2
"""
SHOWN = 8  # names of inputs
PARTS = "What is exported: encoder, decoder, autoencoder, head or scorer."
HEAD = f"Head to export: {listed(HEADS)}."
OUT = (
    "File to write: .onnx for ONNX Runtime, .pt2 for torch.export, .safetensors or .npz for arrays with their steps; "
    "NAME.md beside it says how to use it."
)


def command(
    ctx: typer.Context,
    part: Annotated[str, typer.Argument(metavar="PART", help=PARTS, show_default=False)],
    layer: Annotated[
        o.Text,
        option(
            "--layer",
            "Layer of the code, from 1; of a scorer, whose reconstruction alone scores.",
            o.LAYERS,
            "the top",
            metavar="<int>",
        ),
    ] = None,
    weights: o.Weights = "pretrained",
    head: Annotated[o.Text, option("--head", HEAD, o.LAYERS, "the one trained last", metavar="<name>")] = None,
    false_alarm_rate: Annotated[
        str,
        option(
            "--false-alarm-rate",
            "Maximum share of normal rows above a scorer's threshold.",
            o.SCORES,
            "0.01",
            metavar="<float>",
        ),
    ] = "0.01",
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Write weights of 8 bits, and measure the loss.", rich_help_panel=o.OUTPUT),
    ] = False,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    storage: o.Storage = None,
    delimiter: o.Delimiter = None,
    decimal: o.Decimal = None,
    encoding: o.Encoding = None,
    header: o.Header = None,
    missing_values: o.MissingValuesOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    out: Annotated[Path | None, option("--out", OUT, o.OUTPUT, "PART.onnx in the run folder", metavar="<file>")] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Write a part of the newest run as a file that opens without stackae, with scaling and columns inside.

    The file is opened again and compared with stackae on rows of the run, or of --data, before it gets its name.
    """
    from stackae.workflows import DataRequest, export_run

    result = export_run(
        run,
        part,
        layer=layer,
        weights=weights,
        head=head,
        false_alarm_rate=false_alarm_rate,
        int8=int8,
        data=DataRequest.of_options(ctx.params),
        engine=engine or "auto",
        out=out,
        force=force,
        callbacks=Shown(),
    )
    if json:
        emit_json(result._asdict())
        return
    batches = ", ".join(map(str, result.batches))
    ties = f", {result.ties} on a tie" if result.ties else ""
    for what in ("inputs", "outputs"):
        names = [each["name"] for each in result.description[what]]
        more = f", and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
        say(f"{what:12}{', '.join(names[:SHOWN])}{more}")
    say(
        f"verified    {result.difference:.1e} from stackae at most, {result.bound:g} allowed: {result.rows:,} rows in "
        f"batches of {batches}{ties}"
    )
    if result.int8_difference is not None:
        changed = (
            "" if result.int8_changed is None else f", {percent(result.int8_changed)} of the rows labelled otherwise"
        )
        say(f"8 bits      {result.int8_difference:.1e} from stackae at most{changed}")
    say(f"exported    {shown(result.file.resolve())}  {result.bytes:,} bytes")
    say(f"card        {shown(result.card.resolve())}")
    say(f"next        {suggested('report', shown(result.run))}")
