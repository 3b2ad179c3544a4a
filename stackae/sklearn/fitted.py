"""What an estimator keeps of a training: plain arrays and numbers, of which its networks are made again when needed."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stackae.api.model import FinetunedModel
from stackae.api.stack import PretrainedStack
from stackae.autoencoders.parameters import fill
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.config.values import validated
from stackae.data.given_rows import Given, known_by, rows_known
from stackae.data.provenance import KnownData
from stackae.data.scaling import Scaling
from stackae.models.heads import HEADS
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.kinds import build
from stackae.ops.engine import choose_device
from stackae.sklearn.arrays import Rows
from stackae.training.callbacks import EpochRecord

Arrays: TypeAlias = dict[str, np.ndarray]
Record: TypeAlias = dict[str, str | int | float | bool | None]
"""An epoch: the fields of ``EpochRecord`` by name."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained stack, and the head on it where there is one, as arrays by name; nothing here is a torch object.

    Attributes:
        settings: those of ``PretrainConfig``, settled; ``finetuning`` those of ``FinetuneConfig``.
        layers: the arrays of each layer's autoencoder, bottom first, by their names in the files of a run.
        head: the arrays of the fine-tuned encoders and the head; ``names`` are those of its outputs.
        scaling: offset, scale, and what else the scaling has; ``scale`` is its kind.
        known: what is kept of the rows: columns, and how those of a data frame became features.
        history: a record per epoch, oldest first.
    """

    settings: Mapping[str, Any]
    layers: tuple[Arrays, ...]
    scale: str
    scaling: Arrays
    known: KnownData
    history: tuple[Record, ...]
    finetuning: Mapping[str, Any] | None = None
    head: Arrays | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, stack: PretrainedStack, model: FinetunedModel | None = None) -> Fitted:
        """The arrays of what ``pretrain`` and ``finetune`` gave."""
        own = cls(
            stack.config.model_dump(),
            tuple(arrays_of(each.state_dict()) for each in stack.network.autoencoders),
            stack.scaling.kind,
            arrays_of(stack.scaling.to_tensors()),
            stack.known,
            _records(stack.history),
        )
        if model is None:
            return own
        return replace(
            own,
            finetuning=model.config.model_dump(),
            head=arrays_of(model.network.state_dict()),
            names=model.names,
            history=own.history + _records(model.history),
        )

    @property
    def config(self) -> PretrainConfig:
        """The settings of the stack, checked."""
        return validated(PretrainConfig, dict(self.settings))

    def stack(self) -> PretrainedStack:
        """The stack, on the CPU, in 32 bits."""
        config, autoencoders = self.config, []
        for n_visible, layer, arrays in zip(config.layer_sizes, config.layers, self.layers, strict=False):
            autoencoders.append(build(n_visible, layer, engine=config.engine))
            fill(autoencoders[-1], tensors_of(arrays))
        scaling = Scaling.from_tensors(self.scale, tensors_of(self.scaling))
        history = self._epochs(of_layers=True)
        return PretrainedStack(StackedAutoencoder(autoencoders).eval(), scaling, config, history, self.known)

    def model(self) -> FinetunedModel:
        """The head on its encoders, on the CPU, in 32 bits; there has to be one."""
        assert self.finetuning is not None and self.head is not None
        stack, config = self.stack(), validated(FinetuneConfig, dict(self.finetuning))
        sizes = (*stack.layer_sizes, len(self.names))
        described = {"kind": config.head, "sizes": sizes, "classes": self.names, "targets": self.names}
        network, names = HEADS[config.head].read(tensors_of(self.head), described, stack.config, stack.config.engine)
        history = self._epochs(of_layers=False)
        return FinetunedModel(network.eval(), names, stack, config, history)

    def _epochs(self, of_layers: bool) -> tuple[EpochRecord, ...]:
        told = [each for each in self.history if str(each["stage"]).startswith("layer") == of_layers]
        return tuple(EpochRecord(**each) for each in told)  # type: ignore[arg-type]  # fields of several types


class Networks:
    """The networks of a fit, made of its arrays on first use, on one device, in the type that rows come in."""

    def __init__(self, fitted: Fitted, device: str) -> None:
        self.fitted, self._device = fitted, device
        self._stacks: dict[torch.dtype, PretrainedStack] = {}
        self._models: dict[torch.dtype, FinetunedModel] = {}

    def stack(self, dtype: torch.dtype) -> PretrainedStack:
        """The stack, which computes in that type."""
        if dtype not in self._stacks:
            stack = self.fitted.stack()
            network = stack.network.to(choose_device(self._device), dtype)
            self._stacks[dtype] = replace(stack, network=network)
        return self._stacks[dtype]

    def model(self, dtype: torch.dtype) -> FinetunedModel:
        """The fine-tuned model, which computes in that type."""
        if dtype not in self._models:
            model = self.fitted.model()
            network = model.network.to(choose_device(self._device), dtype)
            self._models[dtype] = replace(model, network=network)
        return self._models[dtype]

    def scaled(self, rows: Rows) -> Tensor:
        """Checked rows as the networks read them, (n, n_visible), in the type that ``rows`` are computed in."""
        stack, dtype = self.stack(rows.dtype), rows.dtype
        scaling, x = stack.scaling, rows.x
        if rows.is_table:
            known = known_by(stack.known, scaling)
            x = rows_known(Given(x), known, scaling.fill is not None).x[:]  # type: ignore[arg-type]  # a data frame
        numbers = np.array(x, dtype=None if dtype == torch.float32 else np.float64)
        if dtype == torch.float32:
            return scaling.transform(numbers)
        found = (torch.from_numpy(numbers) - scaling.offset.double()) / scaling.scale.double()
        return found if scaling.clip is None else found.clamp_(-scaling.clip, scaling.clip)

    def __deepcopy__(self, memo: dict[int, object]) -> Networks:
        return Networks(copy.deepcopy(self.fitted, memo), self._device)

    def __reduce__(self) -> tuple[type[Networks], tuple[Fitted, str]]:
        return Networks, (self.fitted, self._device)


def arrays_of(tensors: Mapping[str, Tensor]) -> Arrays:
    """Copies of tensors as numpy arrays."""
    return {name: each.detach().cpu().numpy().copy() for name, each in tensors.items()}


def tensors_of(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Copies of arrays as tensors."""
    return {name: torch.from_numpy(np.array(each)) for name, each in arrays.items()}


def _records(history: Iterable[EpochRecord]) -> tuple[Record, ...]:
    return tuple(asdict(each) for each in history)
