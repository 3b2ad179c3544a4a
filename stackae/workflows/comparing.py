"""Compare pretraining with its alternatives on the user's data, in a folder that an interrupted comparison resumes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stackae.analysis.comparison.cells import NAME as CELLS
from stackae.analysis.comparison.cells import Cells
from stackae.analysis.comparison.fitting import Fitting, fits_of, pretrained
from stackae.analysis.comparison.planning import Plan, plan_of, task_of, usual_layers
from stackae.analysis.comparison.running import Runner, cells_of
from stackae.analysis.comparison.task import Cell, Fit, Task
from stackae.analysis.comparison.verdict import Comparison, comparison_of
from stackae.config import DataConfig, PretrainConfig, RunConfig, read_tables
from stackae.data import Dataset, load_pool
from stackae.data.fingerprint import fingerprint
from stackae.data.formats import FORMATS
from stackae.data.inspect.advice import notes_of
from stackae.documents import to_json
from stackae.errors import ConfigError, argument, legible
from stackae.plots import compare as pictures
from stackae.ranks import group, ready, shared
from stackae.runs.durable import make_folder, write_files
from stackae.runs.lock import NAME as LOCK
from stackae.runs.lock import writing
from stackae.training.callbacks import NoCallback
from stackae.training.codes import plan_codes
from stackae.workflows.callbacks import Callbacks, Logged
from stackae.workflows.inputs import data_settings, pretrain_settings
from stackae.workflows.stacks import built, check_built, check_same

OF_FILES = (*FORMATS, ".json", ".png", ".toml")


class CompareResult(NamedTuple):
    """The folder of a comparison, its outcome, the content of its compare.json, and its files but for the stacks."""

    path: Path
    outcome: Comparison
    document: dict[str, Any]
    files: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae compare`."""
        return {"compare": str(self.path), **self.document}


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
        contenders: names, as ``stackae.analysis.comparison.contenders`` has them, or "all"; None is all but
            those of ASKED_FOR there.
        labels: numbers of labels, in all, and "all"; None is 10, 100, 1000, up to half of all, and all.
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
    data = data_settings(params, tables)
    if budget == "seconds" and group().several:
        raise ConfigError(
            f"{argument('budget')}: expected epochs in several processes, got seconds, which one process measures that "
            "has the machine for itself; start it without torchrun"
        )
    folder = _folder(out, data.data)
    with callbacks.progress(f"reading {data.data}") as tell:
        dataset, held = load_pool(data, tell)
    if params.get("layers") is None and "layers" not in tables.get("pretrain", {}):
        params["layers"] = usual_layers(dataset.train.x.shape[1])
    pretrain, finetune = pretrain_settings(params, tables), tables.get("finetune", {})
    task = task_of(dataset, pretrain, finetune, data.validation_fraction, budget, held)
    plan = plan_of(task, contenders, labels, seeds)
    rows, held_out = map(len, task.parts)
    plan_codes(task.pretrain, rows, held_out, len(plan.seeds), paired=dataset.paired)
    settings = RunConfig(data=data, pretrain=task.pretrain, finetune=task.finetune)
    make_folder(folder)
    with writing(folder):
        cells = Cells(folder, settings, budget, _digest(dataset, held))
        callbacks.note(*_summary(task, dataset, plan, cells))
        follow = partial(follow_comparing, data, pretrain, finetune, budget, cells.rows, built())
        fits = _resumably(task, plan, cells, callbacks, follow)
        outcome = comparison_of(plan.contenders, plan.total, bool(task.classes), fits)
        callbacks.busy("drawing the picture")
        document = _document(settings, dataset, task, plan, outcome)
        files = _files(settings, dataset, task, plan, outcome, document)
        write_files(folder, files)
    return CompareResult(folder, outcome, document, [*files, CELLS])


def _digest(dataset: Dataset, held: np.ndarray | None) -> str:
    """SHA-256 of all rows in their order, test rows too, their parts and their labels, and of which rows are held."""
    assert dataset.division is not None
    digest = hashlib.sha256(f"{fingerprint(dataset)} {dataset.labels}".encode())
    for each in dataset.division:
        digest.update(np.ascontiguousarray(each).data)
    digest.update(b"" if held is None else held.tobytes())
    return digest.hexdigest()


def _files(
    settings: RunConfig, dataset: Dataset, task: Task, plan: Plan, outcome: Comparison, document: dict[str, Any]
) -> dict[str, bytes]:
    """Make compare.json, compare.png and config.toml."""
    title = f"{len(task.test.x):,} test rows of {Path(dataset.name).name}, {plan.draws} of labels"
    networks = [name for name, each in plan.contenders.items() if each.network]
    measure = "error rate" if task.classes else "1 - R²"
    panel = pictures.Panel(title, outcome.rows, networks, plan.total, measure)
    return {
        "compare.json": to_json(document, indent=2).encode() + b"\n",
        "compare.png": pictures.error_by_labels([panel]),
        "config.toml": settings.to_toml().encode(),
    }


def fitted(
    task: Task,
    plan: Plan,
    callbacks: Callbacks,
    cells: Cells | None = None,
    follow: Callable[..., None] | None = None,
) -> dict[Cell, Fit]:
    """Fit what is not in the folder of ``cells`` yet, keep it there, and return all fits of the plan.

    Of several ranks, each fits a part: the others by ``follow(work)``.
    """
    known = {} if cells is None else cells.fits
    wanted = cells_of(plan.contenders, plan.counts, plan.seeds, plan.total)
    missing = [cell for cell in wanted if cell not in known]
    runner, fits = Runner(task), dict(known)
    seeds = sorted({cell.seed for cell in missing if plan.contenders[cell.contender].trains == "greedy"})
    kept = {} if cells is None else cells.stacks_of(seeds, task)
    work = Fitting(kept, [seed for seed in seeds if seed not in kept], missing)
    with nullcontext() if follow is None else shared(partial(follow, work)):
        own = len(work.seeds[:: group().count])
        with callbacks.training(own) if own else nullcontext(NoCallback()) as callback:
            trained = pretrained(runner, work, callback)
        if cells is not None and trained:
            cells.keep_stacks(trained)
        with callbacks.progress("comparing") as progress:
            for done, (cell, fit) in enumerate(fits_of(runner, work, known), start=1):
                fits[cell] = fit
                if cells is not None:
                    cells.keep(cell, fit)
                progress(done / len(missing))
    return {cell: fits[cell] for cell in wanted}


def follow_comparing(
    data: DataConfig,
    pretrain: PretrainConfig,
    finetune: dict[str, Any],
    budget: str,
    rows: str,
    leader: dict[str, str],
    work: Fitting,
) -> None:
    """Take part, as a rank that follows, in the fits of ``compare``; ``rows`` is the digest of those of rank 0.

    Raises:
        DataError: this process reads other data than rank 0. SetupError: it would compute other bits.
    """
    check_built(leader)
    dataset, held = load_pool(data)
    check_same(_digest(dataset, held), rows, data.data)
    runner = Runner(task_of(dataset, pretrain, finetune, data.validation_fraction, budget, held))
    ready()
    pretrained(runner, work, NoCallback())
    for _ in fits_of(runner, work, {}):
        pass


def _resumably(
    task: Task, plan: Plan, cells: Cells, callbacks: Callbacks, follow: Callable[..., None]
) -> dict[Cell, Fit]:
    """Fit what is not in the folder yet; whatever ends this, the folder has what is done, and a note says so."""
    try:
        return fitted(task, plan, callbacks, cells, follow)
    except BaseException:
        if cells:
            callbacks.note(f"kept     {cells}; the same command goes on from them")
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
    if folder.exists() and not (folder / CELLS).is_file() and any(each.name != LOCK for each in folder.iterdir()):
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
