"""Laws of the checkpointer: networks that train together are kept and gone on with, whatever became of each of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from replica_cases import LINEAR, ROWS, config

from stackae.config import DataConfig, PretrainConfig, RunConfig
from stackae.errors import DivergedError, RunError, StoppedError
from stackae.pretraining import PretrainResult, pretrain_together, settle
from stackae.runs import DiskCheckpointer, Folder, Requests, Work, latest
from stackae.runs.checkpoints import numbered

RATES = ("0.01", "1e30,0.01", "0.001,0.002")


@pytest.fixture(autouse=True)
def a_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.training.trainer.REPORTED_EVERY", -1.0)


def configs(**options: object) -> list[PretrainConfig]:
    """Three networks, the second of which diverges in its first layer."""
    made = [config(sparsity="none", seed=i, learning_rate=rate, **LINEAR | options) for i, rate in enumerate(RATES)]
    return [settle(each, ROWS) for each in made]


def work(given: list[PretrainConfig]) -> Work:
    settings = tuple(RunConfig(data=DataConfig(), pretrain=each) for each in given)
    return Work(command="pretrain", runs=tuple(f"seed-{each.seed}" for each in given), settings=settings, data="0" * 64)


class Stops:
    """Asks for the end at the n-th pause."""

    def __init__(self, checkpointer: DiskCheckpointer, requests: Requests, pauses: int) -> None:
        self._checkpointer, self._requests, self._left = checkpointer, requests, pauses
        self.begin, self.ready, self.end = checkpointer.begin, checkpointer.ready, checkpointer.end

    def pause(self, *arguments: object, **named: object) -> None:
        self._left -= 1
        if self._left == 0:
            self._requests.stop = signal.SIGINT
        self._checkpointer.pause(*arguments, **named)


def train(path: Path, given: list[PretrainConfig], pauses: int = 0) -> list[PretrainResult | DivergedError]:
    left = latest(path, "pretrain", lambda error: pytest.fail(str(error)))
    requests = Requests()
    checkpointer = DiskCheckpointer(Folder(path), work(given), left, every=1e9, requests=requests)
    return pretrain_together(ROWS, given, validation=ROWS[:40], checkpointer=Stops(checkpointer, requests, pauses))


def figures(results: list[PretrainResult | DivergedError]) -> Iterator[object]:
    """All that a rerun repeats, to the bit."""
    for result in results:
        if isinstance(result, DivergedError):
            yield str(result)
            continue
        for each in result.history:
            yield (each.stage, each.epoch, each.loss, each.validation_loss, each.corrupted_validation_loss, each.best)
        yield [tensor.numpy().tobytes() for tensor in result.stack.state_dict().values()]


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_population_goes_on_with_those_that_diverged_and_those_that_did_not(
    tmp_path: Path, engine: str, optimizer: str
) -> None:
    given = configs(engine=engine, optimizer=optimizer)
    wanted = list(figures(train(tmp_path / "undisturbed", given)))
    assert sum(isinstance(each, str) for each in wanted) == 1
    for pauses in (1, 3, 7):
        path = tmp_path / str(pauses)
        path.mkdir()
        stops = 0
        while True:
            try:
                results = train(path, given, pauses)
                break
            except StoppedError as stopped:
                assert stopped.exit_code == 130
                stops += 1
        assert stops >= 2 and list(figures(results)) == wanted


def test_what_an_engine_left_another_goes_on_with(tmp_path: Path) -> None:
    alone = [configs()[2]]
    wanted = train(tmp_path / "fused", alone)
    with pytest.raises(StoppedError):
        train(tmp_path / "both", alone, pauses=9)
    found = train(tmp_path / "both", [alone[0].model_copy(update={"engine": "eager"})])
    for one, other in zip(wanted, found, strict=True):
        for name, tensor in one.stack.state_dict().items():
            torch.testing.assert_close(tensor, other.stack.state_dict()[name], rtol=1e-4, atol=1e-5)


def test_when_all_diverge_the_last_checkpoint_is_finite(tmp_path: Path) -> None:
    hopeless = [config("20,12", sparsity="none", learning_rate="0.01", **LINEAR)]
    with pytest.raises(StoppedError):
        train(tmp_path, [settle(each, ROWS) for each in hopeless], pauses=4)
    before = [path.name for _, path in numbered(tmp_path)]
    rows = ROWS.clone()
    rows[:] = float("nan")
    left = latest(tmp_path, "pretrain", lambda error: pytest.fail(str(error)))
    checkpointer = DiskCheckpointer(Folder(tmp_path), left.state.work, left, every=0, requests=Requests())
    (result,) = pretrain_together(rows, [settle(each, ROWS) for each in hopeless], checkpointer=checkpointer)
    assert isinstance(result, DivergedError)
    assert [path.name for _, path in numbered(tmp_path)] == before


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    given = [configs()[0]]
    with pytest.raises(StoppedError):
        train(tmp_path, given, pauses=3)
    wider = given[0].model_copy(update={"layers": tuple(_wider(layer) for layer in given[0].layers)})
    with pytest.raises((RunError, ValueError), match=r"instead of|moments of shapes|at most"):
        train(tmp_path, [wider])


def _wider(layer: object) -> object:
    return layer.model_copy(update={"n_hidden": layer.n_hidden + 1})
