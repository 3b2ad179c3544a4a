"""A pretrained stack that reads rows in the data's own units, and ``stackae.pretrain``, which makes one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from stackae.api.options import Names, data_config
from stackae.api.rows import Divided, divided_rows, others_of, widths_of
from stackae.api.saving import save_run, stack_files
from stackae.config import (
    CorruptionConfig,
    DataConfig,
    DropoutConfig,
    EmphasisConfig,
    LayerConfig,
    PretrainConfig,
    ReviveConfig,
    SparsityConfig,
)
from stackae.config.kinds import Kind
from stackae.config.notation import InitialConfig, RampConfig
from stackae.config.run import Missing
from stackae.config.values import Activation, EngineName, Init, Loss, Optimizer, Precision, Scale, Schedule
from stackae.data.arraylike import ArrayLike, rows_of, scaled
from stackae.data.division import Division, sums_of
from stackae.data.given_rows import UNKNOWN, Given, known_by, rows_known, rows_to_train_on, scaled_known
from stackae.data.kind import kind_of
from stackae.data.loading import labels_digest
from stackae.data.paired import PairedRows
from stackae.data.pictures.of_runs import settled_pictures
from stackae.data.provenance import Known, KnownData
from stackae.data.rows import Rows
from stackae.data.scaling import Scaling
from stackae.data.source import Source
from stackae.data.tables.columns import Encoding
from stackae.data.tables.encoding import columns_of
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.pretraining import pretrain_stack, settle
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.codes import plan_codes

SETTINGS = {*PretrainConfig.model_fields, *LayerConfig.model_fields} - {"layers"}
T = TypeVar("T")
PerLayer: TypeAlias = T | Sequence[T]
"""One value for all layers, or one per layer, bottom first."""


@dataclass(frozen=True, eq=False)
class PretrainedStack:
    """A trained stack with its scaling: h = encode(x), z = decode(h) ≈ x, for rows x in the data's own units.

    Attributes:
        network: the ``torch.nn.Module``, which reads scaled rows and has gradients.
        scaling: what was fitted on the training rows.
        config: the settings, with every ``auto`` settled.
        history: a record of every epoch of every layer, oldest first.
        known: what is kept of the rows: their columns, and how those of a data frame became features.
    """

    network: StackedAutoencoder
    scaling: Scaling
    config: PretrainConfig
    history: tuple[EpochRecord, ...] = ()
    known: KnownData = UNKNOWN

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """(n_visible, n_hidden of layer 1, ...), in units."""
        return self.network.layer_sizes

    def encode(self, x: ArrayLike, layer: int | None = None) -> Tensor:
        """Codes of rows: x (n, n_visible) in the data's own units -> (n, n_hidden) float32, without gradient.

        Args:
            x: rows, as ``pretrain`` takes them.
            layer: whose code, from 1 at the bottom; None is the top.

        Raises:
            DataError: rows of another width, or what is no finite real number. ConfigError: no such layer.
        """
        self.network.check_layer(layer)
        return in_batches(lambda part: self.network.encode(part, layer), self.rows(x), self.network.device).cpu()

    def decode(self, h: ArrayLike, layer: int | None = None) -> Tensor:
        """Reconstructions of codes: h (n, n_hidden) -> (n, n_visible) in the data's own units, without gradient.

        Args:
            h: codes of that layer, as ``encode`` gives them.
            layer: whose codes they are, from 1 at the bottom; None is the top.

        Raises:
            DataError: codes of another width, or what is no finite real number. ConfigError: no such layer.
        """
        self.network.check_layer(layer)
        width = self.layer_sizes[-1 if layer is None else layer]
        codes = scaled("h", h, Scaling("none", torch.zeros(width), torch.ones(width)))
        z = in_batches(lambda part: self.network.decode(part, layer), codes, self.network.device)
        return self.scaling.inverse_transform(z.cpu())

    def reconstruct(self, x: ArrayLike, layer: int | None = None) -> Tensor:
        """decode(encode(x)): x (n, n_visible) -> (n, n_visible), both in the data's own units; errors as ``encode``."""
        return self.decode(self.encode(x, layer), layer)

    def columns(self, z: ArrayLike) -> dict[str, np.ndarray]:
        """The columns of the data frame that the stack was trained on, by name, from features z (n, n_visible) in their
        units, such as ``reconstruct`` gives: ``pandas.DataFrame(stack.columns(stack.reconstruct(frame)))``.

        Numbers are as they are, of a category it is the one with the largest feature, of an ordinal and a boolean the
        nearest, times are datetime64. Of an array, the columns are x0, x1, ...

        Raises:
            DataError: features of another width, or what is no finite real number.
        """
        values = rows_of("z", z)
        self.scaling.check_width(values.shape, "z")
        encoding = self.known.encoding or Encoding.of_numbers([f"x{place}" for place in range(values.shape[1])])
        return columns_of(encoding, values)

    def rows(self, x: ArrayLike) -> Rows:
        """Rows as the network reads them: x in the data's own units -> (n, n_visible), scaled; errors as ``encode``."""
        return scaled_known("x", x, self.known, self.scaling)

    def read(self, given: Given) -> Source:
        """Rows with their targets, of which those that cannot be read are left out, with a warning."""
        return rows_known(given, known_by(self.known, self.scaling), self.scaling.fill is not None, leaves_out=True)

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a folder with weights, scaling, settings and history, which ``stackae.load`` and `--run` read.

        Args:
            path: a new folder.
            force: replace a run, or a saved stack, that is there.

        Raises:
            ConfigError: something is there already. DiskError: it could not be written.
        """
        save_run(path, stack_files(self.network, self.scaling, self.config, self.known), self.history, force)


def pretrain(
    x: ArrayLike,
    layers: Sequence[int | str] | int | str,
    y: str | None = None,
    *,
    clean: ArrayLike | None = None,
    validation: ArrayLike | float | None = 0.1,
    scale: Scale | Scaling = "auto",
    target_kind: Literal["classes", "numbers"] = "classes",
    columns: Names = None,
    drop: Names = None,
    categorical: Names = None,
    ordinal: str | Mapping[str, Sequence[str]] | None = None,
    missing: Missing = "mean",
    missing_values: Names = None,
    kind: PerLayer[Kind] | None = None,
    activation: PerLayer[Activation] | None = None,
    output_activation: PerLayer[Activation] | None = None,
    tied: PerLayer[bool | Literal["auto"]] | None = None,
    loss: PerLayer[Loss] | None = None,
    corruption: PerLayer[str | CorruptionConfig] | None = None,
    emphasis: PerLayer[str | EmphasisConfig] | None = None,
    dropout: PerLayer[str | float | DropoutConfig] | None = None,
    sparsity: PerLayer[str | SparsityConfig] | None = None,
    revive: PerLayer[str | ReviveConfig] | None = None,
    contraction: PerLayer[float | Literal["auto"]] | None = None,
    weight_decay: PerLayer[float] | None = None,
    weight_l1: PerLayer[float] | None = None,
    max_norm: PerLayer[float] | None = None,
    init: PerLayer[Init] | None = None,
    initial_weights: PerLayer[str | InitialConfig] | None = None,
    ridge: PerLayer[float] | None = None,
    hidden: PerLayer[int] | None = None,
    beta: PerLayer[float] | None = None,
    learning_rate: PerLayer[float | Literal["auto"]] | None = None,
    max_epochs: PerLayer[int | Literal["auto"]] | None = None,
    batch_size: PerLayer[int] | None = None,
    patience: PerLayer[int | str] | None = None,
    optimizer: Optimizer = "adam",
    momentum: float = 0.9,
    momentum_ramp: str | RampConfig = RampConfig(),
    schedule: Schedule = "cosine",
    rate_decay: float = 1.0,
    shuffle: str = "exact",
    seed: int = 0,
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    device: str = "auto",
    callback: Callback | None = None,
) -> PretrainedStack:
    """Train a stack layer by layer, each as an autoencoder h = f(x̃), z = g(h) ≈ x of the codes h of the layer below.

    The weights are those that `stackae pretrain` gives for the same rows, settings and seed, bit for bit.

    Args:
        x: (n, n_visible) rows in their own units, or images (n, h, w) or (n, h, w, channels): numpy arrays of any real
            type, tensors, lists. They are scaled here, and so is all that the stack reads later. Or a data frame, by
            Arrow's protocol or ``__dataframe__``: columns become features by what they hold, as those of a file do, and
            are known by name later; what is told of them are ``DataWarning``s.
        layers: the width of each code in units, bottom first: (300, 150). Convolutions stand below, as in
            ("conv16", "pool", 64), for rows that are images or after their shape: ("28x28x1", "conv16", "pool", 64).
        validation: the share of the rows that chooses each layer's best epoch, or other rows that do; None keeps the
            last epoch.
        scale: how the features are scaled (``DataConfig.scale``), or a fitted ``Scaling``.
        y: of a data frame, the column of labels, which is no feature, or "A,B" of several with ``target_kind`` numbers;
            ``finetune`` learns from it.
        clean: clean rows of the same shape, which the first layer makes of x, in place of noise.
        columns, drop, categorical, missing_values: of a data frame, names of columns, or words for missing cells: "A",
            "A,B" or a sequence; ordinal is {"size": ["small", "medium", "large"]} (``DataConfig``).
        missing: what becomes of missing cells, of arrays too: mean, indicator, mask, drop or refuse
            (``DataConfig.missing``).
        kind, activation, output_activation, tied, loss, corruption, emphasis, dropout, sparsity, revive, contraction,
            weight_decay, weight_l1, max_norm, init, initial_weights, ridge, hidden, beta, learning_rate, max_epochs,
            batch_size, patience: settings of a layer, one value for all or a sequence of one per layer; None is the
            default of ``LayerConfig``, which documents each.
        optimizer, momentum, momentum_ramp, schedule, rate_decay, shuffle, seed, engine, precision, device: settings of
            all layers (``PretrainConfig``).
        callback: told of every batch and epoch.

    Raises:
        DataError: x is no rows of finite real numbers. ConfigError: settings that cannot work.
        DivergedError: training left the finite numbers. SetupError: a device or precision that is not there.

    Bengio, Lamblin, Popovici & Larochelle (2006), Greedy layer-wise training of deep networks.
    """
    given = {name: value for name, value in locals().items() if name in SETTINGS}
    data = data_config(
        {"columns": columns, "drop": drop, "categorical": categorical, "missing_values": missing_values},
        ordinal,
        missing if not isinstance(scale, Scaling) or scale.fill is not None else "refuse",
        target_kind,
    )
    source = rows_to_train_on(Given(x, y, target_kind, clean), data)
    known = known_source(source, data, y)
    config = PretrainConfig.from_options(widths_of(x, layers, source.x.shape[1]), **given)
    others = others_of(validation, None, Known("the stack", source.x.shape[1], known), source.gaps)
    return trained_stack(source, known, config, divided_rows(source, others, scale), others, callback)


def known_source(source: Source, data: DataConfig, y: str | None = None) -> KnownData:
    """What a stack keeps of the rows that it is trained on, but for how they are divided; y names their targets."""
    return KnownData(data.model_copy(update={"target": y}), encoding=source.encoding)._replace(
        columns=source.column_names,
        targets=source.targets or (() if y is None else (y,)),
        classes=source.classes,
        ignored=source.ignored,
    )


def trained_stack(
    source: Source,
    known: KnownData,
    config: PretrainConfig,
    parts: Divided,
    others: Source | float | None = None,
    callback: Callback | None = None,
    *,
    start: StackedAutoencoder | None = None,
    left_out: bool = False,
) -> PretrainedStack:
    """Train what ``pretrain`` gives, on rows that are read and divided.

    Args:
        source: the rows; ``known`` is ``known_source`` of them, ``parts`` ``divided_rows`` of them and ``others``.
        config: settings that need not be settled.
        start: a stack that is trained on, as ``pretrain_stack`` has it.
        left_out: the stack is to tell its rows from others, as ``settle`` has it.

    Raises:
        ConfigError, DivergedError, SetupError: as ``pretrain``.
    """
    x, held_out = parts.train.x, parts.validation.x
    kind = kind_of(x) if len(x) else None
    config = settle(config, x, left_out=left_out, kind=kind)
    plan_codes(config, len(x), len(held_out), paired=isinstance(x, PairedRows))
    result = pretrain_stack(x, config, validation=held_out, callback=callback, start=start, kind=kind)
    every = [source, others] if isinstance(others, Source) else [source]
    division = Division(np.concatenate([*map(sums_of, every)]), parts.parts)
    settled = {"scale": parts.scaling.kind, **settled_pictures(source)}
    known = known._replace(
        config=known.config.model_copy(update=settled),
        rows=len(parts.parts),
        labels=labels_digest(source),
        division=division,
    )
    return PretrainedStack(result.stack, parts.scaling, result.config, tuple(result.history), known)
