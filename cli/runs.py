"""stackae runs: list, show, verify and compare runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackae.errors import shown, suggested

from . import options as o
from .console import emit_json, listing, number, percent, say, table
from .options import option
from .progress import Shown

if TYPE_CHECKING:
    from stackae.runs.summary import Summary
    from stackae.workflows.runs import Comparison, RunContents

app = typer.Typer(help="List, show, verify and compare runs.", no_args_is_help=True, rich_markup_mode="rich")
MOST_SHOWN = 200
RunArgument = Annotated[
    Path | None,
    typer.Argument(help="Run folder. [dim]\\[default: runs/latest][/dim]", metavar="RUN", autocompletion=o.runs_named),
]


@app.command("list", epilog="[bold]Example[/bold]\n\nstackae runs list --json")
def list_runs(
    root: Annotated[Path, option("--root", "Folder of the runs.", o.OUTPUT, "runs", metavar="<dir>")] = Path("runs"),
    json: o.Json = False,
) -> None:
    """The runs in a folder, the newest first: what each is, how far it is, what it reached."""
    from stackae.workflows import list_runs as listed

    found = listed(root)
    if json:
        emit_json({"runs": [summary.to_dict() for summary in found]})
    elif found:
        _show_list(found)
    else:
        say(f"{root}: no runs", "next        stackae pretrain --layers 784,300,150")


@app.command("show", epilog="[bold]Example[/bold]\n\nstackae runs show runs/long")
def show(run: RunArgument = None, json: o.Json = False) -> None:
    """One run: its stages, its settings, its files and checkpoints."""
    from stackae.workflows import show_run

    found = show_run(run)
    if json:
        emit_json(found.to_dict())
    else:
        _show_contents(found)


@app.command("verify", epilog="[bold]Examples[/bold]\n\nstackae runs verify\n\nstackae runs verify --all")
def verify(
    run: RunArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run in ./runs.", rich_help_panel=o.OUTPUT)] = False,
    json: o.Json = False,
) -> None:
    """Compare every file of a run, and of its checkpoints, with its SHA-256; exit code 4 when one differs.

    Beside a training too: what it replaces or gives up meanwhile is not damaged.
    """
    from stackae.workflows.runs import raise_damages, verify_runs

    found = verify_runs(run, everything=everything, callbacks=Shown())
    if json:
        emit_json({"runs": [each.to_dict() for each in found]})
    for each in [] if json else found:
        state = f"{len(each.damages)} damaged" if each.damages else "every file is as it was written"
        say(f"{shown(each.path.absolute())}: {state}{f'; {each.writer} writes to it now' if each.writer else ''}")
        for damage in each.damages[:MOST_SHOWN]:
            say(f"  {damage}")
        _say_more(len(each.damages), "damages")
    raise_damages(found)
    if not json:
        say("next        stackae runs list")


@app.command("compare", epilog="[bold]Example[/bold]\n\nstackae runs compare runs/one runs/two")
def compare(
    first: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN", autocompletion=o.runs_named)],
    second: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN", autocompletion=o.runs_named)],
    out: Annotated[
        Path | None,
        option("--out", "Picture to write.", o.OUTPUT, "runs/compare.png, or -2, -3 ...", metavar="<file.png>"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Two runs beside each other: settings that differ, what each stage reached, and their curves in one picture."""
    from stackae.workflows import compare_runs

    found = compare_runs(first, second, out=out, force=force)
    if json:
        emit_json(found.to_dict())
    else:
        _show_comparison(found)


def _show_list(found: list[Summary]) -> None:
    from stackae.metrics import accuracy_text

    columns, rows = ["", "status", "layers", "validation loss", "accuracy", "size"], []
    for each in found:
        sizes = "-" if each.config is None else "-".join(map(str, each.config.pretrain.layer_sizes))
        rows.append(
            [
                str(shown(each.path.absolute())),
                f"unfinished: {each.detail}" if each.status == "unfinished" else each.status,
                sizes + (f" x {each.seeds} seeds" if each.seeds else ""),
                number(each.validation_loss),
                accuracy_text(each.accuracy, each.accuracy_rows),
                f"{each.n_bytes / 2**20:,.1f} MiB",
            ]
        )
    listing("Runs", columns, rows)
    open_ended = next((each for each in found if each.status == "unfinished"), None)
    words = ("resume", open_ended.path) if open_ended else ("runs", "show", found[0].path)
    say(f"next        {suggested(*words)}")


def _show_contents(found: RunContents) -> None:
    (path, status, detail, config, stages, *_), files, checkpoints = found
    say(f"run         {shown(path)}: {status}{f' ({detail})' if detail else ''}")
    columns = ["", "best epoch", "loss", "validation loss", "under noise", "validation error", "explains", "PCA"]
    rows = [
        [
            each.stage,
            f"{each.kept_epoch} of {each.epochs}",
            f"{each.loss:.4g}",
            number(each.validation_loss),
            number(each.corrupted_validation_loss),
            percent(each.validation_error),
            percent(each.explained),
            percent(each.pca_explained),
        ]
        for each in stages[:MOST_SHOWN]
    ]
    table("Stages", columns, rows)
    _say_more(len(stages), "stages")
    say(*([] if config is None else config.to_toml().rstrip().split("\n")))
    say(f"files       {', '.join(files[:MOST_SHOWN])}")
    _say_more(len(files), "files")
    say(f"checkpoints {', '.join(checkpoints[-MOST_SHOWN:]) or 'none'}")
    _say_more(len(checkpoints), "checkpoints")
    say(f"next        {suggested('runs', 'verify', shown(path))}")


def _show_comparison(found: Comparison) -> None:
    from stackae.metrics import accuracy_text

    names = [str(shown(summary.path)) for summary in found.runs]
    settings = [[each.name, *each.values] for each in found.settings]
    table("Settings that differ", ["", *names], settings or [["none", "", ""]])
    rows = []
    by_name = [{stage.stage: stage for stage in summary.stages} for summary in found.runs]
    stages = list(dict.fromkeys(name for each in by_name for name in each))
    for name in stages[:MOST_SHOWN]:
        each = [stages_of.get(name) for stages_of in by_name]
        rows.append([f"{name}, loss", *(number(stage and stage.loss) for stage in each)])
        rows.append([f"{name}, validation loss", *(number(stage and stage.validation_loss) for stage in each)])
        corrupted = [stage and stage.corrupted_validation_loss for stage in each]
        if any(loss is not None for loss in corrupted):
            rows.append([f"{name}, validation loss under noise", *map(number, corrupted)])
    rows.append(["accuracy, last evaluation", *(accuracy_text(one.accuracy, one.accuracy_rows) for one in found.runs)])
    table("Metrics of the best epochs", ["", *names], rows)
    _say_more(len(stages), "stages")
    say(f"picture     {shown(found.picture.resolve())}")
    say(f"next        {suggested('runs', 'show', names[1])}")


def _say_more(count: int, what: str) -> None:
    if count > MOST_SHOWN:
        say(f"            {MOST_SHOWN} of {count:,} {what} are shown; --json has them all")
