"""Train a head on the stack of a run, in its folder."""

from __future__ import annotations

from pathlib import Path

from stackae.config import FinetuneConfig
from stackae.data import Dataset
from stackae.data.labels import classes_named, named
from stackae.engine import choose_device, choose_step
from stackae.errors import argument, legible, shown
from stackae.finetune import trained_classes
from stackae.runs import Requests, Run, latest, open_run
from stackae.runs.places import unfinished
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.heads import FinetunedRun, check_memory, finetuning_work, train_head
from stackae.workflows.inputs import DataRequest, dataset_of, kind_of_targets
from stackae.workflows.session import Session

SHOWN = 20


def finetune_run(
    run: Path | str | None = None,
    settings: FinetuneConfig | None = None,
    *,
    data: DataRequest | None = None,
    checkpoint_every: str | float | None = None,
    callbacks: Callbacks | None = None,
    requests: Requests | None = None,
) -> FinetunedRun:
    """Train a head on a run's stack, and write it into the run folder: what `stackae finetune` does, to the same bytes.

    The folder then holds the head, the metrics of its epochs and the pictures. Where the very same work was begun
    before and stopped, it goes on from there.

    Args:
        run: the run folder; None is the newest run that was completed.
        settings: of the head and its training; a classifier unless given. The seed is that of the pretraining unless it
            is set.
        data: other data than the run's own, of the same columns; they are scaled as the run's were.
        checkpoint_every: seconds between checkpoints within an epoch, at the most; 30 unless given.
        callbacks: told of notes, of training, and of the head when it is complete.
        requests: set their ``stop`` to the number of a signal to end the training after its step.

    Raises:
        RunError: no run, or a damaged one. ConfigError: settings that cannot work. DataError: data without what the
            head learns from. DiskError: files that cannot be written.
        DivergedError: training left the finite numbers. StoppedError: it was asked to stop.
    """
    opened = open_run(None if run is None else Path(run))
    session, settings = Session.new("finetune_run", callbacks, requests, checkpoint_every), settings or FinetuneConfig()
    if "seed" not in settings.model_fields_set:
        settings = settings.model_copy(update={"seed": opened.pretrain_config.seed})
    choose_step(settings.engine, choose_device(settings.device), settings.precision)
    opened.load_stack(settings.engine)
    request = (data or DataRequest())._replace(target_kind=kind_of_targets(settings))
    dataset = dataset_of(opened, request, session.callbacks)
    if request.unlabelled:
        classes_named(argument("unlabelled"), request.unlabelled, dataset.classes, dataset.name)
    check_memory(opened, dataset, settings)
    work = finetuning_work(opened, settings, dataset)
    with opened.writing(), session.writing(opened.path):
        note = session.callbacks.note
        left = None
        if unfinished(opened.path):
            left = latest(opened.path, "finetune", lambda error: note(f"passed over: {error}"))
        if left is not None and left.state.work == work:
            note(f"goes on from {shown(left.path)}")
        else:
            left = None
        note(*head_summary(opened, dataset, settings))
        trained = train_head(opened, work, settings, dataset, session, left)
        session.callbacks.finetuned(trained)
    return trained


def head_summary(run: Run, dataset: Dataset, settings: FinetuneConfig) -> list[str]:
    """The rows to learn from, what is trained of which weights, and the step that is taken, with its reason."""
    device = choose_device(settings.device)
    step = choose_step(settings.engine, device, settings.precision)
    eagerly = settings.steps_eagerly or (_other_layer(run, settings) if settings.train != "head" else "")
    fused = step.fused and not eagerly
    reason = f"{step.reason}; {eagerly}" if step.fused and eagerly else step.reason
    decay = f", layer decay {settings.layer_decay:g}" if settings.layer_decay != 1 else ""
    norm = f", max norm {settings.max_norm:g}" if settings.max_norm else ""
    norm += ", class weight balanced" if settings.class_weight == "balanced" else ""
    return [
        f"data     {dataset.name}: {_rows_to_learn_from(dataset, settings)}",
        f"head     {settings.head}, {settings.init} weights, train {settings.train}{decay}{norm}",
        f"step     {'fused' if fused else 'eager'} on {device} ({reason})",
    ]


def _other_layer(run: Run, settings: FinetuneConfig) -> str:
    """The first layer of which no dense chain is made, which is what the fused step has; "" where there is none."""
    for number, layer in enumerate(run.pretrain_config.layers, start=1):
        inverts = settings.head == "reconstruction" and layer.kind == "marginalized" and layer.activation != "linear"
        if inverts or not layer.encodes_densely:
            kept = f", sparsity {layer.sparsity.model_dump()}" if layer.sparsity.keeps_few else ""
            return f"layer {number} of kind {layer.kind}{kept}"
    return ""


def _rows_to_learn_from(dataset: Dataset, settings: FinetuneConfig) -> str:
    y = dataset.train.y
    if settings.head == "reconstruction":
        return f"{len(dataset.train.x):,} training rows"
    if settings.head in ("regressor", "multilabel"):
        known = 0 if y is None else int((~y.isnan()).any(dim=1).sum())
        return f"{known:,} training rows with targets {_listed(list(dataset.targets))}"
    labelled, classes = 0 if y is None else int((y >= 0).sum()), trained_classes(y, dataset.classes)
    background = set(named(dataset.config.unlabelled or "", dataset.classes)) & set(dataset.classes)
    others = [name for name in dataset.classes if name not in {*classes, *background}]
    told = f"{labelled:,} labelled training rows, {len(classes)} classes"
    if background:
        told += f"; unlabelled are those of class {_listed(sorted(background))}"
    return told + (f"; no training row is of class {_listed(others)}" if others and labelled else "")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(legible, names[:SHOWN])) + more
