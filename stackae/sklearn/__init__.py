"""scikit-learn estimators: a transformer, a classifier, a regressor and a detector of anomalies, for its pipelines,
searches and checks. They are thin: rows are read, divided and trained on as ``stackae.pretrain`` and
``stackae.finetune`` do it. Names are loaded on first use.

>>> from stackae.sklearn import StackClassifier
>>> StackClassifier(layers=(64, 32)).fit(X, y).predict(X)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackae.lazy import lazily

if TYPE_CHECKING:
    from stackae.sklearn.classifier import StackClassifier as StackClassifier
    from stackae.sklearn.detector import StackDetector as StackDetector
    from stackae.sklearn.encoder import StackEncoder as StackEncoder
    from stackae.sklearn.regressor import StackRegressor as StackRegressor

__getattr__, __dir__ = lazily(__name__, __file__)
