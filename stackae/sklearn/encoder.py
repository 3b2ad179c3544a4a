"""StackEncoder: a stack of autoencoders as a transformer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from stackae.api.stack import PerLayer
from stackae.config import CorruptionConfig, PretrainConfig, SparsityConfig
from stackae.config.kinds import Kind
from stackae.config.values import Activation, Scale
from stackae.data.arraylike import ArrayLike
from stackae.errors import ConfigError
from stackae.models.stack import in_batches
from stackae.sklearn.arrays import Rows, checked, to_numpy
from stackae.sklearn.base import ONE_PASS, StackEstimator, trains_by_steps
from stackae.sklearn.settings import RandomState, Settings

if TYPE_CHECKING:
    from sklearn.utils import Tags

Codes = Literal["top", "all"] | int


class StackEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, StackEstimator):  # type: ignore[misc]  # untyped
    """Codes h = f(x) of a stack that is pretrained layer by layer: what PCA does, by layers that bend.

    Parameters
    ----------
    layers : int, sequence of int, or "auto"
        Width of each code, bottom first: ``(300, 150)``; convolutions as ``("28x28x1", "conv16", "pool", 64)``. auto
        is two codes as wide as the features, of 16 to 256 units.
    kind, activation, tied, corruption, sparsity, weight_decay, batch_size, learning_rate :
        Settings of a layer (docs/config.md), one value for all or a sequence of one per layer; None is stackae's
        default, which looks at the data.
    epochs : int, sequence of int, or None
        Most epochs per layer; None settles them by the number of rows.
    scale : str
        How features are scaled, as learned from the rows of ``fit``: auto, none, unit, minmax, standard or robust.
    validation_fraction : float
        Share of the rows that chooses each layer's best epoch; 0 trains on all rows and keeps the last epoch.
    codes : "top", "all", or int
        What ``transform`` gives: the top code, those of all layers side by side, or that of layer n, from 1.
    config : dict or PretrainConfig
        Settings that are no arguments, by name: ``{"contraction": 0.1, "optimizer": "sgd"}``.
    warm_start : bool
        Go on from the weights, and the scaling, of the last ``fit``.
    device : str
        cpu, cuda, or auto.
    verbose : bool
        Print the progress.
    random_state : int, RandomState or None
        Seed of weights, order and noise. An integer is the seed of `stackae pretrain --seed`.

    Attributes
    ----------
    n_features_in_, feature_names_in_ :
        Width and names of the columns of ``fit``.
    layer_sizes_, parameters_, history_ :
        Widths, arrays by name, and a record per epoch.
    """

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
        codes: Codes = "top",
        config: Settings | PretrainConfig | None = None,
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
            config=config,
            warm_start=warm_start,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.codes = codes

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Pretrain the stack on rows X (n, d).

        Args:
            X: an array, a sparse matrix, or a data frame, whose columns of text become categories.
            y: not used.
            sample_weight: (n,) weights: a row of weight w is read w times in an epoch.

        Raises:
            ValueError: no rows of finite numbers, or settings that cannot work.
        """
        rows = checked(self, X, "fit", reset=True)
        learned = self._learn(rows, None, sample_weight, None, self._start(), {})
        return self._keep(learned.stack)

    @available_if(trains_by_steps)  # type: ignore[untyped-decorator]  # scikit-learn has no types
    def partial_fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train every layer on rows X once, on top of what it has learned; the first call fits the scaling. As ``fit``.

        The optimizer's moments begin anew with each call: give hundreds of rows or more.
        """
        first = not self.__sklearn_is_fitted__()
        rows = checked(self, X, "partial_fit", reset=first)
        learned = self._learn(rows, None, sample_weight, None, None if first else self._fitted, ONE_PASS)
        return self._keep(learned.stack)

    def transform(self, X: ArrayLike) -> np.ndarray:
        """Codes of rows: X (n, d) -> (n, n_hidden), by ``codes``, in 64 bits where X has them and 32 elsewhere."""
        rows = self._rows(X, "transform")
        numbers = self._layers()
        network, scaled = self._networks.stack(rows.dtype).network, self._networks.scaled(rows)

        def encoded(part: torch.Tensor) -> torch.Tensor:
            return torch.cat([network.encode(part, number) for number in numbers], dim=1)

        return rows.back(in_batches(encoded, scaled, network.device).cpu().numpy())

    def inverse_transform(self, X: ArrayLike) -> np.ndarray:
        """Rows of codes: X (n, n_hidden), as ``transform`` gives them -> (n, d), in the data's own units.

        Of codes="all" those of the top are read. Where ``fit`` had a data frame with columns of text, they are the
        features that stand for its columns; ``stackae.load(path).columns`` makes columns of them.
        """
        self._rows_are_fitted()
        number = self._layers()[-1]
        given = to_numpy(X) if isinstance(X, torch.Tensor) else np.asarray(X)
        dtype = torch.float64 if given.dtype == np.float64 else torch.float32
        stack = self._networks.stack(dtype)
        wide = self._n_features_out
        if given.ndim != 2 or given.shape[1] != wide:
            raise ValueError(f"X: expected codes (n, {wide}), as transform gives them, got shape {given.shape}")
        codes = torch.from_numpy(np.array(given[:, -stack.layer_sizes[number] :])).to(dtype)
        z = in_batches(lambda part: stack.network.decode(part, number), codes, stack.network.device).cpu()
        found = stack.scaling.inverse_transform(z.double() if dtype == torch.float64 else z).to(dtype).numpy()
        return _like(X, found)

    def score(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """R² of reconstructions through the layer of ``codes``: 1 − Σ‖x − z‖² / Σ‖x − x̄‖² of scaled rows.

        PCA's share of explained variance is this number for a linear stack.
        """
        rows = self._rows(X, "score")
        network, scaled, number = (
            self._networks.stack(rows.dtype).network,
            self._networks.scaled(rows),
            self._layers()[-1],
        )
        z = in_batches(lambda part: network.reconstruct(part, number), scaled, network.device).cpu()
        weight = None if sample_weight is None else to_numpy(sample_weight)
        return float(r2_score(scaled.numpy(), z.numpy(), sample_weight=weight, multioutput="variance_weighted"))

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> np.ndarray:
        """Names of the codes: stackencoder0, stackencoder1, ...; of codes="all" stackencoder1_0, by layer and unit."""
        self._rows_are_fitted()
        if self.codes != "all":
            names: np.ndarray = super().get_feature_names_out(input_features)
            return names
        sizes = enumerate(self.layer_sizes_[1:], start=1)
        name = type(self).__name__.lower()
        return np.array([f"{name}{layer}_{unit}" for layer, count in sizes for unit in range(count)], dtype=object)

    @property
    def _n_features_out(self) -> int:
        return sum(self.layer_sizes_[number] for number in self._layers())

    def _layers(self) -> list[int]:
        """The numbers of the layers whose codes are given."""
        count = len(self.layer_sizes_) - 1
        if self.codes == "all":
            return list(range(1, count + 1))
        number = count if self.codes == "top" else self.codes
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 1 <= number <= count:
            raise ConfigError(f"codes: expected top, all, or a layer from 1 to {count}, got {self.codes!r}")
        return [int(number)]

    def _rows_are_fitted(self) -> None:
        _ = self._fitted

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """The stack of a run folder: of `stackae pretrain`, ``save`` or ``to_run``. Raises RunError for none."""
        return cls._read(path, None)[0]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _like(given: ArrayLike, found: np.ndarray) -> np.ndarray:
    """The result in the library of what was given, where array API dispatch is on."""
    from sklearn.utils._array_api import device as device_of
    from sklearn.utils._array_api import get_namespace

    namespace, dispatched = get_namespace(given)
    if not dispatched or namespace.__name__ == "numpy":
        return found
    return Rows(found, namespace, device_of(given)).back(found)
