"""Recipes: list them, show one, and train one to compare ours with what was published."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from stackae.config import FinetuneConfig, RunConfig
from stackae.config.recipe import CheckConfig, RecipeConfig, read_recipe, recipe_names
from stackae.config.values import validated
from stackae.data import Dataset, load_data
from stackae.documents import to_json
from stackae.errors import RecipeError, argument
from stackae.pretraining import PretrainResult
from stackae.runs import Requests, Run
from stackae.runs.durable import make_folder, write_whole
from stackae.training.callbacks import EpochRecord
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.finetune import finetune_run
from stackae.workflows.inputs import absolute, whole_number
from stackae.workflows.pretrain import MOST_SEEDS, pretrain_run
from stackae.workflows.recipes.figures import Trained, measure
from stackae.workflows.resume import Resumed

RESULT = "recipe.json"


@dataclass(frozen=True)
class Compared:
    """A check with our figures, one per seed."""

    check: CheckConfig
    figures: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.figures)

    @property
    def within(self) -> bool:
        """Whether the mean over the seeds lies in the band."""
        return self.check.within(self.mean)

    def to_dict(self) -> dict[str, Any]:
        """Return the check beside our figures, as JSON data."""
        check = self.check
        return {
            "figure": check.name,
            "published": check.published,
            "measured": check.measured,
            "ours": self.mean,
            "seeds": list(self.figures),
            "low": check.low,
            "high": check.high,
            "within": self.within,
        }


@dataclass(frozen=True)
class RecipeResult:
    """A recipe that was trained: its comparisons, the folder of its runs, the seconds of all seeds."""

    name: str
    recipe: RecipeConfig
    seeds: tuple[int, ...]
    compared: tuple[Compared, ...]
    folder: Path
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the content of recipe.json."""
        return {
            "recipe": self.name,
            "title": self.recipe.title,
            "paper": self.recipe.paper,
            "seeds": list(self.seeds),
            "reproduced": all(each.within for each in self.compared),
            "checks": [each.to_dict() for each in self.compared],
            "seconds": round(self.seconds, 1),
            "machine": {
                "processor": platform.machine(),
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def _got(self, each: Compared) -> str:
        if math.isnan(each.mean):
            return f"nan, as an earlier call trained a part; name another folder by {argument('run')}"
        return f"{each.mean:.4g}" + (f", the mean of {len(each.figures)} seeds" if len(each.figures) > 1 else "")

    def raise_outside(self) -> None:
        """Raise RecipeError, with a sentence per figure, if any lies outside its band."""
        outside = [
            f"{self.name}: {each.check.name}: expected {each.check.band}, got {self._got(each)}"
            for each in self.compared
            if not each.within
        ]
        if outside:
            first, *more = outside
            raise RecipeError(first, *more)


def recipes() -> dict[str, RecipeConfig]:
    """Return every recipe by its name."""
    return {name: read_recipe(name) for name in recipe_names()}


def run_recipe(
    name: str,
    *,
    data_root: str | None = None,
    seeds: str | int | None = None,
    run: Path | str | None = None,
    pretrain_only: bool = False,
    callbacks: Callbacks | None = None,
    requests: Requests | None = None,
) -> RecipeResult:
    """Train a recipe, and compare its figures with the published ones: `stackae recipes run`.

    Args:
        name: of ``recipe_names``.
        data_root: the folder of the named image sets; None is that of the recipe, ``data``.
        seeds: how many seeds to train, one after the other, from 0; None is the recipe's own number.
        run: the folder for recipe.json and for a run per seed, run-0, run-1, ...; None is runs/recipe-NAME. A run in it
            that was stopped is resumed.
        pretrain_only: train and compare the layers alone, without fine-tuning.
        callbacks: receive notes and the training.
        requests: set their ``stop`` to the number of a signal to end the training after its step.

    Raises:
        ConfigError: no such recipe. DataError: data that are not there.
        DivergedError: training left the finite numbers. StoppedError: it was requested to stop.
    """
    recipe, callbacks = read_recipe(name), callbacks or Callbacks()
    if pretrain_only:
        recipe = recipe.of_the_layers(name)
    return train_recipe(name, recipe, data_root, seeds, run, callbacks, requests)


def train_recipe(
    name: str,
    recipe: RecipeConfig,
    data_root: str | None,
    seeds: str | int | None,
    run: Path | str | None,
    callbacks: Callbacks,
    requests: Requests | None,
) -> RecipeResult:
    """Train and compare a recipe that is read already; arguments as those of ``run_recipe``."""
    count = recipe.seeds if seeds is None else whole_number(argument("seeds"), seeds, MOST_SEEDS)
    data = recipe.data if data_root is None else recipe.data.model_copy(update={"data_root": data_root})
    settings = RunConfig(data=absolute(data), pretrain=recipe.pretrain)
    dataset = load_data(settings.data)
    folder, started = Path(run or Path("runs") / f"recipe-{name}"), time.perf_counter()
    make_folder(folder)
    figures: list[list[float]] = []
    for seed in range(count):
        callbacks.note(f"recipe      {name}, seed {seed}: {seed + 1} of {count}")
        figures.append(_one_seed(recipe, settings, seed, dataset, folder / f"run-{seed}", callbacks, requests))
    compared = tuple(
        Compared(check, tuple(own)) for check, own in zip(recipe.checks, zip(*figures, strict=True), strict=True)
    )
    result = RecipeResult(name, recipe, tuple(range(count)), compared, folder, time.perf_counter() - started)
    write_whole(folder / RESULT, (to_json(result.to_dict(), indent=2) + "\n").encode())
    return result


def _one_seed(
    recipe: RecipeConfig,
    settings: RunConfig,
    seed: int,
    dataset: Dataset,
    path: Path,
    callbacks: Callbacks,
    requests: Requests | None,
) -> list[float]:
    """Train one seed of a recipe; return its figures in the order of the checks."""
    own = settings.model_copy(update={"pretrain": settings.pretrain.model_copy(update={"seed": seed})})
    outcome = pretrain_run(own, path, resume=True, callbacks=callbacks, requests=requests)
    run = Run.open(outcome.path)
    trained = Trained(run, dataset, _history(outcome, run))
    figures = _figures(recipe.checks, trained, 0, callbacks)
    for number, head in enumerate(recipe.finetune, start=1):
        tuned = validated(FinetuneConfig, {**dict(head), "seed": seed})
        found = outcome.finetuned  # of a call that was stopped in it, and that pretrain_run has resumed
        if found is None or found.settings != tuned:
            found = finetune_run(run.path, tuned, callbacks=callbacks, requests=requests)
        trained = Trained(Run.open(run.path), dataset, [*trained.history, *found.result.history], head.head)
        figures |= _figures(recipe.checks, trained, number, callbacks)
    return [figures[place] for place in range(len(recipe.checks))]


def _figures(checks: Sequence[CheckConfig], trained: Trained, after: int, callbacks: Callbacks) -> dict[int, float]:
    """Compute the figures that are due after that many fine-tunings, by the places of their checks."""
    found = {}
    for place, check in enumerate(checks):
        if check.after == after:
            callbacks.busy(f"measuring {check.name}")
            found[place] = measure(check, trained)
            callbacks.note(f"figure      {check.name}: {found[place]:.4g} ({check.band})")
    return found


def _history(outcome: Resumed, run: Run) -> list[EpochRecord]:
    """Return the epochs of pretraining; of one that an earlier call completed, without the seconds."""
    if outcome.pretrained is not None and isinstance(result := outcome.pretrained.outcomes[0], PretrainResult):
        return list(result.history)
    fields = EpochRecord.__dataclass_fields__
    lines = [line for line in run.each_metric() if line["event"] == "epoch" and line["stage"].startswith("layer")]
    unknown: dict[str, Any] = {"seconds": float("nan"), "rows_per_second": float("nan")}
    return [EpochRecord(**(unknown | {name: line[name] for name in fields if name in line})) for line in lines]
