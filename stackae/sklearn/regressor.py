"""StackRegressor: a stack of autoencoders under a linear layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from stackae.config.heads import HeadName
from stackae.data.arraylike import ArrayLike
from stackae.sklearn.base import trains_by_steps
from stackae.sklearn.labels import numbers
from stackae.sklearn.supervised import SupervisedStack

if TYPE_CHECKING:
    from sklearn.utils import Tags


class StackRegressor(RegressorMixin, SupervisedStack):  # type: ignore[misc]  # scikit-learn has no types
    """Numbers by a network that is pretrained layer by layer on all rows, then fine-tuned by those with targets.

    Parameters
    ----------
    layers, kind, activation, tied, corruption, sparsity, weight_decay, epochs, batch_size, learning_rate, scale, \
validation_fraction, train, unlabelled, config, finetune_config, warm_start, device, verbose, random_state :
        As ``StackClassifier`` has them.

    Attributes
    ----------
    n_outputs_ : int
        The number of targets.
    n_features_in_, feature_names_in_, layer_sizes_, parameters_, history_ :
        As ``StackEncoder`` has them.
    """

    _kind: ClassVar[Literal["classes", "numbers"] | None] = "numbers"
    _head: ClassVar[HeadName] = "regressor"
    n_outputs_: int

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_unlabelled: ArrayLike | None = None,
    ) -> Self:
        """Pretrain on all rows, then fine-tune by the targets.

        Args:
            X: rows (n, d): an array, a sparse matrix, or a data frame, whose columns of text become categories.
            y: (n,) or (n, targets) numbers, NaN or None where one is missing.
            sample_weight: (n,) weights: a row of weight w is read w times in an epoch.
            X_unlabelled: rows (m, d) of weight 1 without targets.

        Raises:
            ValueError: no rows of finite numbers, no targets, or settings that cannot work.
        """
        return self._fit_to(X, y, sample_weight, X_unlabelled)

    @available_if(trains_by_steps)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train all layers under the head on rows with targets once, on top of what they have learned.

        The first call fits the scaling of features and targets, and pretrains each layer on all its rows once. The
        optimizer's moments begin anew with each call: give hundreds of rows or more. Arguments and errors as ``fit``.
        """
        return self._fit_to(X, y, sample_weight, None, partial=True)

    def _targets(self, y: ArrayLike, first: bool, classes: ArrayLike | None = None) -> np.ndarray:
        found = numbers(y)
        if first:
            self.n_outputs_, self._flat = (1, True) if found.ndim == 1 else (found.shape[1], False)
        rows = found.reshape(len(found), -1)
        if rows.shape[1] != self.n_outputs_:
            raise ValueError(f"y: expected {self.n_outputs_} targets per row as before, got {rows.shape[1]}; fit anew")
        return rows

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Targets of rows in their own units: (n,), or (n, targets) where ``fit`` had such."""
        rows = self._rows(X, "predict")
        found = self._outputs(rows).astype(np.float64 if rows.dtype.itemsize == 8 else np.float32, copy=False)
        return rows.back(found[:, 0] if self._flat else found)

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """The regressor of a run folder. Raises RunError where there is none."""
        own, _, model = cls._read(path, "regressor")
        assert model is not None
        own.n_outputs_ = len(model.names)
        own._flat = own.n_outputs_ == 1
        return own

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags
