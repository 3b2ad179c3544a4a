"""Where runs lie, and the folder of a new one.

Stacks that were trained together lie in one folder: a run folder ``seed-N`` for each, and what they share.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from stackae.errors import ConfigError, RunError, suggested
from stackae.runs.checkpoints import FOLDER, numbered
from stackae.runs.durable import (
    is_temporary,
    make_folder,
    move_folder,
    remove_folder,
    remove_temporary,
    temporary,
    write_link,
)
from stackae.runs.folder import Folder
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.run import Run

RUNS = Path("runs")
LATEST = RUNS / "latest"
SHARED = {"curves.png", MANIFEST, "checkpoints", "lock", "log.txt"}  # beside the runs in a folder of seeds


def open_run(path: Path | None) -> Run:
    """The run at ``path``, or the newest that was completed.

    Raises:
        RunError: there is none.
    """
    chosen = path or LATEST
    if seeds := seed_runs(chosen):
        raise RunError(
            f"{chosen}: expected a run folder, got a folder of {len(seeds)} runs; name one, as --run "
            f"{shlex.quote(str(seeds[0]))}"
        )
    return Run.open(chosen)


def default_path(data: str, layer_sizes: tuple[int, ...], seeds: int | None = None) -> Path:
    """runs/<time>-<data>-<sizes>, and -<seeds>-seeds where a number of them is given; free to use."""
    sizes = "-".join(map(str, layer_sizes))
    return free_path(data, f"{sizes}-{seeds}-seeds" if seeds else sizes)


def free_path(data: str, what: str) -> Path:
    """runs/<time>-<data>-<what>; free to use."""
    label = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(data).stem)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{label}-{what}"
    path, number = RUNS / name, 1
    while path.exists():
        number += 1
        path = RUNS / f"{name}-{number}"
    return path


def seed_runs(path: Path) -> list[Path]:
    """The runs of stacks that were trained together, by seed, where ``path`` is a folder of them."""
    inside = list(path.iterdir()) if path.is_dir() and not (path / "config.toml").exists() else []
    named = [entry for entry in inside if re.fullmatch(r"seed-\d+", entry.name) and not entry.is_symlink()]
    runs = [entry for entry in named if (entry / MANIFEST).is_file()]
    return sorted(runs, key=lambda run: int(run.name[len("seed-") :]))


def runs_in(path: Path, names: Sequence[str]) -> list[Run]:
    """The run in each folder that is named; "" is the folder itself.

    Raises:
        RunError: one is a link, by which a training would be written elsewhere.
    """
    for name in names:
        if (path / name).is_symlink():
            raise RunError(f"{path / name}: expected a run folder, got a link; put what it leads to in its place")
    return [Run(path / name) for name in names]


def is_run(path: Path) -> bool:
    """Whether stackae made this folder: of one run, or of several."""
    return (path / MANIFEST).is_file() or bool(numbered(path)) or bool(seed_runs(path))


def never_began(path: Path) -> bool:
    """Whether the folder is empty, or holds no more than a run leaves that was killed before its first checkpoint."""
    if not path.is_dir() or path.is_symlink():
        return False
    files = {"lock", "log.txt"} if (path / "lock").exists() else set()  # a log without a lock is someone else's
    for entry in path.iterdir():
        folder = entry.name == FOLDER or re.fullmatch(r"seed-\d+", entry.name)
        if not (never_began(entry) if folder else entry.name in files or is_temporary(entry)):
            return False
    return True


def unfinished(path: Path) -> bool:
    """Whether its newest checkpoint was not made into files of the run yet."""
    numbers = [number for number, _ in numbered(path)]
    try:
        return bool(numbers) and numbers[-1] > Folder(path).manifest.made_from
    except RunError:
        return True


def all_runs(root: Path = RUNS) -> list[Path]:
    """Folders of runs in ``root``, the newest first."""
    inside = [path for path in root.iterdir() if not path.is_symlink() and path.is_dir()] if root.is_dir() else []
    runs = [path for path in inside if not path.name.startswith(".") and is_run(path)]
    return sorted(runs, key=_changed, reverse=True)


def _changed(path: Path) -> float:
    return max(each.stat().st_mtime for each in (path, path / "checkpoints", path / MANIFEST) if each.exists())


def check_free(path: Path, force: bool) -> None:
    """Raises ConfigError unless a run may be made at ``path``."""
    if path.is_symlink() or path.absolute() == LATEST.absolute():
        raise ConfigError(f"{path}: expected a folder of its own for the new run, got the place of a pointer to one")
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(f"{path}: expected a new folder, got the one that this command runs in; choose another --run")
    if not path.exists() or never_began(path):
        return
    seeds = seed_runs(path)
    strange = {entry.name for entry in path.iterdir()} - SHARED - {run.name for run in seeds} if seeds else set()
    if not path.is_dir() or not is_run(path) or strange:
        raise ConfigError(f"{path}: expected a new folder or an earlier run, got something else; choose another --run")
    if not force:
        remedy = f"go on with it by `{suggested('resume', path)}`, " if unfinished(path) else ""
        raise ConfigError(
            f"{path}: expected a new folder, got an existing run; {remedy}choose another --run, or add --force"
        )


@contextmanager
def new_runs(path: Path, force: bool, names: Sequence[str] = ("",)) -> Iterator[tuple[Folder, list[Run]]]:
    """A fresh folder, this process's to write, with a run in each folder that is named; "" is the folder itself.

    What was there before is put aside, and given up only when all is done. A failure leaves what has a checkpoint to
    go on from; where there is none, it leaves everything as it was.
    """
    check_free(path, force)
    remove_temporary(temporary(path))
    aside = None
    if path.exists():
        with Folder(path).writing():
            if never_began(path):
                remove_folder(path)
            else:
                aside = _put_aside(path)
    runs = [Run(path / name) for name in names]
    try:
        for run in runs:
            make_folder(run.path)
        with Folder(path).writing():
            yield Folder(path), runs
    except BaseException:
        if not has_progress(path):
            shutil.rmtree(path, ignore_errors=True)
            if aside is not None:
                move_folder(aside, path)
        raise


def complete(path: Path, runs: Sequence[Run]) -> None:
    """The runs in this folder are done: they take the place of what they replace.

    runs/latest then points at the first of those that have the most layers.
    """
    for aside in path.parent.glob(f".{glob.escape(path.name)}.replaced-*"):
        remove_temporary(aside)
    point_latest(max(runs, key=_layers_in).path)


def has_progress(path: Path) -> bool:
    """Whether there is a checkpoint to go on from, beyond the beginning."""
    return any(not entry.name.endswith("-begin") for _, entry in numbered(path))


def _layers_in(run: Run) -> int:
    return len(list(run.path.glob("layer*.safetensors")))


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f".{path.name}.replaced-{number}")).exists():
        number += 1
    move_folder(path, aside)
    return aside


def point_latest(path: Path) -> None:
    """Makes runs/latest a pointer to this run."""
    make_folder(RUNS)
    if LATEST.exists() and not LATEST.is_symlink():
        raise ConfigError(f"{LATEST}: expected a pointer to the newest run, got a folder; move it away")
    write_link(LATEST, os.path.relpath(path.resolve(), RUNS.resolve()))
