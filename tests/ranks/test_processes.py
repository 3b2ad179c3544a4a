"""The command on several processes: the run of one process, stopped, killed and resumed by any number of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from process_cases import wait_for
from rank_processes import end_ranks, log_of, on_processes, process_of, start_ranks, start_script, start_torchrun
from rank_steps import trained
from safetensors.torch import load_file
from shell import Shell

from stackae.runs.places import unfinished
from stackae.runs.verify import damages

PRETRAIN = ("pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--batch-size", "16", "--device", "cpu")
NOISY = ("--corruption", "masking:0.2", "--sparsity", "kl:0.2:0.3", "--patience", "0")
FINETUNE = ("finetune", "--epochs", "3", "--batch-size", "16", "--device", "cpu")
MANY, LATER = ("--epochs", "600"), "layer 1/2 8-6-8  epoch 3/"
WEIGHTS = ("layer1", "layer2", "classifier")


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = [run / f"{name}.safetensors" for name in WEIGHTS]
    return {f"{file.stem} {name}": each for file in files if file.exists() for name, each in load_file(file).items()}


def assert_same_weights(found: Path, expected: Path, tolerance: float = 1e-5) -> None:
    ours, theirs = weights(found), weights(expected)
    assert ours.keys() == theirs.keys() and ours
    for name, each in ours.items():
        torch.testing.assert_close(each, theirs[name], rtol=tolerance, atol=tolerance, msg=lambda text: text)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_train_the_batches_of_one(tmp_path: Path, count: int) -> None:
    assert [code for code, *_ in end_ranks(start_script("rank_steps", tmp_path, count, tmp_path))] == [0] * count
    found = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(count)]
    for engine in ("fused", "eager"):
        alone, first = trained(engine), found[0][f"{engine} 0"]
        for one, other in zip(first, alone, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        for name, each in ((name, each) for rank in found for name, each in rank.items() if name.startswith(engine)):
            assert all(map(torch.equal, each, first)), name  # on every rank, and in every repeat


def test_two_processes_make_the_run_of_one(fresh: Shell) -> None:
    runs = fresh.folder / "runs"
    fresh.does(*PRETRAIN, *NOISY, "--epochs", "5", "--run", "runs/one")
    said = on_processes(fresh, 2, *PRETRAIN, *NOISY, "--epochs", "5", "--run", "runs/two")
    assert "ranks    2 processes, 2 on this machine" in said
    fresh.does(*FINETUNE, "--run", "runs/one")
    on_processes(fresh, 2, *FINETUNE, "--run", "runs/two")
    assert damages(runs / "two") == []
    assert_same_weights(runs / "two", runs / "one")


def test_two_processes_read_their_own_rows_from_disk(fresh: Shell) -> None:
    np.save(fresh.folder / "x.npy", np.random.default_rng(0).random((200, 8)))
    words = (*PRETRAIN, *NOISY, "--epochs", "5", "--data", "x.npy", "--storage")
    fresh.does(*words, "memory", "--run", "runs/one")
    on_processes(fresh, 2, *words, "disk", "--run", "runs/two")
    assert_same_weights(fresh.folder / "runs" / "two", fresh.folder / "runs" / "one")


KINDS = {
    "lbfgs": "--layers 8,6 --optimizer lbfgs --corruption none --epochs 3",
    "variational": "--layers 8,6,3 --kind dense,variational --epochs 2",
    "solved": "--layers 8,6,4 --kind pca,dense --init random,pca --epochs 2",
    "over-the-batch": "--layers 8,6,4 --sparsity lifetime:0.2,batch-top-k:2 --activation relu --epochs 4",
    "dead": "--layers 8,6,4 --sparsity top-k:2 --activation relu --revive auxiliary,resample --epochs 4",
    "convolutional": "--layers 4x2x1,conv3,4 --image-shape 4x2 --epochs 2",
    "seeds": "--layers 8,6 --seeds 2 --epochs 2",
}
HEADS = {
    "solved": "--train head",
    "dead": "--train auto",
    "lbfgs": "--train gradual --epochs 2",
    "seeds/seed-0": "--unlabelled adversarial --epochs 2",
}


def test_every_kind_of_training_is_that_of_one_process(fresh: Shell) -> None:
    own = "--batch-size 16 --device cpu"
    lines = [
        *(f"pretrain --data labelled.npz {own} {given} --run runs/{{}}/{name}" for name, given in KINDS.items()),
        *(f"finetune {own} {given} --run runs/{{}}/{name}" for name, given in HEADS.items()),
    ]
    for line in lines:
        fresh.does(*line.format("one").split())
    (fresh.folder / "commands").write_text("\n".join(line.format("two") for line in lines))
    (code, _, err), other = end_ranks(start_script("rank_commands", fresh.folder, 2, "commands"))
    assert (code, other) == (0, (0, "", "")), err
    runs = fresh.folder / "runs"
    for config in sorted((runs / "one").rglob("config.toml")):
        assert_same_weights(runs / "two" / config.parent.relative_to(runs / "one"), config.parent, 1e-4)


def test_a_signal_to_all_stops_them_at_one_step_and_one_process_resumes(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "it"
    fresh.does(*PRETRAIN, *NOISY, *MANY, "--run", "runs/whole")
    processes = start_ranks(fresh, 2, *PRETRAIN, *NOISY, *MANY, "--run", "runs/it")
    wait_for(LATER, run / "log.txt", processes[0])
    for each in processes:
        each.send_signal(signal.SIGINT)
        each.send_signal(signal.SIGINT)  # as a terminal sends it, and torchrun once more
    (code, _, err), other = end_ranks(processes)
    assert code == 130 and "resume it by:  stackae resume runs/it" in err and "Traceback" not in err
    assert other == (0, "", "") and unfinished(run)
    told = fresh("resume", "runs/it").err
    assert "this run began with" in told and "processes 2 instead of 1" in told
    assert_same_weights(run, fresh.folder / "runs" / "whole", 1e-3)


def test_two_processes_resume_what_one_has_begun(fresh: Shell) -> None:
    run = fresh.folder / "runs" / "it"
    fresh.does(*PRETRAIN, *NOISY, *MANY, "--run", "runs/whole")
    (process,) = start_ranks(fresh, 1, *PRETRAIN, *NOISY, *MANY, "--run", "runs/it")
    wait_for(LATER, run / "log.txt", process)
    process.send_signal(signal.SIGTERM)
    assert end_ranks([process])[0][0] == 143
    assert "this run began with processes 1 instead of 2" in on_processes(fresh, 2, "resume", "runs/it")
    assert_same_weights(run, fresh.folder / "runs" / "whole", 1e-3)


@pytest.mark.parametrize("killed", [0, 1])
def test_where_torchrun_loses_a_process_all_end_and_one_resumes(fresh: Shell, killed: int) -> None:
    run, logs = fresh.folder / "runs" / "it", fresh.folder / "logs"
    words = (*PRETRAIN, *NOISY, "--epochs", "200000", "--run", "runs/it")
    with start_torchrun(fresh, logs, 2, *words) as launcher:
        wait_for(LATER, run / "log.txt", launcher)
        os.kill(process_of(launcher.pid, killed), signal.SIGKILL)
        launcher.communicate(timeout=60)
    assert launcher.returncode == 1 and unfinished(run)
    said = log_of(logs, 1 - killed).read_text()
    assert f"error: rank {killed} (process" in said and "got its end: it was killed" in said
    assert said.count("error: ") == 1 and "Traceback" not in said
    if killed == 1:
        assert "resume it by:  stackae resume runs/it" in said
    assert damages(run) == []
    assert run_of_one_process_goes_on(fresh)


def run_of_one_process_goes_on(shell: Shell) -> bool:
    """It resumes, and stops by a signal once it has trained on."""
    (process,) = start_ranks(shell, 1, "resume", "runs/it")
    log = shell.folder / "runs" / "it" / "log.txt"
    before = log.read_text().count("epoch")
    wait_for("resumes from", log, process)
    wait_for("layer 1/2 8-6-8  epoch", log, process)
    process.send_signal(signal.SIGTERM)
    return end_ranks([process])[0][0] == 143 and log.read_text().count("epoch") > before


def test_a_command_that_processes_do_not_share_is_refused(trained: Shell) -> None:
    (code, out, err), other = end_ranks(start_ranks(trained, 2, "sample", "--out", "codes.npy"))
    assert code == 2 and out == "" and other == (0, "", "")
    assert err == (
        "error: sample: expected one process, got 2, which share pretrain, finetune, resume, encode, reconstruct, "
        "score, evaluate, predict, sweep, compare alone; start it without torchrun\n"
    )
    assert not (trained.folder / "codes.npy").exists()
