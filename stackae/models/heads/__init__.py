"""The heads: one class a file, and their table; what settings ask of one stands in ``stackae.config.heads``."""

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
