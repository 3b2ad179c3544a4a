"""What StackClassifier and StackRegressor have in common: a stack that is pretrained, then fine-tuned by targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import nn

from stackae.api.model import FinetunedModel, trained_model
from stackae.api.stack import PerLayer
from stackae.config import CorruptionConfig, FinetuneConfig, PretrainConfig, SparsityConfig
from stackae.config.heads import HeadName
from stackae.config.kinds import Kind
from stackae.config.values import Activation, Scale, Unlabelled
from stackae.data.arraylike import ArrayLike
from stackae.models.stack import in_batches
from stackae.sklearn.arrays import Rows, checked, length
from stackae.sklearn.base import ONE_PASS, Learned, StackEstimator
from stackae.sklearn.fitted import Fitted
from stackae.sklearn.settings import RandomState, Settings, finetuning

Train = Literal["auto", "head", "all", "gradual"]


class SupervisedStack(StackEstimator):
    """A head on a pretrained stack."""

    _head: ClassVar[HeadName]

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
            config=config,
            warm_start=warm_start,
            device=device,
            verbose=verbose,
            random_state=random_state,
        )
        self.train = train
        self.unlabelled = unlabelled
        self.finetune_config = finetune_config

    def _targets(self, y: ArrayLike, first: bool, classes: ArrayLike | None = None) -> np.ndarray:
        """The targets of rows as ``_learn`` takes them; on a first fit, what is known of them is kept."""
        raise NotImplementedError

    def _names(self) -> tuple[str, ...] | None:
        """The names of the outputs, where the rows do not say them."""
        return None

    def _fit_to(
        self,
        X: ArrayLike,
        y: ArrayLike | None,
        sample_weight: ArrayLike | None,
        unlabelled: ArrayLike | None,
        *,
        partial: bool = False,
        classes: ArrayLike | None = None,
    ) -> Self:
        """``fit`` and ``partial_fit``."""
        name = type(self).__name__
        start = (self._fitted if self.__sklearn_is_fitted__() else None) if partial else self._start()
        if y is None:
            raise ValueError(
                f"This {name} estimator requires y to be passed, but the target y is None; give targets, of which some "
                "may be missing"
            )
        rows = checked(self, X, "partial_fit" if partial else "fit", reset=start is None or not partial)
        if length(y) != length(rows.x):
            raise ValueError(
                f"y: expected a target for each of {length(rows.x)} rows, got {length(y)}; give one for each"
            )
        targets = self._targets(y, start is None, classes)
        changed = ONE_PASS if partial else {}
        learned = self._learn(rows, targets, sample_weight, unlabelled, start, changed, anew=not partial)
        return self._keep(learned.stack, self._model_of(learned, start, partial))

    def _model_of(self, learned: Learned, start: Fitted | None, partial: bool) -> FinetunedModel:
        """Fine-tune the stack. What is trained on has the head as it was, and in partial_fit the encoders below it too;
        there, rows of which none has a target change nothing.
        """
        source, stack = learned.source, learned.stack
        begun = None if start is None else start.model()
        assert source.y is not None
        known = source.y >= 0 if self._kind == "classes" else ~np.isnan(source.y)
        if begun is not None and not known.any():
            return begun
        if begun is not None and not partial:
            encoders = (each.encoder_alone(stack.config.engine) for each in stack.network.autoencoders)
            begun.network.encoders = nn.ModuleList(encoders)
        given: dict[str, Any] = {} if isinstance(self.finetune_config, FinetuneConfig) else self._given()
        if partial or begun is not None:
            given |= {"train": "all", "unlabelled": "none"}
        settings = finetuning(self.finetune_config, self._head, given, learned.seed, stack.config)
        if partial:
            settings = settings.model_copy(update=ONE_PASS)
        return trained_model(
            stack,
            source,
            settings,
            self.validation_fraction,
            self._callback,
            names=self._names(),
            start=begun,
        )

    def _given(self) -> dict[str, Any]:
        own = {"train": self.train, "unlabelled": self.unlabelled}
        told = self.finetune_config if isinstance(self.finetune_config, Mapping) else {}
        usual = {"train": "all", "unlabelled": "auto"}
        return {name: value for name, value in own.items() if name not in told or value != usual[name]}

    def _outputs(self, rows: Rows) -> np.ndarray:
        """(n, outputs) of the head, before they are decided by."""
        network, scaled = self._networks.model(rows.dtype).network, self._networks.scaled(rows)
        found: np.ndarray = in_batches(network.outputs, scaled, network.device).cpu().numpy()
        return found

    def transform_to_codes(self, X: ArrayLike) -> np.ndarray:
        """Fine-tuned codes of rows: X (n, d) -> (n, n_hidden) of the top, in the type of X."""
        rows = self._rows(X, "transform_to_codes")
        network, scaled = self._networks.model(rows.dtype).network, self._networks.scaled(rows)
        codes: torch.Tensor = in_batches(network.encode, scaled, network.device)
        return rows.back(codes.cpu().numpy())
