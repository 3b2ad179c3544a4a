"""A changed bit, a cut, a swap in any file of a run is found before a value of it is used, and mended from the rest."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fault_cases import ALL, FINETUNE, PRETRAIN, RESUME, a_step_a_call, copied, result, stopped_at
from shell import UNREAD, Shell, write_data

from stackae.errors import RunError
from stackae.runs import Run, latest
from stackae.runs.verify import damages

Damage = Callable[[bytes, random.Random], bytes]


def flip(content: bytes, chosen: random.Random) -> bytes:
    place, bit = chosen.randrange(len(content)), 1 << chosen.randrange(8)
    return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]


def zero(content: bytes, chosen: random.Random) -> bytes:
    """A block of what was there is zeros: one in which something was."""
    place = chosen.choice([place for place, byte in enumerate(content) if byte])
    start = place // 64 * 64
    return content[:start] + bytes(len(content[start : start + 64])) + content[start + 64 :]


DAMAGES: dict[str, Damage] = {
    "bits flipped": flip,
    "cuts": lambda content, chosen: content[: chosen.randrange(len(content))],
    "bytes appended": lambda content, chosen: content + chosen.randbytes(chosen.randint(1, 9)),
    "blocks of zeros": zero,
}


class Runs(NamedTuple):
    """A run that is done, and a copy of it that was stopped in its last layer."""

    shell: Shell
    names: tuple[str, ...] = ("it", "stopped")

    def path(self, name: str) -> Path:
        return self.shell.folder / "runs" / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    shell = Shell(tmp_path_factory.mktemp("damaged"))
    write_data(shell.folder)
    with a_step_a_call():
        with stopped_at(18, lambda requests: setattr(requests, "stop", 2)):
            assert shell(*PRETRAIN).code == 130
        shutil.copytree(shell.folder / "runs" / "it", shell.folder / "runs" / "stopped")
        shell.does(*RESUME)
        shell.does(*FINETUNE)
    return Runs(shell)


def files_of(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name not in UNREAD)


def damaged(files: list[Path], count: int) -> Iterator[tuple[Path, str, bytes]]:
    """Each file in each way, then at random up to ``count``; each is whole again when the next one comes."""
    chosen = random.Random(0)
    cases = [(path, kind) for path in files for kind in DAMAGES]
    cases += [(chosen.choice(files), chosen.choice(list(DAMAGES))) for _ in range(count - len(cases))]
    for path, kind in cases:
        content = path.read_bytes()
        try:
            path.write_bytes(DAMAGES[kind](content, chosen))
            yield path, kind, content
        finally:
            path.write_bytes(content)


def named(path: Path, found: list[RunError]) -> bool:
    """Whether one of them is about this file; a checkpoint's state is told by any of its files."""
    return any(str(path) in str(error) for error in found)


def test_every_damage_is_found_and_the_file_named(runs: Runs, figures: Counter[str]) -> None:
    for name in runs.names:
        assert not damages(runs.path(name))
        for path, kind, _ in damaged(files_of(runs.path(name)), 1500 if ALL else 300):
            assert named(path, damages(runs.path(name))), (path, kind)
            figures[f"{kind}, all found"] += 1
        assert not damages(runs.path(name))


def test_verify_ends_with_4_and_names_the_file(runs: Runs) -> None:
    for name in runs.names:
        for path, kind, _ in damaged(files_of(runs.path(name)), 0):
            if kind in ("bits flipped", "cuts") or ALL:
                found = runs.shell("runs", "verify", f"runs/{name}")
                assert found.code == 4 and path.name in found.out and "Traceback" not in found.err, (path, kind)
                assert str(path.relative_to(runs.shell.folder)) in found.out, (path, found.out)


def test_files_that_change_places_are_found(runs: Runs, figures: Counter[str]) -> None:
    for name in runs.names:
        files = files_of(runs.path(name))
        contents = {path: path.read_bytes() for path in files}
        pairs = [(one, other) for one in files for other in files if one < other and contents[one] != contents[other]]
        for one, other in pairs if ALL else random.Random(0).sample(pairs, 60):
            one.write_bytes(contents[other])
            other.write_bytes(contents[one])
            found = damages(runs.path(name))
            one.write_bytes(contents[one])
            other.write_bytes(contents[other])
            assert named(one.parent, found) or named(other.parent, found), (one, other)
            figures["swapped files, all found"] += 1


READ = {
    "config.toml": lambda run: run.config,
    "metrics.jsonl": lambda run: run.metrics(),
    "scaling.safetensors": lambda run: run.load_scaling(),
    "calibration.safetensors": lambda run: run.load_calibration(),
    "layer1.safetensors": lambda run: run.load_stack(),
    "layer2.safetensors": lambda run: run.load_stack(),
    "classifier.safetensors": lambda run: run.load_head("classifier"),
}


def test_nothing_damaged_is_read(runs: Runs, figures: Counter[str]) -> None:
    run = Run(runs.path("it"))
    files = [run.path / name for name in READ]
    for path, kind, _ in damaged(files, 600 if ALL else 120):
        with pytest.raises(RunError, match=path.name):
            READ[path.name](run)
        figures[f"{kind}, refused by the reader"] += 1
    for _, kind, _ in damaged([run.path / "manifest.json"], 60):
        for read in READ.values():
            with pytest.raises(RunError, match=r"manifest\.json"):
                read(run)
        figures[f"{kind}, refused by the reader"] += 1


COMMANDS = {
    ("evaluate",): ("config.toml", "layer1.safetensors", "scaling.safetensors", "metrics.jsonl"),
    ("evaluate", "--part", "train"): ("classifier.safetensors",),
    ("encode",): ("config.toml", "layer2.safetensors", "scaling.safetensors"),
    ("reconstruct",): ("config.toml", "layer1.safetensors", "scaling.safetensors"),
    ("score",): ("config.toml", "layer1.safetensors", "scaling.safetensors", "calibration.safetensors"),
    ("encode", "--weights", "finetuned"): ("classifier.safetensors",),
    ("finetune",): ("config.toml", "layer2.safetensors", "scaling.safetensors", "metrics.jsonl"),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_what_it_would_use(runs: Runs, tmp_path: Path, command: tuple[str, ...]) -> None:
    shell = copied(runs.shell, tmp_path)
    run = shell.folder / "runs" / "it"
    for path, kind, _ in damaged([run / name for name in COMMANDS[command]], 0):
        if kind == "bits flipped":
            sentence = shell.refuses(4, *command, "--run", "runs/it")
            assert path.name in sentence, (sentence, path)


# ---- mending


def test_a_damaged_newest_checkpoint_is_passed_over(runs: Runs, tmp_path: Path, figures: Counter[str]) -> None:
    shell = copied(runs.shell, tmp_path)
    stopped, work = shell.folder / "runs" / "stopped", shell.folder / "runs" / "work"
    with a_step_a_call():
        shutil.copytree(stopped, work)
        shell.does("resume", "runs/work")
    expected = result(work)
    newest = latest(stopped, None, lambda error: None)
    assert newest is not None and "-layer2-epoch" in newest.path.name
    for path, kind, _ in damaged(files_of(newest.path), 0):
        shutil.rmtree(work)
        shutil.copytree(stopped, work)
        with a_step_a_call():
            resumed = shell("resume", "runs/work")
        assert resumed.code == 0, resumed.err
        where = Path("runs", "work", "checkpoints", newest.path.name, path.name)
        assert f"skipped: {where}" in resumed.err.replace(f"{shell.folder.resolve()}/", "")
        assert result(work) == expected and not damages(work), (path, kind)
        figures["damaged checkpoints passed over"] += 1


def without_times(run: Path) -> dict[str, Any]:
    """All files, with their very names; of states all but how long epochs took."""
    found: dict[str, Any] = {}
    for path in files_of(run):
        found[str(path.relative_to(run))] = path.read_bytes()
        if path.name == "state.json":
            found[str(path.relative_to(run))] = json.loads(path.read_bytes(), object_pairs_hook=_timeless)
    return found


def _timeless(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in pairs if name not in ("seconds", "rows_per_second")}


@pytest.mark.parametrize("kind", ["damaged", "deleted"])
def test_any_one_file_of_a_finished_run_is_made_again(
    runs: Runs, tmp_path: Path, kind: str, figures: Counter[str]
) -> None:
    shell = copied(runs.shell, tmp_path)
    run = shell.folder / "runs" / "it"
    whole, saved = result(run), tmp_path / "whole"
    shutil.copytree(run, saved)
    files = [path.relative_to(run) for path in files_of(run)]
    assert {path.name for path in files} >= {*READ, "curves.png", "filters.png", "reconstructions.png", "manifest.json"}
    for number, name in enumerate(files):
        shutil.rmtree(run)
        shutil.copytree(saved, run)
        (run / name).unlink() if kind == "deleted" else (run / name).write_bytes(
            flip((run / name).read_bytes(), random.Random(number))
        )
        shell.does("resume", "runs/it")
        assert result(run) == whole, name
        assert not damages(run), name
        if name.parts[0] != "checkpoints":
            assert (run / name).read_bytes() == (saved / name).read_bytes() or name.name == "manifest.json"
        figures[f"files of a finished run that were {kind} and made again"] += 1


def test_nothing_is_made_again_where_all_is_whole(runs: Runs, tmp_path: Path) -> None:
    shell = copied(runs.shell, tmp_path)
    before = without_times(shell.folder / "runs" / "it")
    assert "every file is as it was written" in shell.does("resume", "runs/it")
    assert without_times(shell.folder / "runs" / "it") == before


def test_what_only_an_evaluation_made_is_named(runs: Runs, tmp_path: Path) -> None:
    shell = copied(runs.shell, tmp_path)
    shell.does("evaluate", "--run", "runs/it", "--part", "train")
    picture = shell.folder / "runs" / "it" / "confusion-train.png"
    picture.write_bytes(b"")
    found = shell("resume", "runs/it")
    assert found.code == 4 and "confusion-train.png" in found.err and "stackae evaluate" in found.err
    shell.does("evaluate", "--run", "runs/it", "--part", "train")
    assert not damages(picture.parent)
