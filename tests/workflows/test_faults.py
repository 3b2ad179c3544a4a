"""Laws of what the machine lacks: memory that ran out, libraries that do not load. It is told, and is no bug."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import says
from shell import Shell, write_data

from stackae.errors import SetupError
from stackae.workflows import faults
from stackae.workflows.faults import explained

LESS = "lower batch_size, make the widest of layers narrower, or give fewer rows or columns"
LIMIT = "or raise the limit on memory (ulimit -v, or that of the container)"


def torch_failure() -> RuntimeError:
    """torch's own words, of an allocation that no machine can serve."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    return caught.value


def numpy_failure() -> MemoryError:
    with pytest.raises(MemoryError) as caught:
        np.empty((1 << 24, 1 << 24), dtype=np.float32)
    return caught.value


OF_CUDA = (
    "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.06 GiB is "
    "free. Process 4 has 78.04 GiB memory in use."
)
OF_NUMPY = (
    "\n\nIMPORTANT: PLEASE READ THIS\n\nOriginal error was: libscipy_openblas.so: failed to map segment from shared "
    "object\n"
)


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (torch_failure, "1,125,899,906,842,624 bytes more"),
        (numpy_failure, "1.00 PiB more"),
        (lambda: MemoryError(), "more than is left"),
        (lambda: MemoryError("std::bad_alloc"), "more than is left"),
        (lambda: RuntimeError("std::bad_alloc"), "more than is left"),
        (lambda: OSError(12, "Cannot allocate memory"), "more than is left"),
    ],
)
def test_memory_that_ran_out_says_what_was_needed_what_there_was_and_what_to_lower(
    error: object, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stackae.data.memory.free_memory", lambda: 12345)
    found = explained(error())
    assert isinstance(found, SetupError) and found.exit_code == 6
    assert str(found) == f"memory: expected {needed}, got 12,345 bytes available; {LESS}, {LIMIT}"


def test_memory_of_a_gpu_is_told_apart() -> None:
    found = str(explained(RuntimeError(OF_CUDA)))
    there = "expected 20.00 GiB more, got 1.06 GiB free on the GPU"
    assert found == f"memory of the GPU: {there}; {LESS}, or use device='cpu'"
    assert "too little on the GPU" in str(explained(RuntimeError("CUDA error: out of memory")))
    assert "too little on the GPU" in str(
        explained(RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"))
    )


@pytest.mark.parametrize("text", ["libtorch_cpu.so: failed to map segment from shared object", OF_NUMPY])
def test_libraries_that_memory_has_no_room_for_are_no_damaged_ones(text: str) -> None:
    assert str(explained(ImportError(text))).startswith(
        "memory: expected enough to load the libraries that stackae is built on, got "
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ImportError("libmkl.so: bad ELF", name="numpy.core"),
            "numpy.core: expected a library that loads, got 'libmkl",
        ),
        (ModuleNotFoundError("No module named 'x'", name="x"), "x: expected a library that loads, got 'No module"),
        (
            OSError("libcudart.so.13: cannot open shared object file: No such file"),
            "libraries: expected a library that",
        ),
        (ImportError("a\x1b[31m\nb"), "libraries: expected a library that loads, got 'a\\x1b[31m'; install what"),
        (RuntimeError("can't start new thread"), "threads: expected to start one more, got no room for it; set OMP"),
    ],
)
def test_a_library_that_does_not_load_is_named(error: Exception, sentence: str) -> None:
    found = explained(error)
    assert isinstance(found, SetupError) and str(found).startswith(sentence)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name 'x' from 'stackae.errors'", name="stackae.errors"),
        RuntimeError("shape mismatch"),
        ValueError("out of memory"),
        FileNotFoundError(2, "No such file", "x"),
        KeyError("x"),
    ],
)
def test_what_is_not_the_machines_is_not_explained_away(error: Exception) -> None:
    assert explained(error) is None


@pytest.mark.parametrize("command", ["evaluate", "encode", "score", "reconstruct", "finetune"])
def test_a_command_ends_in_exit_code_6(command: str, trained: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **named: object) -> None:
        raise torch_failure()

    monkeypatch.setattr("stackae.runs.run.Run.load_scaling", fails)
    sentence = trained.refuses(6, command)
    assert sentence.startswith("error: memory: expected 1,125,899,906,842,624 bytes more, got ")
    assert json.loads(trained(command, "--json").out)["error"]["code"] == "environment"


def test_a_limit_below_what_libraries_take_is_told_before_they_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1 << 29, 1 << 29))
    with pytest.raises(SetupError, match=r"at least 1,073,741,824 bytes .*, got 536,870,912; raise it \(ulimit -v"):
        faults.check_room()
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    faults.check_room()


def test_under_a_limit_on_addresses_training_ends_in_a_sentence_and_can_be_gone_on_with(tmp_path: Path) -> None:
    """The limit leaves no room for the codes of layer 1."""
    np.save(tmp_path / "wide.npy", np.random.default_rng(0).random((9000, 8), dtype=np.float32))
    code = '''
import resource, sys
import stackae.pretraining
from stackae.cli.main import main

def limited_then(*arguments, train=stackae.pretraining.train_layer):
    """Less is left than was there when training began, as where others take memory meanwhile."""
    trained = train(*arguments)
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (20 << 20),) * 2)
    return trained

stackae.pretraining.train_layer = limited_then
main()
'''
    line = ("pretrain", "--layers", "8,4000,2", "--data", "wide.npy", "--epochs", "1", "--batch-size", "500")
    done = subprocess.run(
        [sys.executable, "-c", code, *line, "--device", "cpu", "--run", "runs/it"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 6, done.stderr
    assert "kept        runs/it; resume it by:  stackae resume runs/it" in done.stderr
    says(done.stderr.splitlines()[-1], "error: memory: expected ", "; lower --batch-size, make the widest of --layers")
    write_data(tmp_path)
    assert Shell(tmp_path)("resume", "runs/it").code == 0


# ---- paths that lead nowhere, names that are no text, numbers beyond all


def in_a_loop(folder: Path) -> None:
    for name in ("loop", "loop.npy"):
        (folder / name).symlink_to(name)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (2, ("pretrain", "--layers", "8,6", "--data", "unlabelled.npy", "--run", "loop/x")),
        (2, ("pretrain", "--layers", "8,6", "--data", "unlabelled.npy", "--run", "loop")),
        (3, ("pretrain", "--layers", "8,6", "--data", "loop.npy")),
        (3, ("pretrain", "--layers", "8,6", "--data", "mnist", "--data-root", "loop")),
        (2, ("pretrain", "--layers", "8,6", "--config", "loop")),
        (4, ("runs", "show", "loop")),
        (4, ("resume", "loop")),
        (3, ("evaluate", "--data", "loop.npy")),
        (3, ("score", "--data", "loop.npy")),
        (3, ("encode", "--data", "loop.npy")),
        (3, ("predict", "--data", "loop.npy")),
    ],
)
def test_a_link_that_leads_to_itself_is_told(code: int, arguments: tuple[str, ...], trained: Shell) -> None:
    in_a_loop(trained.folder)
    assert "loop" in trained.refuses(code, *arguments)


def test_loops_and_long_paths_are_explained_in_every_python() -> None:
    loop = "x: expected a file or a folder, got a link that leads to itself; remove it"
    assert str(explained(RuntimeError("Symlink loop from 'x'"))) == loop
    assert str(explained(OSError(40, "Too many levels of symbolic links", "x"))) == loop
    assert str(explained(OSError(36, "File name too long", "x" * 9000))).startswith("x" * 100 + "...: expected a path")


def nested(folder: Path, depth: int = 1000) -> None:
    """Made from below: one path to the innermost may be too long."""
    here = Path.cwd()
    try:
        os.chdir(folder)
        for _ in range(depth):
            Path("d").mkdir()
            os.chdir("d")
    finally:
        os.chdir(here)


def unnested(folder: Path) -> None:
    subprocess.run(["rm", "-rf", str(folder / "d")], check=True)  # shutil.rmtree calls itself once a level


@pytest.mark.parametrize("command", [("runs", "list"), ("runs", "show"), ("runs", "verify"), ("resume", "runs/first")])
def test_folders_that_lie_in_one_another_a_thousand_deep_are_passed_by(
    command: tuple[str, ...], trained: Shell
) -> None:
    nested(trained.run)
    try:
        assert trained(*command).code == 0
    finally:
        unnested(trained.run)


def test_what_nests_too_deeply_to_be_removed_is_no_bug(tmp_path: Path) -> None:
    nested(tmp_path)
    try:
        with pytest.raises(RecursionError) as caught:
            shutil.rmtree(tmp_path)
        found = explained(caught.value)
        assert found is not None and found.exit_code == 4 and "expected some that lie in one another" in str(found)
    finally:
        unnested(tmp_path)
    with pytest.raises(RecursionError) as caught:
        in_itself()
    assert explained(caught.value) is None


def in_itself() -> None:
    in_itself()


BYTES = os.fsdecode(b"x\xff")


@pytest.mark.parametrize("command", ["evaluate", "score", "encode", "predict", "reconstruct", "finetune", "check"])
def test_a_name_of_data_that_is_no_text_is_refused_and_damages_no_run(command: str, trained: Shell) -> None:
    shutil.copy(trained.folder / "labelled.npz", trained.folder / f"{BYTES}.npz")
    words = ("data", "check", f"{BYTES}.npz") if command == "check" else (command, "--data", f"{BYTES}.npz")
    sentence = trained.refuses(2, *words)
    assert sentence.endswith(r"expected a name in UTF-8, got 'x\udcff.npz'; rename it")
    assert trained("runs", "show").code == 0


def test_a_working_folder_whose_name_is_no_text_costs_no_more_than_its_files(fresh: Shell) -> None:
    inside = Shell(fresh.folder / BYTES)
    inside.folder.mkdir()
    write_data(inside.folder)
    sentence = inside.refuses(2, "pretrain", "--layers", "8,6", "--data", "labelled.npz")
    assert "expected a path in UTF-8, as config.toml is to keep it" in sentence and r"x\udcff/labelled.npz'" in sentence
    inside.does("pretrain", "--layers", "784,4", "--run", "runs/it")
    for command in (("evaluate",), ("runs", "show"), ("runs", "verify"), ("runs", "list"), ("encode",), ("evaluate",)):
        assert inside(*command).code == 0
    lines = (inside.run / "metrics.jsonl").read_text().splitlines()
    record = next(each for each in map(json.loads, lines) if each["event"] == "evaluation")
    assert r"x\udcff" in record["run"]


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        ("--batch-size", "1" + "0" * 19, "batch_size: expected a number less than or equal to 1000000000000, got 100"),
        ("--epochs", "1" + "0" * 400, "expected a whole number of at least 1, and at most 1,000,000,000, or auto"),
        (
            "--epochs",
            "1" + "0" * 5000,
            "expected a whole number of at least 1, and at most 1,000,000,000, or auto, got",
        ),
        ("--emphasis", "1e300:1", "emphasis.corrupted: expected a number less than or equal to 1000"),
        ("--patience", "1" + "0" * 5000, "such as 10:2:0.995, or auto, got '10000"),
    ],
)
def test_numbers_beyond_all_are_refused_in_a_short_sentence(option: str, text: str, told: str, fresh: Shell) -> None:
    sentence = fresh.refuses(2, "pretrain", "--layers", "8,6", "--data", "unlabelled.npy", option, text)
    assert told in sentence and len(sentence) < 300


def test_the_environment_of_a_picture_library_costs_no_training(fresh: Shell) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stackae.cli.main", "pretrain", "--layers", "8,6", "--data", "unlabelled.npy"],
        env=os.environ | {"MPLBACKEND": "nonsense", "MPLCONFIGDIR": "/dev/null/\x1b[31m", "STACKAE_EPOCHS": "1"},
        cwd=fresh.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and (fresh.run / "curves.png").is_file()
    assert "warning     " in done.stderr and "\x1b" not in done.stderr


def test_a_working_folder_that_was_removed_is_told(tmp_path: Path) -> None:
    here = Path.cwd()
    (tmp_path / "gone").mkdir()
    try:
        os.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        with pytest.raises(FileNotFoundError) as caught:
            Path.cwd()
    finally:
        os.chdir(here)
    found = explained(caught.value)
    assert found is not None and found.exit_code == 6
    assert str(found) == "working folder: expected one that is there, got one that was removed; go to another (cd)"
