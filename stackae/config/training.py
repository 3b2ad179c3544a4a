"""How networks are trained: what all layers of a stack have in common, and fine-tuning."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stackae.fields import (
    BatchSize,
    Device,
    Engine,
    Epochs,
    Model,
    NonNegative,
    Optimizer,
    Patience,
    Positive,
    Precision,
    Schedule,
    one_of,
)

HEADS = ("classifier", "reconstruction", "regressor", "multilabel")


class TrainingConfig(Model):
    """How all stages are trained."""

    optimizer: Optimizer = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: Schedule = "cosine"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    engine: Engine = "auto"
    precision: Precision = "fp32"
    device: Device = "auto"


class FinetuneConfig(TrainingConfig):
    """Training of a head on the stack: alone, with every layer below it, or with layers that join it one by one.

    ``layer_decay`` is by how much each layer learns slower than the one above it; 1 is not at all. ``class_weight``
    balanced weighs the loss of a classifier by n / (k n_c), for n labelled training rows of which n_c are of class c,
    and k classes: each class counts as much as any other.
    """

    head: Annotated[str, one_of(*HEADS)] = "classifier"
    init: Annotated[str, one_of("pretrained", "random")] = "pretrained"
    train: Annotated[str, one_of("head", "all", "gradual")] = "all"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    class_weight: Annotated[str, one_of("none", "balanced")] = "none"
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 1e-5
    max_norm: NonNegative = 0.0
    max_epochs: Epochs = "auto"
    batch_size: BatchSize = 128
    patience: Patience = "auto"

    @property
    def steps_eagerly(self) -> str:
        """The first setting that the fused step does not have; "" where it has all of them."""
        asked = {
            f"head {self.head}": self.head in ("regressor", "multilabel"),
            f"train {self.train} of head {self.head}": self.head == "reconstruction" and self.train == "head",
            f"train {self.train}": self.train == "gradual",
            f"layer_decay {self.layer_decay:g}": self.layer_decay != 1,
            f"max_norm {self.max_norm:g}": self.max_norm > 0,
            f"class_weight {self.class_weight}": self.class_weight != "none",
        }
        return next((name for name, given in asked.items() if given), "")

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        if self.layer_decay != 1 and self.train == "head":
            raise ValueError(
                f"layer_decay {self.layer_decay:g}: expected layers below the head that are trained, got train head; "
                "use train all or gradual, or leave it out"
            )
        if self.class_weight != "none" and self.head != "classifier":
            raise ValueError(
                f"class_weight {self.class_weight}: expected head classifier, got {self.head}, which has no classes; "
                "leave it out"
            )
        if self.precision != "fp32" and self.steps_eagerly:
            raise ValueError(
                f"precision {self.precision}: expected a training that the fused step has, got {self.steps_eagerly}; "
                "use precision fp32"
            )
        return self
