"""Laws of stackae.runs: what is saved is what is loaded, files are whole or absent, and the newest run is found."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.config import DataConfig, PretrainConfig, RunConfig
from stackae.data import Scaling
from stackae.errors import ConfigError, DiskError, RunError
from stackae.models.heads.classifier import Classifier
from stackae.runs import LATEST, Run, check_free, default_path, durable, new_runs, open_run, write_whole
from stackae.runs.beginning import complete, new_folder
from stackae.runs.ownership import asides
from stackae.runs.pointer import point_latest
from stackae.runs.run import config_file, scaling_file, trained_head_file, trained_layer_file

ACTIVATIONS = ("tanh", "relu")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def filled(module: nn.Module) -> nn.Module:
    """The module with values whose every bit matters: a denormal number and a negative zero among them."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
        parameter.data.view(-1)[:2] = torch.tensor([1e-42, -0.0])
    return module


def same_bits(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name].view(torch.int32), other[name].view(torch.int32))
        for name in one
    )


def autoencoder(n_visible: int, n_hidden: int, tied: bool, activation: str = "tanh") -> Autoencoder:
    made = Autoencoder(n_visible, n_hidden, activation=activation, output_activation="linear", tied=tied)
    assert isinstance(filled(made), Autoencoder)
    return made


def classifier() -> Classifier:
    encoders = [Dense.initialised(5, 4, "tanh", seed=0, layer=1), Dense.initialised(4, 3, "relu", seed=0, layer=2)]
    made = Classifier(encoders, Dense.initialised(3, 2, "linear", seed=0, layer=3))
    assert isinstance(filled(made), Classifier)
    return made


def make_run(path: Path = Path("runs/one"), force: bool = False, tied: str = "false") -> Run:
    with new_runs(path, force) as (_, (run,)):
        run.publish(config_file(RunConfig(data=DataConfig(), pretrain=settings(tied))))
        complete(path, [run])
    return run


def settings(tied: str = "false") -> PretrainConfig:
    return PretrainConfig.from_options("5,4,3", activation=",".join(ACTIVATIONS), output_activation="linear", tied=tied)


def layer_of(number: int, made: Autoencoder) -> dict[str, bytes]:
    tied = str(made.tied).lower()
    return trained_layer_file(number, made, settings(tied).layers[number - 1])


# ---- round trips


@pytest.mark.parametrize("kind", ["none", "unit", "minmax", "standard"])
def test_scaling_comes_back_bit_for_bit(kind: str) -> None:
    run, scaling = make_run(), Scaling.fit(kind, np.random.default_rng(0).normal(2, 9, (20, 5)).astype(np.float32))
    run.publish(scaling_file(scaling))
    loaded = run.load_scaling()
    assert loaded.kind == kind and same_bits(loaded.to_tensors(), scaling.to_tensors())


@pytest.mark.parametrize("tied", [(True, True), (False, False), (True, False)])
@pytest.mark.parametrize("engine", ["auto", "eager"])
def test_layers_come_back_bit_for_bit(tied: tuple[bool, bool], engine: str) -> None:
    run = make_run(tied=f"{tied[0]},{tied[1]}")
    layers = [autoencoder(5, 4, tied[0], "tanh"), autoencoder(4, 3, tied[1], "relu")]
    for number, layer in enumerate(layers, start=1):
        run.publish(layer_of(number, layer))
    loaded = open_run(None).load_stack(engine)
    assert loaded.layer_sizes == (5, 4, 3)
    for one, other in zip(loaded.autoencoders, layers, strict=True):
        assert same_bits(one.state_dict(), other.state_dict())
        assert (one.tied, one.encoder.activation) == (other.tied, other.encoder.activation)
        assert one.output_activation == "linear"


def test_a_classifier_comes_back_bit_for_bit_with_its_classes() -> None:
    run, model, classes = make_run(), classifier(), ("no", 'a "yes", \u00fc\n')
    assert not run.has_head("classifier")
    run.publish(trained_head_file("classifier", model, classes))
    loaded, names = run.load_head("classifier")
    assert run.has_head("classifier") and names == classes
    assert same_bits(loaded.state_dict(), model.state_dict())
    assert tuple(encoder.activation for encoder in loaded.encoders) == ACTIVATIONS


def test_the_same_weights_make_the_same_file() -> None:
    run, layer, contents = make_run(), autoencoder(5, 4, tied=False), set()
    for _ in range(20):
        run.publish(layer_of(1, layer))
        contents.add((run.path / "layer1.safetensors").read_bytes())
    assert len(contents) == 1


def test_configuration_and_metrics_come_back() -> None:
    run = make_run()
    assert run.metrics() == []
    evaluations = [{"event": "evaluation", "rows": number, "name": "\u00fc\n"} for number in (1, 2)]
    for each in evaluations:
        run.publish({"metrics.jsonl": run.metrics_with([each])})
    assert run.metrics() == evaluations
    config = run.config
    run.publish(config_file(config))
    assert run.config == config and run.pretrain_config.layer_sizes == (5, 4, 3)


def test_a_layer_of_another_shape_is_refused() -> None:
    run = make_run()
    run.publish(layer_of(1, autoencoder(5, 4, tied=False)) | layer_of(2, autoencoder(4, 2, False, "relu")))
    with pytest.raises(RunError, match=r"layer2\.safetensors: expected a stage .*\(2, 4\).*, 22 numbers instead of 31"):
        run.load_stack()


EPOCH = {"event": "epoch", "stage": "layer1", "epoch": 1, "loss": 0.5, "validation_loss": None,
         "validation_error": None, "learning_rate": 0.1, "best": True}  # fmt: skip


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([1], "line 1: "),
        ([EPOCH, {**EPOCH, "event": "end"}], "line 2: "),
        ([{**EPOCH, "loss": "0.5"}], "line 1: epoch.loss: Input should be a valid number"),
        ([{**EPOCH, "epoch": 2}], "epoch 2 of layer1 after epoch 0"),
        ([{**EPOCH, "best": False}], "a first epoch of layer1 that is not the best so far"),
        ([EPOCH, {**EPOCH, "epoch": 3}], "epoch 3 of layer1 after epoch 1"),
        ([{"event": "evaluation", "accuracy": 1.5}], "line 1: evaluation.accuracy: "),
    ],
)
def test_records_that_say_nothing_are_refused(records: list[object], reason: str) -> None:
    run = make_run()
    run.publish({"metrics.jsonl": b"".join(json.dumps(each).encode() + b"\n" for each in records)})
    with pytest.raises(RunError, match=r"metrics\.jsonl: expected an epoch or an evaluation a line, got ") as caught:
        run.metrics()
    assert reason in str(caught.value)


# ---- whole files


def test_writing_leaves_no_temporary_file(here: Path) -> None:
    for content in (b"old", b"new", b""):
        write_whole(here / "file", content)
        assert [path.name for path in here.iterdir()] == ["file"] and (here / "file").read_bytes() == content


def test_a_failed_write_leaves_the_old_file_alone(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, content: bytes) -> None:
        path.write_bytes(content[:1])
        raise OSError(errno.ENOSPC, "full", str(path))

    write_whole(here / "file", b"old")
    monkeypatch.setattr(durable, "_write", fill)
    with pytest.raises(
        DiskError, match=r"expected to write 3 bytes, got 'full' with [\d,]+ bytes free; free some space"
    ):
        write_whole(here / "file", b"new")
    assert (here / "file").read_bytes() == b"old"
    assert [path.name for path in here.iterdir()] == ["file"]


# ---- folders


def test_opening_finds_the_newest_or_the_named_run(here: Path) -> None:
    one, two = make_run(), make_run(Path("elsewhere/two"))
    assert open_run(None).path == two.path.resolve() == here / "elsewhere" / "two"
    assert Run.open(one.path).path == Run.open(here / "runs" / "one").path == one.path.resolve()


@pytest.mark.parametrize("path", [None, Path("nowhere"), Path("empty")])
def test_opening_what_is_no_run_says_how_to_make_one(here: Path, path: Path | None) -> None:
    (here / "empty").mkdir()
    with pytest.raises(RunError, match=r"expected a run folder, got .*stackae pretrain --layers"):
        open_run(path)


def test_the_pointer_moves_and_survives_a_move_of_all_runs(here: Path) -> None:
    one, two = make_run(), make_run(Path("runs/two"))
    for run in (one, two, one, one):
        point_latest(run.path)
        assert LATEST.is_symlink() and LATEST.resolve() == run.path.resolve()
    (here / "runs").rename(here / "moved")
    assert (here / "moved" / "latest").resolve() == here / "moved" / "one"
    assert sorted(path.name for path in (here / "moved").iterdir()) == ["latest", "one", "two"]


def test_a_pointer_to_nothing_is_no_run_and_is_replaced() -> None:
    LATEST.parent.mkdir()
    LATEST.symlink_to("gone")
    with pytest.raises(RunError):
        open_run(None)
    assert Run.open(make_run().path).path == LATEST.resolve()


def test_a_folder_in_the_place_of_the_pointer_is_left_alone() -> None:
    (LATEST / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="expected a pointer to the newest run, got a folder"):
        point_latest(Path("runs/one"))
    assert (LATEST / "mine").is_dir()


def test_a_failed_run_leaves_no_folder_and_no_pointer(here: Path) -> None:
    with pytest.raises(KeyError), new_runs(Path("runs/one"), force=False) as (_, (run,)):
        run.publish({"file": b"part"})
        raise KeyError
    assert list((here / "runs").iterdir()) == []


def checkpoint(run: Run) -> None:
    (run.path / "checkpoints" / "000002-layer1-end").mkdir(parents=True)


def test_a_failed_run_with_a_checkpoint_is_kept() -> None:
    with pytest.raises(KeyboardInterrupt), new_runs(Path("runs/one"), force=False) as (_, (run,)):
        checkpoint(run)
        raise KeyboardInterrupt
    assert run.path.is_dir() and not LATEST.exists()


def test_a_replaced_run_is_given_up_only_for_a_complete_one() -> None:
    make_run().publish({"old": b"1"})
    with pytest.raises(KeyError), new_runs(Path("runs/one"), force=True) as (_, (run,)):
        run.publish({"new": b"2"})
        raise KeyError
    assert run.holds("old") and not run.holds("new")
    with pytest.raises(KeyError), new_runs(Path("runs/one"), force=True) as (_, (run,)):
        run.publish({"new": b"2"})
        checkpoint(run)
        raise KeyError
    (aside,) = asides(Path("runs/one"))
    assert Run(aside).holds("old") and not Run(LATEST.resolve()).holds("old")
    assert not make_run(force=True).holds("old")
    assert sorted(path.name for path in Path("runs").iterdir()) == ["latest", "one"]


def test_an_empty_folder_is_free_and_a_full_one_is_not(here: Path) -> None:
    (here / "empty").mkdir()
    (here / "full" / "folder").mkdir(parents=True)
    for force in (False, True):
        check_free(here / "absent", force)
        check_free(here / "empty", force)
        with pytest.raises(ConfigError, match="expected a new folder or an earlier run"):
            check_free(here / "full", force)
        with pytest.raises(ConfigError, match="got the one that this command runs in"):
            check_free(here, force)
    assert make_run(here / "empty").path == here / "empty"


def test_a_pointer_is_no_place_for_a_run() -> None:
    make_run()
    for force in (False, True):
        with pytest.raises(ConfigError, match="a folder of its own"):
            check_free(LATEST, force)


def test_default_paths_are_free_and_plain(here: Path) -> None:
    paths = []
    for _ in range(3):
        paths.append(new_folder(default_path("a b/c:d*\u00fc.csv", (8, 4))))
    assert len(set(paths)) == 3
    for path in paths:
        assert path.parent == Path("runs") and not set(path.name) & set(" /:*")
