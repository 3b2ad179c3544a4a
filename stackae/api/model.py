"""A fine-tuned model that reads rows in the data's own units; ``stackae.finetune`` makes one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor

from stackae.api.rows import check_made, divided_rows, others_of
from stackae.api.saving import save_run, stack_files
from stackae.api.stack import PretrainedStack
from stackae.config import FinetuneConfig
from stackae.config.heads import HEADS, HeadName
from stackae.config.notation import CorruptionConfig, DropoutConfig, InitialConfig, RampConfig
from stackae.config.values import Comparison, EngineName, Optimizer, Precision, Schedule, validated
from stackae.data.arraylike import ArrayLike, image_shape
from stackae.data.classes import of_classes, trained_classes
from stackae.data.given_rows import Given, known_by
from stackae.data.labelled import Parts, learned_parts
from stackae.data.paired import PairedRows
from stackae.data.source import Source
from stackae.errors import ConfigError
from stackae.finetuning import finetune_stack
from stackae.models.heads import Finetuned
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.stack import in_batches
from stackae.runs.run import trained_head_file
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.footprint import check_finetuning
from stackae.workflows.predict import Head, Prediction, predict_scaled


@dataclass(frozen=True, eq=False)
class FinetunedModel:
    """A head on the encoders of a stack: head(encode(x)), for rows x in the data's own units.

    Attributes:
        network: the ``torch.nn.Module``, which reads scaled rows and has gradients.
        names: of the classes, the targets or the labels that it answers with; none where it reconstructs.
        stack: the stack that it began from, with its scaling.
        config: the settings of the fine-tuning.
        history: a record of every epoch, oldest first.
        target: the column of a data frame that it learned from.
    """

    network: Finetuned
    names: tuple[str, ...]
    stack: PretrainedStack
    config: FinetuneConfig
    history: tuple[EpochRecord, ...] = ()
    target: str | None = None

    @property
    def head(self) -> HeadName:
        """classifier, regressor, multilabel or reconstruction."""
        return self.config.head

    def predict(self, x: ArrayLike) -> Prediction:
        """What the head says of rows: x (n, n_visible) in the data's own units -> values and choices for n rows.

        Args:
            x: rows, as ``pretrain`` takes them.

        Raises:
            DataError: rows of another width, or what is no finite real number. ConfigError: the head reconstructs.
        """
        if not self.config.row.predicts:
            raise ConfigError("head: expected one that predicts, got reconstruction; use reconstruct")
        return predict_scaled(Head(self.head, self.network, self.names), self.stack.rows(x))

    def encode(self, x: ArrayLike, layer: int | None = None) -> Tensor:
        """Fine-tuned codes of rows; arguments, result and errors as ``PretrainedStack.encode`` has them."""
        self.stack.network.check_layer(layer)
        rows = self.stack.rows(x)
        return in_batches(lambda part: self.network.encode(part, layer), rows, self.network.device).cpu()

    def reconstruct(self, x: ArrayLike) -> Tensor:
        """Reconstructions: x (n, n_visible) -> (n, n_visible), both in the data's own units, without gradient.

        Args:
            x: rows, as ``pretrain`` takes them.

        Raises:
            DataError: as ``predict``. ConfigError: the head does not reconstruct.
        """
        if not isinstance(self.network, DeepAutoencoder):
            raise ConfigError(f"head: expected reconstruction, got {self.head}; use stack.reconstruct")
        z = in_batches(self.network.reconstruct, self.stack.rows(x), self.network.device)
        return self.stack.scaling.inverse_transform(z.cpu())

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write a folder with the stack, the head and the names; arguments and errors as ``PretrainedStack.save``."""
        stack = self.stack
        files = stack_files(stack.network, stack.scaling, stack.config, stack.known, self.config, self.target)
        files |= trained_head_file(self.head, self.network, self.names)
        save_run(path, files, (*stack.history, *self.history), force)


def finetune(
    stack: PretrainedStack,
    x: ArrayLike,
    y: ArrayLike | str | None = None,
    *,
    head: HeadName = "classifier",
    validation: tuple[ArrayLike, ArrayLike] | ArrayLike | float | None = 0.1,
    init: Literal["pretrained", "random"] = "pretrained",
    train: Literal["auto", "head", "all", "gradual"] = "auto",
    labels: int | str = "all",
    labels_seed: int = 0,
    unlabelled: Literal["auto", "none", "pseudo-label", "adversarial", "ladder"] = "auto",
    neighbours: Comparison = "auto",
    layer_decay: float = 1.0,
    class_weight: Literal["none", "balanced"] = "none",
    outputs: Literal["softmax", "sigmoid"] = "softmax",
    initial_weights: str | InitialConfig = InitialConfig(),
    corruption: str | CorruptionConfig = CorruptionConfig(),
    dropout: str | float | DropoutConfig = DropoutConfig(),
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-5,
    decaying: Literal["all", "head"] = "all",
    max_norm: float = 0.0,
    max_epochs: int | Literal["auto"] = "auto",
    batch_size: int = 128,
    patience: int | str = "auto",
    optimizer: Optimizer = "adam",
    momentum: float = 0.9,
    momentum_ramp: str | RampConfig = RampConfig(),
    schedule: Schedule = "cosine",
    rate_decay: float = 1.0,
    shuffle: str = "exact",
    seed: int | None = None,
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    device: str = "auto",
    callback: Callback | None = None,
) -> FinetunedModel:
    """Train a head on the stack's encoders; the stack itself stays as it is.

    The weights are those that `stackae finetune` gives for the same rows, settings and seed, bit for bit.

    Args:
        stack: where the training begins, and whose scaling is kept.
        x: (n, n_visible) rows in the units of the stack's data, or a data frame with its columns.
        y: of a classifier (n,) labels: integers, bool or text; -1, "" or None for no label. Of a regressor (n,)
            or (n, targets) numbers, of multilabel (n, labels) of 0 and 1; NaN where one is missing. Of a data frame,
            the name of the column that holds them, or "A,B" of several. None of reconstruction.
        head: classifier, regressor, multilabel, or reconstruction, which trains encoders and decoders as one network.
        validation: the share of the rows that chooses the best epoch, where labels are not too few to be held out, or
            other rows and targets (x, y), of reconstruction rows alone; None keeps the last epoch.
        seed: of the new weights and the order of rows; None is the stack's.
        init, train, labels, labels_seed, unlabelled, neighbours, layer_decay, class_weight, outputs, initial_weights,
            corruption, dropout, learning_rate, weight_decay, decaying, max_norm, max_epochs, batch_size, patience,
            optimizer, momentum, momentum_ramp, schedule, rate_decay, shuffle, engine, precision, device: see
            ``FinetuneConfig``, which documents each.
        callback: told of every batch and epoch.

    Raises:
        DataError: x or y is not what the head learns from. ConfigError: settings that cannot work.
        DivergedError: training left the finite numbers. SetupError: a device or precision that is not there.
    """
    given = {name: value for name, value in locals().items() if name in FinetuneConfig.model_fields}
    check_made("stack", stack, PretrainedStack)
    settings = validated(FinetuneConfig, {**given, "seed": stack.config.seed if seed is None else seed})
    if settings.init == "reconstruction":
        raise ConfigError(
            "init: expected pretrained or random, got reconstruction, which needs a run; use finetune_run"
        )
    kind = HEADS[settings.head].targets
    source, fills = stack.read(Given(x, y, kind)), stack.scaling.fill is not None
    others = others_of(validation, kind, known_by(stack.known, stack.scaling), fills, y)
    column = y if isinstance(y, str) else None
    return trained_model(stack, source, settings, others, callback, image_shape=image_shape("x", x), column=column)


def trained_model(
    stack: PretrainedStack,
    source: Source,
    settings: FinetuneConfig,
    others: Source | float | None = None,
    callback: Callback | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
    column: str | None = None,
    names: tuple[str, ...] | None = None,
    start: FinetunedModel | None = None,
) -> FinetunedModel:
    """Train what ``finetune`` gives, on rows that are read.

    Args:
        source: the rows with their targets; ``others`` are validation rows, or their share.
        image_shape: of rows that are images; ``column`` is the column of their targets.
        names: the classes, where some may be of no row; None are those that training rows are of.
        start: a model of the same head that is trained on, by labels, with its names.

    Raises:
        DataError, ConfigError, DivergedError, SetupError: as ``finetune``.
    """
    kind = settings.row.targets
    divided = divided_rows(source, others, stack.scaling)
    parts = learned_parts(Parts(divided.train, divided.validation, divided.order), settings)
    if names is None:
        names = trained_classes(parts.train.y, source.classes) if kind == "classes" else source.targets
    counts, paired = (len(parts.train.x), len(parts.validation.x)), isinstance(parts.train.x, PairedRows)
    check_finetuning(settings, stack.config, *counts, len(names), paired=paired)
    train_part, held_out = parts.train, parts.validation
    if kind == "classes":
        train_part = of_classes(train_part, source.classes, names)
        held_out = of_classes(held_out, (others if isinstance(others, Source) else source).classes, names)
    trained = finetune_stack(
        stack.network,
        train_part,
        settings,
        n_classes=len(names),
        loss=stack.config.layers[0].loss,
        validation=held_out,
        image_shape=image_shape,
        callback=callback,
        start=None if start is None else start.network,
    )
    trained.model.eval()
    return FinetunedModel(trained.model, names, stack, settings, tuple(trained.history), column)
