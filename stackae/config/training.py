"""How networks are trained: what all layers of a stack have in common, and fine-tuning."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from stackae.config.heads import HEADS, HeadName, HeadRow
from stackae.config.notation import CorruptionConfig, DropoutConfig, InitialConfig, RampConfig
from stackae.config.values import (
    BatchSize,
    Comparison,
    Device,
    EngineName,
    Epochs,
    Labels,
    Model,
    NonNegative,
    Optimizer,
    Patience,
    Positive,
    Precision,
    Schedule,
    Unlabelled,
)
from stackae.errors import legible


def _shuffle(value: object) -> object:
    if value != "exact" and not re.fullmatch(r"blocks:[1-9][0-9]{0,11}", str(value)):
        raise ValueError(f"expected exact or blocks:ROWS, such as blocks:65536, got '{legible(str(value))}'")
    return value


Shuffle = Annotated[str, BeforeValidator(_shuffle)]


class TrainingConfig(Model):
    """How all stages are trained."""

    optimizer: Optimizer = "adam"
    """Optimizer of the weights; lbfgs takes one step an epoch, on all rows, of a length that it finds itself."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd; beta 1 of adam and adamw."""
    momentum_ramp: RampConfig = RampConfig()
    """Momentum of sgd that moves from momentum to LAST over EPOCHS epochs, as LAST:EPOCHS; or none."""
    schedule: Schedule = "cosine"
    """Schedule of the learning rate: constant, or a linear or cosine decay to 0."""
    rate_decay: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Divisor of the learning rate at every step, on top of its schedule (1 = none)."""
    shuffle: Shuffle = "exact"
    """Order of the rows in an epoch: exact (any order is as likely), or blocks:ROWS, which shuffles blocks of so many
    rows, and the rows of eight blocks at a time, for disks that are slow at reading single rows."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed of the initial weights, the order of the rows and the noise."""
    engine: EngineName = "auto"
    """Training step: fused (compiled step and ops), eager (plain torch), or auto (fused where it is built)."""
    precision: Precision = "fp32"
    """Precision of the matmuls: fp32, tf32 (CUDA) or bf16. Weights stay fp32."""
    device: Device = "auto"
    """Device to train on: cpu, cuda, cuda:N, or auto (a GPU if there is one)."""

    @property
    def block(self) -> int:
        """The rows of a block that are shuffled together; 0 where all are."""
        return int(self.shuffle.partition(":")[2] or 0)

    def trains_eagerly(self, device: str) -> str:
        """The first of these settings that the fused step of a device does not have; "" where it has all of them."""
        if self.optimizer == "lbfgs":
            return "optimizer lbfgs"
        ramp = bool(self.momentum_ramp) and device.startswith("cuda")
        return f"momentum_ramp {self.momentum_ramp.model_dump()}" if ramp else ""

    @model_validator(mode="after")
    def _ramp_fits(self) -> Self:
        if self.momentum_ramp and self.optimizer != "sgd":
            raise ValueError(
                f"momentum_ramp {self.momentum_ramp.model_dump()}: expected optimizer sgd, got {self.optimizer}; use "
                "optimizer sgd, or leave it out"
            )
        return self


OF_STEPS = (
    *("max_epochs", "learning_rate", "weight_decay", "decaying", "batch_size", "patience", "layer_decay", "max_norm"),
    *("initial_weights", "outputs", "corruption", "dropout", "optimizer", "momentum", "momentum_ramp", "schedule"),
    *("rate_decay", "precision"),
)


class FinetuneConfig(TrainingConfig):
    """Training of a head on the stack: alone, with every layer below it, or with layers that join it one by one.

    ``layer_decay`` is by how much each layer learns slower than the one above it; 1 is not at all. ``class_weight``
    balanced weighs the loss of a classifier by n / (k n_c), for n labelled training rows of which n_c are of class c,
    and k classes: each class counts as much as any other. ``train`` auto fits the head alone by L-BFGS on the codes,
    with the decay that validation rows or folds choose, trains all layers too, and keeps the better; where one of
    OF_STEPS is given, or labels are many, it is all.
    """

    head: HeadName = "classifier"
    """Head to train; reconstruction is encoders and decoders as one network."""
    init: Literal["pretrained", "random", "reconstruction"] = "pretrained"
    """Initial weights of the encoders: pretrained, random (what is pretraining worth?), or reconstruction (those of
    the run's head of that name, which trained all layers as one autoencoder)."""
    train: Literal["auto", "head", "all", "gradual"] = "auto"
    """Layers to train: head, all, gradual (one more from the top at a time), or auto: the better of head and all
    (all from random weights)."""
    labels: Labels = "all"
    """Labels to keep, in all or per class; the other rows count as unlabelled."""
    labels_seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Seed by which the kept labels are drawn."""
    unlabelled: Unlabelled = "auto"
    """Learning from rows without labels: none, pseudo-label, adversarial, ladder, or auto: where most rows of a
    classifier on dense layers have none, adversarial; pseudo-label if spreading misses many withheld labels, none if a
    head on the codes misses fewer; else none."""
    neighbours: Comparison = "auto"
    """Comparison of rows when labels spread to neighbours: values, gradients (of images), or auto: gradients for images
    of gray pixels, else values."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of a layer relative to the layer above it (1 = the same)."""
    class_weight: Literal["none", "balanced"] = "none"
    """Weight of the classes in the loss: none, or balanced (each class counts the same, however rare)."""
    outputs: Literal["softmax", "sigmoid"] = "softmax"
    """Outputs of a classifier: softmax (cross-entropy), or sigmoid (half the squared error of one output per class)."""
    initial_weights: InitialConfig = InitialConfig(kind="glorot")
    """Draw of the head's initial weights: glorot, glorot:GAIN, uniform:R or normal:SD."""
    corruption: CorruptionConfig = CorruptionConfig()
    """Noise on the rows in training: none, gaussian:SD, masking:P or salt-and-pepper:P."""
    dropout: DropoutConfig = DropoutConfig(encoder=0.0, decoder=0.0)
    """Share of inputs and of each layer's units to drop in training, as P (both) or P:Q."""
    learning_rate: Positive = 3e-3
    """Initial learning rate."""
    weight_decay: NonNegative = 1e-5
    """L2 penalty of the weights."""
    decaying: Literal["all", "head"] = "all"
    """Layers whose weights decay: all that are trained, or the head alone."""
    max_norm: NonNegative = 0.0
    """Maximum L2 norm of each unit's incoming weights (0 = no limit)."""
    max_epochs: Epochs = "auto"
    """Maximum number of epochs, or auto: 16, and more for few rows."""
    batch_size: BatchSize = 128
    """Rows per step."""
    patience: Patience = "auto"
    """Epochs without an improvement after which to stop (0 = never), or auto: a third of the epochs, at least 10.
    EPOCHS:INCREASE:THRESHOLD stops after EPOCHS, or INCREASE times the last epoch that lowered the best score below
    THRESHOLD times it."""

    @property
    def row(self) -> HeadRow:
        """What is asked of its head."""
        return HEADS[self.head]

    @property
    def learns_unlabelled(self) -> bool:
        """Whether a method of learning from rows without labels is named."""
        return self.unlabelled not in ("auto", "none")

    @property
    def needs_labels(self) -> str:
        """The first setting that a training on rows without labels does not have; "" where it has all of them."""
        asked = {
            f"head {self.head}": self.head not in ("classifier", "regressor"),
            f"train {self.train}": self.train in ("head", "gradual"),
            f"layer_decay {self.layer_decay:g}": self.layer_decay != 1,
            f"outputs {self.outputs}": self.outputs != "softmax",
            **self._noise,
            f"decaying {self.decaying}": self.decaying != "all",
            f"optimizer {self.optimizer}": self.optimizer == "lbfgs",
        }
        return next((name for name, given in asked.items() if given), "")

    @property
    def by_steps(self) -> str:
        """The first setting that was given and only a training by steps has; "" where none was."""
        fields = type(self).model_fields
        return next((name for name in OF_STEPS if getattr(self, name) != fields[name].default), "")

    @property
    def _noise(self) -> dict[str, bool]:
        """Whether there is noise, by its setting."""
        return {
            f"corruption {self.corruption.model_dump()}": self.corruption.level > 0,
            f"dropout {self.dropout.model_dump()}": bool(self.dropout),
        }

    @property
    def fused_on_cpu(self) -> str:
        """The first setting that the CPU's fused step alone has; "" where there is none."""
        asked = {
            f"head {self.head}": not self.row.fused_on_cuda,
            f"train {self.train} of head {self.head}": self.train == "head" and not self.row.fused_alone_on_cuda,
            f"train {self.train}": self.train == "gradual",
            f"layer_decay {self.layer_decay:g}": self.layer_decay != 1,
            f"max_norm {self.max_norm:g}": self.max_norm > 0,
            f"class_weight {self.class_weight}": self.class_weight != "none",
            f"outputs {self.outputs}": self.outputs != "softmax",
            **self._noise,
            f"decaying {self.decaying}": self.decaying != "all" and self.train != "head",
        }
        return next((name for name, given in asked.items() if given), "")

    def lacks_on(self, device: str) -> str:
        """The first setting that the fused step of a device does not have; "" where it has all of them."""
        if self.learns_unlabelled:
            return f"unlabelled {self.unlabelled}"
        return self.trains_eagerly(device) or (self.fused_on_cpu if device.startswith("cuda") else "")

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if self.layer_decay != 1 and self.train == "head":
            raise ValueError(
                f"layer_decay {self.layer_decay:g}: expected layers below the head that are trained, got train head; "
                "use train all or gradual, or leave it out"
            )
        if self.corruption.kind == "auto":
            raise ValueError("corruption: expected none or a noise with its level, got auto; name it, as masking:0.2")
        noise = next((name for name, given in self._noise.items() if given), "")
        if noise and self.train == "head":
            raise ValueError(
                f"{noise}: expected layers below the head that are trained, got train head; use train all or gradual, "
                "or leave it out"
            )
        if self.learns_unlabelled and self.needs_labels:
            raise ValueError(
                f"unlabelled {self.unlabelled}: expected all layers of a classifier or regressor to be trained alike, "
                f"got {self.needs_labels}; leave one of them out"
            )
        if self.neighbours != "auto" and self.unlabelled == "none":
            raise ValueError(
                f"neighbours {self.neighbours}: expected rows without labels that are learned from, got unlabelled "
                "none; leave one of them out"
            )
        if self.labels != "all" and not self.row.predicts:
            raise ValueError(
                f"labels {self.labels}: expected a head that learns from labels, got {self.head}; leave it out"
            )
        if self.labels.endswith("per-class") and self.row.targets != "classes":
            raise ValueError(
                f"labels {self.labels}: expected head classifier, got {self.head}, which has no classes; say how many "
                "in all"
            )
        if self.class_weight != "none" and self.row.targets != "classes":
            raise ValueError(
                f"class_weight {self.class_weight}: expected head classifier, got {self.head}, which has no classes; "
                "leave it out"
            )
        if self.outputs != "softmax" and self.row.targets != "classes":
            raise ValueError(
                f"outputs {self.outputs}: expected head classifier, got {self.head}, which has no classes; leave it out"
            )
        several = [f"train {self.train}"] if self.train == "gradual" else []
        several += [f"layer_decay {self.layer_decay:g}"] if self.layer_decay != 1 else []
        several += [f"max_norm {self.max_norm:g}"] if self.max_norm else []
        if self.optimizer == "lbfgs" and several:
            raise ValueError(
                f"optimizer lbfgs: expected one objective of all weights, got {several[0]}; use optimizer adam, or "
                "leave it out"
            )
        lacks = self.lacks_on("cuda" if self.precision == "tf32" else self.device)
        if self.precision != "fp32" and lacks:
            raise ValueError(
                f"precision {self.precision}: expected a training that the fused step has, got {lacks}; "
                "use precision fp32"
            )
        return self
