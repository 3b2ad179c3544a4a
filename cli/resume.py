"""stackae resume: resume a stopped run, bit-identical to an uninterrupted one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .printing.reports import Reported, report_complete
from .signals import requests

EXAMPLES = """[bold]Examples[/bold]

stackae resume

stackae resume runs/long

stackae resume runs/long --device cpu --data moved/sensors.csv

stackae resume runs/diverged --learning-rate 0.0003
"""


def command(
    run: Annotated[
        Path | None, typer.Argument(help="Run folder. [dim]\\[default: the newest unfinished one][/dim]", metavar="RUN")
    ] = None,
    learning_rate: o.RateOfTheRest = None,
    weight_decay: o.DecayOfTheRest = None,
    corruption: o.CorruptionOfTheRest = None,
    sparsity: o.SparsityOfTheRest = None,
    contraction: o.ContractionOfTheRest = None,
    weight_l1: o.WeightL1OfTheRest = None,
    beta: o.BetaOfTheRest = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    engine: o.EngineOfRun = None,
    device: o.DeviceOfRun = None,
    codes: o.CodesOfRun = None,
    checkpoint_every: o.CheckpointEvery = None,
    json: o.Json = False,
) -> None:
    """Go on where a run was stopped or killed; make files that were damaged since again, from its checkpoints.

    Settings are the run's own. Data that have moved may be named; they must be the same. On the same machine, device,
    engine and number of threads every file comes out as if nothing had happened, bit for bit.

    A training that diverged would diverge again: options of layers change what is left of it, from its last checkpoint
    on. Layers that are trained stay as they are. A half-trained layer whose noise or penalty changes begins anew.
    """
    from stackae.workflows import Moved, resume_run

    outcome = resume_run(
        run,
        changes={
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "corruption": corruption,
            "sparsity": sparsity,
            "contraction": contraction,
            "weight_l1": weight_l1,
            "beta": beta,
        },
        moved=Moved(data, data_root, engine, device, codes),
        checkpoint_every=checkpoint_every,
        callbacks=Reported(json),
        requests=requests(),
    )
    report_complete(outcome, json)
