"""The kinds of layers as settings know them: one table; ``stackae.objectives.kinds`` holds their classes.

To add one: its row here, its class and the class's row there, and what it is trained for where that is new.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["dense", "convolutional", "variational", "marginalized", "pca"]


@dataclass(frozen=True)
class KindRow:
    """What is asked of a kind of layer."""

    settings: tuple[str, ...] = ()
    """Settings that it has, of those that some kinds lack."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults that are not those of a dense layer."""
    activations: tuple[str, ...] = ()
    """Activations that it may have; all, where none are named."""
    solved: bool = False
    """Solved in closed form, from the mean and covariance of its input, where others are trained."""
    fused: bool = False
    """Trained by the fused step, where its settings allow that."""
    images: bool = False
    """Reads an image, and makes one."""
    top_only: bool = False
    """Stands at the top of a stack alone."""
    activated: bool = True
    """Its code is what its activation gives."""


_PLAIN = {"contraction": 0.0}  # of kinds that have none

KINDS: dict[str, KindRow] = {
    "dense": KindRow(
        settings=(
            *("tied", "loss", "corruption", "emphasis", "dropout", "sparsity", "revive", "contraction", "weight_l1"),
            *("max_norm", "init", "initial_weights", "ridge"),
        ),
        fused=True,
    ),
    "convolutional": KindRow(
        settings=(
            *("loss", "corruption", "emphasis", "dropout", "sparsity", "weight_l1", "max_norm"),
            *("shape", "channels", "kernel", "pool"),
        ),
        defaults={"activation": "relu", "tied": False, "corruption": "none", "init": "random", **_PLAIN},
        images=True,
    ),
    "variational": KindRow(
        settings=("loss", "corruption", "hidden", "beta"),
        defaults={"activation": "tanh", "tied": False, "corruption": "none", "init": "random", **_PLAIN},
        top_only=True,
        activated=False,
    ),
    "marginalized": KindRow(
        settings=("corruption", "ridge"),
        defaults={
            "activation": "tanh",
            "output_activation": "linear",
            "tied": False,
            "loss": "mse",
            "init": "random",
            "corruption": "masking:0.3",
            **_PLAIN,
        },
        activations=("tanh", "linear"),
        solved=True,
    ),
    "pca": KindRow(
        defaults={
            "activation": "linear",
            "output_activation": "linear",
            "tied": True,
            "loss": "mse",
            "init": "random",
            "corruption": "none",
            **_PLAIN,
        },
        activations=("linear",),
        solved=True,
    ),
}
