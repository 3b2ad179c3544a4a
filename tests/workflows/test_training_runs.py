"""Trainings from Python: they leave what the command line leaves, to the byte, and tell their callbacks of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from shell import LAYERS, Shell

from stackae import workflows
from stackae.analysis.principal import principal_of
from stackae.data import load_data
from stackae.errors import ConfigError, DataError, RunError, StoppedError
from stackae.runs import Requests, Run
from stackae.runs.verify import damages
from stackae.training.callbacks import EpochRecord, NoCallback
from stackae.workflows import Callbacks, Moved, stacks

OPTIONS: dict[str, Any] = {"layers": LAYERS, "data": "labelled.npz", "epochs": "2", "device": "cpu"}
WORDS = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
HEAD = {"epochs": "2", "device": "cpu"}
UNREAD = {"lock", "log.txt"}

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def here(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Data and no run, in the working folder."""
    monkeypatch.chdir(fresh.folder)
    return fresh


@pytest.mark.parametrize(("share", "fewest"), [(0.0, 5), (0.01, 5), (1.0, 5), (0.0, 99999)])
def test_calibrating_takes_a_share_of_the_rows_that_training_read(
    share: float, fewest: int, here: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []

    def components_of(x: Any, most: int) -> Any:
        fitted.append(most)
        return principal_of(x, most)

    for name in ("FITTED", "CALIBRATED"):
        monkeypatch.setattr(stacks, name, share)
        monkeypatch.setattr(stacks, f"FEWEST_{name}", fewest)
    monkeypatch.setattr(stacks, "FITTED_PER_COLUMN", 0)
    monkeypatch.setattr(stacks, "principal_of", components_of)
    run = Run(workflows.pretrain_run(workflows.run_settings(OPTIONS), "it").path)
    dataset = load_data(run.config.data)
    most = max(fewest, int(share * len(dataset.train.x) * 2 * 2))  # layers, epochs
    assert fitted == [most]
    scored = min(most, len(dataset.validation.x))
    assert {len(each.validation) for each in run.load_detector().methods.values()} == {scored}


class Recorded(Callbacks, NoCallback):
    """Keeps what it is told; asks ``requests`` to stop at the ``stop_at``-th epoch."""

    command = "a test"

    def __init__(self, requests: Requests | None = None, stop_at: int = 0) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []
        self.outcomes: list[str] = []
        self.kept: Callable[[], str] = str
        self._requests, self._stop_at, self._epochs = requests, stop_at, 0

    def note(self, *lines: str) -> None:
        self.notes += lines

    def busy(self, step: str) -> None:
        self.steps.append(step)

    def training(self, networks: int) -> AbstractContextManager[NoCallback]:
        return nullcontext(self)

    def epoch(self, records: Mapping[int, EpochRecord]) -> None:
        self._epochs += 1
        if self._requests is not None and self._epochs == self._stop_at:
            self._requests.stop = 2

    def writing(self, kept: Callable[[], str]) -> AbstractContextManager[None]:
        self.kept = kept
        return nullcontext()

    def pretrained(self, outcome: workflows.PretrainedRun, last: bool) -> None:
        self.outcomes.append("pretrained, last" if last else "pretrained")

    def finetuned(self, outcome: workflows.FinetunedRun) -> None:
        self.outcomes.append("finetuned")


def pretrain(run: str, **more: Any) -> workflows.Resumed:
    return workflows.pretrain_run(workflows.run_settings(OPTIONS), run, **more)


def stopped(train: Callable[..., object], stop_at: int, **more: Any) -> Recorded:
    """What it told, of a training that was asked to stop at that epoch."""
    told = Recorded(requests := Requests(), stop_at)
    with pytest.raises(StoppedError):
        train(callbacks=told, requests=requests, checkpoint_every=0, **more)
    return told


def written(folder: str) -> dict[str, bytes]:
    """Every file but the log and the lock; checkpoints, whose records say how long epochs took, by name."""
    root = Path(folder)
    paths = [path for path in root.rglob("*") if path.is_file() and path.name not in UNREAD]
    return {
        str(path.relative_to(root)): b"" if "checkpoints" in path.parts else path.read_bytes() for path in sorted(paths)
    }


def test_they_write_what_the_command_line_writes(here: Shell) -> None:
    here.does("pretrain", *WORDS, "--run", "runs/said")
    here.does(
        "finetune", *[word for name, value in HEAD.items() for word in (f"--{name}", value)], "--run", "runs/said"
    )
    trained = pretrain("runs/it", callbacks=(told := Recorded()))
    assert [run.path for run in trained.pretrained.runs] == [trained.path] == [Path("runs/it")]
    head = workflows.finetune_run("runs/it", workflows.finetune_settings(HEAD), callbacks=told)
    assert written("runs/it") == written("runs/said") and damages(Path("runs/it")) == []
    assert told.outcomes == ["pretrained, last", "finetuned"] and told.kept() == ""
    assert told.steps == ["measuring layers beside PCA", "drawing pictures", "calibrating scores"]
    assert head.tested.figures["test_rows"] == 12 and head.kept.epoch == 2
    own, said = (steps_of(Path(f"runs/{name}/log.txt")) for name in ("it", "said"))
    assert own == said and own.count("done") == 2


def steps_of(log: Path) -> list[str]:
    """Its lines, without times, losses, versions, and the commands."""
    lines = [line.split("  ", 1)[1].split("  loss")[0] for line in log.read_text().splitlines()]
    return [line for line in lines if not line.startswith("$") and "threads" not in line]


def test_several_seeds_are_planned_and_trained_together(here: Shell) -> None:
    said = json.loads(here.does("pretrain", *WORDS, "--seeds", 2, "--dry-run", "--json"))
    plan = workflows.plan_run(workflows.run_settings(OPTIONS), seeds=2)
    layers, measured = [layer._asdict() for layer in plan.layers], ("seconds", "codes_why")
    for layer in (*said["layers"], *layers):
        assert all(layer.pop(name) for name in measured if layer[name] is not None)
    assert {**plan._asdict(), "layers": layers} == said
    said = json.loads(here.does("pretrain", *WORDS, "--seeds", 2, "--run", "runs/said", "--json"))
    trained = pretrain("runs/it", seeds=2).pretrained
    assert written("runs/it") == written("runs/said") and trained.together
    assert [layer.mean for layer in trained.over_seeds] == [layer["mean"] for layer in said["layers"]]


@pytest.mark.parametrize("stop_at", [1, 3])
def test_what_was_stopped_is_resumed_to_the_same_bytes(here: Shell, stop_at: int) -> None:
    pretrain("runs/whole")
    told = stopped(pretrain, stop_at, run="runs/it")
    assert told.notes[-1].endswith("resume it by:  stackae resume runs/it") and told.outcomes == []
    resumed = workflows.resume_run("runs/it", callbacks=(told := Recorded()))
    assert resumed.pretrained is not None and resumed.finetuned is None and told.outcomes == ["pretrained, last"]
    whole, own = written("runs/whole"), written("runs/it")
    for name in whole.keys() - {"manifest.json"}:
        assert name.startswith("checkpoints") or own[name] == whole[name], name
    assert damages(Path("runs/it")) == []
    before = written("runs/it")
    assert (
        workflows.resume_run("runs/it") == workflows.Resumed(Path("runs/it").resolve()) and written("runs/it") == before
    )


def test_a_head_is_resumed_by_either_of_two_calls(here: Shell) -> None:
    pretrain("runs/it")
    settings = workflows.finetune_settings(HEAD)
    for resume in (
        lambda: workflows.finetune_run("runs/it", settings),
        lambda: workflows.resume_run("runs/it").finetuned,
    ):
        workflows.finetune_run("runs/it", settings)
        whole = written("runs/it")["classifier.safetensors"]
        stopped(workflows.finetune_run, 1, settings=settings, run="runs/it")
        assert resume() is not None and written("runs/it")["classifier.safetensors"] == whole


def test_pretraining_resumes_a_run_of_the_same_settings_alone(here: Shell) -> None:
    stopped(pretrain, 1, run="runs/it")
    other = workflows.run_settings({**OPTIONS, "seed": 1})
    with pytest.raises(ConfigError, match="expected the settings that this run began with") as error:
        workflows.pretrain_run(other, "runs/it", resume=True)
    assert "pretrain.seed: 0 there, 1 here" in str(error.value)
    with pytest.raises(ConfigError, match="expected a new folder, got an existing run"):
        pretrain("runs/it")
    assert pretrain("runs/it", resume=True).pretrained is not None and damages(Path("runs/it")) == []


def test_changes_and_moved_data(here: Shell) -> None:
    stopped(pretrain, 3, run="runs/it")
    moved = here.folder / "elsewhere.npz"
    (here.folder / "labelled.npz").rename(moved)
    with pytest.raises(DataError, match="no such file"):
        workflows.resume_run("runs/it")
    with pytest.raises(DataError, match="expected the rows and labels that this run began with, got others"):
        workflows.resume_run("runs/it", moved=Moved(data="unlabelled.npy"))
    with pytest.raises(ConfigError, match="beta, got 'n_hidden'"):
        workflows.resume_run("runs/it", changes={"n_hidden": 5}, moved=Moved(data=str(moved)))
    told = Recorded()
    workflows.resume_run(
        "runs/it", changes={"learning_rate": 0.01, "beta": None}, moved=Moved(data=str(moved)), callbacks=told
    )
    assert any("pretrain.layer2.learning_rate: 0.01 instead of 0.0003" in line for line in told.notes)
    assert Run.open(Path("runs/it")).pretrain_config.layers[1].learning_rate == 0.01


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: pretrain("runs/it", seeds=0), ConfigError, "seeds: expected 1 to 1000, got 0"),
        (
            lambda: pretrain("runs/it", checkpoint_every=-1),
            ConfigError,
            "checkpoint_every: expected a number of",
        ),
        (lambda: workflows.run_settings({"data": "digits"}), ConfigError, "expected the widths of the stack"),
        (lambda: workflows.run_settings({**OPTIONS, "weights": "tyed"}), ConfigError, "weights: expected tied or"),
        (lambda: workflows.finetune_settings({"head": "clasifier"}), ConfigError, "head: expected one of classifier"),
        (lambda: workflows.finetune_run("runs/none"), RunError, "expected a run folder, got no such folder"),
        (lambda: workflows.resume_run("runs/none"), RunError, "expected an unfinished run, got no such folder"),
        (lambda: workflows.resume_run("."), RunError, "expected an unfinished run, got something else"),
        (lambda: workflows.resume_run(), RunError, "expected an unfinished run, got none"),
    ],
    ids=lambda value: "" if callable(value) else None,
)
def test_what_cannot_be_trained_is_refused(
    here: Shell, call: Callable[[], object], error: type[Exception], sentence: str
) -> None:
    before = here.files()
    with pytest.raises(error, match=sentence):
        call()
    assert here.files() == before


def test_a_head_of_other_data(here: Shell) -> None:
    pretrain("runs/it")
    with pytest.raises(DataError, match="expected labels to train a classifier"):
        workflows.finetune_run("runs/it", workflows.finetune_settings(HEAD), data="unlabelled.npy")


def test_each_public_name_is_there_and_says_what_it_is() -> None:
    assert {*workflows.__all__} <= {*dir(workflows)}
    for name in workflows.__all__:
        assert getattr(workflows, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'train'"):
        _ = workflows.train
