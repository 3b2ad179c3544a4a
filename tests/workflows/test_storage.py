"""A run whose rows stay in their file: the same bytes as one whose rows are in memory, in every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stackae.workflows.callbacks import Callbacks
from stackae.workflows.encode import encode_run
from stackae.workflows.evaluate import evaluate_run
from stackae.workflows.finetune import finetune_run
from stackae.workflows.inputs import DataRequest, finetune_settings, run_settings
from stackae.workflows.predict import predict_run
from stackae.workflows.pretrain import pretrain_run
from stackae.workflows.reconstruct import reconstruct_run
from stackae.workflows.scoring import score

WEIGHTS = ("layer1.safetensors", "layer2.safetensors", "classifier.safetensors", "scaling.safetensors")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 300)
    x = generator.random((3, 20))[y] + generator.normal(0, 0.1, (300, 20))
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    np.save(tmp_path / "y.npy", y)
    return tmp_path / "x.npy"


class Noted(Callbacks):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, *lines: str) -> None:
        self.notes.extend(lines)


def trained(file: Path, storage: str, folder: Path) -> tuple[Path, list[str]]:
    noted = Noted()
    target = str(file.with_name("y.npy"))
    options = {"data": str(file), "target": target, "layers": "20,8,4", "epochs": 2, "storage": storage}
    pretrain_run(run_settings(options), folder, callbacks=noted)
    finetune_run(folder, finetune_settings({"head": "classifier", "epochs": 2}), callbacks=noted)
    return folder, noted.notes


def test_every_command_gives_the_bytes_of_rows_in_memory(file: Path, tmp_path: Path) -> None:
    (one, notes), (other, told) = (trained(file, where, tmp_path / where) for where in ("memory", "disk"))
    for name in WEIGHTS:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    assert not any("read from disk" in note for note in notes)
    assert any("read from disk as they are needed" in note for note in told)
    for name in ("codes.npy", "scores.csv", "restored.npy", "answers.csv"):
        for folder in (one, other):
            write = {"codes": encode_run, "scores": score, "restored": reconstruct_run, "answers": predict_run}
            write[name.partition(".")[0]](folder, out=folder / name)
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    first, second = (evaluate_run(folder).metrics for folder in (one, other))
    assert {**first, "run": ""} == {**second, "run": ""}


def test_a_run_that_was_trained_in_memory_reads_a_file_from_disk(file: Path, tmp_path: Path) -> None:
    folder, _ = trained(file, "memory", tmp_path / "run")
    for storage in ("memory", "disk"):
        encode_run(folder, data=DataRequest(str(file), storage=storage), out=tmp_path / f"{storage}.npy")
    assert (tmp_path / "memory.npy").read_bytes() == (tmp_path / "disk.npy").read_bytes()
