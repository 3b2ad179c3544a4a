"""Networks that train together: each as if it were alone, whatever becomes of the others."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from replica_cases import HELD_OUT, LINEAR, ROWS, UNLIKE, assert_same, config, together
from step_cases import DEVICE_STEP
from torch import Tensor

from stackae.config import PretrainConfig
from stackae.data.rows import ByteRows
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, DivergedError
from stackae.ops.step import StepResult
from stackae.pretraining import layers_together, pretrain_stack, pretrain_together, settle
from stackae.training import layer


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Any:
    if request.param > 1 and DEVICE_STEP:
        pytest.skip("the matmuls of the library beside CUDA's tiles depend on the number of threads")
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_each_is_trained_to_the_bits_that_it_gets_alone(threads, engine, optimizer):
    configs = [one.model_copy(update={"engine": engine, "optimizer": optimizer}) for one in UNLIKE]
    for one, result in zip(configs, together(configs), strict=True):
        assert_same(result, pretrain_stack(ROWS, one, validation=HELD_OUT))


def test_bytes_and_l1_codes_train_together(threads):
    raw = (ROWS * 255).to(torch.uint8)
    rows = ByteRows(raw, Scaling.fit("unit", raw))
    configs = [config(seed=seed, sparsity=f"l1:{weight}") for seed, weight in enumerate(("0.1", "0.01", "0"))]
    for one, result in zip(configs, together(configs, rows), strict=True):
        assert_same(result, pretrain_stack(rows, one, validation=HELD_OUT))


def test_the_bits_do_not_depend_on_the_number_of_threads(threads):
    torch.set_num_threads(1)
    alone = together(UNLIKE)
    torch.set_num_threads(threads)
    for one, other in zip(alone, together(UNLIKE), strict=True):
        assert_same(one, other)


def test_different_seeds_give_different_networks():
    results = together([config(seed=seed) for seed in range(3)])
    for one, other in itertools.combinations(results, 2):
        assert not torch.equal(one.stack.autoencoders[1].encoder.weight, other.stack.autoencoders[1].encoder.weight)


def test_the_second_layer_learns_the_codes_of_its_own_first_layer():
    options = {"max_epochs": 40, "learning_rate": 0.01, "corruption": "none", "sparsity": "none"}
    results = together([config(seed=seed, **options) for seed in range(2)])
    for i, j in ((0, 1), (1, 0)):
        codes = [result.stack.encode(ROWS, 1).detach() for result in (results[i], results[j])]
        own, others = ((results[i].stack.autoencoders[1].reconstruct(h) - h).square().sum() for h in codes)
        assert own < others


# ---- patience and divergence

PATIENT = {"max_epochs": 200, "schedule": "constant", "patience": 3, "corruption": "none"}


def test_each_stops_when_its_own_patience_is_at_an_end():
    configs = [config("20,12", learning_rate=rate, **PATIENT) for rate in (0.5, 0.001, 0.2)]
    results = together(configs)
    for one, result in zip(configs, results, strict=True):
        assert_same(result, pretrain_stack(ROWS, one, validation=HELD_OUT))
    assert len({len(result.history) for result in results}) > 1


def test_one_that_is_exhausted_costs_nothing(monkeypatch):
    handed: list[list[int]] = []

    class Watched:
        def __init__(self, step: Any) -> None:
            self.step = step

        def advance(self, batches: Any, batch_size: int, step: int) -> list[StepResult]:
            handed.append([len(each.rows) for each in batches])
            return self.step.advance(batches, batch_size, step)

        def optimizer_state(self) -> list[list[Tensor]]:
            return self.step.optimizer_state()

    made = layer.fused_replicas
    monkeypatch.setattr(layer, "fused_replicas", lambda *given: Watched(made(*given)))
    results = together([config("20,12", learning_rate=rate, **PATIENT) for rate in (0.5, 0.001)])
    for place, result in enumerate(results):
        assert sum(rows[place] for rows in handed) == len(result.history) * len(ROWS)


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_that_diverges_leaves_the_others_to_their_end(engine, place):
    configs = [config(seed=seed, engine=engine, sparsity="none", learning_rate=1e-3, **LINEAR) for seed in range(3)]
    hopeless = configs[place].layers[0].model_copy(update={"learning_rate": 1e30})
    configs[place] = configs[place].model_copy(update={"layers": (hopeless, configs[place].layers[1])})
    results = pretrain_together(ROWS, configs, validation=HELD_OUT)
    for one, result in zip(configs, results, strict=True):
        if one is configs[place]:
            with pytest.raises(DivergedError) as alone:
                pretrain_stack(ROWS, one, validation=HELD_OUT)
            assert isinstance(result, DivergedError) and str(result) == str(alone.value)
            assert "layer 1/2 20-12-20: expected a finite loss" in str(result) and "1e+30" in str(result)
        else:
            assert_same(result, pretrain_stack(ROWS, one, validation=HELD_OUT))


def test_layers_come_with_what_became_of_each_and_end_when_none_is_left():
    rates = [(1e-3, 1e30), (1e-3, 1e-3), (1e30, 1e-3)]
    configs = [config(sparsity="none", learning_rate=",".join(map(str, pair)), **LINEAR) for pair in rates]
    floors = list(layers_together(ROWS, [settled(one) for one in configs]))
    diverged = [[isinstance(outcome, DivergedError) for outcome in floor] for floor in floors]
    assert diverged == [[False, False, True], [True, False, True]]
    assert floors[0][2] is floors[1][2] and "layer 2/2 12-6-12" in str(floors[1][0])
    hopeless = settled(config(sparsity="none", learning_rate=1e30, **LINEAR))
    (only,) = layers_together(ROWS, [hopeless, hopeless])
    assert all(isinstance(outcome, DivergedError) for outcome in only)


def settled(one: PretrainConfig) -> PretrainConfig:
    return settle(one, ROWS)


# ---- who may train together


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": "20,12,7"}, "layers: expected 20,12,6 as in the first one, got 20,12,7"),
        ({"layers": "20,12"}, "layers: expected 20,12,6 as in the first one, got 20,12;"),
        ({"batch_size": 16}, "layer 1: batch_size: expected 32 as in the first one, got 16"),
        ({"optimizer": "sgd"}, "optimizer: expected adam as in the first one, got sgd"),
        ({"engine": "eager"}, "engine: expected auto as in the first one, got eager"),
        ({"patience": "auto,2"}, "layer 2: patience: expected 10 as in the first one, got 2"),
        ({"activation": "tanh,sigmoid"}, "layer 2: activation: expected tanh as in the first one, got sigmoid"),
        ({"output_activation": "tanh"}, "layer 1: output_activation: expected linear as in the first one, got tanh"),
        ({"tied": "false,true"}, "layer 2: tied: expected False as in the first one, got True"),
        ({"max_epochs": "5,6"}, "layer 2: max_epochs: expected 5 as in the first one, got 6"),
    ],
)
def test_the_first_setting_that_differs_is_named(options, message):
    with pytest.raises(ConfigError) as raised:
        pretrain_together(ROWS, [config(), config(seed=1), config(**options)])
    assert str(raised.value).startswith(f"configuration 3: {message}") and "; train it apart: " in str(raised.value)


def test_no_configuration_is_refused():
    with pytest.raises(ConfigError, match="configs: expected at least one configuration, got none"):
        pretrain_together(ROWS, [])
