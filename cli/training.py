"""Trainings whose runs lie on the disk: new ones, and those that an earlier process left."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackae.errors import WHOLE, DivergedError, legible, suggested

if TYPE_CHECKING:
    from stackae.config import FinetuneConfig, PretrainConfig
    from stackae.data import Dataset
    from stackae.finetune import FinetuneResult
    from stackae.pretrain import PretrainResult
    from stackae.runs import Checkpoint, Folder, Run, Work

    from .heads import Tested

Outcomes = list["PretrainResult | DivergedError"]


def pretraining_work(runs: list[str], configs: list[PretrainConfig], dataset: Dataset) -> Work:
    from stackae.config import RunConfig
    from stackae.data.fingerprint import fingerprint
    from stackae.runs import Work

    settings = tuple(RunConfig(data=dataset.config, pretrain=config) for config in configs)
    return Work(command="pretrain", runs=tuple(runs), settings=settings, data=fingerprint(dataset))


def finetuning_work(run: Run, settings: FinetuneConfig, dataset: Dataset) -> Work:
    from stackae.data.fingerprint import fingerprint
    from stackae.runs import Work

    config = run.config
    other = None if dataset.config == config.data else dataset.config
    whole = config.model_copy(update={"finetune": settings, "finetune_data": other})
    return Work(command="finetune", runs=("",), settings=(whole,), data=fingerprint(dataset))


def pretrain(
    folder: Folder,
    runs: list[Run],
    work: Work,
    configs: list[PretrainConfig],
    dataset: Dataset,
    every: float,
    left: Checkpoint | None = None,
) -> Outcomes:
    """Trains the runs together, saves and draws them. Raises DivergedError where none stays finite."""
    from stackae.pretrain import layers_together, results_together
    from stackae.runs import DiskCheckpointer, Requests
    from stackae.runs.beginning import complete
    from stackae.runs.kept_data import data_files
    from stackae.runs.pointer import LATEST, check_pointer, pointer_is_writable
    from stackae.runs.run import config_file, scaling_file, trained_layer_file

    from .console import note, shown
    from .progress import Display
    from .signals import heard_by

    check_pointer()
    if not pointer_is_writable():
        here = shlex.quote(str(shown(folder.path.absolute())))
        note(f"{LATEST} cannot be written, and will not point at this run: name it by --run {here}")
    checkpointer = DiskCheckpointer(folder, work, left, every=every, requests=heard_by(Requests()))
    checkpointer.open()
    for run, settings in zip(runs, work.settings, strict=True):
        run.publish(config_file(settings) | scaling_file(dataset.scaling) | data_files(dataset))
    floors = []
    with Display(len(runs)) as display:
        layers = layers_together(
            dataset.train.x, configs, validation=dataset.validation.x, callback=display, checkpointer=checkpointer
        )
        for outcomes in layers:
            floors.append(outcomes)
            for run, config, outcome in zip(runs, configs, outcomes, strict=True):
                if not isinstance(outcome, DivergedError):
                    layer = config.layers[outcome.number - 1]
                    run.publish(trained_layer_file(outcome.number, outcome.autoencoder, layer))
    results = results_together(configs, floors)
    diverged = [result for result in results if isinstance(result, DivergedError)]
    if len(diverged) == len(results):
        raise diverged[0]
    _publish(folder, runs, results, dataset, new=left is None)
    _calibrate([run for run, each in zip(runs, results, strict=True) if not isinstance(each, DivergedError)], dataset)
    for kept in complete(folder.path, runs):
        note(f"kept        {shown(kept.absolute())}: there lies more than the run that was replaced")
    folder.publish({}, made_from=checkpointer.number)
    checkpointer.finish()
    return results


def _publish(folder: Folder, runs: list[Run], results: Outcomes, dataset: Dataset, new: bool) -> None:
    from stackae.runs.records import epoch_of

    from .console import note, progress_note
    from .pictures import curves_together, pretraining_pictures

    progress_note("drawing pictures")
    for run, result in zip(runs, results, strict=True):
        if not isinstance(result, DivergedError):
            run.publish({"metrics.jsonl": run.metrics_with(map(epoch_of, result.history), new, note)})
            run.publish(pretraining_pictures(run, dataset))
    if folder.path != runs[0].path:
        finite = [run for run, result in zip(runs, results, strict=True) if not isinstance(result, DivergedError)]
        folder.publish(curves_together(finite))


def _calibrate(runs: list[Run], dataset: Dataset) -> None:
    """Keeps in each run what scores are calibrated by; what is trained is not lost where that cannot be made."""
    from stackae.calibration import calibrations
    from stackae.errors import DataError
    from stackae.faults import explained
    from stackae.runs.run import calibration_file

    from .console import note, progress_note

    progress_note("calibrating scores")
    try:
        stacks = (run.load_stack() for run in runs)
        for run, calibration in zip(runs, calibrations(stacks, dataset), strict=True):
            run.publish(calibration_file(calibration))
    except (DataError, MemoryError, RuntimeError) as error:
        reason = error if isinstance(error, DataError) else explained(error)
        if reason is None:
            raise
        note(f"calibration left out: {reason}; the first `stackae score` beside the training data makes it")


def finetune(
    run: Run, work: Work, settings: FinetuneConfig, dataset: Dataset, every: float, left: Checkpoint | None = None
) -> tuple[FinetuneResult[Any], Tested]:
    """Trains the head, tests it, saves and draws it."""
    from stackae.runs import DiskCheckpointer, Requests
    from stackae.runs.kept_data import data_files
    from stackae.runs.records import epoch_of
    from stackae.runs.run import config_file

    from .console import note
    from .heads import assess_head, train_head
    from .pictures import curves
    from .progress import Display
    from .signals import heard_by

    for _ in run.each_metric():  # damaged ones are found before there is anything to add
        pass
    checkpointer = DiskCheckpointer(run, work, left, every=every, requests=heard_by(Requests()))
    try:
        with Display(1) as display:
            result, file = train_head(run, settings, dataset, display, checkpointer)
    except BaseException:
        checkpointer.abandon()
        raise
    metrics = run.metrics_with(map(epoch_of, result.history), left is None, note)
    kept = config_file(work.settings[0]) | data_files(dataset, "finetune-")
    run.publish(file | kept | {"metrics.jsonl": metrics})
    tested = assess_head(run, settings, result.model, dataset)
    run.publish(curves(run) | tested.pictures, checkpointer.number)
    checkpointer.finish()
    return result, tested


@contextmanager
def remembered(path: Path) -> Iterator[None]:
    """Whatever ends a training, the command that goes on with it is named; what happens goes to the folder's log."""
    from stackae.runs.ownership import is_log

    from .console import note, shown
    from .log import NAME, logged
    from .signals import last_words

    log = path / NAME
    if os.path.lexists(log) and not is_log(log):
        note(f"{shown(log.absolute())} is not stackae's, or has another name elsewhere: nothing is logged")
    try:
        with logged(path), last_words(lambda: legible(_kept(path), WHOLE)):
            yield
    except BaseException as error:
        if sentence := _kept(path, error):
            note(sentence)
        raise


def _kept(path: Path, error: BaseException | None = None) -> str:
    """What to say of a training that ended before its time; "" where nothing of it is kept."""
    from stackae.runs.places import has_progress, unfinished

    from .console import shown

    if not has_progress(path) or not unfinished(path):
        return ""
    here = shown(path.absolute())
    if isinstance(error, DivergedError):
        line = suggested("resume", here, *_remedy(error))
        return f"kept        {here}; it would diverge again: go on with other settings, as by:  {line}"
    return f"kept        {here}; go on with it by:  {suggested('resume', here)}"


def _remedy(error: DivergedError) -> list[str]:
    """The option of `resume` that lowers what is to blame, with a value that is usual."""
    usual = {"weight_decay": "1e-5", "corruption": "none", "sparsity": "none", "contraction": "0", "weight_l1": "0"}
    setting, rate = error.details.get("setting") or "learning_rate", error.details.get("learning_rate")
    if setting == "learning_rate":
        return ["--learning-rate", f"{rate / 10:.1g}" if isinstance(rate, float) and 0 < rate < 1 else "0.0003"]
    return [f"--{str(setting).replace('_', '-')}", (usual | {"beta": "1"})[str(setting)]]
