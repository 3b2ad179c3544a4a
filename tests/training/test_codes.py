"""Where codes lie: chosen by what is free, told, refused early; and the same weights whichever place it is."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says
from replica_cases import HELD_OUT, ROWS, assert_same, config, together
from shell import Shell

from stackae.config import PretrainConfig
from stackae.data import memory
from stackae.errors import ConfigError
from stackae.pretraining import pretrain_stack
from stackae.ranks import Ranks, member
from stackae.runs.ownership import strangers
from stackae.training import codes
from stackae.training.codes import CodesPlan, plan_codes, shown_bytes

GB = 10**9
PLACES = ("device", "memory", "disk", "recompute")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Says what is free: in memory, on the disk, which may lie in memory itself, and on a GPU, where there is one."""

    def tell(in_memory: int | None, disk: int = 0, of_memory: bool = False, gpu: int | None = None) -> None:
        monkeypatch.setattr(memory, "free_memory", lambda: in_memory)
        monkeypatch.setattr(codes, "free_on_disk", lambda folder: disk)
        monkeypatch.setattr(codes, "is_of_memory", lambda folder: of_memory)
        if gpu is not None:
            monkeypatch.setattr("stackae.training.footprint.choose_device", lambda wish: torch.device("cuda"))
            monkeypatch.setattr(
                "stackae.training.footprint.choose_step", lambda *wish: type("Step", (), {"fused": True})
            )
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (gpu, 80 * GB))

    return tell


def planned(where: str = "auto", layers: str = "512,7250,100,16", **options: Any) -> list[CodesPlan]:
    """Codes of 58 GB above the first layer, and of 0.8 GB above the second one, for two million rows."""
    given = PretrainConfig.from_options(layers, codes=where, device="cpu", max_epochs=1, **options)
    return plan_codes(given, 1_800_000, 200_000, folder=Path("runs"))


def test_codes_lie_in_memory_where_they_fit(free: Any) -> None:
    free(100 * GB, disk=0)
    first, second = planned()
    assert first == CodesPlan(1, "memory", 58 * GB, "the memory has 93.1 GiB free")
    assert (second.where, second.bytes) == ("memory", 8 * GB // 10)
    assert str(first) == "layer 1  54.0 GiB in memory: the memory has 93.1 GiB free"


def test_codes_that_do_not_fit_lie_on_disk(free: Any) -> None:
    free(20 * GB, disk=70 * GB)
    first, second = planned()
    assert str(first) == "layer 1  54.0 GiB on disk: the memory has 18.6 GiB free, the disk 65.2 GiB"
    assert second.where == "memory"


def test_codes_are_recomputed_where_no_disk_has_room(free: Any) -> None:
    free(20 * GB, disk=60 * GB)
    first, second = planned()
    assert first == CodesPlan(1, "recompute", 0, "the memory has 18.6 GiB free, the disk 55.9 GiB")
    assert str(first) == "layer 1  recomputed when read: the memory has 18.6 GiB free, the disk 55.9 GiB"
    assert second.where == "memory"
    free(20 * GB, disk=10_000 * GB, of_memory=True)
    assert planned()[0] == CodesPlan(1, "recompute", 0, "the memory has 18.6 GiB free, runs lies in it")


def test_the_disk_holds_the_codes_below_while_others_are_made(free: Any) -> None:
    free(2 * GB, disk=9 * GB)
    wide = planned(layers="8,500,500,1")
    assert [(each.where, each.bytes) for each in wide] == [("disk", 4 * GB), ("disk", 4 * GB)]
    free(2 * GB, disk=8 * GB)
    assert [each.where for each in planned(layers="8,500,500,1")] == ["disk", "recompute"]


def test_a_gpu_holds_what_fits_beside_the_training(free: Any) -> None:
    free(100 * GB, disk=100 * GB, gpu=10 * GB)
    assert [each.where for each in planned()] == ["memory", "device"]
    free(GB, disk=100 * GB, gpu=10 * GB)
    assert [each.where for each in planned()] == ["disk", "device"]
    free(100 * GB, gpu=120 * GB)
    assert str(planned()[0]) == "layer 1  54.0 GiB on the GPU: the GPU has 111.8 GiB free"
    with pytest.raises(ConfigError, match="expected a training that fits into the memory of the GPU"):
        free(100 * GB, gpu=10 * GB)
        planned("device")


def test_a_place_that_is_asked_for_is_taken_or_refused(free: Any) -> None:
    free(20 * GB, disk=100 * GB)
    assert [(each.where, each.why) for each in planned("disk")] == [("disk", "as asked")] * 2
    assert [(each.where, each.bytes) for each in planned("recompute")] == [("recompute", 0)] * 2
    with pytest.raises(ConfigError) as found:
        planned("memory")
    wanted = "58,000,000,000 bytes: make layer 1 narrower, give fewer rows, or use codes='auto'"
    assert "expected a training that fits into the memory" in str(found.value) and wanted in str(found.value)
    free(20 * GB, disk=10 * GB)
    with pytest.raises(ConfigError) as found:
        planned("disk")
    assert str(found.value) == (
        "codes: expected a disk with room for the codes of layer 1, got 58,000,000,000 bytes to be written and "
        "10,000,000,000 bytes free in runs; free some space, make layer 1 narrower, or use codes='recompute'"
    )
    with pytest.raises(ConfigError, match="codes"):
        planned("elsewhere")


def test_what_no_place_of_codes_helps_is_refused(free: Any) -> None:
    free(GB // 2, disk=100_000 * GB)
    with pytest.raises(ConfigError, match=r"largest part is the parameters of layer 1"):
        planned(layers="20000,20000,10")


def test_ranks_on_one_machine_share_what_is_free(free: Any) -> None:
    free(100 * GB, disk=100 * GB)
    with member(Ranks(beside=2, count=2)):
        assert [each.where for each in planned()] == ["recompute", "memory"]
    assert [each.where for each in planned()] == ["memory", "memory"]


def test_where_nothing_tells_what_is_free_codes_lie_in_memory(free: Any) -> None:
    free(None)
    assert [(each.where, each.why) for each in planned()] == [("memory", "nothing tells what is free")] * 2


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (1000, "1,000 bytes"), (1536, "1.5 KiB"), (2**50, "1,024.0 TiB")]
)
def test_bytes_are_told_in_the_unit_that_suits_them(count: int, words: str) -> None:
    assert shown_bytes(count) == words


# ---- the same weights


@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize(
    "options",
    [{}, {"corruption": "masking:0.3", "batch_size": 64}, {"optimizer": "lbfgs", "sparsity": "l1:0.01"}],
    ids=str,
)
def test_weights_and_losses_are_those_of_any_place(engine: str, options: dict[str, Any], tmp_path: Path) -> None:
    results = {}
    for where in PLACES:
        given = config("20,12,6,4", engine=engine, codes=where, **options)
        results[where] = pretrain_stack(ROWS, given, validation=HELD_OUT)
    for where in PLACES[1:]:
        assert_same(results["device"], results[where]._replace(config=results["device"].config))


def test_stacks_that_train_together_have_codes_of_their_own() -> None:
    kept, *others = (
        together([config("20,12,6,4", seed=seed, codes=where) for seed in range(3)]) for where in PLACES[1:]
    )
    for other in others:
        for one, same in zip(kept, other, strict=True):
            assert_same(one, same._replace(config=one.config))


# ---- commands


LAYERS = ("--layers", "8,7,6,4", "--data", "labelled.npz", "--epochs", "3", "--batch-size", "16")


def weights(run: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in run.glob("layer*.safetensors")}


def test_the_plan_is_told_before_training_and_by_a_dry_run(fresh: Shell, free: Any) -> None:
    free(20 * GB, disk=10 * GB)
    line = "codes    layer 1  1.5 KiB in memory: the memory has 18.6 GiB free"
    told = fresh("pretrain", *LAYERS, "--test-fraction", "0.1", "--dry-run")
    assert line in told.err and "codes    layer 2  1.3 KiB in memory" in told.err and "codes    layer 3" not in told.err
    assert line in fresh("pretrain", *LAYERS, "--test-fraction", "0.1").err
    plan = json.loads(fresh.does("pretrain", *LAYERS, "--codes", "disk", "--dry-run", "--json"))
    first, second, top = plan["layers"]
    assert (first["codes"], first["codes_bytes"], first["codes_why"]) == ("disk", 4 * 7 * 48, "as asked")
    assert (top["codes"], top["codes_bytes"], top["codes_why"]) == (None, None, None)
    assert all(each["seconds"] > 0 for each in (first, second, top))


def test_a_dry_run_predicts_more_for_more_epochs(fresh: Shell) -> None:
    def seconds(epochs: str, where: str = "memory") -> float:
        given = ("pretrain", *LAYERS[:4], "--epochs", epochs, "--codes", where, "--dry-run", "--json")
        return sum(each["seconds"] for each in json.loads(fresh.does(*given))["layers"])

    assert seconds("30000") > 10 * seconds("3")
    assert seconds("30000", "recompute") > 0


def test_a_refusal_of_codes_is_one_sentence_and_writes_nothing(fresh: Shell, free: Any) -> None:
    np.save(fresh.folder / "tall.npy", np.random.default_rng(0).random((12_000, 8), dtype=np.float32))
    free(GB // 2, disk=GB // 2)
    tall = ("pretrain", "--layers", "8,20000,4", "--data", "tall.npy")
    for more in ((), ("--dry-run",)):
        sentence = fresh.refuses(2, *tall, "--codes", "disk", *more)
        says(sentence, "--codes: expected a disk with room for the codes of layer 1, got 768,000,000 bytes")
        says(sentence, "500,000,000 bytes free", "make layer 1 narrower, or use --codes recompute")
    says(fresh.refuses(2, *tall, "--codes", "memory"), "give fewer rows, or use --codes auto")
    says(
        fresh.refuses(2, *tall, "--codes", "tape"),
        "codes: expected one of auto, device, memory, disk, recompute, got 'tape'",
    )


def test_a_run_goes_on_with_codes_elsewhere(fresh: Shell) -> None:
    fresh.does("pretrain", *LAYERS, "--run", "runs/whole", "--codes", "memory")
    expected = weights(fresh.folder / "runs" / "whole")
    for where in ("disk", "recompute"):
        fresh.does("pretrain", *LAYERS, "--run", f"runs/{where}", "--codes", where)
        run = fresh.folder / "runs" / where
        assert weights(run) == expected
        (run / "layer3.safetensors").unlink()
        shutil.rmtree(next((run / "checkpoints").glob("*layer3-end")))
        fresh.does("resume", f"runs/{where}", "--codes", "memory")
        assert weights(run) == expected


def test_a_disk_that_is_full_leaves_a_run_that_goes_on(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.does("pretrain", *LAYERS, "--run", "runs/whole", "--codes", "memory")

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", full)
        ended = fresh("pretrain", *LAYERS, "--run", "runs/it", "--codes", "disk")
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert ended.code == 7 and len(errors) == 1 and "resume it by:  stackae resume" in ended.err
    says(errors[0], "expected to write 1,176 bytes of codes, got 'No space left on device'", "use --codes recompute")
    assert not list((fresh.folder / "runs" / "it").rglob(".*"))
    fresh.does("resume", "runs/it", "--codes", "recompute")
    assert weights(fresh.folder / "runs" / "it") == weights(fresh.folder / "runs" / "whole")


def test_a_killed_program_leaves_no_codes(fresh: Shell) -> None:
    """It is killed while it trains on codes that lie in a file of the run folder, and goes on to the same weights."""
    line = ("pretrain", *LAYERS[:4], "--epochs", "1,20000,1", "--patience", "0", "--device", "cpu", "--codes", "disk")
    command = [sys.executable, "-m", "stackae.cli.main", *line, "--run", "runs/it"]
    process = subprocess.Popen(command, cwd=fresh.folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    maps, run, deadline = Path(f"/proc/{process.pid}/maps"), fresh.folder / "runs" / "it", time.monotonic() + 120
    while f"{run}/" not in maps.read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert strangers(run) == [] and not list(run.rglob(".*")) and not (run / "layer2.safetensors").exists()
    fresh.does("resume", "runs/it")
    fresh.does(*line, "--run", "runs/whole")
    assert weights(run) == weights(fresh.folder / "runs" / "whole")
