"""What a training is said to hold: codes and parameters to the byte, the largest part by name, before it begins."""

from __future__ import annotations

import json
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says
from replica_cases import HELD_OUT, ROWS, config
from shell import Shell
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stackae.autoencoders.statistics import MATRICES
from stackae.config import FinetuneConfig, PretrainConfig
from stackae.data import memory
from stackae.data.paired import PairedRows
from stackae.data.rows import Rows
from stackae.errors import ConfigError
from stackae.objectives.kinds import numbers_of
from stackae.pretraining import pretrain_stack, pretrain_together, settle
from stackae.training.callbacks import NoCallback
from stackae.training.codes import plan_codes
from stackae.training.footprint import (
    EAGER,
    FUSED,
    LBFGS,
    PAIRED,
    SAVED,
    check_finetuning,
    finetuning,
    pretraining,
)
from stackae.training.layer import Reads

GB = 10**9


def of(layers: str, **options: Any) -> PretrainConfig:
    return PretrainConfig.from_options(layers, **{"device": "cpu", "max_epochs": 1, "codes": "memory", **options})


def free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: count)


def refused(given: PretrainConfig, rows: int, held_out: int = 0, count: int = 1) -> str:
    with pytest.raises(ConfigError) as found:
        plan_codes(given, rows, held_out, count)
    return str(found.value)


def test_58_gigabytes_of_codes_do_not_fit_into_20(monkeypatch):
    """Judged by its widest layer's parameters, 14 MB a copy, this was let pass."""
    free(monkeypatch, 20 * GB)
    sentence = refused(of("512,7250,16"), rows=1_800_000, held_out=200_000)
    assert "expected a training that fits into the memory" in sentence and "20,000,000,000 bytes available" in sentence
    largest = f"the largest part is the codes of layer 1, {58 * GB:,} bytes: make layer 1 narrower, give fewer rows"
    assert largest in sentence
    plan_codes(of("512,725,16"), rows=1_800_000, held_out=200_000)


def test_codes_are_counted_to_the_byte_for_every_stack(monkeypatch):
    sizes = []
    through = Reads.through

    def seen(reads: Reads, *arguments: Any) -> Reads:
        found = through(reads, *arguments)
        sizes.append(found.x.nbytes + found.held_out.nbytes)
        return found

    monkeypatch.setattr(Reads, "through", seen)
    configs = [config("20,12,6", seed=seed) for seed in range(3)]
    pretrain_together(ROWS, configs, validation=HELD_OUT)
    for phase in list(pretraining(configs[0], len(ROWS), len(HELD_OUT), 3))[1:-1]:
        assert [part.bytes for part in phase.parts if part.what == "the codes of layer 1"] == [sum(sizes)]
    for phase in pretraining(configs[0], len(ROWS), len(HELD_OUT), 3, homes=["disk"]):
        assert not [part for part in phase.parts if part.what == "the codes of layer 1"]


def test_inputs_that_no_layer_reads_any_more_are_given_back(monkeypatch):
    """While layer 3 is trained, codes of layer 1 are gone: they are held beside those of layer 2 for a moment alone."""
    codes = []
    through = Reads.through

    def seen(reads: Reads, *arguments: Any) -> Reads:
        found = through(reads, *arguments)
        codes.append(weakref.ref(found.x))
        return found

    class Looking(NoCallback):
        def start_stage(self, stage: str, *rest: Any) -> None:
            if stage == "layer3":
                alive.extend(each() is not None for each in codes)

    alive: list[bool] = []
    monkeypatch.setattr(Reads, "through", seen)
    pretrain_stack(ROWS, config("20,12,6,4"), validation=HELD_OUT, callback=Looking())
    assert alive == [False, True]


class Live(TorchDispatchMode):
    """Counts the bytes of tensors that were made while it is entered, and are still held."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[Any, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in tensors(args)}
        self.held = {key: (storage, size) for key, (storage, size) in self.held.items() if not storage.expired()}
        for storage in (each.untyped_storage() for each in tensors(made)):
            if storage._cdata not in given and storage._cdata not in self.held:
                self.held[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))
        return made


def tensors(found: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(found) if isinstance(each, torch.Tensor)]


@pytest.mark.parametrize("rows", ["complete", "masked", "noisy"])
@pytest.mark.parametrize("options", [{}, {"batch_size": 2048}, {"corruption": "masking:0.25"}], ids=str)
def test_no_more_is_held_than_is_counted(rows: str, options: dict[str, Any]) -> None:
    """Of an eager step; what fused ones and ops hold within is not seen."""

    def of_kind(x: torch.Tensor) -> Rows:
        missing = torch.rand(x.shape, generator=draw) < 0.4
        target = {"masked": torch.where(missing, torch.nan, x), "noisy": 0.9 * x}
        return x if rows == "complete" else PairedRows(x, target[rows])

    draw = torch.Generator().manual_seed(0)
    x, held_out = (of_kind(torch.rand(count, 64, generator=draw)) for count in (4096, 1024))
    plain = {"engine": "eager", "corruption": "none", "activation": "sigmoid", "init": "random"}
    given, paired = settle(of("64,8", **{**plain, **options}), x), rows != "complete"
    with Live() as live:
        pretrain_stack(x, given, validation=held_out)
    most = max(phase.bytes for phase in pretraining(given, len(x), len(held_out), paired=paired))
    assert 0.2 * most < live.peak <= most


def test_targets_of_a_first_layer_are_counted() -> None:
    given, x = settle(config("20,12,6", init="random"), ROWS), 20
    plain, paired = (list(pretraining(given, 100, 10, paired=each)) for each in (False, True))
    parts, beside = ([part.bytes for part in phases[0].parts] for phases in (plain, paired))
    assert beside[0] == parts[0]
    batch = given.layers[0].batch_size
    assert beside[1] - parts[1] == 4 * PAIRED * x * min(batch, 100) and beside[2] - parts[2] >= 4 * PAIRED * x * 100
    assert [phase.parts for phase in paired[2:-1]] == [phase.parts for phase in plain[2:-1]]
    head = FinetuneConfig(head="reconstruction", device="cpu")
    assert finetuning(head, given, 100, 10, 0, True).bytes > finetuning(head, given, 100, 10, 0).bytes
    classifier = FinetuneConfig(device="cpu")
    assert finetuning(classifier, given, 100, 10, 3, True) == finetuning(classifier, given, 100, 10, 3)


MEMORY = ("--codes", "memory")
KEEPS, SPARES = ({"sparsity": text, "activation": "relu"} for text in ("top-k:2", "lifetime:0.1"))


def test_parameters_are_those_of_the_file_times_what_is_held_of_each():
    cases = (({}, FUSED), ({"engine": "eager"}, EAGER), ({"dropout": "0.1"}, FUSED), (KEEPS, FUSED), (SPARES, FUSED))
    for options, times in cases:
        given = settle(config("20,12", **options), ROWS)
        held = sum(each.numel() for each in pretrain_stack(ROWS, given).stack.parameters())
        phase, _ = pretraining(given, 100, 10, 2)
        named = {part.what: part.bytes for part in phase.parts}
        assert held == numbers_of(20, given.layers[0])
        assert named["the parameters of layer 1, their optimizer state and copies"] == 4 * held * (times + SAVED) * 2


@pytest.mark.parametrize(
    ("given", "rows", "count", "largest"),
    [
        (of("20000,20000,10"), 100, 1, "the parameters of layer 1, their optimizer state and copies"),
        (
            of("20000,10", kind="pca"),
            100,
            1,
            f"moments of 20,000 x 20,000, {MATRICES * 8 * 20_000**2:,} bytes: use kind='dense'",
        ),
        (of("20000,10", init="pca"), 100, 1, "bytes: use init='random', or give fewer columns"),
        (of("1000x1000x3,conv64,pool", batch_size=64), 10, 1, "a step of 10 rows, 15,720,"),
        (of("1000x1000x3,conv64,pool", batch_size=64), 10**4, 1, "bytes: give it fewer channels"),
        (of("1000,3000", batch_size=10**6), 10**6, 1, "a step of 1,000,000 rows"),
        (of("64,1000,10"), 10**6, 8, "train fewer seeds together, give fewer rows, or use codes='auto'"),
    ],
    ids=["parameters", "pca", "init", "images", "channels", "batch", "seeds"],
)
def test_the_largest_part_is_named_with_what_to_lower(monkeypatch, given, rows, count, largest):
    free(monkeypatch, GB // 2)
    assert largest in refused(given, rows, count=count)


def test_what_needs_little_is_never_refused(monkeypatch):
    free(monkeypatch, 0)
    plan_codes(of("64,32,16"), 1000, 100)


def test_a_fine_tuning_is_judged_too(monkeypatch):
    stack, classifier = of("5000,5000,10"), FinetuneConfig(device="cpu", batch_size=100)
    parts = {part.what: part.bytes for part in finetuning(classifier, stack, 1000, 100, 3).parts}
    assert parts["the network, with its best epoch, optimizer state and gradients"] > 4 * (FUSED + SAVED) * 5000**2
    free(monkeypatch, GB // 2)
    with pytest.raises(ConfigError, match=r"while the classifier is trained .* largest part is the network"):
        check_finetuning(classifier, stack, 1000, 100, 3)
    alone = classifier.model_copy(update={"train": "head"})
    check_finetuning(alone, stack, 1000, 100, 3)
    with pytest.raises(ConfigError, match=r"largest part is the codes of layer 2, 40,000,000,000 bytes"):
        check_finetuning(alone, stack, 10**9, 0, 3)


def test_every_command_that_trains_asks_before_it_writes_anything(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(fresh.folder / "tall.npy", np.random.default_rng(0).random((12_000, 8), dtype=np.float32))
    free(monkeypatch, GB // 2)
    pretrain = ("pretrain", "--layers", "8,20000,4", "--data", "tall.npy", "--validation-fraction", "0.1", *MEMORY)
    for arguments in (
        (*pretrain, "--dry-run"),
        pretrain,
        ("sweep", "--below", "20000", "--widths", "4", *pretrain[3:]),
    ):
        sentence = fresh.refuses(2, *arguments)
        says(sentence, "--layers: expected a training that fits into the memory", "500,000,000 bytes available")
        says(
            sentence, "the largest part is the codes of layer 1, 768,", "make layer 1 narrower, give fewer rows, or use"
        )
    free(monkeypatch, 10 * GB)
    plan = json.loads(fresh.does(*pretrain, "--dry-run", "--json"))
    assert plan["layers"][1]["input_bytes"] == 4 * 20_000 * 8640


def test_finetune_and_resume_ask_too(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "UNASKED", 0)
    free(monkeypatch, 3000)
    says(
        trained.refuses(2, "finetune"), "while the classifier is trained and 3,000 bytes available", "besides the data"
    )
    (trained.run / "layer1.safetensors").unlink()
    says(trained.refuses(2, "resume", "runs/first"), "and 3,000 bytes available")


def test_lbfgs_holds_its_pairs_and_steps_over_all_rows() -> None:
    plain, whole = (
        next(pretraining(of("512,64", optimizer=name, corruption="none"), 10_000, 0)) for name in ("adam", "lbfgs")
    )
    steps = [next(part for part in each.parts if part.what.startswith("a step of")) for each in (plain, whole)]
    assert [part.what for part in steps] == ["a step of 64 rows", "a step of 10,000 rows"]
    held = [
        next(part for part in each.parts if part.what.startswith("the parameters")).bytes for each in (plain, whole)
    ]
    assert held[1] - held[0] == 4 * (LBFGS - FUSED) * numbers_of(512, of("512,64").layers[0])
    head = FinetuneConfig(optimizer="lbfgs", device="cpu")
    assert any(part.what == "a step of 10,000 rows" for part in finetuning(head, of("512,64"), 10_000, 0, 3).parts)
