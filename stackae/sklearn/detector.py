"""StackDetector: rows unlike the training rows, by the score of `stackae score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from sklearn.base import OutlierMixin

from stackae.analysis.anomaly import ReconstructionError, calibrated, score_rows
from stackae.analysis.calibration import Calibration, calibrate
from stackae.analysis.combined import Combined, CombinedScore, fit_combined
from stackae.api.rows import divided_rows
from stackae.api.stack import PerLayer
from stackae.config import CorruptionConfig, PretrainConfig, SparsityConfig
from stackae.config.kinds import Kind
from stackae.config.values import Activation, Scale
from stackae.data.arraylike import ArrayLike
from stackae.errors import ConfigError
from stackae.runs import open_run
from stackae.runs.run import calibration_file
from stackae.sklearn.arrays import Rows, checked
from stackae.sklearn.base import StackEstimator
from stackae.sklearn.fitted import arrays_of, tensors_of
from stackae.sklearn.settings import RandomState, Settings

FALSE_ALARMS = 0.01
"""The rate of `stackae score`: as many of rows like those that were held out are flagged, at most."""


class StackDetector(OutlierMixin, StackEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Anomalies by how unusual a row's code is, and how far its code and residual lie from those of training rows.

    The score is that of `stackae score` (docs/anomalies.md), of a stack that is trained under noise: rows that come
    back unchanged although there were none like them would hide.

    Parameters
    ----------
    contamination : "auto" or float
        Where ``predict`` draws the line. auto, as `stackae score`: at most 1 % of rows like those that are held out lie
        beyond it, and where these are fewer than 99, none of them. A number in (0, 0.5]: the share of the training rows
        that lies beyond it.
    method : "combined" or "autoencoder"
        The score: combined, or the reconstruction error alone.
    validation_fraction : float
        Share of the rows that is held out: it chooses epochs and calibrates the line of contamination="auto". At 0 the
        training rows do, which lie nearer to themselves than others do.
    layers, kind, activation, tied, corruption, sparsity, weight_decay, epochs, batch_size, learning_rate, scale, \
config, warm_start, device, verbose, random_state :
        Of the stack and its pretraining, as ``StackEncoder`` has them.

    Attributes
    ----------
    offset_ : float
        ``decision_function`` is ``score_samples`` less offset_.
    n_features_in_, feature_names_in_, layer_sizes_, parameters_, history_ :
        As ``StackEncoder`` has them.
    """

    _left_out: ClassVar[bool] = True
    offset_: float

    def __init__(
        self,
        layers: int | str | Sequence[int | str] = "auto",
        *,
        contamination: float | Literal["auto"] = "auto",
        method: Literal["combined", "autoencoder"] = "combined",
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
        validation_fraction: float = 0.1,
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
        self.contamination = contamination
        self.method = method

    def fit(
        self,
        X: ArrayLike,
        y: object = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Train on rows X (n, d), most of which are normal, and draw the line.

        Args:
            X: an array, a sparse matrix, or a data frame, whose columns of text become categories.
            y: not used.
            sample_weight: (n,) weights: a row of weight w is read w times in an epoch.

        Raises:
            ValueError: no rows of finite numbers, or settings that cannot work.
        """
        share = self.contamination
        if share != "auto" and not (isinstance(share, (int, float)) and 0 < share <= 0.5):
            raise ValueError(f"contamination: expected auto or a number in (0, 0.5], got {share!r}; use 0.1")
        if self.method not in ("combined", "autoencoder"):
            raise ConfigError(f"method: expected combined or autoencoder, got {self.method!r}; use combined")
        rows = checked(self, X, "fit", reset=True)
        learned = self._learn(rows, None, sample_weight, None, self._start(), {})
        parts = divided_rows(learned.source, self.validation_fraction, learned.stack.scaling)
        held_out = parts.validation.x if len(parts.validation.x) else parts.train.x
        network = learned.stack.network.cpu()
        combined = fit_combined(network, parts.train.x, held_out)
        found = calibrate(network, held_out)
        self._calibrated_by({"layers": found.layers} | ({} if combined is None else _named(combined)))
        self._keep(learned.stack)
        if share == "auto":
            scores = (
                found.layers[-1] if self._uses(combined) == "autoencoder" or combined is None else combined.validation
            )
            line = min(calibrated(scores, FALSE_ALARMS), float(scores.max()))
        else:
            trained = Rows(np.asarray(learned.source.x[:]))  # as often as they weigh; of a data frame its features
            line = float(np.quantile(self._scores(trained), 1 - float(share)))
        self.offset_ = -line
        return self

    def _calibrated_by(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._calibration = arrays_of(tensors)
        self._score_of: dict[torch.dtype, CombinedScore | ReconstructionError] = {}

    def _uses(self, combined: Combined | None) -> str:
        """The score that is used: by reconstruction error where rows are too few for the combined one."""
        return "autoencoder" if combined is None else self.method

    def _scores(self, rows: Rows) -> np.ndarray:
        """Anomaly scores (n,) float64, larger for stranger rows."""
        dtype = rows.dtype
        if dtype not in self._score_of:
            network, kept = self._networks.stack(dtype).network.cpu(), tensors_of(self._calibration)
            reference, known = kept.get("reference"), kept.get("known")
            if reference is None or self.method == "autoencoder":
                self._score_of[dtype] = ReconstructionError(network)
            else:
                self._score_of[dtype] = CombinedScore.fit(network, reference.to(dtype), known)
        found: np.ndarray = score_rows(self._score_of[dtype], self._networks.scaled(rows)).numpy()
        return found.clip(max=np.finfo(np.float64).max)

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """The negative anomaly score of rows X (n, d) -> (n,) float64: lower is stranger, -0.69 is typical."""
        rows = self._rows(X, "score_samples")
        return rows.back(-self._scores(rows))

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """``score_samples`` less ``offset_``: below 0 for anomalies."""
        rows = self._rows(X, "decision_function")
        return rows.back(-self._scores(rows) - self.offset_)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """1 for rows like those of ``fit``, -1 for anomalies: (n,)."""
        rows = self._rows(X, "predict")
        return rows.back(np.where(-self._scores(rows) - self.offset_ < 0, -1, 1))

    def to_run(self, path: str | Path, *, force: bool = False) -> None:
        """Write a run folder with what `stackae score --run` needs; up to 2,048 training rows are in it."""
        super().to_run(path, force=force)
        kept = tensors_of(self._calibration)
        combined = Combined(kept["reference"], kept["validation"], kept.get("known")) if "reference" in kept else None
        open_run(Path(path)).publish(calibration_file(Calibration(kept["layers"], combined=combined)))

    @classmethod
    def from_run(cls, path: str | Path) -> Self:
        """The detector of a run folder, by `stackae pretrain` or ``to_run``. Raises RunError where it keeps none."""
        own, _, _ = cls._read(path, None)
        calibration = open_run(Path(path)).load_calibration()
        combined = calibration.combined
        own._calibrated_by({"layers": calibration.layers} | ({} if combined is None else _named(combined)))
        scores = calibration.layers[-1] if combined is None else combined.validation
        own.offset_ = -min(calibrated(scores, FALSE_ALARMS), float(scores.max()))
        return own

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {name: ({} if name == "_score_of" else value) for name, value in state.items()}


def _named(combined: Combined) -> dict[str, torch.Tensor]:
    return {name: each for name, each in combined._asdict().items() if each is not None}
