"""What each kind of layer is said to do, on MNIST: one figure a claim, beside what it is compared with.

    python -m benchmarks.variants --data-root DIR [--seeds 2] [--threads N] [--only TEXT] [--data digits] [--epochs N]

- KL: mean |rho_hat_j - rho| over the units of 784-300, on the training rows.
- denoising: squared error per row of test rows restored from Gaussian noise of 0.4, plain / denoising layer.
- convolution: squared error per test row from a code of 32 units, of one dense layer, of a deep dense stack, of
  convolutions below a dense layer; each fine-tuned as a whole.
- linear: the largest principal angle between a trained linear autoencoder's subspace and PCA's, in degrees.
- other data: AUROC of the reconstruction error, MNIST's test rows against Fashion-MNIST's, PCA of the same width and
  Mahalanobis distance beside it.

--data and --epochs, in the place of what each claim asks for, are to try this out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.machine import machine, save
from stackae.analysis.anomaly import fit_scores, performance, score_rows
from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.pca import principal_angles, principal_components
from stackae.autoencoders.statistics import Moments
from stackae.config import DataConfig, FinetuneConfig, PretrainConfig
from stackae.data import Dataset, load_data, load_source, scaled_rows
from stackae.finetuning import finetune_stack
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.ops.engine import choose_engine
from stackae.pretraining import pretrain_stack

RHO, NOISE = 0.05, 0.4


class Claim(NamedTuple):
    name: str
    figure: str
    of: Callable[[Dataset, Settings], Iterator[tuple[str, float]]]


class Settings(NamedTuple):
    """A seed, and the epochs of every training where they are not those of the claim."""

    seed: int
    epochs: str | None = None


def trained(data: Dataset, settings: Settings, layers: str, **options: Any) -> StackedAutoencoder:
    epochs = {"max_epochs": settings.epochs} if settings.epochs else {}
    config = PretrainConfig.from_options(layers, seed=settings.seed, device="cpu", **{**options, **epochs})
    return pretrain_stack(data.train.x, config, validation=data.validation.x).stack


def kl(data: Dataset, settings: Settings) -> Iterator[tuple[str, float]]:
    for weight in ("0.5", "3"):
        stack = trained(data, settings, "784,300", sparsity=f"kl:{RHO}:{weight}", corruption="none")
        rho_hat = in_batches(stack.encode, data.train.x).mean(dim=0)
        yield f"kl:{RHO}:{weight}", float((rho_hat - RHO).abs().mean())


def denoising(data: Dataset, settings: Settings) -> Iterator[tuple[str, float]]:
    clean = data.test.x[:]
    noisy = Corruption("gaussian", NOISE)(clean, choose_engine(), seed=settings.seed, layer=9, step=1)
    for name in ("none", f"gaussian:{NOISE}"):
        yield name, _error(in_batches(trained(data, settings, "784,300", corruption=name).reconstruct, noisy), clean)


def convolution(data: Dataset, settings: Settings) -> Iterator[tuple[str, float]]:
    """With the learning rates that served each best."""
    deep = {"activation": "relu,relu,linear", "tied": "false", "learning_rate": "0.001"}
    for layers, options, rate in (
        ("784,32", {"activation": "linear"}, 0.003),
        ("784,512,128,32", deep, 0.001),
        ("28x28x1,conv16,pool,conv32,pool,32", deep, 0.002),
    ):
        stack = trained(data, settings, layers, corruption="none", max_epochs="2", **options)
        epochs = int(settings.epochs or 16)
        config = FinetuneConfig(
            head="reconstruction", max_epochs=epochs, learning_rate=rate, seed=settings.seed, device="cpu"
        )
        model = finetune_stack(stack, data.train, config, validation=data.validation).model
        parameters = sum(each.numel() for each in model.parameters())
        error = _error(in_batches(model, data.test.x), data.test.x[:])
        yield f"{layers}, {parameters:,} parameters", error


def linear(data: Dataset, settings: Settings) -> Iterator[tuple[str, float]]:
    components = principal_components(Moments.of(data.train.x)).components
    for weights in ("true", "false"):
        stack = trained(data, settings, "784,32", activation="linear", output_activation="linear", corruption="none",
                        weight_decay="0", tied=weights, learning_rate="0.001", max_epochs="100",
                        batch_size="256")  # fmt: skip
        decoded = stack.decode(torch.eye(32)) - stack.decode(torch.zeros(1, 32))
        angles = principal_angles(decoded.detach().double(), components[:32].double())
        yield "tied" if weights == "true" else "untied", float(angles.max())


def other_data(data: Dataset, settings: Settings) -> Iterator[tuple[str, float]]:
    fashion = data.config.model_copy(update={"data": "fashion-mnist"})
    others = scaled_rows(load_source(fashion), data.scaling).x[-10_000:]  # its test part
    for layers, activation in (("784,300,150", "sigmoid"), ("784,128", "linear")):
        stack = trained(data, settings, layers, activation=activation, corruption="none")
        for name, score in fit_scores(stack, data.train.x).items():
            found = performance(score_rows(score, data.test.x), score_rows(score, others), 0.0)
            yield f"{layers} {activation}, {name}", found.auroc


def _error(z: Tensor, x: Tensor) -> float:
    return float((z - x).square().sum(dim=1).mean())


CLAIMS = (
    Claim("KL", "mean |rho_hat - rho|", kl),
    Claim("denoising", "squared error per row, of noisy test rows", denoising),
    Claim("convolution", "squared error per row", convolution),
    Claim("linear", "largest angle to PCA, degrees", linear),
    Claim("other data", "AUROC", other_data),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", default="data")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="claims whose name holds one of these")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/variants-mnist.json"))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = load_data(DataConfig(data=given.data, data_root=given.data_root))
    entries: list[dict[str, Any]] = []
    with torch.no_grad():
        about = machine(torch.device("cpu"))
    for claim in (claim for claim in CLAIMS if any(text in claim.name for text in given.only)):
        for seed in range(given.seeds):
            for case, value in claim.of(data, Settings(seed, given.epochs)):
                entries.append(
                    {"claim": claim.name, "figure": claim.figure, "case": case, "seed": seed, "value": value}
                )
                print(f"{claim.name:12} {claim.figure:40} {case:40} seed {seed}  {value:.5g}", flush=True)
    save(given.out, about, entries)


if __name__ == "__main__":
    main()
