"""Graphs as torch's exported programs: files of torch.export, which open where torch is."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch

from stackae.exporting.described import KEY, Described
from stackae.exporting.parts import Part
from stackae.exporting.quiet import quiet

EXAMPLE = 3  # rows of the batch that is traced: 1 would be taken for a constant
Runs = Callable[[np.ndarray], list[np.ndarray]]
"""Features (n, width) in the data's own units, or codes -> the outputs in order."""


def traced(part: Part) -> torch.export.ExportedProgram:
    """The graph for a batch of any number of rows."""
    batch = torch.export.Dim("batch")
    example = torch.zeros(EXAMPLE, part.width, dtype=part.dtype)
    with torch.no_grad():
        return torch.export.export(part.graph.eval(), (example,), dynamic_shapes=({0: batch},))


def pack(one: Described, int8: bool = False) -> bytes:
    """The content of a .pt2 file."""
    file = io.BytesIO()
    torch.export.save(traced(one.part), file, extra_files={f"{KEY}.json": one.text()})
    return file.getvalue()


def opened(content: bytes, one: Described) -> Runs:
    """Open the content of a .pt2 file."""
    with quiet():
        module = torch.export.load(io.BytesIO(content)).module()

    @torch.no_grad()
    def run(x: np.ndarray) -> list[np.ndarray]:
        return [each.numpy() for each in module(torch.from_numpy(x).to(one.part.dtype))]

    return run
