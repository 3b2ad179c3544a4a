"""A layer that is trained on corrupted rows is validated on such rows, beside clean ones, and chosen by the former."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from cli_cases import PNG, stop
from closed_cases import affine
from replica_cases import HELD_OUT, ROWS, assert_same, config, together
from torch import Tensor

from stackae.autoencoders.corruption import Corruption
from stackae.autoencoders.statistics import CorruptedMoments, Moments
from stackae.config import PretrainConfig
from stackae.models.heads.base import Prepared
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.plots.curves import loss_curves, loss_curves_together
from stackae.pretraining import pretrain_stack, settle
from stackae.runs.records import read_records
from stackae.runs.state import State
from stackae.runs.summary import stage_summaries
from stackae.training.callbacks import EpochRecord
from stackae.training.checkpointing import ReplicaSnapshot
from stackae.training.early_stopping import Patience
from stackae.training.head import HeadReplica
from stackae.training.layer import LayerReplica, Reads
from stackae.training.replicas import ReplicaState
from stackae.training.stage import Stage, Validation
from stackae.training.step import OneByOne

SEEDS, STEPS = 40, 400
NOISES = ("masking:0.3", "gaussian:0.4", "salt-and-pepper:0.2")
CASES: list[dict[str, Any]] = [
    *({"corruption": noise} for noise in NOISES),
    {"corruption": "masking:0.3", "emphasis": "1:0.25"},
    {"corruption": "none", "dropout": "0.2:0.4"},
    {"corruption": "gaussian:0.2", "dropout": "0.1"},
    {"corruption": "masking:0.3", "loss": "bce", "activation": "sigmoid"},
    {"kind": "variational", "corruption": "masking:0.3", "activation": "tanh"},
]


def replica(engine: str = "fused", **options: Any) -> LayerReplica:
    given = settle(config("20,12", sparsity="none", engine=engine, **options), ROWS)
    return LayerReplica.new(0, given, 1, Reads.of(ROWS, HELD_OUT), torch.device("cpu"))


def standard_normal() -> tuple[Tensor, Tensor]:
    """Rows to train on and rows held out, of 8 independent numbers: of x + ε, ε as large as x, the best guess is half.

    It has a squared error of 8/4 on clean rows, where copying has none, and of 8/2 on noisy ones, where that has 8.
    """
    x = torch.randn(600, 8, generator=torch.Generator().manual_seed(0))
    return x[:400], x[400:]


def mean_and_error(losses: list[float]) -> tuple[float, float]:
    found = torch.tensor(losses, dtype=torch.float64)
    return float(found.mean()), float(found.std()) / math.sqrt(len(found))


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(map(str, options.values())))
def test_it_is_on_average_what_training_lowers_on_the_same_rows(options):
    """E over seeds of the validation loss = E over steps of the objective, both of the held-out rows."""
    objective = replica(**options).objective
    every = torch.arange(len(HELD_OUT))
    trained = mean_and_error([float(replace(objective, x=HELD_OUT)(every, step).detach()) for step in range(STEPS)])
    held_out = mean_and_error([replace(objective, seed=seed).corrupted_loss(HELD_OUT) for seed in range(SEEDS)])
    assert abs(trained[0] - held_out[0]) < 5 * math.hypot(trained[1], held_out[1])
    clean = replica(**options).validate()
    assert clean is not None and abs(clean.loss - held_out[0]) > 5 * held_out[1]


@pytest.mark.parametrize("noise", NOISES)
def test_of_a_linear_layer_it_is_the_expected_error_in_closed_form(noise):
    """E‖x − A x̃ − b‖², of the moments of the rows alone."""
    given = {"activation": "linear", "output_activation": "linear", "corruption": noise}
    objective = replica(**given).objective
    exact = CorruptedMoments.of(Moments.of(HELD_OUT), objective.corruption).error(*affine(objective.network))
    mean, error = mean_and_error([replace(objective, seed=seed).corrupted_loss(HELD_OUT) for seed in range(SEEDS)])
    assert abs(mean - float(exact)) < 5 * error


def test_a_marginalised_layer_tells_what_it_was_solved_for():
    given = config("20,12", kind="marginalized", activation="linear", sparsity=None, corruption="masking:0.3")
    result = pretrain_stack(ROWS, given, validation=HELD_OUT)
    noise = Corruption("masking", 0.3, float(ROWS.min()), float(ROWS.max()))
    linear = affine(result.stack.autoencoders[0])
    for rows, found in ((ROWS, result.history[0].loss), (HELD_OUT, result.history[0].corrupted_validation_loss)):
        exact = float(CorruptedMoments.of(Moments.of(rows), noise).error(*linear))
        assert found == pytest.approx(exact, rel=0.1)
    assert result.history[0].validation_loss < 0.8 * result.history[0].corrupted_validation_loss


def test_its_noise_is_the_same_in_every_epoch_and_no_steps_seeds_or_layers():
    objective = replica(corruption="masking:0.3").objective
    assert isinstance(objective, ReconstructionObjective)
    once, again = (objective.corrupted_loss(HELD_OUT) for _ in range(2))
    assert once == again
    others = [replace(objective, seed=1), replace(objective, layer=2)]
    assert len({once, *(each.corrupted_loss(HELD_OUT) for each in others)}) == 3
    ones = torch.ones_like(HELD_OUT)
    struck = objective._seen(ones, 1 << 62) == 0
    for step in range(200):
        in_training = objective._seen(ones, step) == 0
        assert abs(float((struck & in_training).float().mean()) - 0.09) < 0.05  # as often as chance has it


def test_it_depends_on_a_row_and_its_place_alone(monkeypatch):
    """More rows than are read at once: the pieces have noise of their own, and the first is as it was alone."""
    objective = replica(corruption="masking:0.3").objective
    monkeypatch.setattr("stackae.objectives.reconstruction.ROWS_AT_ONCE", 10)
    pieces = [objective.corrupted_loss(HELD_OUT[:10]), objective.corrupted_loss(HELD_OUT[:20])]
    repeated = torch.cat([HELD_OUT[:10], HELD_OUT[:10]])
    assert objective.corrupted_loss(repeated) != pieces[0] == objective.corrupted_loss(HELD_OUT[:10])
    assert objective.corrupted_loss(HELD_OUT[:20]) == pieces[1]


@pytest.mark.parametrize("options", CASES, ids=lambda options: "-".join(map(str, options.values())))
def test_engines_agree_to_rounding(options):
    fused, eager = (replica(engine=engine, **options).validate() for engine in ("fused", "eager"))
    assert fused.corrupted_loss == pytest.approx(eager.corrupted_loss, rel=1e-5)
    assert fused.loss == pytest.approx(eager.loss, rel=1e-5)


@pytest.mark.parametrize("options", [{"corruption": "none"}, {"corruption": "masking:0"}, {"corruption": "gaussian:0"}])
def test_a_layer_without_noise_has_one_number_as_before(options):
    found = replica(**options).validate()
    assert found.corrupted_loss is None and found.score == (found.loss,)


def copying(x: Tensor, **options: Any) -> PretrainConfig:
    """A linear layer as wide as its input that begins at PCA: it copies, until noise teaches it not to."""
    linear = {"activation": "linear", "output_activation": "linear", "weights": None, "tied": False, "init": "pca"}
    layers = f"{x.shape[1]},{x.shape[1]}"
    given = {"max_epochs": 30, "batch_size": 16, "device": "cpu", "corruption": "gaussian:1", "learning_rate": 0.003}
    return PretrainConfig.from_options(layers, **linear | given | options)


def test_the_kept_epoch_is_the_best_under_noise_where_the_clean_loss_only_rises():
    train, held_out = standard_normal()
    result = pretrain_stack(train, copying(train), validation=held_out)
    clean = [record.validation_loss for record in result.history]
    noisy = [record.corrupted_validation_loss for record in result.history]
    assert clean[0] == min(clean) < 0.5 and clean[-1] == pytest.approx(2, rel=0.2)
    assert noisy[0] > 5 and noisy[-1] == pytest.approx(4, rel=0.2)
    best = [record.epoch for record in result.history if record.best][-1]
    assert best == noisy.index(min(noisy)) + 1 > 5
    error = (result.stack.reconstruct(held_out) - held_out).square().sum(dim=1).mean().item()
    assert error == pytest.approx(clean[best - 1], rel=1e-4)


def test_patience_waits_for_the_loss_under_noise():
    """By the clean loss, which only rises, patience 2 ends after three epochs."""
    train, held_out = standard_normal()
    result = pretrain_stack(train, copying(train, patience=2), validation=held_out)
    assert len(result.history) > 5


def test_seeds_trained_together_have_the_noise_that_they_have_alone():
    configs = [config(seed=seed, corruption="masking:0.3") for seed in range(3)]
    for given, found in zip(configs, together(configs), strict=True):
        alone = pretrain_stack(ROWS, given, validation=HELD_OUT)
        assert_same(found, alone)
        assert all(record.corrupted_validation_loss is not None for record in found.history)


def test_an_epoch_that_an_older_version_chose_by_the_clean_loss_gives_way():
    module = torch.nn.Linear(1, 1)
    given = {"x": ROWS, "held_out": ROWS, "seed": 0, "learning_rate": 0.1, "weight_decay": 0.0}
    head = Prepared(module, ROWS, ROWS, None, lambda *given: Validation(1.0, corrupted_loss=5.0))
    replica = HeadReplica(network=module, **given, head=head)
    stage = Stage("layer1", "layer 1", 1, [replica], OneByOne([]), 3, 10, Patience(2), "constant")
    state = ReplicaState(replica, stage)
    old = EpochRecord("layer1", 1, 1.0, 0.5, None, 0.1, 1.0, 1.0, True)
    weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state.restore(ReplicaSnapshot(0.0, (0.5,), 0, (old,), None, weights, weights, []), [])
    found = [state.end_epoch(number, 1.0) for number in (2, 3)]
    assert [record.best for record in found] == [True, False]  # then 5 is compared with 5


DENOISING = ("--activation", "sigmoid", "--loss", "mse", "--init", "random", "--corruption", "masking:0.3")


def test_a_training_that_patience_ends_says_so(fresh):
    given = ("--layers", "8,6", "--data", "labelled.npz", "--epochs", "90", "--learning-rate", "3", *DENOISING)
    told = fresh("pretrain", *given, "--schedule", "constant", "--checkpoint-every", "1000").err
    epochs = int(re.search(r"ended after epoch (\d+) of 90: none was better than epoch \d+ \(--patience 0", told)[1])
    assert 30 < epochs == len((fresh.run / "metrics.jsonl").read_text().splitlines()) < 90
    again = fresh("pretrain", *given, "--schedule", "constant", "--patience", "0")
    assert "ended after" not in again.err and len((fresh.run / "metrics.jsonl").read_text().splitlines()) == 90
    assert "auto: a third of the epochs" in " ".join(fresh.does("pretrain", "--help", COLUMNS="200").split())


def test_both_losses_reach_the_screen_the_file_and_programs(fresh):
    shell = fresh
    done = shell("pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--corruption", "masking:0.3,none")
    assert "under noise" in done.out and re.search(r"validation \S+, under noise \S+", done.err)
    records = [json.loads(line) for line in (shell.run / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        noisy = record["corrupted_validation_loss"]
        assert (noisy is not None) == (record["stage"] == "layer1")
        assert noisy is None or noisy != record["validation_loss"]
    assert "under noise" in shell.does("runs", "show")
    stages = json.loads(shell.does("runs", "show", "--json"))["stages"]
    kept = [record for record in records if record["stage"] == "layer1" and record["best"]][-1]
    assert stages[0]["corrupted_validation_loss"] == kept["corrupted_validation_loss"]
    assert stages[1]["corrupted_validation_loss"] is None


def test_seeds_tell_their_mean_under_noise(fresh):
    given = (
        "pretrain",
        "--layers",
        "8,6,4",
        "--data",
        "labelled.npz",
        "--corruption",
        "masking:0.3,none",
        "--seeds",
        "2",
    )
    told = fresh.does(*given, "--run", "runs/two")
    document = json.loads(fresh.does(*given, "--json"))
    first, second = document["layers"]
    each = [seed["layers"][0]["corrupted_validation_loss"] for seed in document["seeds"]]
    assert first["corrupted_mean"] == pytest.approx(sum(each) / 2) and second["corrupted_mean"] is None
    assert f"under noise layer 1 {first['corrupted_mean']:.4g} (means" in told


def test_runs_of_older_versions_are_read_and_drawn(fresh):
    """Their records have no loss under noise, neither in metrics.jsonl nor in the states of checkpoints."""
    fresh.draws = True
    stop(fresh, "pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--epochs", "3", "--run", "runs/old", at=3)
    checkpoints = sorted((fresh.folder / "runs/old/checkpoints").glob("*/state.json"))
    state = json.loads(checkpoints[-1].read_text())
    for record in state["stage"]["members"]["0"]["history"]:
        del record["corrupted_validation_loss"]
    (old,) = State.unpack(json.dumps(state).encode()).stage.members.values()
    assert old.history[0].corrupted_validation_loss is None
    lines = [{"event": "epoch", **record.to_dict()} for record in old.history]
    for line in lines:
        del line["corrupted_validation_loss"]
    (read,) = read_records(json.dumps(lines[0]).encode())
    assert "corrupted_validation_loss" not in read
    assert stage_summaries([read])[0].corrupted_validation_loss is None
    newer = {**read, "epoch": 2, "corrupted_validation_loss": 0.5}
    for epochs in ([read], [read, newer]):
        assert loss_curves(epochs).startswith(PNG) and loss_curves_together([epochs]).startswith(PNG)
