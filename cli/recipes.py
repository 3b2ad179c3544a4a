"""stackae recipes: list, show and run published results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stackae.errors import shown

from . import options as o
from .console import emit_json, number, say, table
from .options import option
from .progress import Shown
from .signals import requests

if TYPE_CHECKING:
    from stackae.workflows.recipes import RecipeResult

app = typer.Typer(help="List, show and run published results.", no_args_is_help=True, rich_markup_mode="rich")
NameArgument = Annotated[str, typer.Argument(help="Name of the recipe.", metavar="NAME", show_default=False)]
COLUMNS = ["figure", "published", "measured", "band"]


@app.command("list", epilog="[bold]Example[/bold]\n\nstackae recipes list --json")
def list_recipes(json: o.Json = False) -> None:
    """The recipes: what each trains, where it was published, how long a seed takes on 2 CPU cores."""
    from stackae.workflows.recipes import recipes

    found = recipes()
    if json:
        emit_json({"recipes": [{"name": name, **each.to_dict()} for name, each in found.items()]})
        return
    rows = [[name, each.title, each.data.data, f"{each.minutes:g}"] for name, each in found.items()]
    table("Recipes", ["", "trains", "data", "minutes"], rows)
    say("next        stackae recipes show keras-simple")


@app.command("show", epilog="[bold]Example[/bold]\n\nstackae recipes show keras-simple")
def show(name: NameArgument, json: o.Json = False) -> None:
    """One recipe: its source, what it must show, its notes, and its settings as a configuration file."""
    from stackae.config.recipe import FOLDER, read_recipe

    recipe = read_recipe(name)
    if json:
        emit_json({"name": name, **recipe.to_dict()})
        return
    say(f"{name}: {recipe.title}", f"source      {recipe.paper}", *recipe.notes.strip().splitlines(), "")
    rows = [[each.name, number(each.published), number(each.measured), each.band] for each in recipe.checks]
    table("What it must show", COLUMNS, rows)
    say("", *(FOLDER / f"{name}.toml").read_text(encoding="utf-8").splitlines(), "")
    say(f"next        stackae recipes run {name} --data-root DIR")


@app.command(
    "run",
    epilog="[bold]Examples[/bold]\n\nstackae recipes run keras-simple --data-root DIR\n\n"
    "stackae recipes run deeplearntoolbox --data-root DIR --seeds 3",
)
def run_one(
    name: NameArgument,
    data_root: Annotated[o.Text, o.data("data_root", metavar="<dir>")] = None,
    seeds: Annotated[
        o.Text,
        option(
            "--seeds",
            "Number of seeds to train, from 0; their mean is compared.",
            o.TRAINING,
            "the recipe's own",
            metavar="<int>",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        option(
            "--run", "Folder to write; what was stopped in it goes on.", o.OUTPUT, "runs/recipe-NAME", metavar="<dir>"
        ),
    ] = None,
    pretrain_only: Annotated[
        bool,
        typer.Option("--pretrain-only", help="Train and compare the layers alone.", rich_help_panel=o.TRAINING),
    ] = False,
    json: o.Json = False,
) -> None:
    """Train a recipe and print what was published, what was measured elsewhere, and ours; exit code 1 outside a band.

    The folder holds recipe.json and a run per seed.
    """
    from stackae.workflows.recipes import run_recipe

    result = run_recipe(
        name,
        data_root=data_root,
        seeds=seeds,
        run=run,
        pretrain_only=pretrain_only,
        callbacks=Shown(),
        requests=requests(),
    )
    if json:
        emit_json(result.to_dict())
    else:
        _show_result(result)
    result.raise_outside()
    if not json:
        say("next        stackae recipes list")


def _show_result(result: RecipeResult) -> None:
    rows = [
        [
            each.check.name,
            number(each.check.published),
            number(each.check.measured),
            number(each.mean),
            each.check.band,
            "yes" if each.within else "NO",
        ]
        for each in result.compared
    ]
    seeds = f"mean of {len(result.seeds)} seeds" if len(result.seeds) > 1 else "seed 0"
    table(f"{result.name}: {seeds}, {result.seconds:.0f} s", [*COLUMNS[:3], "ours", "band", "within"], rows)
    say(f"written     {shown(result.folder.absolute())}")
