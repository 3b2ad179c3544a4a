"""The dense layer, and the autoencoder with one dense layer each way."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from stackae.autoencoders.base import Decoder, LayerAutoencoder
from stackae.autoencoders.initial import GLOROT, initial_weights
from stackae.autoencoders.selection import batch_top_k, few_of, lifetime, threshold_of
from stackae.config import LayerConfig
from stackae.config.notation import InitialConfig
from stackae.ops.engine import Engine, choose_engine


class Dense(Decoder):
    """y = f(x Wᵀ + b), weight (n_out, n_in), bias (n_out,)."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str, engine: str = "auto") -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation
        self.engine = choose_engine(engine)

    @classmethod
    def initialised(
        cls,
        n_in: int,
        n_out: int,
        activation: str,
        *,
        initial: InitialConfig = GLOROT,
        seed: int,
        layer: int,
        part: int = 0,
        engine: str = "auto",
    ) -> Dense:
        """Initialize weights by ``initial_weights`` and biases to 0."""
        weight = initial_weights(n_out, n_in, initial, seed=seed, layer=layer, part=part)
        return cls(weight, torch.zeros(n_out), activation, engine)

    @property
    def trained(self) -> list[Tensor]:
        return [self.weight, self.bias]

    @property
    def sizes(self) -> tuple[int, int]:
        n_out, n_in = self.weight.shape
        return n_in, n_out

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, n_in) -> (batch, n_out)."""
        check_width("x", x, self.weight.shape[1])
        return self.engine.dense_act(x, self.weight, self.bias, self.activation)

    def logits(self, h: Tensor) -> Tensor:
        """x Wᵀ + b."""
        check_width("h", h, self.weight.shape[1])
        return self.engine.dense_act(h, self.weight, self.bias, "linear")

    def extra_repr(self) -> str:
        n_out, n_in = self.weight.shape
        return f"{n_in} -> {n_out}, {self.activation}, {self.engine.name}"


class FewUnits(Dense):
    """``Dense`` with a sparse code: ``few_of`` sets all but the active units to 0."""

    def __init__(
        self, weight: Tensor, bias: Tensor, activation: str, engine: str, keeps: int, threshold: Tensor | None
    ) -> None:
        super().__init__(weight, bias, activation, engine)
        self.keeps = keeps
        self.register_buffer("threshold", None if threshold is None else threshold.detach().clone())
        self.threshold: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, n_in) -> (batch, n_out)."""
        return few_of(super().forward(x), self.keeps, self.threshold)


class Autoencoder(LayerAutoencoder):
    """h = f(W x + b), z = g(W' h + c), trained to reconstruct x from its code h.

    Args:
        n_visible: width of the input x and of the reconstruction z.
        n_hidden: width of the code h.
        activation: f, by a name of ``stackae.ops.reference.ACTIVATIONS``.
        output_activation: g; sigmoid for data in [0, 1], linear for data of any range.
        tied: True ties W' = Wᵀ; False gives W' weights of its own.
        keeps: k of top-k: the k largest units of the code stay active, and the others are set to 0; 0 disables it.
        over_batch: batch top-k: a training batch has k active units per row on average, not exactly k in each row. At
            inference time, the units above the buffer ``threshold``, which ``calibrate`` sets, are active.
        share: share of the batch's rows in which a unit keeps its value in training (lifetime sparsity); 0 disables it.
        initial: draw of the weights.
        seed: the weights are a function of (seed, layer) and ``initial`` alone.
        engine: auto, fused or eager.

    Bourlard & Kamp (1988); Bengio, Lamblin, Popovici & Larochelle (2006), Greedy layer-wise training of deep networks.
    """

    def __init__(
        self,
        n_visible: int,
        n_hidden: int,
        *,
        activation: str = "sigmoid",
        output_activation: str = "sigmoid",
        tied: bool = True,
        keeps: int = 0,
        over_batch: bool = False,
        share: float = 0.0,
        initial: InitialConfig = GLOROT,
        seed: int = 0,
        layer: int = 0,
        engine: str = "auto",
    ) -> None:
        super().__init__()
        self.encoder = Dense.initialised(
            n_visible, n_hidden, activation, initial=initial, seed=seed, layer=layer, engine=engine
        )
        self.output_activation = output_activation
        self.keeps, self.share, self.initial = keeps, share, initial
        self.register_buffer("threshold", torch.zeros(()) if over_batch else None)
        self.threshold: Tensor | None
        if tied:
            self.register_parameter("decoder_weight", None)
        else:
            decoder_weight = initial_weights(n_visible, n_hidden, initial, seed=seed, layer=layer, part=1)
            self.decoder_weight = nn.Parameter(decoder_weight)
        self.decoder_bias = nn.Parameter(torch.zeros(n_visible))

    @classmethod
    def of(cls, n_visible: int, layer: LayerConfig, *, seed: int, number: int, engine: str) -> Self:
        return cls(
            n_visible,
            layer.n_hidden,
            activation=layer.activation,
            output_activation=layer.output_activation,
            tied=bool(layer.tied),
            keeps=layer.sparsity.count,
            over_batch=layer.sparsity.kind == "batch-top-k",
            share=layer.sparsity.target if layer.sparsity.kind == "lifetime" else 0.0,
            initial=layer.initial_weights,
            engine=engine,
            seed=seed,
            layer=number,
        )

    @classmethod
    def numbers_of(cls, n_visible: int, layer: LayerConfig) -> int:
        weights, biases = n_visible * layer.n_hidden * (1 if layer.tied else 2), n_visible + layer.n_hidden
        return weights + biases + int(layer.sparsity.kind == "batch-top-k")

    @property
    def n_visible(self) -> int:
        return self.encoder.weight.shape[1]

    @property
    def n_hidden(self) -> int:
        return self.encoder.weight.shape[0]

    @property
    def tied(self) -> bool:
        return self.decoder_weight is None

    @property
    def decoder_matrix(self) -> Tensor:
        """W′ (n_visible, n_hidden), which is Wᵀ where the weights are tied."""
        return self.encoder.weight.t() if self.decoder_weight is None else self.decoder_weight

    @property
    def activation(self) -> str:
        return self.encoder.activation

    @property
    def engine(self) -> Engine:
        return self.encoder.engine

    @property
    def trained(self) -> list[Tensor]:
        """The trained parameters, layer by layer: weight, unless tied, then bias."""
        decoder_weight = [] if self.decoder_weight is None else [self.decoder_weight]
        return [self.encoder.weight, self.encoder.bias, *decoder_weight, self.decoder_bias]

    @property
    def kept_units(self) -> tuple[int, bool, float]:
        """What is kept of a code in training: how many units of a row, 0 for all, whether that is over the batch, and
        of each unit the share of rows, 0 for all."""
        return self.keeps, self.threshold is not None, self.share

    def not_dense(self, decoding: bool) -> str:
        sparsity = "top-k" if self.threshold is None else "batch-top-k"
        return f"kind dense, sparsity {sparsity}:{self.keeps}" if self.keeps else ""

    @property
    def filters(self) -> tuple[Tensor, None]:
        return self.encoder.weight, None

    def code(self, x: Tensor) -> Tensor:
        """f(W x + b)."""
        code: Tensor = self.encoder(x)
        return code

    def kept(self, h: Tensor, training: bool = False) -> Tensor:
        if training and self.threshold is not None:
            return batch_top_k(h, self.keeps)
        if training and self.share:
            return lifetime(h, self.share)
        return few_of(h, self.keeps, self.threshold)

    @torch.no_grad()
    def calibrate(self, x: Tensor) -> None:
        """Fit the inference-time threshold (batch top-k) on x (batch, n_visible)."""
        if self.threshold is not None:
            self.threshold.copy_(threshold_of(self.encoder(x), self.keeps))

    def decode(self, h: Tensor) -> Tensor:
        """Code h (batch, n_hidden) -> reconstruction z (batch, n_visible)."""
        return self._decode(h, self.output_activation)

    def decode_logits(self, h: Tensor) -> Tensor:
        """The reconstruction before its activation, W' h + c."""
        return self._decode(h, "linear")

    def encoder_alone(self, engine: str = "auto") -> Dense:
        weight, bias = self.encoder.weight.detach().clone(), self.encoder.bias.detach().clone()
        if not self.keeps:
            return Dense(weight, bias, self.activation, engine)
        return FewUnits(weight, bias, self.activation, engine, self.keeps, self.threshold)

    def decoder_alone(self, engine: str = "auto") -> Dense:
        return Dense(*self._decoder_copies(), self.output_activation, engine)

    def _decoder_copies(self) -> tuple[Tensor, Tensor]:
        weight = self.decoder_matrix.detach().clone(memory_format=torch.contiguous_format)
        return weight, self.decoder_bias.detach().clone()

    def anew(self, seed: int, layer: int) -> Autoencoder:
        return Autoencoder(
            self.n_visible,
            self.n_hidden,
            activation=self.activation,
            output_activation=self.output_activation,
            tied=self.tied,
            keeps=self.keeps,
            over_batch=self.threshold is not None,
            share=self.share,
            initial=self.initial,
            seed=seed,
            layer=layer,
            engine=self.engine.name,
        )

    def _decode(self, h: Tensor, activation: str) -> Tensor:
        check_width("h", h, self.n_hidden)
        return self.encoder.engine.dense_act(h, self.decoder_matrix, self.decoder_bias, activation)

    def extra_repr(self) -> str:
        kept = f", keeps={self.keeps}" if self.keeps else ""
        return f"output_activation={self.output_activation}, tied={self.tied}{kept}"


def check_width(name: str, x: Tensor, width: int) -> None:
    """Raise ValueError unless x is (batch, width)."""
    if x.dim() != 2 or x.shape[1] != width:
        raise ValueError(f"{name}: expected shape (batch, {width}), got {tuple(x.shape)}")
