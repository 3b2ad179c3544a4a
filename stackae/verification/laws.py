"""Laws of trained layers: the contractive penalty, principal components, tied weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd import functional as autograd
from torch.nn import functional as F

from stackae.autoencoders.dense import Autoencoder
from stackae.autoencoders.pca import principal_angles
from stackae.config import PretrainConfig
from stackae.config.activations import ACTIVATIONS
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.ops.reference import ACTIVATIONS as FUNCTIONS
from stackae.ops.step import Batches
from stackae.pretraining import pretrain_stack
from stackae.training.layer import LayerReplica, make_step
from stackae.verification.check import Case, Check
from stackae.verification.subjects import CPU, EAGER_REMEDY, need_step, normal, replica_of, rows_of

STEPS = 12
jacobian: Callable[..., Tensor] = autograd.jacobian


# ---- contraction


def contraction_of(replica: LayerReplica) -> float:
    """Compute the term that a contraction of weight 1 adds to the training loss."""
    rows = torch.arange(len(replica.reads.x))
    objective = replica.objective
    without = type(objective)(**{**vars(objective), "contraction": 0.0})
    return float(objective(rows, 0).detach() - without(rows, 0).detach())


def jacobian_cases() -> Iterator[Case]:
    """Compare the penalty with the mean of ‖∂h/∂x‖²_F over rows by autograd, for every activation."""
    x = 3 * normal(6, 7)
    for activation in ACTIVATIONS:
        replica = replica_of("7,5", x, activation=activation, contraction=1.0, output_activation="linear")
        encode = replica.network.encode
        jacobians = [jacobian(encode, row[None]) for row in x]
        wanted = float(torch.stack(jacobians).square().sum()) / len(x)
        yield Case(activation, abs(contraction_of(replica) / wanted - 1), 1e-10)


def wide_cases() -> Iterator[Case]:
    """Compare the penalty of a 784-300 layer with its Jacobian, computed row by row: one backward pass per unit."""
    x = rows_of(8, 784)
    for activation in ("sigmoid", "tanh", "softplus"):
        replica = replica_of("784,300", x, activation=activation, contraction=1.0)
        seen = x.clone().requires_grad_()
        total = 0.0
        for unit in replica.network.encode(seen).sum(dim=0):
            (row,) = torch.autograd.grad(unit, seen, retain_graph=True)
            total += float(row.square().sum())
        yield Case(activation, abs(contraction_of(replica) / (total / len(x)) - 1), 1e-10)


# ---- linear layers and principal components


def spread_rows() -> Tensor:
    """Draw (256, 12) float64 rows of mean 0.5 whose first four principal variances are well separated."""
    basis: Tensor = torch.linalg.qr(normal(12, 12, seed=1)).Q
    deviations = torch.tensor([2.0, 1.7, 1.4, 1.1] + [0.5] * 8, dtype=torch.float64)
    return (normal(256, 12, seed=2) * deviations) @ basis.t() + 0.5


def components_of(x: Tensor, count: int) -> Tensor:
    """Compute (count, d) principal components by the SVD of the centered rows; the library uses the covariance."""
    components: Tensor = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False).Vh
    return components[:count]


def trained_cases() -> Iterator[Case]:
    x = spread_rows()
    for tied in (False, True):
        options: dict[str, Any] = {
            "activation": "linear",
            "output_activation": "linear",
            "corruption": "none",
            "tied": tied,
        }
        config = PretrainConfig.from_options(
            "12,4", max_epochs=600, learning_rate=0.05, weight_decay=0.0, batch_size=256, device="cpu", **options
        )
        autoencoder = pretrain_stack(x.float(), config).stack.autoencoders[0]
        assert isinstance(autoencoder, Autoencoder)
        for name, rows in _spans(autoencoder):
            angle = float(principal_angles(rows, components_of(x, 4))[-1])
            yield Case(f"{'tied' if tied else 'untied'}, {name}", angle, 0.1)


def solved_cases() -> Iterator[Case]:
    x = spread_rows()
    replica = replica_of("12,4", x, torch.device("cpu"), torch.float32, kind="pca")
    replica.prepare()
    assert isinstance(replica.network, Autoencoder)
    for name, rows in _spans(replica.network):
        yield Case(name, float(principal_angles(rows, components_of(x, 4))[-1]), 1e-3)


def left_out_cases() -> Iterator[Case]:
    """Compare E‖x − z‖² of the closed form with the sum of the remaining squared singular values."""
    x = spread_rows()
    values = torch.linalg.svdvals(x - x.mean(dim=0)).square() / len(x)
    for width in (1, 4, 11):
        replica = replica_of(f"12,{width}", x, torch.device("cpu"), torch.float32, kind="pca")
        replica.prepare()
        z = replica.network.double().reconstruct(x).detach()
        error = float((z - x).square().sum(dim=1).mean())
        yield Case(f"{width} of 12 units", abs(error / float(values[width:].sum()) - 1), 1e-5)


def _spans(autoencoder: Autoencoder) -> Iterator[tuple[str, Tensor]]:
    yield "encoder", autoencoder.encoder.weight.detach()
    if not autoencoder.tied:
        yield "decoder", autoencoder.decoder_weight.detach().t()


# ---- tied weights


def tied_cases(engine: str) -> Iterator[Case]:
    """Check after every step that the reconstruction, and the loss of the next step, are those of W' = Wᵀ."""
    if engine == "fused":
        need_step(CPU)
    x = rows_of(48, 9)
    for optimizer in ("sgd", "adam", "adamw"):
        replica = replica_of("9,5", x, engine=engine, optimizer=optimizer, weight_decay=0.01, corruption="masking:0.3")
        yield Case(f"{optimizer}, {STEPS} steps", untied_by(replica, make_step([replica])), 1e-12)


def untied_by(replica: LayerReplica, step: object) -> float:
    """Measure the largest relative difference to W' = Wᵀ over some steps."""
    one, x = replica.network, replica.reads.x[:]
    objective: Any = replica.objective
    assert isinstance(one, Autoencoder) and isinstance(objective, ReconstructionObjective) and hasattr(step, "advance")
    worst = 0.0
    for number in range(STEPS):
        rows = torch.arange(16) + 16 * (number % 3)
        h = one.encode(x).detach()
        wanted = FUNCTIONS[one.output_activation](F.linear(h, one.encoder.weight.t(), one.decoder_bias)).detach()
        worst = max(worst, float((one.decode(h).detach() / wanted - 1).abs().max()))
        mirror = copy.deepcopy(one)
        with torch.no_grad():
            expected = float(replace(objective, network=mirror)(rows, number))
        (progress,) = step.advance([Batches(rows, [0.05])], 16, number)
        worst = max(worst, abs(progress.total / (16 * expected) - 1))
    return worst


def _tied(engine: str) -> Callable[[], Iterator[Case]]:
    return lambda: tied_cases(engine)


_TIED = "decoder and next loss to be those of W' = Wᵀ after every step"

CHECKS = (
    Check(
        "contraction",
        "every activation",
        "the penalty to be the squared norm of autograd's Jacobian",
        "relative error",
        jacobian_cases,
    ),
    Check(
        "contraction",
        "784-300",
        "the penalty to be that of the Jacobian, a unit's row at a time",
        "relative error",
        wide_cases,
    ),
    Check(
        "linear",
        "trained by gradient",
        "its space to be that of PCA (SVD of the rows)",
        "largest angle, degrees",
        trained_cases,
    ),
    Check(
        "linear", "closed form", "its space to be that of PCA (SVD of the rows)", "largest angle, degrees", solved_cases
    ),
    Check(
        "linear",
        "what is left out",
        "its error to be the sum of the variances left out",
        "relative error",
        left_out_cases,
    ),
    Check("tied", "eager step", _TIED, "relative error", _tied("eager")),
    Check("tied", "fused step", _TIED, "relative error", _tied("fused"), EAGER_REMEDY),
)
