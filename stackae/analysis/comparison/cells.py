"""The files of finished fits and pretrained stacks, by which a comparison that was interrupted goes on where it was."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from stackae.analysis.comparison.networks import Start, untrained
from stackae.analysis.comparison.task import Cell, Fit, Task
from stackae.autoencoders.parameters import fill
from stackae.config import RunConfig
from stackae.errors import ConfigError, RunError, argument
from stackae.models.files import opened, pack
from stackae.runs.differences import differences, mathematical
from stackae.runs.durable import write_whole

NAME, STACK = "cells.safetensors", "stack{}.safetensors"  # of a seed
BETWEEN = 2.0  # seconds between two writes of the file


class Cells:
    """The finished fits in a folder, of one configuration and digest of the rows, and its pretrained stacks."""

    def __init__(self, folder: Path, config: RunConfig, budget: str, rows: str) -> None:
        """Read the file, where there is one.

        Raises:
            ConfigError: it is of other settings or rows. RunError: it is damaged.
        """
        self._path, self._config, self._about = folder / NAME, config, {"budget": budget, "rows": rows}
        self._stacks = dict[int, tuple[str, float]]()  # by seed: SHA-256 of the file, and seconds of the training
        self.fits = self._read() if self._path.exists() else {}
        self._written, self._at = len(self.fits), time.monotonic()

    def keep(self, cell: Cell, fit: Fit) -> None:
        """Add a fit; it is on disk after BETWEEN seconds or at the end."""
        self.fits[cell] = fit
        if time.monotonic() - self._at > BETWEEN:
            self.write()

    def write(self) -> None:
        """Write the file whole, if there is more to write. Raises DiskError."""
        if len(self.fits) > self._written:
            self._write()

    def _write(self) -> None:
        write_whole(self._path, self.packed())
        self._written, self._at = len(self.fits), time.monotonic()

    def keep_stacks(self, starts: Mapping[int, Start]) -> None:
        """Write a file per seed with its pretrained stack. Raises DiskError."""
        self._write()  # without which the folder is no comparison's
        for seed, start in starts.items():
            content = pack(start.stack.state_dict())
            write_whole(self._stack_path(seed), content)
            self._stacks[seed] = hashlib.sha256(content).hexdigest(), start.seconds
        self._write()

    @property
    def rows(self) -> str:
        """The digest of the rows."""
        return self._about["rows"]

    def stacks_of(self, seeds: Sequence[int], task: Task) -> dict[int, Start]:
        """Return those of the seeds' pretrained stacks that are there. Raises RunError as ``stack_of``."""
        found = {seed: self.stack_of(seed, task) for seed in seeds}
        return {seed: start for seed, start in found.items() if start is not None}

    def stack_of(self, seed: int, task: Task) -> Start | None:
        """Return the pretrained stack of a seed, to the bit as it was written; None without a file.

        Raises:
            RunError: the file is not what this comparison wrote.
        """
        path = self._stack_path(seed)
        if seed not in self._stacks or not path.exists():
            return None
        content, (digest, seconds) = path.read_bytes(), self._stacks[seed]
        if hashlib.sha256(content).hexdigest() != digest:
            raise RunError(
                f"{path}: expected the pretrained stack of this comparison, got a changed file; remove it, and it is "
                "trained again"
            )
        stack = untrained(task.pretrain.model_copy(update={"seed": seed}), task.train.x)
        with opened(path, content) as (tensors, _):
            fill(stack, tensors)
        return Start(stack, seconds)

    def _stack_path(self, seed: int) -> Path:
        return self._path.with_name(STACK.format(seed))

    def __bool__(self) -> bool:
        return bool(self.fits or self._stacks)

    def __str__(self) -> str:
        return f"{len(self.fits)} finished fits, {len(self._stacks)} pretrained stacks"

    def packed(self) -> bytes:
        """Return the content of the file."""
        tensors = {"/".join(map(str, cell)): torch.from_numpy(_narrow(fit.errors)) for cell, fit in self.fits.items()}
        told = {"/".join(map(str, cell)): [*fit[1:]] for cell, fit in self.fits.items()}
        config = self._config.model_dump(mode="json")
        return pack(tensors, config=config, fits=told, stacks=self._stacks, **self._about)

    def _read(self) -> dict[Cell, Fit]:
        content = self._path.read_bytes()
        try:
            with opened(self._path, content) as (tensors, about):
                config = RunConfig.model_validate(about["config"])
                fits = {
                    _cell(name): Fit(tensors[name].float().numpy(), float(seconds), int(epochs), float(before))
                    for name, (seconds, epochs, before) in about["fits"].items()
                }
                stacks = about.get("stacks", {})  # files of before have none
                self._stacks = {int(seed): (str(digest), float(took)) for seed, (digest, took) in stacks.items()}
                found = {name: str(about[name]) for name in self._about}
        except RunError:
            raise RunError(
                f"{self._path}: expected the finished fits of a comparison, got a damaged file; remove it, or choose "
                f"another {argument('out')}"
            ) from None
        others = [*map(str, mathematical(differences(config, self._config))), *_changed(found, self._about)]
        if others:
            raise ConfigError(
                f"{self._path.parent}: expected a new folder or a comparison of the same settings, got one of others "
                f"({'; '.join(others[:3])}); choose another {argument('out')}"
            )
        return fits


def _cell(name: str) -> Cell:
    contender, labels, seed = name.split("/")
    return Cell(contender, int(labels), int(seed))


def _narrow(errors: np.ndarray) -> np.ndarray:
    """Store errors of 0 and 1 as bytes."""
    whole = np.isin(errors, (0, 1)).all()
    return errors.astype(np.uint8) if whole else errors


def _changed(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: {found[name][:12]} there, {value[:12]} here" for name, value in wanted.items() if found[name] != value
    ]
