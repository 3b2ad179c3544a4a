"""Compare pretraining with its alternatives on the user's data, in a folder that an interrupted comparison resumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from stackae.analysis.comparison.cells import NAME as CELLS
from stackae.analysis.comparison.cells import Cells
from stackae.analysis.comparison.contenders import (
    ALL,
    PRETRAINED,
    Contender,
    chosen_contenders,
    label_counts,
    seed_count,
)
from stackae.analysis.comparison.networks import unable
from stackae.analysis.comparison.running import Runner, cells_of, run_cells
from stackae.analysis.comparison.task import Cell, Fit, Task, check_labels, complete, labelled
from stackae.analysis.comparison.verdict import Comparison, comparison_of
from stackae.config import FinetuneConfig, PretrainConfig, RunConfig, read_tables
from stackae.config.values import validated
from stackae.data import Dataset, load_data
from stackae.data.fingerprint import fingerprint
from stackae.data.formats import FORMATS
from stackae.data.inspect.advice import notes_of
from stackae.documents import to_json
from stackae.errors import ConfigError, argument, legible, nearest
from stackae.ops.engine import choose_device
from stackae.plots import compare as pictures
from stackae.pretraining import settle
from stackae.runs.durable import make_folder, write_files
from stackae.runs.lock import writing
from stackae.training.footprint import check_pretraining
from stackae.workflows.callbacks import Callbacks, Logged
from stackae.workflows.inputs import data_settings, pretrain_settings

BUDGETS = ("epochs", "seconds")
OF_FILES = (*FORMATS, ".json", ".png", ".toml")
USUAL_WIDTHS = (16, 256)  # of the usual two layers, at least and at most


class CompareResult(NamedTuple):
    """The folder of a comparison, its outcome, the content of its compare.json, and its files."""

    path: Path
    outcome: Comparison
    document: dict[str, Any]
    files: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae compare`."""
        return {"compare": str(self.path), **self.document}


class Plan(NamedTuple):
    """What a comparison fits: contenders by name, numbers of labels, and seeds; and whom the layers leave out, why."""

    contenders: dict[str, Contender]
    counts: list[int]
    seeds: list[int]
    total: int
    unable: dict[str, str]

    @property
    def draws(self) -> str:
        """The number of draws, for a person."""
        return f"{len(self.seeds)} draw{'s' * (len(self.seeds) > 1)}"


def compare(
    options: Mapping[str, Any] | None = None,
    *,
    contenders: str | Sequence[str] | None = None,
    labels: str | Sequence[int | str] | None = None,
    seeds: str | int = 3,
    budget: str = "epochs",
    config: Path | None = None,
    out: Path | str | None = None,
    callbacks: Callbacks | None = None,
) -> CompareResult:
    """Compare a pretrained network with random weights, other starts and models of scikit-learn on the same rows.

    Args:
        options: settings of the data and of layers by name, as ``stackae.workflows.run_settings`` takes them.
        contenders: names, as ``stackae.analysis.comparison.contenders`` has them, or "all"; None is all but unlabelled.
        labels: numbers of labels, in all, and "all"; None is 10, 100, 1000 and all, as far as the data have them.
        seeds: how many draws of the labels, each with weights of its own.
        budget: epochs or seconds; see ``Task``.
        config: a TOML file to start from; its [finetune] table is that of every network.
        out: a folder; None is compare/<data>. One of an earlier comparison with the same settings is resumed: what is
            fitted already is not fitted again, and more seeds, contenders or numbers of labels are added.
        callbacks: receive notes, progress, and each unsupervised training.

    Raises:
        ConfigError: an invalid setting. DataError: data that cannot be read, or without labels. DivergedError: a
            network left the finite numbers. RunError: another process compares there. DiskError: it cannot be written.
    """
    callbacks, tables, params = Logged(callbacks or Callbacks()), read_tables(config), dict(options or {})
    if budget not in BUDGETS:
        raise ConfigError(
            f"{argument('budget')}: expected {' or '.join(BUDGETS)}, got '{budget}'{nearest(budget, BUDGETS)}"
        )
    data = data_settings(params, tables)
    folder = _folder(out, data.data)
    dataset = load_data(data.model_copy(update={"validation_fraction": 0.0, "validation_rows": None}))
    if params.get("layers") is None and "layers" not in tables.get("pretrain", {}):
        params["layers"] = usual_layers(dataset.train.x.shape[1])
    pretrain, finetune = pretrain_settings(params, tables), tables.get("finetune", {})
    task = task_of(dataset, pretrain, finetune, data.validation_fraction, budget)
    plan = plan_of(task, contenders, labels, seeds)
    check_pretraining(task.pretrain, len(task.parts[0]), len(task.parts[1]), count=len(plan.seeds))
    settings = RunConfig(data=data, pretrain=task.pretrain, finetune=task.finetune)
    make_folder(folder)
    with writing(folder):
        cells = Cells(folder, settings, budget, fingerprint(dataset))
        callbacks.note(*_summary(task, dataset, plan, cells))
        fits = _resumably(task, plan, cells, callbacks)
        outcome = comparison_of(plan.contenders, plan.total, bool(task.classes), fits)
        callbacks.busy("drawing the picture")
        document = _document(settings, dataset, task, plan, outcome)
        title = f"{len(task.test.x):,} test rows of {Path(dataset.name).name}, {plan.draws} of labels"
        networks = [name for name, each in plan.contenders.items() if each.network]
        measure = "error rate" if task.classes else "1 - R²"
        files = {
            "compare.json": to_json(document, indent=2).encode() + b"\n",
            "compare.png": pictures.error_by_labels(outcome.rows, networks, plan.total, measure, title),
            "config.toml": settings.to_toml().encode(),
        }
        write_files(folder, files)
    return CompareResult(folder, outcome, document, [*files, CELLS])


def task_of(
    dataset: Dataset, pretrain: PretrainConfig, finetune: Mapping[str, Any], held_out: float, budget: str
) -> Task:
    """Make the comparison of a data set, whose validation rows are none, and of settings that are not yet settled."""
    classes = len(dataset.classes)
    check_labels(dataset.name, dataset.train, dataset.test)
    settled = settle(pretrain, dataset.train.x, dataset.row_shape)
    shared = {name: getattr(settled, name) for name in ("seed", "engine", "device")}
    head = {"head": "classifier" if classes else "regressor"}
    return Task(
        train=complete(dataset.train),
        test=labelled(dataset.test),
        classes=classes,
        pretrain=settled,
        finetune=validated(FinetuneConfig, shared | dict(finetune) | head),
        held_out=held_out,
        budget=budget,
    )


def usual_layers(width: int) -> str:
    """The layers where none are given: two codes as wide as the rows, of 16 to 256 units."""
    least, most = USUAL_WIDTHS
    units = min(most, max(least, width))
    return f"{width},{units},{units}"


def plan_of(
    task: Task,
    contenders: str | Sequence[str] | None,
    labels: str | Sequence[int | str] | None,
    seeds: str | int,
) -> Plan:
    """Settle what is fitted. Raises ConfigError for what cannot be."""
    chosen = chosen_contenders(contenders, bool(task.classes))
    if task.budget == "seconds" and PRETRAINED not in chosen:
        raise ConfigError(
            f"{argument('budget')} seconds: expected {PRETRAINED} among {argument('contenders')}, whose seconds the "
            f"others get, got {', '.join(chosen)}; add it, or use {argument('budget', 'epochs')}"
        )
    reasons = {name: reason for name in chosen if (reason := unable(name, task.pretrain))}
    if reasons and contenders not in (None, ALL):
        name, reason = next(iter(reasons.items()))
        raise ConfigError(f"{argument('contenders')} {name}: {reason}; leave it out")
    chosen = {name: each for name, each in chosen.items() if name not in reasons}
    known = labelled(task.train).y
    assert known is not None
    total, fewest = len(known), len(np.unique(known.numpy())) if task.classes else 1
    count = seed_count(seeds)
    first = task.pretrain.seed
    return Plan(chosen, label_counts(labels, total, fewest), list(range(first, first + count)), total, reasons)


def fitted(
    task: Task,
    plan: Plan,
    known: Mapping[Cell, Fit],
    callbacks: Callbacks,
    keep: Callable[[Cell, Fit], None] | None = None,
) -> dict[Cell, Fit]:
    """Fit what is not known yet, give each fit to ``keep``, and return all fits of the plan."""
    wanted = cells_of(plan.contenders, plan.counts, plan.seeds, plan.total)
    missing = [cell for cell in wanted if cell not in known]
    seeds = sorted({cell.seed for cell in missing if plan.contenders[cell.contender].trains == "greedy"})
    runner, fits = Runner(task), dict(known)
    one = task.budget == "seconds" or choose_device(task.pretrain.device).type != "cpu"
    threads = 1 if one else min(torch.get_num_threads(), max(1, len(missing)))
    if seeds:
        with callbacks.training(len(seeds)) as callback:
            runner.pretrain(seeds, callback)
    with callbacks.progress("comparing") as progress:
        for done, (cell, fit) in enumerate(run_cells(runner, missing, known, threads), start=1):
            fits[cell] = fit
            if keep is not None:
                keep(cell, fit)
            progress(done / len(missing))
    return {cell: fits[cell] for cell in wanted}


def _resumably(task: Task, plan: Plan, cells: Cells, callbacks: Callbacks) -> dict[Cell, Fit]:
    """Fit what is not in the file yet; whatever ends this, the file has what is done, and a note says so."""
    try:
        return fitted(task, plan, cells.fits, callbacks, cells.keep)
    except BaseException:
        if cells.fits:
            callbacks.note(f"kept     {len(cells.fits)} finished fits; the same command goes on from them")
        raise
    finally:
        cells.write()


def _folder(out: Path | str | None, data: str) -> Path:
    """Return the folder to write, which is new, empty, or an earlier comparison's. Raises ConfigError."""
    folder = Path("compare") / Path(data).name if out is None else Path(out)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{argument('out')}: expected a folder, got the file {folder}; choose another name")
    if out is not None and folder.suffix.lower() in OF_FILES:
        raise ConfigError(
            f"{argument('out')}: expected a folder, got {legible(folder.name, 100)}, the name of a file; leave out "
            f"{folder.suffix}"
        )
    if folder.exists() and not (folder / CELLS).is_file() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: expected a new folder or an earlier comparison, got other files; choose another "
            f"{argument('out')}"
        )
    return folder


def _summary(task: Task, dataset: Dataset, plan: Plan, cells: Cells) -> list[str]:
    wanted = cells_of(plan.contenders, plan.counts, plan.seeds, plan.total)
    there = sum(cell in cells.fits for cell in wanted)
    return [
        f"data     {dataset.name}: {len(task.train.x):,} training rows, {plan.total:,} with labels, "
        f"{len(task.test.x):,} test rows, scaled by {dataset.scaling.kind}",
        f"network  {'-'.join(map(str, task.pretrain.layer_sizes))}, fine-tuned for equal {task.budget}",
        f"fits     {len(wanted)}: {len(plan.contenders)} contenders, {', '.join(map(str, plan.counts))} labels, "
        f"{plan.draws}" + (f"; {there} are there already" if there else ""),
        *(f"note     {name} is left out: {reason}" for name, reason in plan.unable.items()),
        *(f"note     {sentence}" for sentence in notes_of(dataset)),
    ]


def _document(settings: RunConfig, dataset: Dataset, task: Task, plan: Plan, outcome: Comparison) -> dict[str, Any]:
    """Make compare.json."""
    return {
        "data": dataset.name,
        "measure": "error" if task.classes else "1 - R2",
        "test_rows": len(task.test.x),
        "training_rows": len(task.train.x),
        "labels": plan.total,
        "chance": task.chance,
        "seeds": plan.seeds,
        "budget": task.budget,
        "verdicts": list(outcome.verdicts),
        "contenders": [each._asdict() for each in outcome.rows],
        "differences": [each._asdict() for each in outcome.differences],
        "settings": settings.model_dump(mode="json"),
    }
