"""stackae runs: the runs that there are, what they reached, whether their files are whole, and how they differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackae.errors import RunError, suggested

from . import options as o
from .options import option

if TYPE_CHECKING:
    from stackae.runs.differences import Difference
    from stackae.runs.summary import Summary

app = typer.Typer(help="List, show, verify and compare runs.", no_args_is_help=True, rich_markup_mode="rich")
MOST_SHOWN = 200
RunArgument = Annotated[
    Path | None, typer.Argument(help="Run folder. [dim]\\[default: runs/latest][/dim]", metavar="RUN")
]


@app.command("list", epilog="[bold]Example[/bold]\n\nstackae runs list --json")
def list_runs(
    root: Annotated[Path, option("--root", "Folder that holds runs.", o.OUTPUT, "runs", metavar="DIR")] = Path("runs"),
    json: o.Json = False,
) -> None:
    """The runs in a folder, the newest first: what each is, how far it is, what it reached."""
    from stackae.runs.places import all_runs
    from stackae.runs.summary import summarise

    from .console import emit_json, listing, say

    found = [summarise(path) for path in all_runs(root)]
    if json:
        emit_json({"runs": [_document(summary) for summary in found]})
        return
    if not found:
        say(f"{root}: no runs")
        say("next        stackae pretrain --layers 784,300,150")
        return
    columns = ["", "status", "layers", "validation loss", "accuracy", "size"]
    listing("Runs", columns, [_row(each) for each in found])
    open_ended = next((each for each in found if each.status == "unfinished"), None)
    words = ("resume", open_ended.path) if open_ended else ("runs", "show", found[0].path)
    say(f"next        {suggested(*words)}")


@app.command("show", epilog="[bold]Example[/bold]\n\nstackae runs show runs/long")
def show(run: RunArgument = None, json: o.Json = False) -> None:
    """One run: its stages, its settings, its files and checkpoints."""
    from stackae.runs.checkpoints import numbered
    from stackae.runs.summary import summarise

    from .console import emit_json, say, shown, table

    path = _named(run)
    summary = summarise(path)
    if summary.config is None:
        raise RunError(summary.detail)
    checkpoints = [checkpoint.name for _, checkpoint in numbered(path)]
    files = sorted(file.name for file in path.iterdir() if file.is_file())
    if json:
        settings = summary.config.model_dump(mode="json", exclude_none=True)
        emit_json({**_document(summary), "settings": settings, "files": files, "checkpoints": checkpoints})
        return
    detail = f" ({summary.detail})" if summary.detail else ""
    say(f"run         {shown(path)}: {summary.status}{detail}")
    columns = ["", "kept epoch", "loss", "validation loss", "under noise", "validation error"]
    table("Stages", columns, [_stage_row(stage._asdict()) for stage in summary.stages[:MOST_SHOWN]])
    _say_more(len(summary.stages), "stages")
    say(*summary.config.to_toml().rstrip().split("\n"))
    say(f"files       {', '.join(files[:MOST_SHOWN])}")
    _say_more(len(files), "files")
    say(f"checkpoints {', '.join(checkpoints[-MOST_SHOWN:]) or 'none'}")
    _say_more(len(checkpoints), "checkpoints")
    say(f"next        {suggested('runs', 'verify', shown(path))}")


@app.command("verify", epilog="[bold]Examples[/bold]\n\nstackae runs verify\n\nstackae runs verify --all")
def verify(
    run: RunArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run in ./runs.", rich_help_panel=o.OUTPUT)] = False,
    json: o.Json = False,
) -> None:
    """Compare every file of a run, and of its checkpoints, with its SHA-256; exit code 4 when one differs.

    Beside a training too: what it replaces or gives up meanwhile is not damaged.
    """
    from stackae.runs.lock import writer
    from stackae.runs.places import all_runs
    from stackae.runs.summary import bytes_on_disk
    from stackae.runs.verify import damages

    from .console import emit_json, progress_note, say, shown

    paths = all_runs() if everything else [_named(run)]
    found: dict[Path, list[RunError]] = {}
    for path in paths:
        progress_note(f"{shown(path.absolute())}: {bytes_on_disk(path):,} bytes")
        found[path] = damages(path)
    damaged = [path for path in paths if found[path]]
    if json:
        emit_json({"runs": [{"run": str(path), "damaged": [str(each) for each in found[path]]} for path in paths]})
    else:
        for path in paths:
            state = f"{len(found[path])} damaged" if found[path] else "every file is as it was written"
            written = f"; {process} writes to it now" if (process := writer(path)) else ""
            say(f"{shown(path.absolute())}: {state}{written}")
            for each in found[path][:MOST_SHOWN]:
                say(f"  {each}")
            _say_more(len(found[path]), "damages")
    if damaged:
        remedy = f"`{suggested('resume', damaged[0])}` makes them again"
        if process := writer(damaged[0]):
            remedy = f"stop {process}, which writes to it now; then {remedy}"
        raise RunError(
            f"{', '.join(map(str, damaged))}: expected files as they were written, got "
            f"{sum(map(len, found.values()))} damaged; {remedy}"
        )
    if not json:
        say("next        stackae runs list")


@app.command("compare", epilog="[bold]Example[/bold]\n\nstackae runs compare runs/one runs/two")
def compare(
    first: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    second: Annotated[Path, typer.Argument(help="Run folder.", metavar="RUN")],
    out: Annotated[
        Path | None,
        option("--out", "Picture to write.", o.OUTPUT, "runs/compare.png, or -2, -3 ...", metavar="FILE.png"),
    ] = None,
    force: o.Force = False,
    json: o.Json = False,
) -> None:
    """Two runs beside each other: settings that differ, what each stage reached, and their curves in one picture."""
    from stackae.pictures import loss_curves_compared
    from stackae.runs.differences import differences
    from stackae.runs.durable import make_folder, write_whole
    from stackae.runs.places import free_file
    from stackae.runs.pointer import RUNS
    from stackae.runs.run import Run
    from stackae.runs.summary import summarise
    from stackae.workflows.outputs import check_out
    from stackae.workflows.pictures import epochs_of

    from .console import emit_json, say, shown

    if out is not None:
        check_out(out, (".png",), must_be_new=not force)
    both = [summarise(_named(path)) for path in (first, second)]
    for summary in both:
        if summary.config is None or summary.status != "complete" or summary.seeds:
            what = f"a folder of {summary.seeds} runs" if summary.seeds else f"one that is {summary.status}"
            raise RunError(f"{summary.path}: expected a complete run, got {what}; name another")
    configs = [summary.config for summary in both if summary.config is not None]
    found = differences(*configs)
    names = [str(shown(summary.path)) for summary in both]
    picture = loss_curves_compared(dict(zip(names, [epochs_of(Run(each.path)) for each in both], strict=True)))
    if out is None:
        make_folder(RUNS)
        out = free_file(RUNS / "compare.png")
    write_whole(out, picture)
    if json:
        settings = [each._asdict() for each in found]
        emit_json({"runs": [_document(each) for each in both], "settings": settings, "picture": str(out)})
        return
    _show_comparison(both, names, found)
    say(f"picture     {shown(out.resolve())}")
    say(f"next        {suggested('runs', 'show', names[1])}")


def _show_comparison(both: list[Summary], names: list[str], found: list[Difference]) -> None:
    from .console import table

    settings = [[each.name, *each.values] for each in found]
    table("Settings that differ", ["", *names], settings or [["none", "", ""]])
    rows = []
    by_name = [{stage.stage: stage for stage in summary.stages} for summary in both]
    stages = list(dict.fromkeys(name for each in by_name for name in each))
    for name in stages[:MOST_SHOWN]:
        each = [stages_of.get(name) for stages_of in by_name]
        rows.append([f"{name}, loss", *("-" if stage is None else f"{stage.loss:.4g}" for stage in each)])
        rows.append([f"{name}, validation loss", *(_figure(stage and stage.validation_loss) for stage in each)])
        corrupted = [stage and stage.corrupted_validation_loss for stage in each]
        if any(loss is not None for loss in corrupted):
            rows.append([f"{name}, validation loss under noise", *map(_figure, corrupted)])
    rows.append(["accuracy, last evaluation", *(_percent(summary.accuracy) for summary in both)])
    table("Figures of the kept epochs", ["", *names], rows)
    _say_more(len(stages), "stages")


def _say_more(count: int, what: str) -> None:
    from .console import say

    if count > MOST_SHOWN:
        say(f"            {MOST_SHOWN} of {count:,} {what} are shown; --json has them all")


def _named(run: Path | None) -> Path:
    from stackae.runs import LATEST
    from stackae.runs.places import is_run

    path = run or LATEST
    if not path.is_dir() or not is_run(path):
        what = "something else" if path.exists() else "no such folder"
        raise RunError(f"{path}: expected a run folder, got {what}; `stackae runs list` shows those that there are")
    return path.resolve()


def _document(summary: Summary) -> dict[str, Any]:
    config = summary.config
    return {
        "run": str(summary.path),
        "status": summary.status,
        "detail": summary.detail,
        "data": config.data.data if config else None,
        "layer_sizes": list(config.pretrain.layer_sizes) if config else None,
        "seeds": summary.seeds,
        "stages": [stage._asdict() for stage in summary.stages],
        "accuracy": summary.accuracy,
    }


def _row(summary: Summary) -> list[str]:
    from stackae.config.heads import HEADS
    from stackae.runs.summary import bytes_on_disk

    from .console import shown

    config = summary.config
    status = f"unfinished: {summary.detail}" if summary.status == "unfinished" else summary.status
    top = [stage for stage in summary.stages if stage.stage not in HEADS]
    sizes = "-" if config is None else "-".join(map(str, config.pretrain.layer_sizes))
    return [
        str(shown(summary.path.absolute())),
        status,
        sizes + (f" x {summary.seeds} seeds" if summary.seeds else ""),
        _figure(top[-1].validation_loss) if top else "-",
        _percent(summary.accuracy),
        f"{bytes_on_disk(summary.path) / 2**20:,.1f} MiB",
    ]


def _stage_row(stage: dict[str, Any]) -> list[str]:
    kept = f"{stage['kept_epoch']} of {stage['epochs']}"
    return [
        stage["stage"],
        kept,
        f"{stage['loss']:.4g}",
        _figure(stage["validation_loss"]),
        _figure(stage["corrupted_validation_loss"]),
        _percent(stage["validation_error"]),
    ]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
