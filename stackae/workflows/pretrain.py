"""Pretrain one stack, or several together, in a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from stackae.config import PretrainConfig, RunConfig
from stackae.config.values import validated
from stackae.data import Dataset, load_data
from stackae.data.kind import kind_of
from stackae.errors import ConfigError, argument
from stackae.ops.engine import choose_device, choose_step
from stackae.plots.parts import loaded_aside
from stackae.pretraining import reasons, settle
from stackae.runs import Folder, Requests, Work, check_free, default_path, latest, new_runs
from stackae.runs.differences import mathematical, of_work
from stackae.runs.ownership import is_proven, never_began
from stackae.runs.pointer import RUNS
from stackae.training.codes import CodesPlan, plan_codes
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.inputs import whole_number
from stackae.workflows.resume import Moved, Resumed, newest_unfinished, resume_folder
from stackae.workflows.session import Session
from stackae.workflows.stacks import pretraining_work, train_stacks
from stackae.workflows.summary import Plan, plan_of, summary

MOST_SEEDS = 1000


class Prepared(NamedTuple):
    """The folder, whether it is to be resumed, the names of runs in it, their settled configurations and why, the data,
    and where the codes of each layer lie."""

    place: Path | None
    begun: bool
    names: list[str]
    configs: list[PretrainConfig]
    why: list[str]
    dataset: Dataset
    codes: list[CodesPlan]

    def summary(self) -> list[str]:
        return summary(self.configs, self.dataset, self.why, self.codes)


def pretrain_run(
    settings: RunConfig,
    run: Path | str | None = None,
    *,
    seeds: str | int | None = None,
    force: bool = False,
    resume: bool = False,
    checkpoint_every: str | float | None = None,
    callbacks: Callbacks | None = None,
    requests: Requests | None = None,
) -> Resumed:
    """Pretrain a stack, and write its run folder: `stackae pretrain`, to the same bytes.

    The folder holds the layers, scaling, division of the data, calibration of scores, metrics, pictures, log, and the
    checkpoints that ``resume_run`` needs if the training is stopped. runs/latest points at it.

    Args:
        settings: data and layers, as ``run_settings`` makes them.
        run: the folder; None is runs/<time>-<data>-<layers>.
        seeds: number of stacks to train together, 1 to 1000, with consecutive seeds from that of the settings; each has
            a run folder seed-N in the folder. None trains one stack, whose run is the folder itself.
        force: replace an existing run.
        resume: resume the run if it was begun with these very settings, else begin it; without ``run``, resume the
            newest unfinished one.
        checkpoint_every: maximum seconds between checkpoints within an epoch; 30 by default.
        callbacks: receive notes, the training, and the run when it is complete.
        requests: set their ``stop`` to the number of a signal to end the training after its step.

    Raises:
        ConfigError: invalid settings, an occupied folder, a run that began with other settings.
        DataError: data that are missing, damaged, or too large. DiskError: files that cannot be written.
        DivergedError: training left the finite numbers. StoppedError: it was requested to stop.
    """
    session = Session.new("pretrain_run", callbacks, requests, checkpoint_every)
    with loaded_aside():
        prepared = _prepared(settings, run, seeds, force, resume, session.callbacks)
    place, begun, names, configs, _, dataset, codes = prepared
    if place is not None and begun:
        return _resumed(place, settings, pretraining_work(names, configs, dataset), session)
    session.callbacks.note(*prepared.summary())
    default = default_path(settings.data.data, configs[0].layer_sizes, len(names) if seeds is not None else None)
    with new_runs(place, force, names, default) as (folder, runs), session.writing(folder.path):
        work = pretraining_work(names, configs, dataset)
        trained = train_stacks(folder, runs, work, configs, dataset, session, codes)
    session.callbacks.pretrained(trained, last=True)
    return Resumed(folder.path, trained)


def plan_run(
    settings: RunConfig,
    run: Path | str | None = None,
    *,
    seeds: str | int | None = None,
    force: bool = False,
    resume: bool = False,
    callbacks: Callbacks | None = None,
) -> Plan:
    """Return the plan of ``pretrain_run`` without writing anything. Arguments and errors are the same."""
    callbacks = callbacks or Callbacks()
    prepared = _prepared(settings, run, seeds, force, resume, callbacks)
    callbacks.note(*prepared.summary())
    callbacks.busy("measuring a few steps of each layer")
    return plan_of(prepared.configs, prepared.dataset, prepared.codes)


def _prepared(
    settings: RunConfig,
    run: Path | str | None,
    seeds: str | int | None,
    force: bool,
    resume: bool,
    callbacks: Callbacks,
) -> Prepared:
    """Reject whatever cannot work before anything is written."""
    count = None if seeds is None else whole_number(argument("seeds"), seeds, MOST_SEEDS)
    place = newest_unfinished() if run is None and resume else None if run is None else Path(run)
    begun = place is not None and resume and is_proven(place) and not never_began(place)
    if not begun:
        check_free(place, force)
    first = settings.pretrain
    configs = [
        validated(PretrainConfig, {**dict(first), "seed": seed})
        for seed in range(first.seed, first.seed + (count or 1))
    ]
    choose_step(first.engine, choose_device(first.device), first.precision)
    plan_codes(first, 0, 0, len(configs))
    with callbacks.progress(f"reading {settings.data.data}") as tell:
        dataset = load_data(settings.data, tell=tell)
    left_out = settings.data.leave_out is not None
    kind = kind_of(dataset.train.x)
    settled = [settle(each, dataset.train.x, dataset.row_shape, left_out, kind) for each in configs]
    why, configs = reasons(configs[0], dataset.train.x, left_out, kind), settled
    folder = RUNS if place is None else place
    codes = plan_codes(configs[0], *dataset.rows, len(configs), paired=dataset.paired, folder=folder)
    names = [f"seed-{each.seed}" for each in configs] if count else [""]
    return Prepared(place, begun, names, configs, why, dataset, codes)


def _resumed(path: Path, settings: RunConfig, work: Work, session: Session) -> Resumed:
    """Resume the run at ``path``. Raises ConfigError if its settings or data differ from these."""
    chosen = settings.pretrain.model_fields_set
    moved = Moved(
        settings.data.data,
        settings.data.data_root,
        settings.pretrain.engine if "engine" in chosen else None,
        settings.pretrain.device if "device" in chosen else None,
        settings.pretrain.codes if "codes" in chosen else None,
    )
    with Folder(path).writing(), session.writing(path):
        checkpoint = latest(path, "pretrain", lambda error: None)
        found = mathematical(of_work(checkpoint.state.work, work)) if checkpoint else []
        if found:
            raise ConfigError(
                f"{path}: expected the settings that this run began with, got others; "
                "leave them out, change untrained layers by `stackae resume`, or train a new run without "
                f"{argument('resume')}:",
                *(f"  {each}" for each in found),
            )
        return resume_folder(path, moved, session, {})
