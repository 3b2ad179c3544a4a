"""Train a head on the stack of a run, in its folder, and evaluate it on the test part."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stackae.autoencoders.dense import Autoencoder
from stackae.config import DataConfig, FinetuneConfig
from stackae.data import Dataset, Part
from stackae.data.classes import of_classes, trained_classes
from stackae.data.fingerprint import fingerprint
from stackae.data.labelled import learned_dataset
from stackae.data.labels import classes_named
from stackae.data.provenance import Known
from stackae.data.run_rows import read_dataset
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, argument, shown
from stackae.finetuning import FinetuneResult, finetune_stack
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import choose_device, choose_step
from stackae.ranks import ready, shared
from stackae.runs import Checkpoint, Requests, Run, Work, latest, open_run
from stackae.runs.kept_data import data_files, known_of
from stackae.runs.places import unfinished
from stackae.runs.records import epoch_of
from stackae.runs.run import config_file, head_file, trained_head_file
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import Checkpointer, Following, led
from stackae.training.footprint import check_finetuning
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.evaluate import class_metrics, report_classes
from stackae.workflows.inputs import DataRequest, dataset_of, kind_of_targets
from stackae.workflows.pictures import codes, curves
from stackae.workflows.session import Session
from stackae.workflows.stacks import built, check_built, check_same
from stackae.workflows.summary import head_summary


class Tested(NamedTuple):
    """Metrics on the test part, empty if that lacks what they need; and pictures by file name."""

    figures: dict[str, Any]
    pictures: dict[str, bytes]


class FinetunedRun(NamedTuple):
    """A run with the head that was trained on it, the record of every epoch, and the metrics on the test part."""

    run: Run
    settings: FinetuneConfig
    result: FinetuneResult
    tested: Tested

    @property
    def kept(self) -> EpochRecord:
        """Return the best epoch, whose weights the model has where steps trained it."""
        return self.result.kept

    @property
    def seconds(self) -> float:
        """Return the seconds of all epochs."""
        return sum(record.seconds for record in self.result.history)

    @property
    def files(self) -> list[str]:
        """Return the file names of the head and the pictures."""
        return [head_file(self.settings.head), "curves.png", *self.tested.pictures]


def finetune_run(
    run: Run | Path | str | None = None,
    settings: FinetuneConfig | None = None,
    *,
    data: DataRequest | str | None = None,
    checkpoint_every: str | float | None = None,
    callbacks: Callbacks | None = None,
    requests: Requests | None = None,
) -> FinetunedRun:
    """Train a head on a run's stack, and write it into the run folder: `stackae finetune`, to the same bytes.

    The folder then holds the head, the metrics of its epochs and the pictures. If the very same work was begun before
    and stopped, it is resumed.

    Args:
        run: the run folder; None is the newest complete run.
        settings: of the head and its training; a classifier by default. The seed is that of the pretraining by default.
        data: other data than the run's own, of the same columns, or their name; they are scaled as the run's were.
        checkpoint_every: maximum seconds between checkpoints within an epoch; 30 by default.
        callbacks: receive notes, the training, and the head when it is complete.
        requests: set their ``stop`` to the number of a signal to end the training after its step.

    Raises:
        RunError: no run, or a damaged one. ConfigError: invalid settings. DataError: data without what the head learns
            from. DiskError: files that cannot be written.
        DivergedError: training left the finite numbers. StoppedError: it was requested to stop.
    """
    opened = open_run(run)
    session, settings = Session.new("finetune_run", callbacks, requests, checkpoint_every), settings or FinetuneConfig()
    if "seed" not in settings.model_fields_set:
        settings = settings.model_copy(update={"seed": opened.pretrain_config.seed})
    choose_step(settings.engine, choose_device(settings.device), settings.precision)
    start_of(opened, settings)
    request = DataRequest.of(data)._replace(target_kind=kind_of_targets(settings))
    dataset = dataset_of(opened, request, session.callbacks)
    if request.background:
        classes_named(argument("background"), request.background, dataset.classes, dataset.name)
    work = finetuning_work(opened, settings, dataset)
    dataset = learned_dataset(dataset, settings)
    check_memory(opened, dataset, settings)
    with opened.writing(), session.writing(opened.path):
        note = session.callbacks.note
        resumed = None
        if unfinished(opened.path):
            resumed = latest(opened.path, "finetune", lambda error: note(f"skipped: {error}"))
        if resumed is not None and resumed.state.work == work:
            note(f"resumes from {shown(resumed.path)}")
        else:
            resumed = None
        note(*head_summary(opened, dataset, settings))
        trained = train_head(opened, work, settings, dataset, session, resumed)
        session.callbacks.finetuned(trained)
    return trained


def finetuning_work(run: Run, settings: FinetuneConfig, dataset: Dataset) -> Work:
    """Describe a fine-tuning for its checkpoints: settings of the run with the head, and a digest of the data."""
    config = run.config
    other = None if dataset.config == config.data else dataset.config
    whole = config.model_copy(update={"finetune": settings, "finetune_data": other})
    return Work(command="finetune", runs=("",), settings=(whole,), data=fingerprint(dataset))


def check_memory(run: Run, dataset: Dataset, settings: FinetuneConfig) -> None:
    """Raise ConfigError if the training of the head does not fit into the memory."""
    outputs = {"classes": len(dataset.classes), "numbers": len(dataset.targets), None: 0}[settings.row.targets]
    check_finetuning(settings, run.pretrain_config, *dataset.rows, outputs, paired=dataset.paired)


def train_head(
    run: Run,
    work: Work,
    settings: FinetuneConfig,
    dataset: Dataset,
    session: Session,
    resumed: Checkpoint | None = None,
) -> FinetunedRun:
    """Train the head, evaluate it, save it and draw its pictures."""
    for _ in run.each_metric():  # a damaged record is found before training
        pass
    checkpointer = session.checkpointer(run, work, resumed)
    try:
        start, loss = start_of(run, settings), run.pretrain_config.layers[0].loss
        task = partial(
            follow_finetuning, work, settings, dataset.config, known_of(run), run.load_scaling(), start, loss, built()
        )
        with session.callbacks.training(1) as callback, shared(task):
            result, file = _train(start, loss, settings, dataset, callback, led(checkpointer))
    except BaseException:
        checkpointer.abandon()
        raise
    metrics = run.metrics_with(map(epoch_of, result.history), resumed is None, session.callbacks.note)
    kept = config_file(work.settings[0]) | data_files(dataset, "finetune-")
    run.publish(file | kept | {"metrics.jsonl": metrics})
    model = result.model.cpu()
    tested = _assess(run, settings, model, dataset)
    scatter = codes("finetuned-codes.png", model.encode, dataset)
    tested = tested._replace(pictures=scatter | tested.pictures)
    run.publish(curves(run) | tested.pictures, checkpointer.number)
    checkpointer.finish()
    return FinetunedRun(run, settings, result, tested)


def follow_finetuning(
    work: Work,
    settings: FinetuneConfig,
    data: DataConfig,
    known: Known,
    scaling: Scaling,
    start: StackedAutoencoder,
    loss: str,
    leader: dict[str, str],
) -> None:
    """Take part, as a rank that follows, in the training of ``train_head``; ``leader`` is how rank 0 is ``built``.

    Raises:
        DataError: this process reads other data than rank 0. SetupError: it would compute other bits.
    """
    check_built(leader)
    dataset = read_dataset(data, known, scaling, target_given=data.target is not None)
    check_same(fingerprint(dataset), work.data, data.data)
    learned = learned_dataset(dataset, settings)
    ready()
    _train(start, loss, settings, learned, NoCallback(), Following())


def _train(
    start: StackedAutoencoder,
    loss: str,
    settings: FinetuneConfig,
    dataset: Dataset,
    callback: Callback,
    checkpointer: Checkpointer,
) -> tuple[FinetuneResult, dict[str, bytes]]:
    """Train the head; return it with the content of its file."""
    train, held_out, names = _learned(dataset, settings)
    result = finetune_stack(
        start,
        train,
        settings,
        n_classes=len(names),
        loss=loss,
        validation=held_out,
        image_shape=dataset.image_shape,
        callback=callback,
        checkpointer=checkpointer,
    )
    return result, trained_head_file(settings.head, result.model, names)


def start_of(run: Run, settings: FinetuneConfig) -> StackedAutoencoder:
    """Return the run's stack, with the encoders of its reconstruction head where ``settings.init`` says so.

    Raises:
        ConfigError: the run has no such head, or the stack has other than dense layers.
    """
    stack = run.load_stack(settings.engine)
    if settings.init != "reconstruction":
        return stack
    other = next((each for each in stack.autoencoders if not isinstance(each, Autoencoder)), None)
    if other is not None or settings.head == "reconstruction" or not run.has_head("reconstruction"):
        got = "none" if other is None else "layers of another kind"
        got = "that head itself" if settings.head == "reconstruction" else got
        raise ConfigError(
            f"init reconstruction: expected dense layers that a reconstruction head of {run.path.name} fine-tuned, got "
            f"{got}; run `stackae finetune --head reconstruction` first, or use {argument('init', 'pretrained')}"
        )
    unrolled, _ = run.load_head("reconstruction", settings.engine)
    stack.take_encoders(unrolled.encoders)
    return stack


def _learned(dataset: Dataset, settings: FinetuneConfig) -> tuple[Part, Part, tuple[str, ...]]:
    """Return training and validation part, and the names of the classes, targets or labels that the head learns."""
    if settings.row.targets != "classes":
        return dataset.train, dataset.validation, dataset.targets if settings.row.targets else ()
    classes = trained_classes(dataset.train.y, dataset.classes)
    train, held_out = (of_classes(part, dataset.classes, classes) for part in (dataset.train, dataset.validation))
    return train, held_out, classes


def _assess(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> Tested:
    """Evaluate the head on the test part, if that has what the metrics need."""
    (x, y), learns = dataset.test, settings.row.targets
    if learns is None:
        return Tested(_reconstruction(run, settings, model, dataset) if len(x) else {}, {})
    if learns == "numbers":
        lacks = y is None or bool(y.isnan().all())
        return Tested({} if lacks else model.metrics(dataset.targets, dataset.test), {})
    if y is None or not bool((y >= 0).any()):
        return Tested({}, {})
    classes = trained_classes(dataset.train.y, dataset.classes)
    figures, pictures = class_metrics(report_classes(model, classes, dataset.test, dataset.classes), "test")
    del figures["confusion"]
    return Tested({"test_rows": figures.pop("labelled_rows"), **figures}, pictures)


def _reconstruction(run: Run, settings: FinetuneConfig, model: Any, dataset: Dataset) -> dict[str, Any]:
    """Return the reconstruction error of the fine-tuned network beside that of the pretrained stack."""
    x = dataset.test.x
    before, after = evaluate_reconstruction(run.load_stack(settings.engine), x)[-1], model.report(x)
    return {
        "test_rows": len(x),
        "pretrained_squared_error": before.squared_error,
        "squared_error": after.squared_error,
        "explained": after.explained,
    }
