"""One layer of a stack: its autoencoder, its objective, its training; and what cannot be asked for together."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stackae.config.texts import CorruptionConfig, DropoutConfig, EmphasisConfig, SparsityConfig
from stackae.fields import Activation, Count, Epochs, Loss, Model, NonNegative, OutputActivation, Positive, one_of

SATURATING = ("sigmoid", "tanh")


class LayerConfig(Model):
    """One layer of the stack: its autoencoder, its objective, its training."""

    n_hidden: Count
    activation: Activation = "sigmoid"
    output_activation: OutputActivation = "auto"
    tied: bool = True
    loss: Loss = "mse"
    corruption: CorruptionConfig = CorruptionConfig(kind="masking", level=0.3)
    emphasis: EmphasisConfig = EmphasisConfig()
    dropout: DropoutConfig = DropoutConfig()
    sparsity: SparsityConfig = SparsityConfig()
    revive: Annotated[str, one_of("none", "resample")] = "none"
    contraction: NonNegative = 0.0
    weight_decay: NonNegative = 1e-5
    weight_l1: NonNegative = 0.0
    max_norm: NonNegative = 0.0
    learning_rate: Positive = 3e-3
    max_epochs: Epochs = "auto"
    batch_size: Count = 64
    patience: Annotated[int, Field(ge=0)] = 0

    @property
    def steps_eagerly(self) -> str:
        """The first setting that the fused step does not have; "" where it has all of them."""
        asked = {
            f"emphasis {self.emphasis.model_dump()}": self.emphasis != EmphasisConfig(),
            f"dropout {self.dropout.model_dump()}": bool(self.dropout),
            f"sparsity {self.sparsity.model_dump()}": self.sparsity.keeps_few,
            f"contraction {self.contraction:g}": self.contraction > 0,
            f"weight_l1 {self.weight_l1:g}": self.weight_l1 > 0,
            f"max_norm {self.max_norm:g}": self.max_norm > 0,
            f"revive {self.revive}": self.revive != "none",
        }
        return next((name for name, given in asked.items() if given), "")

    @model_validator(mode="after")
    def _activations_fit(self) -> Self:
        if self.sparsity.kind == "kl" and self.activation not in SATURATING:
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected a code in (0, 1), got activation {self.activation}; "
                "use activation sigmoid, or tanh (mapped by (h+1)/2)"
            )
        if self.sparsity.keeps_few and self.activation in SATURATING:
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected a code in which 0 says that a unit is silent, got "
                f"activation {self.activation}; use activation relu or linear, or sparsity kl:RHO:WEIGHT"
            )
        if self.loss == "bce" and self.output_activation not in ("auto", "sigmoid"):
            raise ValueError(
                f"loss bce: expected output_activation sigmoid, got {self.output_activation}; "
                "use output_activation sigmoid, or loss mse"
            )
        return self

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        if self.sparsity.count > self.n_hidden:
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected at most the {self.n_hidden} units of the code to be "
                f"kept, got {self.sparsity.count}; keep fewer, or make the layer wider"
            )
        return self

    @model_validator(mode="after")
    def _noise_fits(self) -> Self:
        if self.emphasis != EmphasisConfig() and not self.corruption.strikes_single_inputs:
            raise ValueError(
                f"emphasis {self.emphasis.model_dump()}: expected noise that strikes some inputs and leaves others, "
                f"got corruption {self.corruption.model_dump()}; use corruption masking:P or salt-and-pepper:P"
            )
        if self.contraction > 0 and (self.dropout or self.sparsity.keeps_few):
            other = f"dropout {self.dropout.model_dump()}" if self.dropout else f"sparsity {self.sparsity.model_dump()}"
            raise ValueError(
                f"contraction {self.contraction:g}: expected a code that follows its input smoothly, got {other}, "
                "which switches units off; leave out one of the two"
            )
        if self.revive != "none" and self.activation in SATURATING:
            raise ValueError(
                f"revive {self.revive}: expected units that can fall silent for good, got activation "
                f"{self.activation}, whose units always have a gradient; use revive none, or activation relu"
            )
        return self
