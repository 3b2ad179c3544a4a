"""The file of finished fits, by which a comparison that was interrupted goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from stackae.analysis.comparison.task import Cell, Fit
from stackae.config import RunConfig
from stackae.errors import ConfigError, RunError, argument
from stackae.models.files import opened, pack
from stackae.runs.differences import differences, mathematical
from stackae.runs.durable import write_whole

NAME = "cells.safetensors"
BETWEEN = 2.0  # seconds between two writes of the file


class Cells:
    """The finished fits in a folder, of one configuration and digest of the rows."""

    def __init__(self, folder: Path, config: RunConfig, budget: str, rows: str) -> None:
        """Read the file, where there is one.

        Raises:
            ConfigError: it is of other settings or rows. RunError: it is damaged.
        """
        self._path, self._config, self._about = folder / NAME, config, {"budget": budget, "rows": rows}
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
            write_whole(self._path, self.packed())
            self._written, self._at = len(self.fits), time.monotonic()

    def packed(self) -> bytes:
        """Return the content of the file."""
        tensors = {"/".join(map(str, cell)): torch.from_numpy(_narrow(fit.errors)) for cell, fit in self.fits.items()}
        told = {"/".join(map(str, cell)): [*fit[1:]] for cell, fit in self.fits.items()}
        return pack(tensors, config=self._config.model_dump(mode="json"), fits=told, **self._about)

    def _read(self) -> dict[Cell, Fit]:
        content = self._path.read_bytes()
        try:
            with opened(self._path, content) as (tensors, about):
                config = RunConfig.model_validate(about["config"])
                fits = {
                    _cell(name): Fit(tensors[name].float().numpy(), float(seconds), int(epochs), float(before))
                    for name, (seconds, epochs, before) in about["fits"].items()
                }
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
