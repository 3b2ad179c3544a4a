"""Summaries of a training: what it is about to do, the plan of a stack, and the metrics of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple, TypeVar

import torch

from stackae.analysis.explained import Explained
from stackae.analysis.forecast import seconds_of_layers
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data import Dataset
from stackae.data.classes import trained_classes
from stackae.data.inspect.advice import notes_of
from stackae.data.labelled import few_of, is_scarce
from stackae.data.labels import named
from stackae.data.paired import PairedRows
from stackae.data.stored.rows import StoredRows
from stackae.data.tables.overview import TITLES, overview
from stackae.errors import argument, legible
from stackae.objectives.kinds import numbers_of
from stackae.pretraining import PretrainResult
from stackae.ranks import group
from stackae.runs import Run
from stackae.semisupervised.training import settled_method
from stackae.threads import shown_threads
from stackae.training.candidates import planned
from stackae.training.choice import shown_head_step, shown_layer_steps
from stackae.training.codes import CodesPlan
from stackae.training.folds import labels_of, rows_with_labels

SHOWN = 20
OfLayer = TypeVar("OfLayer", "LayerReport", "LayerOverSeeds")


def summary(
    configs: Sequence[PretrainConfig], dataset: Dataset, why: Sequence[str] = (), codes: Sequence[CodesPlan] = ()
) -> list[str]:
    """Describe the rows, the training step, the threads and where codes lie, with reasons, and what the user should
    know of the data.

    ``why`` are the lines of ``stackae.pretraining.reasons``, where the layers are to be trained from now on.
    """
    config = configs[0]
    together = [f"seeds    {config.seed} to {configs[-1].seed}, trained together"] if len(configs) > 1 else []
    return [
        f"data     {dataset.name}: {len(dataset.train.x):,} training, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test rows of {config.n_visible}, scaled by {dataset.scaling.kind}"
        f"{', read from disk as they are needed' if isinstance(dataset.train.x, StoredRows) else ''}",
        *_columns(dataset),
        f"step     {shown_layer_steps(config, isinstance(dataset.train.x, PairedRows))}",
        *_processes(),
        f"threads  {shown_threads(torch.get_num_threads())}",
        *together,
        *(f"codes    {each}" for each in codes),
        *why,
        *(f"note     {sentence}" for sentence in notes_of(dataset)),
    ]


def _processes() -> list[str]:
    """Describe the processes that train together; nothing of a single one."""
    ranks = group()
    return [f"ranks    {ranks.count} processes, {ranks.beside} on this machine"] if ranks.several else []


def _columns(dataset: Dataset) -> list[str]:
    """Describe what the columns of a table become, where they are not all numbers as they are."""
    encoding = dataset.encoding
    if encoding is None or (encoding.plain and not any(each.missing for each in encoding.featured)):
        return []
    rows = [list(TITLES), *overview(encoding)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(TITLES))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{'columns' if not place else '':9}{line}" for place, line in enumerate(lines)]


class LayerPlan(NamedTuple):
    """The plan of one layer: ``settings`` as option values, bytes of its input, and number of training steps.

    ``codes`` say where the next layer reads its codes, ``codes_bytes`` what they take there, and ``codes_why`` why;
    None of the top. ``seconds`` are predicted from a few steps, as if patience ended no layer early.
    """

    layer: int
    sizes: str
    kind: str
    activations: str
    corruption: Any
    sparsity: Any
    settings: list[str]
    parameters: int
    input_bytes: int
    steps: int
    codes: str | None
    codes_bytes: int | None
    codes_why: str | None
    seconds: float


class Plan(NamedTuple):
    """Sizes are those of one stack. Only the input is counted once: stacks share the data, each has its own codes."""

    data: str
    seeds: list[int]
    layers: list[LayerPlan]


def plan_of(configs: Sequence[PretrainConfig], dataset: Dataset, codes: Sequence[CodesPlan]) -> Plan:
    """Plan the pretraining of these configurations, which differ only in their seeds; a few steps are measured."""
    config, x = configs[0], dataset.train.x
    seconds = seconds_of_layers(x, len(dataset.validation.x), configs, codes)
    places = [*((each.where, each.bytes, each.why) for each in codes), (None, None, None)]
    layers = [
        LayerPlan(
            number,
            f"{n}-{layer.n_hidden}-{n}",
            layer.kind,
            f"{layer.activation} / {layer.output_activation}",
            layer.corruption.model_dump(),
            layer.sparsity.model_dump(),
            _requested(layer),
            numbers_of(n, layer),
            x.nbytes if number == 1 else len(x) * n * 4 * len(configs),
            -(-len(x) // layer.batch_size) * int(layer.max_epochs),
            *places[number - 1],
            seconds[number - 1],
        )
        for number, (n, layer) in enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1)
    ]
    return Plan(dataset.name, [each.seed for each in configs], layers)


def _requested(layer: LayerConfig) -> list[str]:
    """Return the layer's settings that differ from the defaults, and its corruption."""
    given, fields = layer.model_dump(), type(layer).model_fields
    alone = [given[name] for name in ("corruption", "sparsity", "loss") if given[name] not in ("none", "mse")]
    untied = ["untied"] if "tied" in layer.row.settings and not layer.tied else []
    options = ("emphasis", "dropout", "revive", "contraction", "weight_decay", "weight_l1", "max_norm", "init")
    rest = ("initial_weights", "ridge", "hidden", "beta", "kernel")
    usual = {name: fields[name].default for name in (*options, *rest)} | {"init": "random", "contraction": 0.0}
    others = [name for name, value in usual.items() if getattr(layer, name) != value]
    return alone + untied + [f"{name.replace('_', ' ')} {given[name]}" for name in others]


class LayerReport(NamedTuple):
    """A trained layer: its sizes, its epochs, and the record of the best one, whose weights it has."""

    layer: int
    n_visible: int
    n_hidden: int
    epochs: int
    kept_epoch: int
    loss: float
    validation_loss: float | None
    corrupted_validation_loss: float | None
    dead: float | None
    seconds: float
    explained: float
    pca_explained: float | None

    def per_feature(self) -> LayerReport:
        """Return it with its losses per feature of the layer's input, not per row."""
        return _per_feature(self, "loss", "validation_loss", "corrupted_validation_loss")


def layer_reports(result: PretrainResult, explained: Sequence[Explained]) -> list[LayerReport]:
    """Return one report per layer, bottom first."""
    reports, config = [], result.config
    for n, layer, share in zip(config.layer_sizes, config.layers, explained, strict=False):
        number = share.layer
        records = [record for record in result.history if record.stage == f"layer{number}"]
        kept = [record for record in records if record.best][-1]
        losses = (kept.loss, kept.validation_loss, kept.corrupted_validation_loss)
        seconds = sum(record.seconds for record in records)
        sizes = (number, n, layer.n_hidden, len(records), kept.epoch)
        reports.append(LayerReport(*sizes, *losses, kept.dead, seconds, share.explained, share.pca_explained))
    return reports


def below_pca(config: PretrainConfig, explained: Sequence[Explained]) -> str:
    """Say which layers explain less than PCA of their width, and what to do; "" where none does."""
    low = [each for each in explained if each.below]
    if not low:
        return ""
    first, layer = low[0], config.layers[low[0].layer - 1]
    others = f" (and {len(low) - 1} more such)" if len(low) > 1 else ""
    shares = (f"{100 * (share or 0):.1f} %" for share in (first.explained, first.pca_explained))
    found = "layer {} explains {} of the variance, PCA of its width {}{}".format(first.layer, *shares, others)
    contracts = "a contraction serves" if layer.contracts else ""
    kept = "noise serves scores and" if layer.corruption.kind != "none" else contracts
    options = [argument("corruption", "none")] if kept else []
    if not ACTIVATIONS[layer.activation].near_linear:
        options.append(argument("activation", "tanh"))
    if not options:
        return f"{found}; use more {argument('epochs')}, or {argument('activation', 'linear')}"
    serves = f", while {kept} heads with few labels" if kept else ""
    return f"{found}; for reconstruction use {' '.join(options)}{serves}"


class LayerOverSeeds(NamedTuple):
    """A layer over several stacks: losses of their best epochs, and the seconds of all, which ran concurrently.

    ``measure`` is validation_loss, or loss without validation rows. ``sd`` is None for one stack; ``corrupted_mean`` is
    None unless they are trained under noise.
    """

    layer: int
    n_visible: int
    n_hidden: int
    measure: str
    mean: float
    sd: float | None
    lowest: float
    highest: float
    corrupted_mean: float | None
    kept_epochs: list[int]
    seconds: float

    def per_feature(self) -> LayerOverSeeds:
        """Return it with its losses per feature of the layer's input, not per row."""
        return _per_feature(self, "mean", "sd", "lowest", "highest", "corrupted_mean")


def _per_feature(layer: OfLayer, *names: str) -> OfLayer:
    losses = {name: getattr(layer, name) for name in names}
    return layer._replace(**{name: loss / layer.n_visible for name, loss in losses.items() if loss is not None})


def over_seeds(reports: Sequence[LayerReport]) -> LayerOverSeeds:
    """Aggregate the reports of one layer in each stack."""
    measure = "loss" if reports[0].validation_loss is None else "validation_loss"
    losses = [getattr(report, measure) for report in reports]
    corrupted = [each for report in reports if (each := report.corrupted_validation_loss) is not None]
    return LayerOverSeeds(
        *reports[0][:3],
        measure,
        fmean(losses),
        stdev(losses) if len(losses) > 1 else None,
        min(losses),
        max(losses),
        fmean(corrupted) if corrupted else None,
        [report.kept_epoch for report in reports],
        max(report.seconds for report in reports),
    )


def head_summary(run: Run, dataset: Dataset, settings: FinetuneConfig) -> list[str]:
    """Describe the training rows, which weights are trained, the training step and the threads, with reasons."""
    decay = f", layer decay {settings.layer_decay:g}" if settings.layer_decay != 1 else ""
    norm = f", max norm {settings.max_norm:g}" if settings.max_norm else ""
    norm += ", class weight balanced" if settings.class_weight == "balanced" else ""
    stack, known = run.load_stack(settings.engine), rows_with_labels(dataset.train)
    method = settled_method(settings, stack, int(known.sum()), len(known))
    settled = settings.model_copy(update={"unlabelled": method.name})
    unlabelled = [f"no label {method.name} ({method.reason})"] if settled.learns_unlabelled else []
    trained = planned(settled, int(known.sum()), labels_of(dataset.validation))
    return [
        f"data     {dataset.name}: {_rows_to_learn_from(dataset, settings)}",
        f"head     {settings.head}, {settings.init} weights, train {trained}{decay}{norm}",
        *unlabelled,
        f"step     {shown_head_step(stack, settled)}",
        *_processes(),
        f"threads  {shown_threads(torch.get_num_threads())}",
    ]


def _held_out(dataset: Dataset, settings: FinetuneConfig) -> str:
    """Describe which labels were kept, and how many choose the epoch; where they are scarce, none."""
    held_out, y = labels_of(dataset.validation), dataset.train.y
    kept = f"; labels {settings.labels}, drawn by seed {settings.labels_seed}" if settings.labels != "all" else ""
    if held_out:
        return f"{kept}; {held_out:,} more are held out"
    few = "" if y is None or not is_scarce(y, settings.row) else f", as {few_of(settings.row)}"
    return f"{kept}; none held out{few}"


def _rows_to_learn_from(dataset: Dataset, settings: FinetuneConfig) -> str:
    y, learns = dataset.train.y, settings.row.targets
    if learns is None:
        return f"{len(dataset.train.x):,} training rows"
    if learns == "numbers":
        known = 0 if y is None else int((~y.isnan()).any(dim=1).sum())
        return f"{known:,} training rows with targets {_listed(list(dataset.targets))}{_held_out(dataset, settings)}"
    count, classes = 0 if y is None else int((y >= 0).sum()), trained_classes(y, dataset.classes)
    background = set(named(dataset.config.background or "", dataset.classes)) & set(dataset.classes)
    others = [name for name in dataset.classes if name not in {*classes, *background}]
    sentence = f"{count:,} labelled training rows, {len(classes)} classes"
    if background:
        sentence += f"; unlabelled are those of class {_listed(sorted(background))}"
    sentence += f"; no training row is of class {_listed(others)}" if others and count else ""
    return sentence + _held_out(dataset, settings)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(map(legible, names[:SHOWN])) + more
