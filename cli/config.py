"""stackae config: write, show, check and compare settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from stackae.errors import ConfigError, nearest, shown, suggested

from . import options as o
from .console import emit_json, say, table
from .options import option

if TYPE_CHECKING:
    from stackae.workflows.configs import Sourced

app = typer.Typer(help="Write, show, check and compare settings.", no_args_is_help=True, rich_markup_mode="rich")
COMMANDS = ("pretrain", "finetune")
REST = {"allow_extra_args": True, "ignore_unknown_options": True, "allow_interspersed_args": False}
Place = Annotated[
    Path, typer.Argument(help="Configuration file, or run folder.", metavar="FILE|RUN", autocompletion=o.runs_named)
]


@app.command("init", epilog="[bold]Example[/bold]\n\nstackae config init --layers 784,300,150")
def init(
    layers: Annotated[
        o.Text, option("--layers", "Layers of the stack.", o.LAYERS, "auto,300,150", metavar="<n,m,k>")
    ] = None,
    out: Annotated[Path, option("--out", "File to write.", o.OUTPUT, "stackae.toml", metavar="<file.toml>")] = Path(
        "stackae.toml"
    ),
    force: o.Force = False,
) -> None:
    """A configuration file to start from: every setting is in it with its default, and what it is, as a comment."""
    from stackae.workflows.configs import write_template

    write_template(out, layers, force=force)
    say(f"settings    {out}", f"next        {suggested('pretrain', '--config', out)}")


@app.command(
    "show",
    context_settings=REST,
    epilog="[bold]Examples[/bold]\n\nstackae config show pretrain --config stackae.toml --layers 784,300 --seed 3\n\n"
    "stackae config show runs/latest",
)
def show(
    ctx: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="A run folder, a file, or pretrain or finetune with options of theirs.",
            metavar="FILE|RUN|COMMAND",
            autocompletion=lambda incomplete: [
                *o.of_names(COMMANDS)(incomplete),
                *o.runs_named(incomplete),
            ],
        ),
    ],
    everything: Annotated[bool, typer.Option("--all", help="Show defaults too.", rich_help_panel=o.OUTPUT)] = False,
    json: o.Json = False,
) -> None:
    """What settings a command would use, or a run used, and where each is from: option, environment, file or default.

    Options of this command stand before the name.
    """
    from stackae.workflows.configs import settings_of_place

    if what in COMMANDS and not Path(what).exists():
        found = _of_command(ctx, what)
    elif not Path(what).exists():
        known = nearest(what, COMMANDS) or "; name one that exists"
        raise ConfigError(f"{what}: expected pretrain, finetune, a configuration file or a run folder, got none{known}")
    elif ctx.args:
        raise ConfigError(f"{what}: expected no options after a file or a run, got {ctx.args[0]}; leave it out")
    else:
        found = settings_of_place(Path(what))
    if json:
        emit_json({"settings": [each._asdict() for each in found]})
    else:
        _show(found, everything)


def _of_command(ctx: typer.Context, name: str) -> list[Sourced]:
    """Read the options that follow as the command itself does, with its variables of the environment."""
    from stackae.workflows.configs import settings_with_sources

    root = ctx.find_root()
    assert isinstance(root.command, TyperGroup)
    command, sources = root.command.commands[name], {}
    with command.make_context(name, list(ctx.args), parent=root) as own:
        for each in command.params:
            how = own.get_parameter_source(str(each.name))
            if how is not None and how.name in ("COMMANDLINE", "ENVIRONMENT"):
                sources[str(each.name)] = each.opts[0] if how.name == "COMMANDLINE" else str(each.envvar)
        return settings_with_sources(name, own.params, sources, own.params["config"])


@app.command("schema", epilog="[bold]Example[/bold]\n\nstackae config schema > stackae.schema.json")
def schema() -> None:
    """The JSON schema of a configuration file, for editors that complete and check TOML by it."""
    from stackae.config.schema import file_schema

    emit_json(file_schema())


@app.command("check", epilog="[bold]Example[/bold]\n\nstackae config check stackae.toml")
def check(
    path: Annotated[Path, typer.Argument(help="Configuration file.", metavar="FILE")], json: o.Json = False
) -> None:
    """Whether a file holds: its tables, names and values, and what they say together; exit code 2 where it does not."""
    from stackae.workflows.configs import check_file

    found = check_file(path)
    if json:
        emit_json(found.to_dict())
    else:
        say(f"{path}: holds ({', '.join(found.tables) or 'no tables: all defaults'})")
        say(f"next        {suggested('pretrain', '--config', path)}")


@app.command("diff", epilog="[bold]Example[/bold]\n\nstackae config diff stackae.toml runs/latest")
def diff(first: Place, second: Place, json: o.Json = False) -> None:
    """The settings that differ between two files, or runs."""
    from stackae.workflows.configs import compare_settings

    found = compare_settings(first, second)
    if json:
        emit_json({"settings": [each._asdict() for each in found]})
    elif found:
        columns = ["", *(str(shown(path.absolute())) for path in (first, second))]
        table("Settings that differ", columns, [[each.name, *each.values] for each in found])
    else:
        say("no setting differs")


def _show(found: list[Sourced], everything: bool) -> None:
    rows = [
        [each.name, "-" if each.value is None else str(each.value), each.source]
        for each in found
        if everything or each.source != "default"
    ]
    usual = len(found) - len(rows)
    table("Settings", ["", "value", "from"], rows or [["none", "", ""]])
    if usual:
        say(f"            {usual} more are at their defaults; --all shows them")
