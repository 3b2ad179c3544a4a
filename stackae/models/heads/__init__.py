"""The heads, one class per file, and their table; ``stackae.config.heads`` has their settings."""

from stackae.models.heads.base import Finetuned
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.multilabel import MultilabelClassifier
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.heads.regressor import Regressor

HEADS: dict[str, type[Finetuned]] = {
    "classifier": Classifier,
    "reconstruction": DeepAutoencoder,
    "regressor": Regressor,
    "multilabel": MultilabelClassifier,
}

__all__ = ["HEADS", "Classifier", "DeepAutoencoder", "Finetuned", "MultilabelClassifier", "Regressor"]
