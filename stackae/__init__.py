"""stackae: greedy layer-wise pretraining with autoencoders, and fine-tuning of the stack.

Names are loaded on first use, so that importing the package costs nothing and does not import torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "stackae.autoencoders.dense",
    "Classifier": "stackae.classifier",
    "DataConfig": "stackae.config",
    "DeepAutoencoder": "stackae.heads",
    "FinetuneConfig": "stackae.config",
    "LayerConfig": "stackae.config",
    "PretrainConfig": "stackae.config",
    "StackedAutoencoder": "stackae.stack",
    "StackaeError": "stackae.errors",
    "evaluate_classifier": "stackae.evaluate",
    "evaluate_reconstruction": "stackae.evaluate",
    "evaluate_unrolled": "stackae.evaluate",
    "finetune_classifier": "stackae.finetune",
    "finetune_reconstruction": "stackae.finetune",
    "load_data": "stackae.data",
    "pretrain_population": "stackae.pretrain",
    "pretrain_stack": "stackae.pretrain",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stackae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
