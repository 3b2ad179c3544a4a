"""Settle what the settings of layers leave to the data: every ``auto``, with the reason.

- Columns of numbers: tanh codes that start as principal components, nearly linear, and linear outputs, without noise:
  the reconstruction is at least about that of PCA, and units bend where that pays. Where values lie far out, which tanh
  would cut off, the codes are linear.
- Pixels, 64 columns or more within [0, 1], and zeros and ones: sigmoid codes and outputs, the cross-entropy, and what
  makes wide codes features instead of copies: a contraction where most are nearly 0 or 1, else masking noise. Where the
  rows are too few to learn features from, as columns of numbers.
- Rows within [0, 1] of which classes were left out, which are to be told from them: the same under noise, whatever
  the rows, as a stack that leads back to what it knows reconstructs other rows worse.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from stackae.autoencoders.statistics import check_room
from stackae.config import CorruptionConfig, EmphasisConfig, LayerConfig, PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.data.kind import RowsKind, kind_of
from stackae.data.rows import Rows
from stackae.errors import DataError
from stackae.training.early_stopping import Patience
from stackae.training.stage import settled_epochs

FEWEST_STEPS = 2000  # minimum number of steps per layer for automatic epochs; measured by benchmarks/pretraining.py
RATE, RATE_OF_FEATURES, RATE_OF_CLOSED_FORMS = 3e-3, 1e-3, 3e-4
WIDEST_START = 2048  # inputs: the eigenvectors of more take longer than the training that they shorten
ROWS_PER_UNIT = 10  # of the first layer, from which on features are learned under noise
CONTRACTION, CONTRACTION_OF_CODES = 0.06, 0.02  # per variance of the data
MASKING = CorruptionConfig(kind="masking", level=0.25)
NONE = CorruptionConfig(kind="none")


class Reads(NamedTuple):
    """What a layer reads: the kind of the data, the number of the layer, and the settled layer below, if any."""

    data: RowsKind
    features: bool
    number: int
    below: LayerConfig | None = None
    left_out: bool = False

    @property
    def in_unit(self) -> bool:
        if self.below is None:
            return self.data.in_unit
        return ACTIVATIONS[self.below.activation].in_unit and self.below.row.activated

    @property
    def tells(self) -> bool:
        """Whether codes are to tell the rows from those of classes that were left out."""
        return self.left_out and self.data.in_unit

    @property
    def targets(self) -> str:
        """What its decoder is to reach."""
        return "the data" if self.below is None else f"the codes of layer {self.number - 1}"

    def __str__(self) -> str:
        if self.below is not None:
            return f"{self.below.activation} codes of layer {self.number - 1}"
        if self.tells:
            return f"{self.data}, without the classes left out"
        few = "" if self.features or not (self.data.pixels or self.data.binary) else ", too few rows for features"
        return f"{self.data}{few}"


class SettledLayer(NamedTuple):
    """A layer without ``auto``, and what it reads, which settled it."""

    layer: LayerConfig
    reads: Reads


def settled_layers(
    config: PretrainConfig, x: Rows, left_out: bool = False, kind: RowsKind | None = None
) -> list[SettledLayer]:
    """Settle the layers of the configuration, bottom first, by the training rows x (n, n_visible), n >= 1.

    ``left_out``: classes were left out of these rows, to be found later. ``kind`` is ``kind_of`` them, where the caller
    has it.
    """
    data, found = kind or kind_of(x), list[SettledLayer]()
    bears_noise = config.optimizer != "lbfgs"
    features = (data.pixels or data.binary) and len(x) >= ROWS_PER_UNIT * config.layers[0].n_hidden and bears_noise
    below: LayerConfig | None = None
    for number, layer in enumerate(config.layers, start=1):
        above = config.layers[number] if number < len(config.layers) else None
        reads = Reads(data, features, number, below, left_out and bears_noise)
        width = config.layer_sizes[number - 1]
        choices = _dense(layer, reads, width, above) if layer.row.fused else _other(layer, reads)
        epochs = 1 if layer.row.solved else settled_epochs(layer.max_epochs, len(x), layer.batch_size, FEWEST_STEPS)
        patience = Patience.of("auto", epochs).epochs if layer.patience == "auto" else layer.patience
        choices |= {"max_epochs": epochs, "patience": patience}
        below = layer.model_copy(update=choices)
        found.append(SettledLayer(below, reads))
    return found


def described(layer: LayerConfig) -> str:
    """Describe a settled layer: activations, loss, noise, and what else is not usual."""
    row = layer.row
    kind = "" if layer.kind == "dense" else f"{layer.kind}, "
    closed = {"pca": "PCA start", "marginalized": "marginalized start"}.get(layer.init if not row.solved else "")
    words = [
        f"{layer.activation} / {layer.output_activation}",
        *([] if row.solved else [layer.loss]),
        *([f"contraction {layer.contraction:g}"] if layer.contracts else []),
        "no noise" if layer.corruption.kind == "none" else str(layer.corruption.model_dump()).replace(":", " "),
        *(["tied" if layer.tied else "untied"] if "tied" in row.settings else []),
        *([closed] if closed else []),
        *([] if row.solved else [f"rate {layer.learning_rate:g}", f"{layer.max_epochs} epochs"]),
    ]
    return kind + ", ".join(words)


def _dense(layer: LayerConfig, reads: Reads, width: int, above: LayerConfig | None) -> dict[str, Any]:
    activation = _chosen(layer.activation, _activation(layer, reads, above))
    output, loss = _output(layer, reads, activation)
    contraction = layer.contraction
    if contraction == "auto":
        suits = activation == "sigmoid" and loss == "bce" and reads.data.inked and not reads.tells
        contraction = _usual_contraction(reads) if suits and _copies(layer, reads) else 0.0
    corruption = layer.corruption
    if corruption.kind == "auto":
        noisy = layer.emphasis != EmphasisConfig() or (not contraction and _copies(layer, reads))
        corruption = MASKING if noisy else NONE
    near_linear = ACTIVATIONS[activation].near_linear and output == "linear"
    whole = near_linear and not layer.sparsity.keeps_few
    filled = reads.below is None and reads.data.missing > 0  # the components of fills are no start
    fits = whole and layer.n_hidden <= width <= WIDEST_START and has_room(width) and not filled
    drawn = layer.initial_weights != type(layer.initial_weights)(kind="glorot")
    init = _chosen(layer.init, "pca" if fits and not drawn else "random")
    return {
        "activation": activation,
        "output_activation": output,
        "loss": loss,
        "corruption": corruption,
        "contraction": contraction,
        "init": init,
        "tied": layer.tied if layer.tied != "auto" else activation in ("linear", "sigmoid"),
        "learning_rate": _rate(layer, _usual_rate(reads, init, contraction)),
    }


def _other(layer: LayerConfig, reads: Reads) -> dict[str, Any]:
    """Settle layers of other kinds: the defaults of the kind, and an output that fits their input."""
    usual = layer.row.defaults
    bounded = layer.loss == "bce" or (reads.in_unit and not layer.row.solved)
    corruption = layer.corruption
    if corruption.kind == "auto":
        given = reads.below is None and reads.data.noisy
        corruption = NONE if given else CorruptionConfig.model_validate(usual["corruption"])
    return {
        "activation": _chosen(layer.activation, usual["activation"]),
        "output_activation": _chosen(layer.output_activation, "sigmoid" if bounded else "linear"),
        "loss": _chosen(layer.loss, "mse"),
        "corruption": corruption,
        "init": _chosen(layer.init, "random"),
        "tied": layer.tied if layer.tied != "auto" else usual["tied"],
        "learning_rate": _rate(layer, RATE),
    }


def _activation(layer: LayerConfig, reads: Reads, above: LayerConfig | None) -> str:
    """Choose units that can be silent where the settings need such, saturating ones for features, else near linear."""
    if layer.sparsity.keeps_few or layer.revive:
        return "relu"
    denoising = reads.in_unit and layer.corruption.kind not in ("auto", "none")
    squeezed = layer.sparsity.kind == "kl" or layer.contracts
    if reads.features or reads.tells or denoising or squeezed or (above is not None and above.loss == "bce"):
        return "sigmoid"
    return "linear" if reads.data.far else "tanh"


def _usual_contraction(reads: Reads) -> float:
    share = CONTRACTION if reads.below is None else CONTRACTION_OF_CODES
    return float(f"{share * reads.data.variance:.2g}")


def _copies(layer: LayerConfig, reads: Reads) -> bool:
    """Whether it is wide, and nothing that is given keeps it from copying its input."""
    noisy = layer.corruption.kind != "auto" or layer.emphasis != EmphasisConfig()
    kept = noisy or layer.contracts or bool(layer.dropout) or layer.sparsity.kind != "none"
    given = reads.below is None and reads.data.noisy
    return (reads.features or reads.tells) and not kept and not given


def _output(layer: LayerConfig, reads: Reads, activation: str) -> tuple[str, str]:
    """Choose the decoder's activation and the loss: cross-entropy for sigmoid outputs of [0, 1]."""
    output, loss = layer.output_activation, layer.loss
    if output == "auto":
        bounded = reads.in_unit and not ACTIVATIONS[activation].near_linear
        output = "sigmoid" if loss == "bce" or bounded else "linear"
    if loss == "auto":
        loss = "bce" if output == "sigmoid" and reads.in_unit else "mse"
    return output, loss


def _chosen(given: str, otherwise: str) -> str:
    return otherwise if given == "auto" else given


def has_room(width: int) -> bool:
    """Whether the memory suffices for a closed form of so many inputs."""
    try:
        check_room(width, torch.device("cpu"))
    except DataError:
        return False
    return True


def _usual_rate(reads: Reads, init: str, contraction: float) -> float:
    """Small where weights begin at a solution, which large steps would lose; features under noise take their time."""
    if init != "random":
        return RATE_OF_CLOSED_FORMS
    return RATE_OF_FEATURES if reads.features and not contraction else RATE


def _rate(layer: LayerConfig, otherwise: float) -> float:
    return otherwise if layer.learning_rate == "auto" else layer.learning_rate
