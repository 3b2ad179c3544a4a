"""The networks of a comparison: how each begins, and how it is fine-tuned on the labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from stackae.analysis.comparison.contenders import PRETRAINED, RANDOM, UNLABELLED
from stackae.analysis.comparison.task import Cell, Fit, Task
from stackae.apart import Once
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.start import OUTPUTS
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig, TrainingConfig
from stackae.data import Part
from stackae.data.labelled import is_scarce
from stackae.data.rows import Rows, subset
from stackae.errors import DivergedError
from stackae.finetuning import finetune_stack
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.objectives.kinds import build
from stackae.pretraining import pretrain_together
from stackae.training.callbacks import Callback
from stackae.training.closed_form import put_closed_form
from stackae.training.settling import RATE


class Start(NamedTuple):
    """A stack to fine-tune from, and the seconds that its unsupervised training took."""

    stack: StackedAutoencoder
    seconds: float


def unable(name: str, config: PretrainConfig) -> str:
    """Say why a contender cannot be made of these layers; "" where it can."""
    if name == "joint" and any(layer.kind not in ("dense", "pca") for layer in config.layers):
        return "expected dense layers, which unroll into one network, got others among them"
    starts = zip(config.layer_sizes, config.layers, strict=False)
    if name == "pca-start" and not any(_fits_pca(n, layer) for n, layer in starts):
        return "expected a dense layer that is no wider than its input, got none"
    return ""


def _fits_pca(n: int, layer: LayerConfig) -> bool:
    return layer.kind in ("dense", "pca") and layer.n_hidden <= n and layer.output_activation in OUTPUTS


class Starts:
    """The stacks that networks begin from, each trained once per seed, when it is first asked for."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._found = Once[tuple[str, int], Start]()
        self._makers = {RANDOM: untrained, "pca-start": principal, "joint": self._joint}

    def take(self, seed: int, start: Start) -> None:
        """Take the pretrained stack of a seed, which an earlier process trained."""
        self._found.get((PRETRAINED, seed), lambda: start)

    def pretrain(self, seeds: Sequence[int], callback: Callback) -> dict[int, Start]:
        """Pretrain the stacks of these seeds together, and return them.

        Raises:
            DivergedError: one left the finite numbers.
        """
        begun = time.perf_counter()
        x, held_out = self._task.parts
        configs = [self._config(seed) for seed in seeds]
        results = pretrain_together(x, configs, validation=held_out, callback=callback)
        each = (time.perf_counter() - begun) / len(results)
        for seed, result in zip(seeds, results, strict=True):
            if isinstance(result, DivergedError):
                raise result
            self.take(seed, Start(result.stack, each))
        return {seed: self.of(PRETRAINED, seed) for seed in seeds}

    def makes(self, contender: str) -> bool:
        """Return whether the contender is a network."""
        return contender in (PRETRAINED, UNLABELLED) or contender in self._makers

    def of(self, contender: str, seed: int) -> Start:
        """Return the stack of a contender; ``pretrain`` made the pretrained ones, which ``unlabelled`` begins from too.

        Raises:
            DivergedError: its training left the finite numbers.
        """

        contender = PRETRAINED if contender == UNLABELLED else contender

        def make() -> Start:
            begun = time.perf_counter()
            stack = self._makers[contender](self._config(seed), self._task.parts[0])
            return Start(stack, time.perf_counter() - begun)

        return self._found.get((contender, seed), make)

    def _config(self, seed: int) -> PretrainConfig:
        return self._task.pretrain.model_copy(update={"seed": seed})

    def _joint(self, config: PretrainConfig, x: Rows) -> StackedAutoencoder:
        """Train all encoders and decoders as one network from random weights, for as many epochs as a layer."""
        layer, stack = config.layers[0], untrained(config, x)
        settings = FinetuneConfig(
            head="reconstruction",
            init="random",
            learning_rate=float(layer.learning_rate) if layer.init == "random" else RATE,
            weight_decay=layer.weight_decay,
            max_epochs=layer.max_epochs,
            batch_size=layer.batch_size,
            patience=layer.patience,
            **{name: getattr(config, name) for name in TrainingConfig.model_fields},
        )
        held_out = Part(self._task.parts[1], None)
        model = finetune_stack(stack, Part(x, None), settings, loss=layer.loss, validation=held_out).model
        stack.take_encoders(model.encoders)
        return stack


def untrained(config: PretrainConfig, x: Rows) -> StackedAutoencoder:
    """Build the stack with the random weights of its seed."""
    sizes = enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1)
    return StackedAutoencoder(
        build(n, layer, seed=config.seed, number=number, engine=config.engine) for number, (n, layer) in sizes
    )


def principal(config: PretrainConfig, x: Rows) -> StackedAutoencoder:
    """Build the stack, and start each layer that is no wider than its input at the principal components of that."""
    stack = untrained(config, x)
    for autoencoder, layer in zip(stack.autoencoders, config.layers, strict=True):
        if _fits_pca(autoencoder.n_visible, layer):
            put_closed_form(autoencoder, layer.model_copy(update={"init": "pca"}), x, Corruption("none", 0.0, 0.0, 0.0))
        x = in_batches(autoencoder.encode, x)
    return stack


def finetuned(task: Task, cell: Cell, start: Start, epochs: int | None) -> Fit:
    """Fine-tune from a stack on the labels of a cell, and measure the test rows.

    A share of the labels chooses the best epoch and what is trained, the head or all layers; where labels are scarce
    (``is_scarce``), none is held out, and folds choose. For equal seconds all layers are trained; ``epochs``
    overrides the setting.
    """
    begun = time.perf_counter()
    update: dict[str, Any] = {"init": "random" if cell.contender == RANDOM else "pretrained", "seed": cell.seed}
    update |= {} if cell.contender == UNLABELLED else {"unlabelled": "none"}
    update |= {"train": "all"} if task.budget == "seconds" and task.finetune.train == "auto" else {}
    update |= {} if epochs is None else {"max_epochs": epochs}
    settings = task.finetune.model_copy(update=update)
    train, validation = _parts(task, cell)
    result = finetune_stack(
        start.stack,
        train,
        settings,
        n_classes=task.classes,
        validation=validation,
        image_shape=task.image_shape,
    )
    seconds = time.perf_counter() - begun
    model = result.model.eval()
    predicted = in_batches(model.predict, task.test.x, model.device).cpu()
    return Fit(task.errors(predicted), seconds, len(result.history), start.seconds)


def _parts(task: Task, cell: Cell) -> tuple[Part, Part | None]:
    """The rows whose labels a cell learns from, and those of them that choose the best epoch."""
    rows = task.rows_of(cell)
    assert task.train.y is not None
    validation = None
    if not is_scarce(task.train.y[rows], task.finetune.row):
        rows, held = task.divided(rows, cell.seed)
        validation = _part(task, held) if len(held) else None
    if cell.contender != UNLABELLED:
        return _part(task, rows), validation
    y = torch.full_like(task.train.y, -1)
    y[rows] = task.train.y[rows]
    return Part(task.train.x, y), validation


def _part(task: Task, rows: np.ndarray) -> Part:
    index = torch.from_numpy(rows)
    assert task.train.y is not None
    return Part(subset(task.train.x, index), task.train.y[index])


def codes_of(stack: StackedAutoencoder, x: Rows) -> np.ndarray:
    """Return the top codes (n, m) of rows."""
    return in_batches(stack.encode, x, stack.device).cpu().numpy()
