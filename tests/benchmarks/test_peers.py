"""benchmarks.peers: its table, what each contender is asked to train, and the environment, which is not made here."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import sys
import types
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from benchmarks import peers, peers_contenders, peers_environment
from benchmarks.peers import Outcome
from benchmarks.peers_contenders import CONTENDERS, OURS, WARM_UP_BATCHES, Contender
from benchmarks.peers_environment import Environment, pins, prepared
from benchmarks.peers_fits import Setting, Trained, by_clustpy, by_keras, by_pyod
from benchmarks.processes import output_of
from benchmarks.timing import AGAIN, turns

ROOT = Path(__file__).resolve().parents[2]
AS_IT_IS = ("--threads", 1, "--patience", 0)
IN_PROCESS = ("stackae", "in memory, fused Adam", "scikit-learn", "DataLoader")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Contenders train in this process, whose cores and threads they leave alone; nothing is installed."""

    def in_process(command: list[str], cwd: Path, **given: Any) -> str:
        assert command[1:3] == ["-m", "benchmarks.peers_contenders"]
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                peers_contenders.main(command[3:])
            except ImportError as error:
                raise RuntimeError(str(error)) from error
        return out.getvalue()

    lacking = {"pyod": "expected exit code 0, got 1: no network"}
    monkeypatch.setattr(peers, "output_of", in_process)
    monkeypatch.setattr(peers_contenders, "bind", lambda threads: None)
    monkeypatch.setattr(peers, "prepared", lambda folder, wanted: Environment(Path(sys.executable), lacking))


def run(*arguments: object) -> None:
    with patch.object(sys, "argv", ["peers", *map(str, arguments)]):
        peers.main()


def test_peers_leave_a_row_each(tmp_path, here, monkeypatch, capsys):
    """Of those that ran how long they took, of the others why not; the losses show that all train the same."""
    small = ("--rows", 500, "--hidden", 30, "--batch-size", 32, "--epochs", 6, "--rounds", 2)
    only = ("--only", *IN_PROCESS, "PyOD", "broken")
    monkeypatch.setitem(CONTENDERS, "broken", Contender(functools.partial(by_keras, backend="none"), ()))
    run(*small, *only, *AS_IT_IS, "--json", tmp_path / "peers.json")
    document = json.loads((tmp_path / "peers.json").read_text())
    rows = {row["case"]: row for row in document["rows"]}
    assert set(rows) == {*IN_PROCESS, "PyOD", "broken", OURS + AGAIN}
    assert rows["PyOD"]["failed"] == "not installed: expected exit code 0, got 1: no network"
    assert rows["broken"]["failed"] == "No module named 'keras'"
    ran = [row for row in rows.values() if "failed" not in row]
    assert all(0 < row["training_seconds"] <= row["call_seconds"] and len(row["rounds"]) == 2 for row in ran)
    assert rows[OURS]["training_ratio"] == rows[OURS]["call_ratio"] == 1
    assert rows[OURS]["versions"] == {"torch": torch.__version__.split("+")[0]}
    losses = [row["loss"] for row in ran]
    assert max(losses) < 1.2 * min(losses) and rows[OURS + AGAIN]["loss"] == rows[OURS]["loss"]
    printed = capsys.readouterr().out
    for said in ("| 1 | PyOD | failed |", "1 threads: the best peer takes ", " cores busy meanwhile"):
        assert said in printed


def test_what_a_file_has_is_kept(tmp_path, here, monkeypatch):
    """And what failed is tried again; stackae runs beside what is new, whose ratios are to that."""
    file = ("--json", tmp_path / "peers.json")
    few = ("--rows", 40, "--hidden", 3, "--batch-size", 8, "--rounds", 1, *AS_IT_IS)
    monkeypatch.setitem(CONTENDERS, "later", Contender(functools.partial(by_keras, backend="none"), ()))
    run(*few, *file, "--only", "later")
    first = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert [row["case"] for row in first if "failed" not in row] == [OURS, OURS + AGAIN]
    monkeypatch.setitem(CONTENDERS, "later", CONTENDERS["scikit-learn"])
    run(*few, *file, "--only", "later", "--append")
    second = json.loads((tmp_path / "peers.json").read_text())["rows"]
    assert second[:2] == [row for row in first if "failed" not in row]
    assert [row["case"] for row in second] == [OURS, OURS + AGAIN, "later"] and second[2]["call_ratio"] > 0


def test_without_stackae_there_is_no_comparison(here, monkeypatch):
    monkeypatch.setitem(CONTENDERS, OURS, Contender(functools.partial(by_keras, backend="none"), ()))
    with pytest.raises(SystemExit, match="stackae: No module named 'keras'"):
        run("--rows", 40, "--rounds", 1, *AS_IT_IS)


def test_a_shared_training_is_done_again_while_patience_lasts(monkeypatch):
    """It begins when others leave it its cores, here one of two; without patience, it is taken as it is."""
    busy, told = iter([1.9, 1.2, 1.0, 1.3, 1.0]), []
    monkeypatch.setattr(peers, "others_over", lambda seconds: told.append("waits") or next(busy))
    shares = iter([1.5, 1.05, 1.7])

    def train() -> Outcome:
        told.append("trains")
        return Outcome(1.0, 1.0, 1.0, next(shares), {})

    assert peers.trained_alone(train, 1, 60).others == 1.05
    assert told == ["waits", "waits", "waits", "trains", "waits", "waits", "trains"]
    assert peers.trained_alone(train, 1, 0).others == 1.7 and told[-2:] == ["trains"] * 2


def test_what_others_take_is_of_cores():
    assert 0 <= peers.others_over(0.05) < 2 * os.cpu_count()


def test_clocks_that_tick_apart_say_none(monkeypatch):
    """This process had a tick that the machine has not counted yet."""
    busy = iter([5.0, 4.99])
    monkeypatch.setattr(peers, "busy_beside_this", lambda: next(busy))
    monkeypatch.setattr(peers_contenders, "busy_beside_this", lambda: next(busy))
    assert peers.others_over(0.0) == 0


def test_no_more_threads_than_cores():
    with pytest.raises(SystemExit, match=r"--threads: expected 1 to \d+, as many as there are cores, got 4096"):
        run("--threads", 1, 4096)


def test_reconstructions_are_of_the_rows(tmp_path):
    for name, shape in (("x", (3, 4)), ("z", (3, 4)), ("narrow", (3, 2))):
        np.save(tmp_path / f"{name}.npy", np.full(shape, 2.0 if name == "z" else 0.0, np.float32))
    assert peers.loss(tmp_path / "x.npy", tmp_path / "z.npy") == 16
    with pytest.raises(RuntimeError, match=r"expected reconstructions of shape \(3, 4\), got \(3, 2\)"):
        peers.loss(tmp_path / "x.npy", tmp_path / "narrow.npy")


def test_a_contender_is_a_process(tmp_path):
    x = np.random.default_rng(0).random((64, 6), np.float32)
    for part in ("rows", "held-out"):
        np.save(tmp_path / f"{part}.npy", x)
    options = (f"--folder={tmp_path}", f"--out={tmp_path / 'z.npy'}", "--hidden=3", "--batch-size=16")
    printed = output_of([sys.executable, "-m", "benchmarks.peers_contenders", "scikit-learn", *options], ROOT)
    said = json.loads(printed.splitlines()[-1])
    assert 0 < said["training"] <= said["call"] and said["others"] >= 0  # of milliseconds, on clocks that tick each ten
    assert said["versions"].keys() == {"scikit-learn"}
    assert 0 < peers.loss(tmp_path / "held-out.npy", tmp_path / "z.npy") < 6


def test_what_counts_comes_after_a_few_batches(monkeypatch):
    """The first training has the incomplete batch too, for which some compile anew."""
    fits: list[tuple[int, int]] = []

    def prepare(setting: Setting) -> Any:
        return lambda rows, epochs: fits.append((rows, epochs)) or Trained(1.0, 1.0, lambda x: x)

    monkeypatch.setitem(CONTENDERS, "told", Contender(prepare, ()))
    peers_contenders.train("told", setting(np.zeros((1003, 2), np.float32), batch_size=10), 5)
    assert fits == [(10 * WARM_UP_BATCHES + 3, 1), (1003, 5)]


def test_what_other_processes_take_is_told(tmp_path):
    """Not what this one does."""
    ticks, stat = os.sysconf("SC_CLK_TCK"), tmp_path / "stat"
    found = []
    for others in (100, 103):
        stat.write_text(f"cpu  {others * ticks} 0 {2 * ticks} 99999 0 0\ncpu0 1 2 3\n")
        found.append(peers_contenders.busy_beside_this(stat) + sum(os.times()[:2]))
    assert found == pytest.approx([102, 105], abs=0.5)
    assert peers_contenders.busy_beside_this() > 0


def setting(x: np.ndarray, batch_size: int = 2) -> Setting:
    return Setting(x, Path(), 3, batch_size, 0.01, 7)


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """A module, and the packages it lies in."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType(parts[end - 1]))
    module = types.ModuleType(name)
    module.__dict__.update(members)
    monkeypatch.setitem(sys.modules, name, module)


def test_pyod_trains_the_model_of_the_others(monkeypatch):
    """No batch norm, no dropout, no decay, no scaling; the scores of its fit are no training."""
    given: dict[str, Any] = {}

    class AutoEncoder:
        def __init__(self, **settings: Any) -> None:
            given.update(settings)
            self.model = torch.nn.Identity()

        def train(self, loader: object) -> None:
            given["trained on"] = loader

        def fit(self, x: np.ndarray) -> None:
            self.train(x)
            sum(range(100_000))  # the scores

    fake(monkeypatch, "pyod.models.auto_encoder", AutoEncoder=AutoEncoder)
    x = np.ones((4, 2), np.float32)
    trained = by_pyod(setting(x))(3, 5)
    assert len(given["trained on"]) == 3 and 0 < trained.training < trained.call
    assert not given["batch_norm"] and not given["preprocessing"] and given["dropout_rate"] == 0
    assert given["optimizer_params"] == {"weight_decay": 0} and given["hidden_neuron_list"] == [3]
    assert (given["epoch_num"], given["batch_size"], given["lr"], given["random_state"]) == (5, 2, 0.01, 7)
    assert np.array_equal(trained.reconstruct(x), x)


def test_clustpy_is_given_its_rate_and_rows(monkeypatch):
    given: dict[str, Any] = {}

    class FeedforwardAutoencoder(torch.nn.Identity):
        def __init__(self, sizes: list[int], random_state: int) -> None:
            super().__init__()
            given.update(sizes=sizes, random_state=random_state)

        def fit(self, **settings: Any) -> None:
            given.update(settings)

    fake(monkeypatch, "clustpy.deep.neural_networks", FeedforwardAutoencoder=FeedforwardAutoencoder)
    x = np.ones((4, 2), np.float32)
    assert np.array_equal(by_clustpy(setting(x))(3, 5).reconstruct(x), x)
    assert given["sizes"] == [2, 3] and given["random_state"] == 7 and len(given["data"]) == 3
    assert (given["n_epochs"], given["batch_size"], given["optimizer_params"]) == (5, 2, {"lr": 0.01})


def test_keras_begins_each_fit_from_its_first_weights(monkeypatch):
    """By the state of one network: another would be compiled in the time that counts."""
    states: list[int] = []

    class Network:
        trainable_variables, state = (), 0

        def __init__(self, layers: list[Any]) -> None:
            assert [layer for layer in layers if isinstance(layer, tuple)] == [(3, "sigmoid"), (2, None)]

        def compile(self, optimizer: Any, loss: str) -> None:
            self.optimizer = types.SimpleNamespace(build=lambda variables: None)
            assert optimizer == (0.01, 1e-8) and loss == "mse"

        def get_state_tree(self, value_format: str) -> int:
            return self.state

        def set_state_tree(self, state: int) -> None:
            self.state = state

        def fit(self, x: np.ndarray, y: np.ndarray, **settings: Any) -> None:
            states.append(self.state)
            self.state += len(x) * settings["epochs"]

        def predict(self, x: np.ndarray, verbose: int) -> np.ndarray:
            return x * self.state

    fake(
        monkeypatch,
        "keras",
        Sequential=Network,
        Input=lambda shape: list(shape),
        layers=types.SimpleNamespace(Dense=lambda width, activation=None: (width, activation)),
        optimizers=types.SimpleNamespace(Adam=lambda rate, epsilon: (rate, epsilon)),
        utils=types.SimpleNamespace(set_random_seed=lambda seed: None),
    )
    monkeypatch.setenv("KERAS_BACKEND", "before")
    x = np.ones((4, 2), np.float32)
    fit = by_keras(setting(x), "jax")
    assert os.environ["KERAS_BACKEND"] == "jax"
    fit(2, 1)
    assert np.array_equal(fit(3, 5).reconstruct(x), 15 * x) and states == [0, 0]


def test_pins_never_shadow_what_stackae_has():
    """All are pinned and under a heading that a contender needs; none is in the lock, whose versions count."""
    headings = pins(peers_environment.PINS.read_text())
    assert set(headings) == {heading for each in CONTENDERS.values() for heading in each.needs}

    def named(line: str) -> str:
        found = re.fullmatch(r"([\w-]+)==[\w.]+", line)
        assert found, f"{line}: expected NAME==VERSION"
        return found[1].lower().replace("_", "-")

    lock = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    mine = {named(line) for packages in headings.values() for line in packages}
    assert mine and not mine & {named(line) for line in lock}


def test_the_environment_is_made_once_and_says_what_it_lacks(tmp_path, monkeypatch):
    """It borrows stackae's packages; what failed is tried again, what changed is installed again."""
    folder, told, broken = tmp_path / "peers", [], {"clustpy==0.0.3"}
    (tmp_path / "pins").write_text(
        "# A sentence.\n\n# jax\njax==1\n\n# clustpy\nclustpy==0.0.3\ntqdm==4\n\n# pyod\npyod==3\n"
    )
    library = tmp_path / "library"
    library.mkdir()

    def output(command: list[str], cwd: Path) -> str:
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            (Path(command[3]) / "bin" / "python").touch()
        elif command[1] == "-c":
            return f"{library}\n"
        elif broken & set(command):
            raise RuntimeError("no such version")
        told.append(command[5:] if "pip" in command else command[2])
        return ""

    monkeypatch.setattr(peers_environment, "output_of", output)
    monkeypatch.setattr(peers_environment, "PINS", tmp_path / "pins")
    first = prepared(folder, {"jax", "clustpy"})
    assert first == Environment(folder / "bin" / "python", {"clustpy": "no such version"})
    assert told == ["venv", ["jax==1"]]
    assert str(Path(torch.__file__).parents[1]) in (library / "of-stackae.pth").read_text().splitlines()
    told.clear()
    broken.clear()
    assert prepared(folder, {"jax", "clustpy"}).lacking == {} and told == [["clustpy==0.0.3", "tqdm==4"]]
    told.clear()
    (tmp_path / "pins").write_text("# jax\njax==2\n")
    assert prepared(folder, {"jax"}).lacking == {} and told == [["jax==2"]]


def test_without_an_environment_each_peer_says_so(tmp_path, monkeypatch):
    def output(command: list[str], cwd: Path) -> str:
        raise RuntimeError("expected exit code 0, got 1: no ensurepip")

    monkeypatch.setattr(peers_environment, "output_of", output)
    lacking = prepared(tmp_path / "peers", {"jax", "pyod"}).lacking
    assert lacking == dict.fromkeys(("jax", "pyod"), "expected exit code 0, got 1: no ensurepip")


@pytest.mark.parametrize(
    ("command", "limit", "said"),
    [
        ([sys.executable, "-c", "import sys; sys.exit('no luck')"], None, "expected exit code 0, got 1: no luck"),
        ([sys.executable, "-c", "import sys; sys.exit(3)"], None, "expected exit code 0, got 3: nothing said"),
        ([sys.executable, "-c", "import time; time.sleep(60)"], 0.1, r"expected an end within 0\.1 s, got none"),
        (["./no-such-program"], None, r"expected \./no-such-program to start, got: .*No such file"),
    ],
)
def test_a_process_that_fails_says_why(tmp_path, command, limit, said):
    with pytest.raises(RuntimeError, match=said):
        output_of(command, tmp_path, limit=limit)


def test_turns_flip_their_order():
    assert list(turns("abc", 2)) == [(0, "a"), (0, "b"), (0, "c"), (1, "c"), (1, "b"), (1, "a")]
