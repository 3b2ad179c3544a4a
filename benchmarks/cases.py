"""The shapes that are measured, said once."""

from __future__ import annotations

from typing import NamedTuple


class DenseCase(NamedTuple):
    """One dense layer: n_in -> n_out; ``input_gradient`` as in training (a stack's input never needs its gradient)."""

    name: str
    n_in: int
    n_out: int
    input_gradient: bool


DENSE = (
    DenseCase("encoder of layer 1", 784, 300, False),
    DenseCase("decoder of layer 1", 300, 784, True),
    DenseCase("encoder of layer 2", 300, 150, False),
    DenseCase("decoder of layer 2", 150, 300, True),
)
CODE_WIDTHS = (300, 150)
BATCHES = (64, 256, 1024)
"""A 784-300-150 stack, pretrained layer by layer."""
