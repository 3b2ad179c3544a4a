"""One layer of a stack: its autoencoder, its objective, its training; and what cannot be asked for together."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from stackae.config.activations import ACTIVATIONS
from stackae.config.kinds import KINDS, Kind, KindRow
from stackae.config.notation import (
    CorruptionConfig,
    DropoutConfig,
    EmphasisConfig,
    InitialConfig,
    ReviveConfig,
    SparsityConfig,
)
from stackae.config.values import (
    Activation,
    BatchSize,
    Count,
    Epochs,
    Init,
    Loss,
    Model,
    NonNegative,
    Patience,
    Penalty,
    Rate,
    Tied,
)


class LayerConfig(Model):
    """One layer of the stack, h = f(x̃) and z = g(h) ≈ x: its autoencoder, its objective, its training.

    Its objective is the loss of z plus the penalties below, each times its weight; docs/kinds has their equations.

    Raises:
        ConfigError: a value that cannot work, or a setting that layers of its kind do not have.
    """

    kind: Kind = "dense"
    """Kind of autoencoder; words such as conv16 among the widths make a layer convolutional."""
    n_hidden: Count
    """Width of the code, in units."""
    activation: Activation = "auto"
    """Activation of the code units, or auto: by the data."""
    output_activation: Activation = "auto"
    """Activation of the decoder, or auto: sigmoid for loss bce or sigmoid codes of inputs in [0, 1], else linear."""
    tied: Tied = "auto"
    """Whether the decoder's weights are the encoder's, transposed, or auto: for linear and sigmoid codes."""
    loss: Loss = "auto"
    """Reconstruction loss, summed over features and averaged over rows: mse (squared error), bce (cross-entropy), or
    auto: bce where the output is sigmoid, else mse."""
    corruption: CorruptionConfig = CorruptionConfig(kind="auto")
    """Noise on the layer's input: none, gaussian:SD, masking:P, salt-and-pepper:P, or auto: by the data."""
    emphasis: EmphasisConfig = EmphasisConfig()
    """Weights of the errors of corrupted inputs and of the others, as ALPHA:BETA, or none (1:1)."""
    dropout: DropoutConfig = DropoutConfig(encoder=0.0, decoder=0.0)
    """Share of inputs and of code units to drop, as P (both) or P:Q."""
    sparsity: SparsityConfig = SparsityConfig()
    """Sparsity of the code: none, kl:RHO:WEIGHT, l1:WEIGHT, top-k:K, batch-top-k:K or lifetime:SHARE."""
    revive: ReviveConfig = ReviveConfig(kind="none")
    """Revival of dead units: none, resample, or beside top-k auxiliary, auxiliary:K or auxiliary:K:ROWS."""
    contraction: Penalty = "auto"
    """Weight of the squared Frobenius norm of the encoder's Jacobian, or auto: by the data, none beside noise."""
    weight_decay: NonNegative = 1e-5
    """L2 penalty of the weights."""
    weight_l1: NonNegative = 0.0
    """L1 penalty of the weights."""
    max_norm: NonNegative = 0.0
    """Maximum L2 norm of each unit's incoming weights (0 = no limit)."""
    init: Init = "auto"
    """Initial weights: random, the closed-form solution of pca or marginalized, or auto: pca where the code is no wider
    than its input and near linear."""
    initial_weights: InitialConfig = InitialConfig(kind="glorot")
    """Draw of random initial weights: glorot, glorot:GAIN, uniform:R or normal:SD."""
    ridge: NonNegative = 1e-5
    """Ridge of closed forms, relative to the mean variance of the layer's input."""
    hidden: Annotated[int, Field(ge=0)] = 0
    """Hidden units between the input and the code of a variational layer (0 = none)."""
    beta: NonNegative = 1.0
    """Weight of the KL divergence of a variational layer."""
    shape: tuple[Count, Count, Count] | None = None
    """(height, width, channels) of the image that a convolutional layer reads."""
    channels: Annotated[int, Field(ge=0)] = 0
    """Channels of the code of a convolutional layer."""
    kernel: Annotated[int, Field(ge=1)] = 3
    """Height and width of the kernels of a convolutional layer, in pixels; odd."""
    pool: bool = False
    """Whether the largest of each 2x2 pixels is taken after the convolution."""
    learning_rate: Rate = "auto"
    """Initial learning rate, or auto: 0.0003 from closed-form weights, 0.001 for features of many pixels under noise,
    else 0.003."""
    max_epochs: Epochs = "auto"
    """Maximum number of epochs per layer, or auto: 16, and more for few rows."""
    batch_size: BatchSize = 64
    """Rows per step."""
    patience: Patience = "auto"
    """Epochs without an improvement after which to stop (0 = never), or auto: a third of the epochs, at least 10.
    EPOCHS:INCREASE:THRESHOLD stops after EPOCHS, or INCREASE times the last epoch that lowered the best score below
    THRESHOLD times it."""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_kind(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        row = KINDS.get(str(value.get("kind")))
        return value if row is None else {**row.defaults, **value}

    @property
    def row(self) -> KindRow:
        """What is asked of its kind."""
        return KINDS[self.kind]

    @property
    def closed_form(self) -> str:
        """The closed form that it is, or that it starts at: pca or marginalized; "" where there is none."""
        return self.kind if self.row.solved else self.init if self.init not in ("auto", "random") else ""

    @property
    def contracts(self) -> bool:
        """Whether a contraction is given."""
        return self.contraction not in ("auto", 0)

    @property
    def steps_eagerly(self) -> str:
        """The setting that no fused step has; "" where there is none."""
        return "" if self.row.fused else f"kind {self.kind}"

    @property
    def fused_on_cpu(self) -> str:
        """The first setting that the CPU's fused step alone has; "" where there is none."""
        asked = {
            f"emphasis {self.emphasis.model_dump()}": self.emphasis != EmphasisConfig(),
            f"dropout {self.dropout.model_dump()}": bool(self.dropout),
            f"weight_l1 {self.weight_l1:g}": self.weight_l1 > 0,
            f"max_norm {self.max_norm:g}": self.max_norm > 0,
            f"revive {self.revive.model_dump()}": bool(self.revive),
        }
        return next((name for name, given in asked.items() if given), self.fused_in_fp32)

    @property
    def fused_in_fp32(self) -> str:
        """The first setting that the CPU's fused step has in fp32 alone; "" where there is none."""
        return f"sparsity {self.sparsity.model_dump()}" if self.sparsity.keeps_few else ""

    def lacks_on(self, device: str, precision: str = "fp32") -> str:
        """The first setting that the fused step of a device does not have; "" where it has all of them."""
        rest = self.fused_on_cpu if device.startswith("cuda") else self.fused_in_fp32 if precision != "fp32" else ""
        return self.steps_eagerly or rest

    @property
    def changes_its_objective(self) -> str:
        """The first setting by which steps minimize other objectives, such as noise; "" where there is none."""
        asked = {
            f"kind {self.kind}": self.kind == "variational",
            f"corruption {self.corruption.model_dump()}": self.corruption.level > 0 and not self.row.solved,
            f"dropout {self.dropout.model_dump()}": bool(self.dropout),
            f"max_norm {self.max_norm:g}": self.max_norm > 0,
            f"revive {self.revive.model_dump()}": bool(self.revive),
        }
        return next((name for name, given in asked.items() if given), "")

    @model_validator(mode="after")
    def _kind_has_the_settings(self) -> Self:
        for name, setting in type(self).model_fields.items():
            kinds = [kind for kind, row in KINDS.items() if name in row.settings]
            value, usual = getattr(self, name), self.row.defaults.get(name, setting.default)
            shown = value.model_dump() if isinstance(value, Model) else value
            if kinds and self.kind not in kinds and usual not in (value, shown):
                raise ValueError(
                    f"{name} {shown}: expected a layer of kind {' or '.join(kinds)}, got kind {self.kind}; leave it out"
                )
        return self

    @model_validator(mode="after")
    def _closed_forms_fit(self) -> Self:
        allowed = self.row.activations
        if allowed and self.activation not in ("auto", *allowed):
            raise ValueError(
                f"activation {self.activation}: expected {' or '.join(allowed)} for kind {self.kind}, which is "
                f"solved in closed form; use kind dense with init {self.kind}"
            )
        if self.row.solved and self.output_activation not in ("auto", "linear"):
            raise ValueError(
                f"output_activation {self.output_activation}: expected linear for kind {self.kind}, which is solved in "
                "closed form; leave it out"
            )
        if self.init not in ("auto", "random") and self.sparsity.keeps_few:
            raise ValueError(
                f"init {self.init}: expected a code of which all units are kept, got sparsity "
                f"{self.sparsity.model_dump()}; use init random"
            )
        return self

    @model_validator(mode="after")
    def _images_fit(self) -> Self:
        if not self.row.images:
            return self
        if self.shape is None or self.channels < 1 or self.kernel % 2 == 0:
            raise ValueError(
                f"kind {self.kind}: expected shape (height, width, channels), channels and an odd kernel, got "
                f"{self.shape}, {self.channels} and {self.kernel}; write the layers as 28x28x1,conv16,pool,300"
            )
        if self.sparsity.keeps_few:
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected a layer of kind dense, got kind {self.kind}; use "
                "l1:WEIGHT"
            )
        height, width, _ = self.shape
        pixels = -(-height // 2) * -(-width // 2) if self.pool else height * width
        if pixels * self.channels != self.n_hidden:
            raise ValueError(
                f"n_hidden: expected {pixels} pixels of {self.channels} channels, {pixels * self.channels} units, got "
                f"{self.n_hidden}"
            )
        return self

    @model_validator(mode="after")
    def _activations_fit(self) -> Self:
        activation = None if self.activation == "auto" else ACTIVATIONS[self.activation]
        if activation and self.sparsity.kind == "kl" and not activation.saturates:
            raise ValueError(
                f"sparsity {self.sparsity.model_dump()}: expected a code in (0, 1), got activation {self.activation}; "
                "use activation sigmoid, or tanh (mapped by (h+1)/2)"
            )
        if activation and self.sparsity.keeps_few and activation.saturates:
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
    def _dead_units_fit(self) -> Self:
        if self.revive.kind == "auxiliary" and not self.sparsity.count:
            raise ValueError(
                f"revive {self.revive.model_dump()}: expected a code that keeps the largest units, got sparsity "
                f"{self.sparsity.model_dump()}; use revive resample, or sparsity top-k:K"
            )
        return self

    @model_validator(mode="after")
    def _noise_fits(self) -> Self:
        strikes = self.corruption.kind == "auto" or self.corruption.strikes_single_inputs
        if self.emphasis != EmphasisConfig() and not strikes:
            raise ValueError(
                f"emphasis {self.emphasis.model_dump()}: expected noise that strikes some inputs and leaves others, "
                f"got corruption {self.corruption.model_dump()}; use corruption masking:P or salt-and-pepper:P"
            )
        if self.contracts and (self.dropout or self.sparsity.keeps_few):
            other = f"dropout {self.dropout.model_dump()}" if self.dropout else f"sparsity {self.sparsity.model_dump()}"
            raise ValueError(
                f"contraction {self.contraction:g}: expected a code that follows its input smoothly, got {other}, "
                "which switches units off; leave out one of the two"
            )
        if self.revive and self.sparsity.kind == "kl":
            raise ValueError(
                f"revive {self.revive.model_dump()}: expected units that can fall silent for good, got sparsity "
                f"{self.sparsity.model_dump()}, which revives them by itself; leave out one of the two"
            )
        if self.revive and self.activation != "auto" and ACTIVATIONS[self.activation].saturates:
            raise ValueError(
                f"revive {self.revive.model_dump()}: expected units that can fall silent for good, got activation "
                f"{self.activation}, whose units always have a gradient; use revive none, or activation relu"
            )
        return self
