"""Pretrain one or several stacks in a run folder: train, save, draw pictures, calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from stackae.analysis.calibration import calibrations
from stackae.analysis.explained import Explained, explained_by, principal_errors_of
from stackae.analysis.principal import principal_of
from stackae.autoencoders.pca import PrincipalComponents
from stackae.config import DataConfig, PretrainConfig, RunConfig
from stackae.data import Dataset, load_data
from stackae.data.fingerprint import fingerprint
from stackae.data.memory import give_back
from stackae.data.rows import Rows
from stackae.data.scaling import Scaling
from stackae.errors import DataError, DivergedError, SetupError, argument, shown
from stackae.ops.engine import find_extension
from stackae.pretraining import PretrainResult, layers_together, results_together
from stackae.ranks import ready, shared
from stackae.runs import Checkpoint, Folder, Run, Work
from stackae.runs.beginning import complete
from stackae.runs.checkpointer import this_machine
from stackae.runs.kept_data import data_files, labelled_with
from stackae.runs.pointer import LATEST, check_pointer, pointer_is_writable
from stackae.runs.records import epoch_of
from stackae.runs.run import calibration_file, config_file, explained_file, scaling_file, trained_layer_file
from stackae.training.checkpointing import Following, led
from stackae.training.codes import CodesPlan
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.faults import explained
from stackae.workflows.pictures import curves_together, pretraining_pictures
from stackae.workflows.session import Session
from stackae.workflows.summary import LayerOverSeeds, LayerReport, below_pca, layer_reports, over_seeds

FITTED, FEWEST_FITTED, FITTED_PER_COLUMN = 0.1, 1 << 14, 16  # training rows of principal components
CALIBRATED, FEWEST_CALIBRATED = 0.02, 1 << 11  # validation rows that calibrate scores
"""What follows a training takes a small part of its time: the share of the rows that all layers read in all epochs that
is read again, and the number of rows that is read in any case."""


class PretrainedRun(NamedTuple):
    """One run per configuration, and its result: a DivergedError if it left the finite numbers.

    ``path`` is the run's folder; for several stacks trained together (``together``), the folder of their runs.
    ``explained`` has what each stack's layers explain beside PCA; nothing for one that diverged.
    """

    path: Path
    runs: Sequence[Run]
    configs: Sequence[PretrainConfig]
    outcomes: Sequence[PretrainResult | DivergedError]
    explained: Sequence[Sequence[Explained]]

    @property
    def together(self) -> bool:
        return self.runs[0].path != self.path

    @property
    def finite(self) -> list[Run]:
        """Return the runs that did not diverge."""
        pairs = zip(self.runs, self.outcomes, strict=True)
        return [run for run, outcome in pairs if not isinstance(outcome, DivergedError)]

    @property
    def reports(self) -> list[list[LayerReport]]:
        """Return the layer reports of each stack; empty for one that diverged."""
        pairs = zip(self.outcomes, self.explained, strict=True)
        return [[] if isinstance(each, DivergedError) else layer_reports(each, shares) for each, shares in pairs]

    @property
    def below_pca(self) -> str:
        """Say what to do where layers of the first finite stack explain less than PCA of their width; "" elsewhere."""
        first = next(shares for shares in self.explained if shares)
        return below_pca(self.configs[0], first)

    @property
    def next_command(self) -> str:
        """Return a command that fits what the rows are labelled with."""
        return following(self.finite[0])

    @property
    def over_seeds(self) -> list[LayerOverSeeds]:
        """Return each layer's statistics over the stacks that stayed finite."""
        return [over_seeds(layer) for layer in zip(*filter(None, self.reports), strict=True)]


def following(run: Run) -> str:
    """Return the command that follows a pretraining: a head that learns from its labels, or scores without any."""
    head = {"classes": "classifier", "numbers": "regressor"}.get(labelled_with(run))
    return f"stackae finetune --head {head}" if head else "stackae score"


def pretraining_work(runs: Sequence[str], configs: Sequence[PretrainConfig], dataset: Dataset) -> Work:
    """Describe a pretraining for its checkpoints: settings of each run, and a digest of the data."""
    settings = tuple(RunConfig(data=dataset.config, pretrain=config) for config in configs)
    return Work(command="pretrain", runs=tuple(runs), settings=settings, data=fingerprint(dataset))


def train_stacks(
    folder: Folder,
    runs: Sequence[Run],
    work: Work,
    configs: Sequence[PretrainConfig],
    dataset: Dataset,
    session: Session,
    codes: Sequence[CodesPlan],
    resumed: Checkpoint | None = None,
) -> PretrainedRun:
    """Train the runs together, save them and draw their pictures; ``codes`` say where those of each layer lie.

    Raises DivergedError if none stays finite.
    """
    callbacks = session.callbacks
    check_pointer()
    if not pointer_is_writable():
        here = argument("run", shown(folder.path.absolute()))
        callbacks.note(f"{LATEST} cannot be written, and will not point at this run: name it by {here}")
    checkpointer = session.checkpointer(folder, work, resumed)
    checkpointer.open()
    for run, settings in zip(runs, work.settings, strict=True):
        run.publish(config_file(settings) | scaling_file(dataset.scaling) | data_files(dataset))
    per_layer = []
    task = partial(follow_pretraining, work, configs, dataset.config, dataset.scaling, codes, built())
    with callbacks.training(len(runs)) as callback, shared(task):
        layers = layers_together(
            dataset.train.x,
            configs,
            validation=dataset.validation.x,
            callback=callback,
            checkpointer=led(checkpointer),
            codes=codes,
            folder=folder.path,
        )
        for outcomes in layers:
            per_layer.append(outcomes)
            for run, config, outcome in zip(runs, configs, outcomes, strict=True):
                if not isinstance(outcome, DivergedError):
                    layer = config.layers[outcome.number - 1]
                    run.publish(trained_layer_file(outcome.number, outcome.autoencoder, layer))
    results = results_together(configs, per_layer)
    if all(isinstance(each, DivergedError) for each in results) and isinstance(results[0], DivergedError):
        raise results[0]
    callbacks.busy("measuring layers beside PCA")
    x, epochs = dataset.train.x, max(len(each.history) for each in results if isinstance(each, PretrainResult))
    seen = epochs * len(x)  # of all layers
    principal = principal_of(x, max(int(FITTED * seen), FEWEST_FITTED, FITTED_PER_COLUMN * x.shape[1]))
    trained = PretrainedRun(folder.path, runs, configs, results, _explained(runs, results, dataset, principal))
    give_back()
    _publish(folder, trained, dataset, callbacks, new=resumed is None)
    give_back()
    _calibrate(trained.finite, dataset, principal, max(int(CALIBRATED * seen), FEWEST_CALIBRATED), callbacks)
    for kept in complete(folder.path, runs):
        callbacks.note(f"kept        {shown(kept.absolute())}: there lies more than the run that was replaced")
    folder.publish({}, made_from=checkpointer.number)
    checkpointer.finish()
    return trained


def follow_pretraining(
    work: Work,
    configs: Sequence[PretrainConfig],
    data: DataConfig,
    scaling: Scaling,
    codes: Sequence[CodesPlan],
    leader: dict[str, str],
) -> None:
    """Take part, as a rank that follows, in the training of ``train_stacks``; ``leader`` is how rank 0 is ``built``.

    Its codes lie in places of the same kind as those of rank 0.

    Raises:
        DataError: this process reads other data than rank 0. SetupError: it would compute other bits.
    """
    check_built(leader)
    dataset = load_data(data, scaling)
    check_same(fingerprint(dataset), work.data, data.data)
    ready()
    for _ in layers_together(dataset.train.x, configs, checkpointer=Following(), codes=codes):
        pass


def built() -> dict[str, str]:
    """Describe what the bits of this process depend on: all ranks have to have the same."""
    machine = this_machine()
    return {name: machine[name] for name in ("torch", "processor")} | {"extension": find_extension().state}


def check_built(leader: dict[str, str]) -> None:
    """Raise SetupError where this process differs from rank 0 in what its bits depend on."""
    for name, value in built().items():
        if value != leader[name]:
            raise SetupError(
                f"{name}: expected {leader[name]} in every process, as in rank 0, got {value}; train on machines of "
                "one kind, with one installation"
            )


def check_same(found: str, leader: str, name: str) -> None:
    """Raise DataError where the data of a rank, by their digest, are not those of rank 0."""
    if found != leader:
        raise DataError(
            f"{name}: expected the rows and labels that rank 0 reads, got others; give all machines the same file"
        )


def _explained(
    runs: Sequence[Run],
    outcomes: Sequence[PretrainResult | DivergedError],
    dataset: Dataset,
    principal: PrincipalComponents | None,
) -> list[list[Explained]]:
    """Measure the layers beside PCA."""
    _, measured = _measured(dataset)
    errors = principal_errors_of(principal, measured)
    return [
        [] if isinstance(outcome, DivergedError) else explained_by(run.load_stack(), measured, errors)
        for run, outcome in zip(runs, outcomes, strict=True)
    ]


def _measured(dataset: Dataset) -> tuple[str, Rows]:
    """Return the rows that layers are measured on: those of validation or, without them, of training."""
    held_out = len(dataset.validation.x) > 0
    return ("validation", dataset.validation.x) if held_out else ("train", dataset.train.x)


def _publish(folder: Folder, trained: PretrainedRun, dataset: Dataset, callbacks: Callbacks, new: bool) -> None:
    callbacks.busy("drawing pictures")
    part, measured = _measured(dataset)
    for run, outcome, shares in zip(trained.runs, trained.outcomes, trained.explained, strict=True):
        if not isinstance(outcome, DivergedError):
            run.publish({"metrics.jsonl": run.metrics_with(map(epoch_of, outcome.history), new, callbacks.note)})
            run.publish(explained_file(part, len(measured), [each._asdict() for each in shares]))
            run.publish(pretraining_pictures(run, dataset))
    if trained.together:
        folder.publish(curves_together(trained.finite))


def _calibrate(
    runs: Sequence[Run], dataset: Dataset, principal: PrincipalComponents | None, most: int, callbacks: Callbacks
) -> None:
    """Store the calibration of scores, by at most ``most`` rows, in each run; if it fails, no trained layer is lost."""
    callbacks.busy("calibrating scores")
    try:
        stacks = (run.load_stack() for run in runs)
        for run, calibration in zip(runs, calibrations(stacks, dataset, principal, most), strict=True):
            run.publish(calibration_file(calibration))
    except (DataError, MemoryError, RuntimeError) as error:
        reason = error if isinstance(error, DataError) else explained(error)
        if reason is None:
            raise
        callbacks.note(f"calibration left out: {reason}; the first `stackae score` beside the training data makes it")
