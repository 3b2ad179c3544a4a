"""Readers and valid seeds of run-folder files, for the fuzzer."""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from stackae.analysis.anomaly import score_rows
from stackae.analysis.calibration import calibrate, fit_baselines, pack_calibration, read_calibration
from stackae.analysis.principal import principal_of
from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.config import DataConfig, LayerConfig, PretrainConfig, RunConfig
from stackae.data.division import Division
from stackae.data.scaling import Scaling
from stackae.errors import RunError
from stackae.models.files import pack_scaling, pack_weights, read_layer, read_scaling
from stackae.models.heads import HEADS
from stackae.models.heads.classifier import Classifier
from stackae.models.heads.files import pack_head, read_head
from stackae.models.heads.multilabel import MultilabelClassifier
from stackae.models.heads.reconstruction import DeepAutoencoder
from stackae.models.heads.regressor import Regressor
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.kinds import build
from stackae.runs.checkpoints import history_of
from stackae.runs.kept_data import DataRecord, pack_division, unpack_division
from stackae.runs.manifest import Entry, Manifest
from stackae.runs.records import read_records, sealed
from stackae.runs.salvage import mended
from stackae.runs.state import ReplicaSnapshotState, SnapshotState, StageResultState, State, Work
from stackae.runs.summary import last_trainings, stage_summaries
from stackae.training.callbacks import EpochRecord

HERE = Path("file")
LAYER = LayerConfig(n_hidden=2, output_activation="linear", tied=False)
CLASSES = ("no", "yes")
STACK = PretrainConfig.from_options("3,2", activation="tanh")
OTHERS = [
    LayerConfig.model_validate({"n_hidden": 2, "output_activation": "linear", **kind})
    for kind in (
        {"kind": "convolutional", "shape": (1, 3, 1), "channels": 1, "pool": True},
        {"kind": "variational", "hidden": 2},
        {"kind": "marginalized", "activation": "tanh"},
        {"kind": "pca"},
        {"activation": "relu", "sparsity": "batch-top-k:1"},
    )
]
"""Layers of other kinds, on rows of 3 numbers."""


def read_manifest(content: bytes) -> None:
    """Assert that a manifest that can be read is written as the same bytes."""
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        assert Manifest.unpack(content).pack() == content


def read_repaired_manifest(content: bytes) -> None:
    """Give the document its canonical form and right digest first: the fuzzer cannot guess them."""
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(content)
        if isinstance(document, dict):
            body = {name: each for name, each in document.items() if name != "sha256"}
            spelled = json.dumps(body, indent=1, sort_keys=True) + "\n"
            whole = {**body, "sha256": hashlib.sha256(spelled.encode()).hexdigest()}
            read_manifest((json.dumps(whole, indent=1, sort_keys=True) + "\n").encode())


def read_state(content: bytes) -> None:
    """Assert that a state that can be read can be written again, and summarized."""
    with contextlib.suppress(ValueError):
        state = State.unpack(content)
        assert State.unpack(state.pack()) == state
        stage_summaries([record.to_dict() for record in history_of(state, 0)])


def read_metrics(content: bytes) -> None:
    """Assert that readable records can be summarized, and that what is recovered of damaged ones is readable."""
    read_records(b"\n".join(mended(content, []).lines))
    with contextlib.suppress(ValueError):
        stage_summaries(last_trainings([each for each in read_records(content) if each["event"] == "epoch"]))


def read_layer_file(content: bytes) -> None:
    autoencoder = read_layer(HERE, content, 3, LAYER, "eager")
    assert all(bool(each.isfinite().all()) for each in autoencoder.parameters())


def read_record(content: bytes) -> None:
    """Assert that a record of data that can be read can be written again."""
    with contextlib.suppress(ValueError):
        record = DataRecord.unpack(content)
        assert DataRecord.unpack(record.pack()) == record


def read_division_file(content: bytes) -> None:
    division = unpack_division(HERE, content, 3)
    assert len(division.sums) == len(division.parts) == 3 and {*(division.parts & 3).tolist()} <= {0, 1, 2}


def read_scaling_file(content: bytes) -> None:
    assert bool((read_scaling(HERE, content, 3).scale > 0).all())


def read_calibration_file(content: bytes) -> None:
    """Assert that a calibration that can be read scores rows, with thresholds that are numbers."""
    kept = read_calibration(HERE, content, (3, 2))
    stack = StackedAutoencoder([Autoencoder(3, 2, engine="eager")])
    for score, validation in kept.scores(stack).values():
        assert bool((validation >= 0).all() and (validation.diff() >= 0).all())
        assert score_rows(score, torch.ones(2, 3)).shape == (2,)


def read_classifier_file(content: bytes) -> None:
    model, _ = read_head(HERE, content, "classifier", STACK, "eager")
    assert all(bool(each.isfinite().all()) for each in model.parameters())


def read_other_layer_file(content: bytes) -> None:
    """Read the bytes as a layer of every other kind; most of them refuse it."""
    for layer in OTHERS:
        with contextlib.suppress(RunError):
            autoencoder = read_layer(HERE, content, 3, layer, "eager")
            assert all(bool(each.isfinite().all()) for each in autoencoder.state_dict().values())


def read_head_file(content: bytes) -> None:
    """Read the bytes as the file of every head; most of them refuse it."""
    for head in HEADS:
        with contextlib.suppress(RunError):
            model, _ = read_head(HERE, content, head, STACK, "eager")
            assert all(bool(each.isfinite().all()) for each in model.state_dict().values())


def manifest_seeds() -> list[bytes]:
    entries = (Entry.of(b"old"), Entry.of(b"new"))
    return [Manifest({}).pack(), Manifest({"config.toml": entries[:1], "layer1.safetensors": entries}, 7).pack()]


def state_seeds() -> list[bytes]:
    settings = RunConfig(data=DataConfig(), pretrain=PretrainConfig.from_options("3,2,1"))
    work = Work(command="pretrain", runs=("",), settings=(settings,), data="0" * 64)
    records = [EpochRecord(f"layer{each}", 1, 0.5, None, None, 1e-3, 0.1, 100.0, True) for each in (1, 2)]
    ended = StageResultState(checkpoint=2, size=3, sha256="0" * 64, history=(records[0],), diverged=None)
    replica = ReplicaSnapshotState(total=0.5, score=(0.1,), waited=0, history=(records[1],), diverged=None)
    stage = SnapshotState(name="layer2", epoch=2, rows=64, members={0: replica})
    whole = State(begun=1, work=work, machine={"threads": "2"}, ended={"layer1": {0: ended}}, stage=stage)
    return [whole.pack(), whole.model_copy(update={"stage": None, "ended": {}}).pack()]


def metrics_seeds() -> list[bytes]:
    figures = {
        "loss": 0.5,
        "validation_loss": 0.4,
        "corrupted_validation_loss": 0.6,
        "validation_error": None,
        "learning_rate": 1e-3,
    }
    lines = [
        {"event": "epoch", "stage": stage, "epoch": epoch, **figures, "best": epoch == 1}
        for stage in ("layer1", "classifier")
        for epoch in (1, 2)
    ]
    lines.append({"event": "evaluation", "run": "runs/it", "accuracy": 0.9, "classes": ["no", "yes"]})
    plain = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    return [b"", b"".join(sealed(line) + b"\n" for line in lines), plain]


def record_seeds() -> list[bytes]:
    names = {"columns": ("a", "b", "c"), "targets": ("y",), "classes": CLASSES, "ignored": ("",)}
    return [DataRecord(rows=3, labels=labels, **names).pack() for labels in ("0" * 64, "")]


def division_seeds() -> list[bytes]:
    return [pack_division(Division(np.arange(3, dtype=np.uint64), np.array([0, 2, 5], dtype=np.uint8)))]


def layer_seeds() -> list[bytes]:
    made = Autoencoder(3, 2, output_activation="linear", tied=False, engine="eager")
    return [pack_weights(made.state_dict(), LAYER)]


def scaling_seeds() -> list[bytes]:
    wide = torch.zeros(3, dtype=torch.float64)
    scalings = Scaling("unit", torch.zeros(3), torch.ones(3)), Scaling("robust", wide, wide + 1, 10.0)
    return [pack_scaling(scaling) for scaling in scalings]


def calibration_seeds() -> list[bytes]:
    stack = StackedAutoencoder([Autoencoder(3, 2, engine="eager")])
    train, validation = torch.eye(3), torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.5, 1.0]])
    baselines = fit_baselines(principal_of(train), validation, stack.layer_sizes)
    return [
        pack_calibration(calibrate(stack, validation)),
        pack_calibration(calibrate(stack, validation, baselines, (1, 3))),
    ]


def classifier_seeds() -> list[bytes]:
    encoder = Dense.initialised(3, 2, "tanh", seed=0, layer=1, engine="eager")
    head = Dense.initialised(2, 2, "linear", seed=0, layer=2, engine="eager")
    return [pack_head(Classifier([encoder], head), CLASSES)]


def other_layer_seeds() -> list[bytes]:
    return [pack_weights(build(3, layer, engine="eager").state_dict(), layer) for layer in OTHERS]


def head_seeds() -> list[bytes]:
    stack = StackedAutoencoder([build(3, LAYER.model_copy(update={"activation": "tanh"}), engine="eager")])
    encoder = Dense.initialised(3, 2, "tanh", seed=0, layer=1, engine="eager")
    head = Dense.initialised(2, 2, "linear", seed=0, layer=2)
    dense = [Regressor([encoder], head), MultilabelClassifier([encoder], head)]
    return [pack_head(model, CLASSES) for model in (DeepAutoencoder.unrolled(stack, "eager"), *dense)]
