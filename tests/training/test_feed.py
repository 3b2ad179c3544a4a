"""Rows that are fed to the fused step, call by call: the bits of rows that it reads in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from replica_cases import HELD_OUT, LINEAR, ROWS, UNLIKE, assert_same, config

from stackae.config import FinetuneConfig
from stackae.data import ByteRows, Part, Scaling
from stackae.data.stored.array import StoredArray
from stackae.data.stored.rows import StoredRows
from stackae.errors import DivergedError
from stackae.finetuning import finetune_stack
from stackae.objectives.kinds import build
from stackae.objectives.reconstruction import ReconstructionObjective
from stackae.pretraining import pretrain_stack, pretrain_together
from stackae.ranks import Ranks, member, sharing
from stackae.training import feed
from stackae.training.feed import feeds_of


@pytest.fixture(autouse=True)
def many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "ROWS_PER_CALL", 70)  # two batches of 32 per call


@pytest.fixture
def stored(tmp_path: Path) -> StoredRows:
    np.save(tmp_path / "x.npy", ROWS.numpy())
    raw = StoredArray(np.load(tmp_path / "x.npy", mmap_mode="r"))
    return StoredRows(raw, Scaling.fit("none", ROWS))


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("one", UNLIKE)
def test_a_stack_has_the_bits_of_rows_in_memory(stored: StoredRows, one: Any, engine: str) -> None:
    one = one.model_copy(update={"engine": engine})
    assert_same(pretrain_stack(stored, one, validation=HELD_OUT), pretrain_stack(ROWS, one, validation=HELD_OUT))


@pytest.mark.parametrize("scale", ["unit", "standard", "robust"])
def test_bytes_are_scaled_by_the_kernel(tmp_path: Path, scale: str) -> None:
    raw = (ROWS * 255).to(torch.uint8)
    np.save(tmp_path / "x.npy", raw.numpy())
    x = StoredRows(StoredArray(np.load(tmp_path / "x.npy", mmap_mode="r")), Scaling.fit(scale, raw))
    (fed,) = feeds_of([ReconstructionObjective(build(20, config("20,12").layers[0], seed=0, number=1), x)], 32)
    assert isinstance(fed.x, ByteRows) == (scale != "robust")
    one = config("20,12", output_activation="linear", loss="mse")
    held = x.scaling.transform(raw) if scale == "robust" else ByteRows(raw, x.scaling)
    assert_same(pretrain_stack(x, one), pretrain_stack(held, one))


@pytest.mark.parametrize("batch_size", [1, 7, 70, 150, 1000])
def test_batches_of_every_size_are_whole(stored: StoredRows, batch_size: int) -> None:
    one = config("20,12", batch_size=batch_size, max_epochs=2, learning_rate=0.01)
    assert_same(pretrain_stack(stored, one, validation=HELD_OUT), pretrain_stack(ROWS, one, validation=HELD_OUT))


def test_networks_that_train_together_have_feeds_of_their_own(stored: StoredRows) -> None:
    for one, other in zip(
        pretrain_together(stored, UNLIKE, validation=HELD_OUT),
        pretrain_together(ROWS, UNLIKE, validation=HELD_OUT),
        strict=True,
    ):
        assert not isinstance(one, DivergedError) and not isinstance(other, DivergedError)
        assert_same(one, other)


@pytest.mark.parametrize("place", [0, 2])
def test_one_that_diverges_leaves_the_others_to_their_end(stored: StoredRows, place: int) -> None:
    configs = [config(seed=seed, sparsity="none", learning_rate=1e-3, **LINEAR) for seed in range(3)]
    hopeless = configs[place].layers[0].model_copy(update={"learning_rate": 1e30})
    configs[place] = configs[place].model_copy(update={"layers": (hopeless, configs[place].layers[1])})
    results, wanted = (pretrain_together(x, configs, validation=HELD_OUT) for x in (stored, ROWS))
    for number, (one, other) in enumerate(zip(results, wanted, strict=True)):
        assert isinstance(one, DivergedError) == isinstance(other, DivergedError) == (number == place)
        if isinstance(one, DivergedError) or isinstance(other, DivergedError):
            assert str(one) == str(other)  # the same step, on the same rows
        else:
            assert_same(one, other)


@pytest.mark.parametrize("head", ["classifier", "regressor", "multilabel", "reconstruction"])
@pytest.mark.parametrize("train", ["all", "head"])
@pytest.mark.parametrize("engine", ["fused", "eager"])
def test_a_head_has_the_bits_of_rows_in_memory(stored: StoredRows, head: str, train: str, engine: str) -> None:
    labels = torch.arange(len(ROWS)) % 3
    numbers = ROWS[:, :2].round() if head == "multilabel" else ROWS[:, :2].clone()
    y = labels if head == "classifier" else numbers if head != "reconstruction" else None
    stack = pretrain_stack(ROWS, config(max_epochs=1)).stack
    settings = FinetuneConfig(
        head=head, train=train, engine=engine, max_epochs=3, batch_size=32, device="cpu", unlabelled="none"
    )
    found = [
        finetune_stack(stack, Part(x, y), settings, n_classes=3, loss="mse").model.state_dict() for x in (stored, ROWS)
    ]
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def test_a_read_that_fails_ends_the_step(stored: StoredRows, monkeypatch: pytest.MonkeyPatch) -> None:
    read, seen = StoredRows.__getitem__, []

    def failing(self: StoredRows, index: Any) -> torch.Tensor:
        if isinstance(index, torch.Tensor):
            seen.append(index)
            if len(seen) == 2:
                raise OSError("the disk is gone")
        return read(self, index)

    monkeypatch.setattr(StoredRows, "__getitem__", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        pretrain_stack(stored, config("20,12"), validation=HELD_OUT)


def test_rows_in_memory_need_no_feed(stored: StoredRows) -> None:
    class Given:
        x, targets = ROWS, None

    class Fed(Given):
        x, labels, row_weights = stored, None, None

    assert feeds_of([Given()], 32) == []
    (only,) = feeds_of([Fed()], 32)
    assert only.rows_per_call == 64 and only.x.shape == (128, 20)
    assert feeds_of([Fed()], 1000)[0].rows_per_call == len(ROWS)


def test_a_rank_reads_its_own_rows(stored: StoredRows) -> None:
    objective = ReconstructionObjective(build(20, config("20,12").layers[0], seed=0, number=1), stored)
    rows, found = torch.arange(100, 150), torch.zeros(50, dtype=torch.int64)
    for rank in range(3):
        with member(Ranks(rank, 3)), sharing():
            (own,) = feeds_of([objective], 32)
        own.fill(1, rows)
        read = own.x[own.rows_per_call : own.rows_per_call + 50].ne(0).any(dim=1)
        assert torch.equal(own.x[own.rows_per_call :][:50][read], ROWS[rows][read])
        found += read
        assert int(read[:32].sum()) in (10, 11) and int(read[32:].sum()) == 6
    assert found.eq(1).all()
