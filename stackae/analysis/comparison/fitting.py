"""Fit what a comparison lacks; ranks that share the work divide it, and rank 0 has all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch

from stackae.analysis.comparison.networks import Start
from stackae.analysis.comparison.running import Runner, run_cells
from stackae.analysis.comparison.task import Cell, Fit
from stackae.ops.engine import choose_device
from stackae.ranks import alone, here
from stackae.ranks.divided import divided, watched
from stackae.training.callbacks import Callback, Watched


class Fitting(NamedTuple):
    """What of a comparison is to be fitted: cells, and the seeds whose stacks are to be pretrained; others are kept."""

    kept: dict[int, Start]
    seeds: list[int]
    missing: list[Cell]


def pretrained(runner: Runner, work: Fitting, callback: Callback) -> dict[int, Start]:
    """Give the runner the pretrained stacks of all seeds, and return those that were not kept; ranks divide the seeds.

    Raises:
        DivergedError: one left the finite numbers.
    """
    own, found = here(), dict[int, Start]()
    if seeds := work.seeds[own.rank :: own.count]:
        with alone():
            found = runner.starts.pretrain(seeds, Watched(callback, watched(own)))
    trained = {seed: start for rank in range(own.count) for seed, start in own.agreed(found, rank).items()}
    for seed, start in (work.kept | trained).items():
        runner.starts.take(seed, start)
    return trained


def fits_of(runner: Runner, work: Fitting, known: Mapping[Cell, Fit]) -> Iterator[tuple[Cell, Fit]]:
    """Yield the fits of the cells; of several ranks, each takes some, and rank 0 yields them all.

    Raises:
        DivergedError: a network left the finite numbers.
    """
    own, task = here(), runner.task
    one = task.budget == "seconds" or choose_device(task.pretrain.device).type != "cpu"
    threads = 1 if one else min(torch.get_num_threads(), max(1, len(work.missing)))
    groups: dict[object, list[Cell]] = {}
    for cell in work.missing:  # what a network begins from serves all numbers of labels
        groups.setdefault((cell.contender, cell.seed) if own.several else cell, []).append(cell)
    idle = watched(own) if own.several else None
    with alone():
        yield from divided(list(groups.values()), lambda cells: run_cells(runner, cells, known, threads, idle), own)
