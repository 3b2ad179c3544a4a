"""Settings written as short texts: noise and its emphasis, dropout, sparsity, revival, initial weights, ramps."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_serializer, model_validator

from stackae.config.values import CorruptionName, Model, NonNegative, SparsityName

Share = Annotated[float, Field(ge=0, lt=1)]


class CorruptionConfig(Model):
    """x̃ ~ q(x̃ | x), noise on a layer's input: ``none``, ``gaussian:SD``, ``masking:P`` or ``salt-and-pepper:P``.

    ``auto`` is settled when the data are known.

    gaussian: x̃ = x + SD ε with ε ~ N(0, 1). masking: each input is 0 with probability P. salt-and-pepper: each is the
    lowest or the highest value, as often the one as the other, with probability P.

    Vincent, Larochelle, Lajoie, Bengio & Manzagol (2010), Stacked denoising autoencoders.
    """

    kind: Literal[CorruptionName, "auto"] = "none"
    """Distribution of the noise."""
    level: NonNegative = 0.0
    """Standard deviation of gaussian noise; else the share of inputs that are corrupted, 0 to 1."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, level = value.partition(":")
        if kind in ("none", "auto"):
            return {"kind": kind} | _nothing_more(value, level)
        return {"kind": kind, "level": _number(level, f"{kind}:LEVEL, such as {kind}:0.2", value)}

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        if self.kind in ("masking", "salt-and-pepper") and self.level > 1:
            raise ValueError(f"expected a share of the inputs between 0 and 1, got {self.kind}:{self.level:g}")
        return self

    @property
    def strikes_single_inputs(self) -> bool:
        """Whether some inputs are corrupted and the others are left as they are."""
        return self.kind in ("masking", "salt-and-pepper")

    @model_serializer
    def _to_text(self) -> str:
        return self.kind if self.kind in ("none", "auto") else f"{self.kind}:{self.level!r}"


class EmphasisConfig(Model):
    """w_ij = α where input ij was corrupted, else β, in Σ w_ij (z_ij − x_ij)²: ``none`` (1:1) or ``ALPHA:BETA``."""

    corrupted: Annotated[NonNegative, Field(le=1e38)] = 1.0  # what float32 holds
    """Weight of the errors of corrupted inputs."""
    others: Annotated[NonNegative, Field(le=1e38)] = 1.0
    """Weight of the errors of the other inputs."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value == "none":
            return {}
        first, _, second = value.partition(":")
        form = "none or ALPHA:BETA, such as 1:0.5"
        return {"corrupted": _number(first, form, value), "others": _number(second, form, value)}

    @model_validator(mode="after")
    def _something_counts(self) -> Self:
        if self.corrupted == self.others == 0:
            raise ValueError("expected a weight above 0 for corrupted inputs or for the others, got 0:0")
        return self

    @model_serializer
    def _to_text(self) -> str:
        return "none" if self.corrupted == self.others == 1 else f"{self.corrupted!r}:{self.others!r}"


class DropoutConfig(Model):
    """x_ij m_ij / (1 − p) with m_ij ~ Bernoulli(1 − p), on inputs and on code units: ``P`` for both, or ``P:Q``."""

    encoder: Share = 0.0
    """Probability that an input is dropped before the encoder."""
    decoder: Share = 0.0
    """Probability that a code unit is dropped before the decoder."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"encoder": value, "decoder": value}
        if not isinstance(value, str):
            return value
        first, colon, second = value.partition(":")
        form = "P or P:Q, such as 0.2:0.5"
        return {
            "encoder": _number(first, form, value),
            "decoder": _number(second if colon else first, form, value),
        }

    @model_serializer
    def _to_text(self) -> str:
        return f"{self.encoder!r}:{self.decoder!r}"

    def __bool__(self) -> bool:
        return self.encoder > 0 or self.decoder > 0


class SparsityConfig(Model):
    """Sparsity of a layer's code: ``none``, ``kl:RHO:WEIGHT``, ``l1:WEIGHT``, ``top-k:K``, ``batch-top-k:K`` or
    ``lifetime:SHARE``.

    kl adds WEIGHT Σ_j KL(ρ ‖ ρ̂_j), with ρ̂_j the mean activation of unit j over the batch; l1 adds WEIGHT Σ_j |h_ij|,
    averaged over rows; top-k keeps the K largest units of each row, batch-top-k K per row on average over the batch;
    lifetime lets each unit keep its largest values in a SHARE of the batch's rows, in training alone.
    """

    kind: SparsityName = "none"
    """Penalty, or how active units are selected."""
    target: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Target of kl for each unit's mean activation, ρ; of lifetime, the share of rows in which a unit is active."""
    weight: NonNegative = 0.0
    """Weight of the kl or l1 penalty, β."""
    count: Annotated[int, Field(ge=0)] = 0
    """Active units per row of top-k; of batch-top-k, on average over the batch."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, rest = value.partition(":")
        if kind == "none":
            return _nothing_more(value, rest)
        if kind == "l1":
            return {"kind": kind, "weight": _number(rest, "l1:WEIGHT, such as l1:0.001", value)}
        if kind in ("top-k", "batch-top-k"):
            return {"kind": kind, "count": _count(rest, f"{kind}:K, such as {kind}:32", value)}
        if kind == "lifetime":
            return {"kind": kind, "target": _number(rest, "lifetime:SHARE, such as lifetime:0.05", value)}
        if kind != "kl":
            return {"kind": kind}
        target, _, weight = rest.partition(":")
        form = f"{kind}:RHO:WEIGHT, such as kl:0.05:0.1"
        return {"kind": kind, "target": _number(target, form, value), "weight": _number(weight, form, value)}

    @property
    def keeps_few(self) -> bool:
        """Whether it leaves a given number of units, or of a unit's values, and sets the others to 0."""
        return self.kind in ("top-k", "batch-top-k", "lifetime")

    @model_validator(mode="after")
    def _some_are_kept(self) -> Self:
        if self.kind in ("top-k", "batch-top-k") and self.count < 1:
            raise ValueError(f"expected at least 1 unit to be kept, got {self.kind}:{self.count}")
        return self

    @model_serializer
    def _to_text(self) -> str:
        forms = {"none": "none", "kl": f"kl:{self.target!r}:{self.weight!r}", "l1": f"l1:{self.weight!r}"}
        forms["lifetime"] = f"lifetime:{self.target!r}"
        return forms.get(self.kind, f"{self.kind}:{self.count}")


class ReviveConfig(Model):
    """What brings silent units back: ``none``, ``resample``, ``auxiliary``, ``auxiliary:K`` or ``auxiliary:K:ROWS``.

    resample turns dead units, after each epoch of the first half, towards rows that are reconstructed badly. auxiliary
    is for top-k codes: units that no row activated in the last ROWS rows are dead, and in every step the K largest of
    them per row are trained to make what the kept units leave of it.
    """

    kind: Literal["none", "resample", "auxiliary"] = "none"
    """How units are revived."""
    count: Annotated[int, Field(ge=0)] = 0
    """Dead units per row of auxiliary; 0 is twice as many as the code keeps."""
    rows: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    """Rows in which a unit was not active, one after another, after which auxiliary takes it for dead."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, rest = value.partition(":")
        if kind != "auxiliary":
            return {"kind": kind} | _nothing_more(value, rest)
        count, colon, rows = rest.partition(":")
        form = "auxiliary, auxiliary:K or auxiliary:K:ROWS, such as auxiliary:64:1000"
        given = {"count": _count(count, form, value)} if rest else {}
        return {"kind": kind, **given} | ({"rows": _count(rows, form, value)} if colon else {})

    @model_serializer
    def _to_text(self) -> str:
        if self.kind != "auxiliary" or self == ReviveConfig(kind="auxiliary"):
            return self.kind
        return f"auxiliary:{self.count}" + (f":{self.rows}" if self.rows != ReviveConfig().rows else "")

    def __bool__(self) -> bool:
        return self.kind != "none"


class InitialConfig(Model):
    """Draw of initial weights (n_out, n_in): ``glorot``, ``glorot:GAIN``, ``uniform:R`` or ``normal:SD``.

    glorot: U(±GAIN √(6 / (n_in + n_out))), with a gain of 1 unless given. uniform: U(±R). normal: N(0, SD²). Biases
    are 0.

    Glorot & Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.
    """

    kind: Literal["glorot", "uniform", "normal"] = "glorot"
    """Distribution of the weights."""
    level: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Gain of glorot, half the range of uniform, or standard deviation of normal."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, colon, level = value.partition(":")
        if kind == "glorot" and not colon:
            return {}
        return {"kind": kind, "level": _number(level, f"{kind}:NUMBER, such as {kind}:0.01", value)}

    @model_serializer
    def _to_text(self) -> str:
        return "glorot" if self == InitialConfig() else f"{self.kind}:{self.level!r}"


class RampConfig(Model):
    """A value that moves evenly from its own to LAST over EPOCHS epochs, and stays: ``none`` or ``LAST:EPOCHS``."""

    last: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The value from epoch EPOCHS on."""
    epochs: Annotated[int, Field(ge=0, le=10**9)] = 0
    """The epoch, counted from 1, from which on the value is the last one; 0 is no ramp."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        last, _, epochs = value.partition(":")
        if last == "none":
            return _nothing_more(value, epochs)
        form = "none or LAST:EPOCHS, such as 0.7:250"
        return {"last": _number(last, form, value), "epochs": _count(epochs, form, value)}

    @model_serializer
    def _to_text(self) -> str:
        return f"{self.last!r}:{self.epochs}" if self.epochs else "none"

    def __bool__(self) -> bool:
        return self.epochs > 0


def _nothing_more(whole: str, rest: str) -> dict[str, Any]:
    if rest:
        raise ValueError(f"expected {whole.partition(':')[0]} alone, got '{whole}'")
    return {}


def _number(text: str, form: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected {form}, got '{whole}'") from None


def _count(text: str, form: str, whole: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ValueError(f"expected {form}, got '{whole}'")
    return int(text)
