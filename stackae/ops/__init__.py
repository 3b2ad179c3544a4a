"""The public ops, loaded with the compiled extension on first use: ``stackae.ops.dense_act`` and the others.

Each has a twin of the same name, signature and meaning in ``stackae.ops.reference``, in plain torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackae.ops.compiled import (
        DenseLayer,
        FusedReplicas,
        FusedStep,
        Training,
        bare_product,
        build_info,
        corrupt,
        dense_act,
        products,
        sparsity_kl,
        train_step,
        train_together,
        training,
    )

__all__ = [
    "DenseLayer",
    "FusedReplicas",
    "FusedStep",
    "Training",
    "bare_product",
    "build_info",
    "corrupt",
    "dense_act",
    "products",
    "sparsity_kl",
    "train_step",
    "train_together",
    "training",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'stackae.ops' has no attribute {name!r}")
    return getattr(import_module("stackae.ops.compiled"), name)


def __dir__() -> list[str]:
    return [*__all__]
