"""How networks are trained: what all layers of a stack have in common, and fine-tuning."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stackae.fields import (
    Count,
    Device,
    Engine,
    Epochs,
    Model,
    NonNegative,
    Optimizer,
    Positive,
    Precision,
    Schedule,
    one_of,
)


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
    """Supervised training of a head on the stack, alone or with every layer below it."""

    head: Annotated[str, one_of("classifier")] = "classifier"
    init: Annotated[str, one_of("pretrained", "random")] = "pretrained"
    train: Annotated[str, one_of("head", "all")] = "all"
    learning_rate: Positive = 3e-3
    weight_decay: NonNegative = 1e-5
    max_epochs: Epochs = "auto"
    batch_size: Count = 128
    patience: Annotated[int, Field(ge=0)] = 0
