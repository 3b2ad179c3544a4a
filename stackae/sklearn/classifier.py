"""StackClassifier: a stack of autoencoders under a softmax layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from stackae.api.stack import PerLayer
from stackae.config import CorruptionConfig, FinetuneConfig, PretrainConfig, SparsityConfig
from stackae.config.heads import HeadName
from stackae.config.kinds import Kind
from stackae.config.values import Activation, Scale, Unlabelled
from stackae.data.arraylike import ArrayLike
from stackae.sklearn.arrays import to_numpy
from stackae.sklearn.base import trains_by_steps
from stackae.sklearn.labels import Label, encoded, names_of
from stackae.sklearn.settings import RandomState, Settings
from stackae.sklearn.supervised import SupervisedStack, Train

if TYPE_CHECKING:
    from sklearn.utils import Tags


class StackClassifier(ClassifierMixin, SupervisedStack):  # type: ignore[misc]  # scikit-learn has no types
    """Classes of rows by a network that is pretrained layer by layer on all rows, then fine-tuned by the labelled ones.

    Rows without a label, in y or as ``X_unlabelled``, are pretrained on, and learned from as ``unlabelled`` says.

    Parameters
    ----------
    layers, kind, activation, tied, corruption, sparsity, weight_decay, epochs, batch_size, learning_rate, scale, \
config, warm_start, device, verbose, random_state :
        Of the stack and its pretraining, as ``StackEncoder`` has them; batch_size and learning_rate are those of
        pretraining.
    validation_fraction : float
        Share of the rows that chooses the best epoch of each layer, and of the head where labels are many; 0 trains on
        all rows and keeps the last epoch.
    train : "all", "head", "gradual" or "auto"
        What fine-tuning trains; auto compares the head alone with all layers, by cross-validation where rows are few.
    unlabelled : "auto", "none", "pseudo-label", "adversarial" or "ladder"
        How rows without labels are learned from, beside pretraining (docs/few-labels.md).
    missing_label : label or None
        A label that means none, beside None and NaN, which always do. -1 is what scikit-learn's semi-supervised
        estimators read so; it is not the default, since labels of -1 and +1 are common.
    finetune_config : dict or FinetuneConfig
        Other settings of fine-tuning, by name: ``{"max_epochs": 50, "class_weight": "balanced"}``.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        The labels, sorted.
    n_features_in_, feature_names_in_, layer_sizes_, parameters_, history_ :
        As ``StackEncoder`` has them.
    """

    _kind: ClassVar[Literal["classes", "numbers"] | None] = "classes"
    _head: ClassVar[HeadName] = "classifier"
    classes_: np.ndarray

    def __init__(
        self,
        layers: int | str | Sequence[int | str] = "auto",
        *,
        kind: PerLayer[Kind] | None = None,
        activation: PerLayer[Activation] | None = None,
        tied: PerLayer[bool | Literal["auto"]] | None = None,
        corruption: PerLayer[str | CorruptionConfig] | None = None,
        sparsity: PerLayer[str | SparsityConfig] | None = None,
        weight_decay: PerLayer[float] | None = None,
        epochs: PerLayer[int | Literal["auto"]] | None = None,
        batch_size: PerLayer[int] | None = None,
        learning_rate: PerLayer[float | Literal["auto"]] | None = None,
        scale: Scale = "auto",
        validation_fraction: float = 0.0,
        train: Train = "all",
        unlabelled: Unlabelled = "auto",
        missing_label: Label = None,
        config: Settings | PretrainConfig | None = None,
        finetune_config: Settings | FinetuneConfig | None = None,
        warm_start: bool = False,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: RandomState = None,
    ) -> None:
        super().__init__(
            layers,
            kind=kind,
            activation=activation,
            tied=tied,
            corruption=corruption,
            sparsity=sparsity,
            weight_decay=weight_decay,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            scale=scale,
            validation_fraction=validation_fraction,
            train=train,
            unlabelled=unlabelled,
            config=config,
            finetune_config=finetune_config,
            warm_start=warm_start,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.missing_label = missing_label

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_unlabelled: ArrayLike | None = None,
    ) -> Self:
        """Pretrain on all rows, then fine-tune by the labels.

        Args:
            X: rows (n, d): an array, a sparse matrix, or a data frame, whose columns of text become categories.
            y: (n,) labels of any type; None, NaN and ``missing_label`` are none.
            sample_weight: (n,) weights: a row of weight w is read w times in an epoch.
            X_unlabelled: rows (m, d) of weight 1 and no label.

        Raises:
            ValueError: no rows of finite numbers, no labels of two classes, or settings that cannot work.
        """
        return self._fit_to(X, y, sample_weight, X_unlabelled)

    @available_if(trains_by_steps)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train all layers under the head on labelled rows once, on top of what they have learned.

        The first call fits the scaling, and pretrains each layer on all its rows once. The optimizer's moments begin
        anew with each call: give hundreds of rows or more.

        Args:
            X, y, sample_weight: as ``fit`` has them.
            classes: all labels that will come; the first call needs them.

        Raises:
            ValueError: as ``fit``, and without classes at the first call, or for a label that is none of them.
        """
        if not self.__sklearn_is_fitted__() and classes is None:
            raise ValueError("classes: expected all labels at the first call of partial_fit, got None; give them")
        return self._fit_to(X, y, sample_weight, None, partial=True, classes=classes)

    def _targets(self, y: ArrayLike, first: bool, classes: ArrayLike | None = None) -> np.ndarray:
        known = np.unique(to_numpy(classes)) if classes is not None and first else None
        known = known if first else self.classes_
        codes, found = encoded(y, self.missing_label, known)
        if len(found) < 2:
            raise ValueError(
                f"y: expected labels of at least two classes, got {len(found)} class{'es' * (len(found) != 1)}; give "
                "rows of another one"
            )
        self.classes_ = found
        return codes

    def _names(self) -> tuple[str, ...]:
        return tuple(str(place) for place in range(len(self.classes_)))

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Log-odds of the second class (n,), or of more than two classes what softmax makes probabilities of (n, k)."""
        rows = self._rows(X, "decision_function")
        logits = self._outputs(rows)
        return rows.back(logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Probabilities (n, n_classes) of ``classes_``; rows sum to 1."""
        rows = self._rows(X, "predict_proba")
        return rows.back(softmax(self._outputs(rows), axis=1))

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:
        """The logarithms of ``predict_proba``, finite where those round to 0."""
        rows = self._rows(X, "predict_log_proba")
        return rows.back(log_softmax(self._outputs(rows), axis=1))

    def predict(self, X: ArrayLike) -> np.ndarray:
        """The most probable label of each row, (n,)."""
        rows = self._rows(X, "predict")
        labels = self.classes_[self._outputs(rows).argmax(axis=1)]
        return rows.back(labels) if labels.dtype.kind in "biuf" else labels

    def to_run(self, path: str | Path, *, force: bool = False) -> None:
        """Write a run folder with the names of the classes; as ``StackEncoder.to_run``."""
        model = replace(self._fitted.model(), names=tuple(names_of(self.classes_)))
        model.save(path, force=force)

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """The classifier of a run folder; its classes are text, or integers where all are. Raises RunError for none."""
        own, stack, model = cls._read(path, "classifier")
        assert model is not None
        whole = all(name.removeprefix("-").isdecimal() for name in model.names)
        own.classes_ = np.array([int(name) for name in model.names] if whole else model.names)
        return own._keep(stack, replace(model, names=own._names()))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
