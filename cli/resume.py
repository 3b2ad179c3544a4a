"""stackae resume: go on with a run that was stopped, to the same bits as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackae.errors import DataError, RunError, suggested

from . import options as o

if TYPE_CHECKING:
    from stackae.data import Dataset, Scaling
    from stackae.runs import Checkpoint, Run, Work

CHANGEABLE = ("learning_rate", "weight_decay", "corruption", "sparsity", "contraction", "weight_l1", "beta")
EXAMPLES = """[bold]Examples[/bold]

stackae resume

stackae resume runs/long

stackae resume runs/long --device cpu --data moved/sensors.csv

stackae resume runs/diverged --learning-rate 0.0003
"""


def command(
    ctx: typer.Context,
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
    checkpoint_every: o.CheckpointEvery = None,
    json: o.Json = False,
) -> None:
    """Go on where a run was stopped or killed; make files that were damaged since again, from its checkpoints.

    Settings are the run's own. Data that have moved may be named; they must be the same. On the same machine, device,
    engine and number of threads every file comes out as if nothing had happened, bit for bit.

    A training that diverged would diverge again: options of layers change what is left of it, from its last checkpoint
    on. Layers that are trained stay as they are. A half-trained layer whose noise or penalty changes begins anew.
    """
    from stackae.runs import Folder
    from stackae.runs.ownership import is_proven
    from stackae.runs.places import is_run
    from stackae.workflows.inputs import seconds

    from .training import remembered

    every = seconds("--checkpoint-every", checkpoint_every)
    path = run if run is not None else newest_unfinished()
    if path is None or not is_run(path) or not is_proven(path):
        found = "none" if path is None else "something else" if path.exists() else "no such folder"
        raise RunError(
            f"{path or 'runs'}: expected an unfinished run, got {found}; `stackae runs list` shows those that there are"
        )
    path = path.resolve()
    given = {name: ctx.params[name] for name in CHANGEABLE if ctx.params[name] is not None}
    with Folder(path).writing(), remembered(path):
        go_on(path, ctx.params, every, json, given)


def newest_unfinished() -> Path | None:
    from stackae.runs.places import all_runs, unfinished

    return next((path for path in all_runs() if unfinished(path)), None)


def go_on(
    path: Path, params: dict[str, Any], every: float, as_json: bool, changes: dict[str, str] | None = None
) -> None:
    """Does what is left to do, or to mend, in a folder that is this process's to write; ``changes`` are other settings
    of layers that are not trained yet."""
    from stackae.runs.checkpoints import latest
    from stackae.runs.mending import behind, made_again
    from stackae.runs.places import unfinished
    from stackae.runs.pruning import prune, remove_unfinished
    from stackae.runs.summary import bytes_on_disk
    from stackae.runs.verify import damaged_files

    from .console import note, progress_note, shown

    progress_note(f"comparing {bytes_on_disk(path):,} bytes with their digests")
    remove_unfinished(path)
    passed_over: list[RunError] = []
    pretraining, finetuning = (latest(path, command, passed_over.append) for command in ("pretrain", "finetune"))
    for message in dict.fromkeys(map(str, passed_over)):
        note(f"passed over: {message}")
    damaged = [error for folder in (path, *_members(path)) for error in damaged_files(folder)]
    for error in damaged:
        note(f"to be made again: {error}")
    if pretraining is None and finetuning is None:
        raise RunError(f"{path}: expected a checkpoint that is whole, got none; train it again with --force")
    whole = [each for each in (pretraining, finetuning) if each is not None]
    for again in (again for each in whole for again in made_again(path, each)):
        note(f"made again: {shown(again)}")
    open_ended = unfinished(path)
    lost = any(behind(path, each) for each in whole)
    if not open_ended and not damaged and not lost:
        for each in whole:  # what a process that was killed at the very end did not come to
            prune(path, each.state.work.command, each.state.begun, done=True)
        _changed(path, finetuning, pretraining, changes or {})
        _nothing_to_do(path, as_json)
        return
    finetuning, pretraining = _changed(path, finetuning, pretraining, changes or {})
    both = finetuning is not None and (open_ended or bool(damaged) or lost)
    if pretraining is not None and (damaged or lost or (open_ended and finetuning is None)):
        note(f"goes on from {shown(pretraining.path)}")
        _pretraining(path, pretraining, params, every, as_json and not both)
    if finetuning is not None and both:
        note(f"goes on from {shown(finetuning.path)}")
        _finetuning(path, finetuning, params, every, as_json)
    _check_mended(path)


def _changed(
    path: Path, finetuning: Checkpoint | None, pretraining: Checkpoint | None, changes: dict[str, str]
) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Both, the later of them with other settings for what is left of it."""
    from stackae.runs.changing import change

    from .console import note, shown

    left = finetuning or pretraining
    if not changes or left is None:
        return finetuning, pretraining
    changed = change(path, left, changes)
    for each in changed.found:
        note(f"changed     {each.name}: {each.values[1]} instead of {each.values[0]}, from {shown(left.path)} on")
    if changed.anew:
        note(f"{changed.anew} begins anew: what it is trained for has changed")
    return (changed.checkpoint, pretraining) if left is finetuning else (finetuning, changed.checkpoint)


def _check_mended(path: Path) -> None:
    from stackae.runs.verify import damaged_files

    for folder in (path, *_members(path)):
        for error in damaged_files(folder):
            raise RunError(f"{error}: no checkpoint makes it; `stackae evaluate` draws its own pictures again")


def _note_machine(left: Checkpoint) -> None:
    from stackae.runs.checkpointer import this_machine

    from .console import note

    here, there = this_machine(), left.state.machine
    others = [
        f"{name} {there.get(name, '?')} instead of {here[name]}" for name in here if here[name] != there.get(name)
    ]
    if others:
        note(f"this run began with {', '.join(others)}: it goes on to the same figures, but not to the same bits")


def _members(path: Path) -> list[Path]:
    from stackae.runs import seed_runs

    return seed_runs(path)


def _pretraining(path: Path, left: Checkpoint, params: dict[str, Any], every: float, as_json: bool) -> None:
    from stackae.footprint import check_pretraining
    from stackae.runs import Folder
    from stackae.runs.places import runs_in
    from stackae.training.replicas import alone

    from .console import note
    from .reports import report_run, report_seeds, summary
    from .training import pretrain

    work = left.state.work
    _note_machine(left)
    machine = _machine(params)
    configs = [settings.pretrain.model_copy(update=machine) for settings in work.settings]
    runs = runs_in(path, work.runs)
    dataset = _same_data(work, params, scaling=_kept_scaling(runs[0]))
    check_pretraining(configs[0], len(dataset.train.x), len(dataset.validation.x), len(configs))
    note(*summary(configs, dataset))
    results = pretrain(Folder(path), runs, work, configs, dataset, every, left)
    if len(runs) > 1 or work.runs[0]:
        report_seeds(path, runs, configs, results, as_json)
    else:
        report_run(runs[0], alone(results), as_json)


def _finetuning(path: Path, left: Checkpoint, params: dict[str, Any], every: float, as_json: bool) -> None:
    from stackae.runs import Run

    from .console import note
    from .finetune import check_memory, report, summary
    from .training import finetune

    run, work = Run(path), left.state.work
    _note_machine(left)
    settings = work.settings[0].finetune
    if settings is None:
        raise RunError(f"{left.path}: expected the settings of a fine-tuning, got none; run `stackae finetune` again")
    settings = settings.model_copy(update=_machine(params))
    dataset = _same_data(work, params, run)
    check_memory(run, dataset, settings)
    note(*summary(run, dataset, settings))
    result, tested = finetune(run, work, settings, dataset, every, left)
    report(run, settings, result, tested, as_json)


def _machine(params: dict[str, Any]) -> dict[str, Any]:
    return {name: params[name] for name in ("device", "engine") if params.get(name) is not None}


def _kept_scaling(run: Run) -> Scaling | None:
    """The one that the run began with, whatever precision it was fitted in; None where it has to be fitted again."""
    try:
        return run.load_scaling()
    except RunError:
        return None


def _same_data(work: Work, params: dict[str, Any], run: Run | None = None, scaling: Scaling | None = None) -> Dataset:
    """The data of the work, from where they are now. Raises DataError where they are others."""
    from stackae.config import DataConfig
    from stackae.data import load_data
    from stackae.data.fingerprint import fingerprint
    from stackae.data.for_run import read_dataset
    from stackae.fields import validated
    from stackae.runs.kept_data import known_of
    from stackae.workflows.inputs import absolute

    own = work.settings[0].finetune_data or work.settings[0].data
    moved = {name: params[name] for name in ("data", "data_root") if params.get(name) is not None}
    config = absolute(validated(DataConfig, own.model_dump() | moved, "data")) if moved else own
    if run is None:
        dataset = load_data(config, scaling)
    else:
        given = config.target is not None
        dataset = read_dataset(config, known_of(run), run.load_scaling(), target_given=given)
    if fingerprint(dataset) != work.data:
        raise DataError(
            f"{config.data}: expected the rows and labels that this run began with, got others; "
            "name those by --data, or train a new run on these"
        )
    return dataset


def _nothing_to_do(path: Path, as_json: bool) -> None:
    from .console import emit_json, say, shown

    if as_json:
        emit_json({"run": str(path), "complete": True})
        return
    say(f"complete    {shown(path)}: nothing is left to do, and every file is as it was written")
    say(f"next        {suggested('runs', 'show', shown(path))}")
