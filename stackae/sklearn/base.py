"""What the estimators have in common: their settings, how rows are trained on, and what is kept of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from stackae.api.loading import load
from stackae.api.model import FinetunedModel
from stackae.api.rows import divided_rows
from stackae.api.stack import PerLayer, PretrainedStack, known_source, trained_stack
from stackae.config import CorruptionConfig, DataConfig, PretrainConfig, SparsityConfig
from stackae.config.heads import HeadName
from stackae.config.kinds import KINDS, Kind
from stackae.config.values import Activation, Scale, validated
from stackae.data.arraylike import ArrayLike
from stackae.data.given_rows import Given, rows_to_train_on
from stackae.data.provenance import FROM_ARRAY
from stackae.data.source import Source
from stackae.errors import ConfigError
from stackae.sklearn.arrays import Rows, checked, concatenated, length, weights_of
from stackae.sklearn.fitted import Fitted, Networks, Record
from stackae.sklearn.printing import Printing
from stackae.sklearn.settings import RandomState, Settings, pretraining, seed_of
from stackae.sklearn.weights import repeated

if TYPE_CHECKING:
    from sklearn.utils import Tags

ONE_PASS = {"max_epochs": 1, "schedule": "constant", "patience": 0}
"""Settings of partial_fit: every row once, at the learning rate."""


def trains_by_steps(estimator: StackEstimator) -> bool:
    """Whether layers can be trained on: partial_fit is there where none is solved of all rows at once."""
    kinds = [estimator.kind] if estimator.kind is None or isinstance(estimator.kind, str) else [*estimator.kind]
    if isinstance(estimator.config, PretrainConfig):
        kinds += [layer.kind for layer in estimator.config.layers]
    return not any(kind in KINDS and KINDS[kind].solved for kind in kinds if kind is not None)


class Learned(NamedTuple):
    """Rows that were read in a fit, with their targets, and the stack that was trained on them."""

    source: Source
    stack: PretrainedStack
    seed: int


class StackEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The base of the four estimators; see each for its parameters and attributes."""

    _kind: ClassVar[Literal["classes", "numbers"] | None] = None
    _left_out: ClassVar[bool] = False
    _networks: Networks
    _namespace: str
    _tables: bool

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
        config: Settings | PretrainConfig | None = None,
        warm_start: bool = False,
        device: str = "auto",
        verbose: bool | int = False,
        random_state: RandomState = None,
    ) -> None:
        self.layers = layers
        self.kind = kind
        self.activation = activation
        self.tied = tied
        self.corruption = corruption
        self.sparsity = sparsity
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.scale = scale
        self.validation_fraction = validation_fraction
        self.config = config
        self.warm_start = warm_start
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    # ---- what is kept

    @property
    def layer_sizes_(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ...): the widths of the features and of each code."""
        return self._fitted.config.layer_sizes

    @property
    def parameters_(self) -> list[dict[str, np.ndarray]]:
        """The arrays of each layer's autoencoder by name, bottom first, and of the fine-tuned network where one is."""
        fitted = self._fitted
        return [*fitted.layers, *([] if fitted.head is None else [fitted.head])]

    @property
    def history_(self) -> list[Record]:
        """A record per epoch, oldest first: stage, epoch, loss, validation_loss, ... for ``pandas.DataFrame``."""
        return [dict(each) for each in self._fitted.history]

    @property
    def _fitted(self) -> Fitted:
        if "_networks" not in vars(self):
            check_is_fitted(self)
        return self._networks.fitted

    def __sklearn_is_fitted__(self) -> bool:
        return "_networks" in vars(self)

    def _rows(self, X: ArrayLike, method: str) -> Rows:
        check_is_fitted(self)
        return checked(self, X, method)

    # ---- training

    def _learn(
        self,
        given: Rows,
        y: np.ndarray | None,
        sample_weight: ArrayLike | None,
        unlabelled: ArrayLike | None,
        start: Fitted | None,
        changed: Settings,
        anew: bool = True,
    ) -> Learned:
        """Train the stack on all rows; a start is trained on, or where not ``anew`` is the stack as it is."""
        x, y = self._in_training(given, y, sample_weight, unlabelled)
        data = DataConfig(data=FROM_ARRAY)
        if y is not None and self._kind == "classes":
            y = np.where(y < 0, "", y.astype(str))
        source = rows_to_train_on(Given(x, y, self._kind), data)  # type: ignore[arg-type]  # an array or a data frame
        seed = seed_of(self.random_state)
        begun = None if start is None else start.stack()
        if begun is not None and not anew:
            return Learned(source, begun, seed)
        config = pretraining(self, source.x.shape[1], seed, changed)
        if begun is not None and (solved := [layer.kind for layer in config.layers if layer.row.solved]):
            raise ConfigError(
                f"kind {solved[0]}: expected layers that steps train, got one that is solved of all rows at once; fit "
                "anew on all rows, or use kind dense"
            )
        parts = divided_rows(source, self.validation_fraction, self.scale if begun is None else begun.scaling)
        network = None if begun is None else begun.network
        known = known_source(source, data)
        stack = trained_stack(
            source, known, config, parts, None, self._callback, start=network, left_out=self._left_out
        )
        return Learned(source, stack, seed)

    def _in_training(
        self, given: Rows, y: np.ndarray | None, sample_weight: ArrayLike | None, unlabelled: ArrayLike | None
    ) -> tuple[object, np.ndarray | None]:
        """The rows and targets that are trained on: as often as they weigh, and those without targets among them."""
        x = given.x
        weight = weights_of(sample_weight, given)
        if unlabelled is not None:
            more = checked(self, unlabelled, "fit").x
            x = concatenated(x, more)
            weight = None if weight is None else np.concatenate((weight, np.ones(length(more))))
            if y is not None:
                none = np.full((length(more), *y.shape[1:]), -1 if self._kind == "classes" else np.nan, dtype=y.dtype)
                y = np.concatenate((y, none))
        held = [x if isinstance(x, np.ndarray) else np.arange(length(x)), *([] if y is None else [y])]
        every = repeated(held, weight)
        if not every.changed:
            return x, y
        return _safe_indexing(x, every.places), None if y is None else y[every.places]

    def _keep(self, stack: PretrainedStack, model: FinetunedModel | None = None) -> Self:
        self._networks = Networks(Fitted.of(stack, model), self.device)
        return self

    def _start(self) -> Fitted | None:
        """What a fit goes on from: the last one, where the estimator starts warm."""
        return self._networks.fitted if self.warm_start and self.__sklearn_is_fitted__() else None

    @property
    def _callback(self) -> Printing | None:
        return Printing(type(self).__name__) if self.verbose else None

    # ---- run folders

    def to_run(self, path: str | Path, *, force: bool = False) -> None:
        """Write a run folder, which `stackae predict --run`, ``stackae.load`` and ``from_run`` read; no data are in it.

        Args:
            path: a new folder.
            force: replace a run that is there.

        Raises:
            ConfigError: something is there already. DiskError: it could not be written.
        """
        fitted = self._fitted
        (fitted.stack() if fitted.head is None else fitted.model()).save(path, force=force)

    @classmethod
    def _read(cls, path: str | Path, head: HeadName | None) -> tuple[Self, PretrainedStack, FinetunedModel | None]:
        """An estimator with the stack and the head of a run folder, and with its settings."""
        if head is None:
            found = load(path)
            stack, model = (found.stack if isinstance(found, FinetunedModel) else found), None
        else:
            model = load(path, head)
            stack = model.stack
        scale = validated(DataConfig, {"scale": stack.scaling.kind}, "scaling").scale
        own = cls(config=stack.config, random_state=stack.config.seed, scale=scale)
        encoding = stack.known.encoding
        own._namespace, own._tables = "numpy", encoding is not None and not encoding.plain
        names = [each.name for each in encoding.featured] if encoding is not None else []
        own.n_features_in_ = len(names) or stack.layer_sizes[0]
        if names:
            own.feature_names_in_ = np.array(names, dtype=object)
        return own._keep(stack, model), stack, model

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.array_api_support = True
        return tags
