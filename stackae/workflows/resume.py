"""Resume a stopped run, bit-identical to an uninterrupted one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stackae.config import DataConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data import Dataset, Scaling, load_data
from stackae.data.fingerprint import fingerprint
from stackae.data.labelled import learned_dataset
from stackae.data.run_rows import read_dataset
from stackae.errors import ConfigError, DataError, RunError, argument, nearest, shown
from stackae.runs import Checkpoint, Folder, Requests, Run, Work, latest, seed_runs
from stackae.runs.changing import OF_THE_OBJECTIVE, OF_THE_UPDATE, change
from stackae.runs.checkpointer import this_machine
from stackae.runs.kept_data import known_of
from stackae.runs.mending import behind, made_again
from stackae.runs.ownership import is_proven
from stackae.runs.places import all_runs, is_run, runs_in, unfinished
from stackae.runs.pruning import prune, remove_unfinished
from stackae.runs.summary import bytes_on_disk
from stackae.runs.verify import damaged_files
from stackae.training.codes import plan_codes
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.finetune import FinetunedRun, check_memory, train_head
from stackae.workflows.inputs import absolute
from stackae.workflows.session import Session
from stackae.workflows.stacks import PretrainedRun, train_stacks
from stackae.workflows.summary import head_summary, summary

CHANGEABLE = (*OF_THE_UPDATE, *OF_THE_OBJECTIVE)


class Resumed(NamedTuple):
    """The folder of the run, and what was trained to its end; nothing if all of it was complete."""

    path: Path
    pretrained: PretrainedRun | None = None
    finetuned: FinetunedRun | None = None


class Moved(NamedTuple):
    """Where the data are now, which device and engine compute, and where codes lie; None is as the run began."""

    data: str | None = None
    data_root: str | None = None
    engine: str | None = None
    device: str | None = None
    codes: str | None = None

    def given(self, *names: str) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if name in names and value is not None}


def resume_run(
    run: Path | str | None = None,
    *,
    changes: Mapping[str, object] | None = None,
    moved: Moved | None = None,
    checkpoint_every: str | float | None = None,
    callbacks: Callbacks | None = None,
    requests: Requests | None = None,
) -> Resumed:
    """Train the rest of a run from its checkpoints, and restore files that were damaged since.

    On the same machine, device, engine and number of threads, every file is bit-identical to an uninterrupted one.

    Args:
        run: the run folder, or that of runs that train together; None is the newest unfinished one.
        changes: settings of layers (learning_rate, weight_decay, corruption, sparsity, contraction, weight_l1, beta)
            for the rest: one value for all layers, or text with one value per layer, separated by commas; None changes
            nothing. Trained layers stay as they are; a half-trained one restarts if its noise or penalty changes.
        moved: where the data are now, another device or engine, and another place of codes.
        checkpoint_every: maximum seconds between checkpoints within an epoch; 30 by default.
        callbacks: receive notes, the training, and each part when it is complete.
        requests: set their ``stop`` to the number of a signal to end the training after its step.

    Raises:
        RunError: no run, no checkpoint that is whole, another process that writes to it, or files that no checkpoint
            can restore. DataError: other data than the run began with. ConfigError: invalid changes.
        DivergedError: training left the finite numbers. StoppedError: it was requested to stop.
    """
    session = Session.new("resume_run", callbacks, requests, checkpoint_every)
    given = {name: str(value) for name, value in (changes or {}).items() if value is not None}
    for name in given.keys() - {*CHANGEABLE}:
        raise ConfigError(f"changes: expected {', '.join(CHANGEABLE)}, got '{name}'{nearest(name, CHANGEABLE)}")
    folder = newest_unfinished() if run is None else Path(run)
    if folder is None or not is_run(folder) or not is_proven(folder):
        found = "none" if folder is None else "something else" if folder.exists() else "no such folder"
        raise RunError(
            f"{folder or 'runs'}: expected an unfinished run, got {found}; `stackae runs list` shows those that there "
            "are"
        )
    folder = folder.resolve()
    with Folder(folder).writing(), session.writing(folder):
        return resume_folder(folder, moved or Moved(), session, given)


def newest_unfinished() -> Path | None:
    return next((path for path in all_runs() if unfinished(path)), None)


def resume_folder(path: Path, moved: Moved, session: Session, changes: Mapping[str, str]) -> Resumed:
    """Train what is left, or restore what is damaged, in a folder that this process has locked."""
    callbacks = session.callbacks
    callbacks.busy(f"comparing {bytes_on_disk(path):,} bytes with their digests")
    remove_unfinished(path)
    skipped: list[RunError] = []
    pretraining, finetuning = (latest(path, command, skipped.append) for command in ("pretrain", "finetune"))
    for message in dict.fromkeys(map(str, skipped)):
        callbacks.note(f"skipped: {message}")
    damaged = _damaged(path)
    for error in damaged:
        callbacks.note(f"to be made again: {error}")
    if pretraining is None and finetuning is None:
        raise RunError(
            f"{path}: expected a checkpoint that is whole, got none; train it again with {argument('force')}"
        )
    whole = [each for each in (pretraining, finetuning) if each is not None]
    for again in (again for each in whole for again in made_again(path, each)):
        callbacks.note(f"made again: {shown(again)}")
    open_ended = unfinished(path)
    mends = bool(damaged) or any(behind(path, each) for each in whole)
    if not open_ended and not mends:
        for each in whole:  # cleanup that a process killed at the very end did not reach
            prune(path, each.state.work.command, each.state.begun, done=True)
    finetuning, pretraining = _changed(path, finetuning, pretraining, changes, callbacks)
    done = Resumed(path)
    if not open_ended and not mends:
        return done
    if pretraining is not None and (mends or finetuning is None):
        callbacks.note(f"resumes from {shown(pretraining.path)}")
        pretrained = _pretraining(path, pretraining, moved, session)
        callbacks.pretrained(pretrained, last=finetuning is None)
        done = done._replace(pretrained=pretrained)
    if finetuning is not None:
        callbacks.note(f"resumes from {shown(finetuning.path)}")
        finetuned = _finetuning(path, finetuning, moved, session)
        callbacks.finetuned(finetuned)
        done = done._replace(finetuned=finetuned)
    for error in _damaged(path):
        raise RunError(f"{error}: no checkpoint makes it; `stackae evaluate` draws its own pictures again")
    return done


def _damaged(path: Path) -> list[RunError]:
    return [error for folder in (path, *seed_runs(path)) for error in damaged_files(folder)]


def _changed(
    path: Path,
    finetuning: Checkpoint | None,
    pretraining: Checkpoint | None,
    changes: Mapping[str, str],
    callbacks: Callbacks,
) -> tuple[Checkpoint | None, Checkpoint | None]:
    """Return both checkpoints, the later one with changed settings for the rest of its training."""
    checkpoint = finetuning or pretraining
    if not changes or checkpoint is None:
        return finetuning, pretraining
    changed = change(path, checkpoint, changes)
    for each in changed.found:
        callbacks.note(
            f"changed     {each.name}: {each.values[1]} instead of {each.values[0]}, from {shown(checkpoint.path)} on"
        )
    if changed.anew:
        callbacks.note(f"{changed.anew} begins anew: what it is trained for has changed")
    return (changed.checkpoint, pretraining) if checkpoint is finetuning else (finetuning, changed.checkpoint)


def _note_machine(checkpoint: Checkpoint, callbacks: Callbacks) -> None:
    here, there = this_machine(), {"processes": "1"} | checkpoint.state.machine
    others = [
        f"{name} {there.get(name, '?')} instead of {here[name]}" for name in here if here[name] != there.get(name)
    ]
    if others:
        callbacks.note(
            f"this run began with {', '.join(others)}: it goes on to the same figures, but not to the same bits"
        )


def _pretraining(path: Path, checkpoint: Checkpoint, moved: Moved, session: Session) -> PretrainedRun:
    work = checkpoint.state.work
    _note_machine(checkpoint, session.callbacks)
    given = moved.given("device", "engine", "codes")
    configs = [validated(PretrainConfig, {**dict(each.pretrain), **given}) for each in work.settings]
    runs = runs_in(path, work.runs)
    dataset = same_data(work, moved, scaling=_kept_scaling(runs[0]))
    codes = plan_codes(configs[0], *dataset.rows, len(configs), paired=dataset.paired, folder=path)
    session.callbacks.note(*summary(configs, dataset, codes=codes))
    return train_stacks(Folder(path), runs, work, configs, dataset, session, codes, checkpoint)


def _finetuning(path: Path, checkpoint: Checkpoint, moved: Moved, session: Session) -> FinetunedRun:
    run, work = Run(path), checkpoint.state.work
    _note_machine(checkpoint, session.callbacks)
    settings = work.settings[0].finetune
    if settings is None:
        raise RunError(
            f"{checkpoint.path}: expected the settings of a fine-tuning, got none; run `stackae finetune` again"
        )
    settings = settings.model_copy(update=moved.given("device", "engine"))
    dataset = learned_dataset(same_data(work, moved, run), settings)
    check_memory(run, dataset, settings)
    session.callbacks.note(*head_summary(run, dataset, settings))
    return train_head(run, work, settings, dataset, session, checkpoint)


def _kept_scaling(run: Run) -> Scaling | None:
    """Return the scaling that the run began with, whatever its precision; None if it must be fitted again."""
    try:
        return run.load_scaling()
    except RunError:
        return None


def same_data(work: Work, moved: Moved, run: Run | None = None, scaling: Scaling | None = None) -> Dataset:
    """Load the data of the work from where they are now. Raises DataError if they are others."""
    own, places = work.settings[0].finetune_data or work.settings[0].data, moved.given("data", "data_root")
    config = absolute(validated(DataConfig, own.model_dump() | places, "data")) if places else own
    if run is None:
        dataset = load_data(config, scaling)
    else:
        given = config.target is not None
        dataset = read_dataset(config, known_of(run), run.load_scaling(), target_given=given)
    if fingerprint(dataset) != work.data:
        raise DataError(
            f"{config.data}: expected the rows and labels that this run began with, got others; "
            f"name those by {argument('data')}, or train a new run on these"
        )
    return dataset
