"""stackae: greedy layer-wise pretraining with autoencoders, and fine-tuning of the stack.

Names are loaded on first use, so that importing the package costs nothing and does not import torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "stackae.autoencoders.dense",
    "Classifier": "stackae.classifier",
    "ConvolutionalAutoencoder": "stackae.autoencoders.conv",
    "DataConfig": "stackae.config",
    "DeepAutoencoder": "stackae.heads",
    "Detector": "stackae.detector",
    "FinetuneConfig": "stackae.config",
    "LayerConfig": "stackae.config",
    "MarginalizedAutoencoder": "stackae.autoencoders.marginalized",
    "MultilabelClassifier": "stackae.heads",
    "Prediction": "stackae.predict",
    "PretrainConfig": "stackae.config",
    "Regressor": "stackae.heads",
    "StackedAutoencoder": "stackae.stack",
    "StackaeError": "stackae.errors",
    "VariationalAutoencoder": "stackae.autoencoders.variational",
    "evaluate_classifier": "stackae.evaluate",
    "evaluate_multilabel": "stackae.evaluate",
    "evaluate_reconstruction": "stackae.evaluate",
    "evaluate_regressor": "stackae.evaluate",
    "evaluate_unrolled": "stackae.evaluate",
    "finetune_classifier": "stackae.finetune",
    "finetune_multilabel": "stackae.finetune_targets",
    "finetune_reconstruction": "stackae.finetune",
    "finetune_regressor": "stackae.finetune_targets",
    "load_data": "stackae.data",
    "predict_rows": "stackae.predict",
    "pretrain_together": "stackae.pretrain",
    "pretrain_stack": "stackae.pretrain",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'stackae' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
