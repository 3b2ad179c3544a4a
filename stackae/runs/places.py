"""Where runs are stored, and the default name of a new one.

Stacks that were trained together share one folder, with a run folder ``seed-N`` for each.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from stackae.errors import RunError, argument
from stackae.runs.checkpoints import numbered
from stackae.runs.folder import Folder
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.pointer import LATEST, RUNS
from stackae.runs.run import Run

MOST_BYTES = {"data": 48, "what": 40}  # of each piece of a default name, which must fit with its prefix and suffix


def open_run(run: Run | Path | str | None = None) -> Run:
    """Open the run in that folder, by default the newest complete run; an open run is returned as it is.

    Raises:
        RunError: there is no run.
    """
    if isinstance(run, Run):
        return run
    chosen = LATEST if run is None else Path(run)
    if seeds := seed_runs(chosen):
        raise RunError(
            f"{chosen}: expected a run folder, got a folder of {len(seeds)} runs; name one, as {argument('run')} "
            f"{shlex.quote(str(seeds[0]))}"
        )
    return Run.open(chosen)


def named_run(path: Path | str | None) -> Path:
    """Return the folder of one or several runs, by default the newest. Raises RunError if it is not a run's."""
    named = LATEST if path is None else Path(path)
    if not named.is_dir() or not is_run(named):
        what = "something else" if named.exists() else "no such folder"
        raise RunError(f"{named}: expected a run folder, got {what}; `stackae runs list` shows those that there are")
    return named.resolve()


def default_path(data: str, layer_sizes: tuple[int, ...], seeds: int | None = None) -> Path:
    """Return runs/<time>-<data>-<sizes>, with -<seeds>-seeds appended for several stacks."""
    sizes = "-".join(map(str, layer_sizes))
    if len(sizes) > MOST_BYTES["what"]:
        sizes = f"{layer_sizes[0]}-to-{layer_sizes[-1]}-{len(layer_sizes) - 1}-layers"
    return timed_path(data, f"{sizes}-{seeds}-seeds" if seeds else sizes)


def timed_path(data: str, what: str) -> Path:
    """Return runs/<time>-<data>-<what>; a long name of data is shortened."""
    label = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(data).stem)
    label = label.encode()[: MOST_BYTES["data"]].decode(errors="ignore")
    return RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-{label}-{what}"


def free_file(path: Path) -> Path:
    """Return the path, or the next free one of the same suffix: NAME-2, NAME-3, ..."""
    free, number = path, 1
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return free


def seed_runs(path: Path) -> list[Path]:
    """List the runs of stacks that were trained together in ``path``, by seed; empty for other folders."""
    inside = list(path.iterdir()) if path.is_dir() and not (path / "config.toml").exists() else []
    named = [entry for entry in inside if re.fullmatch(r"seed-\d+", entry.name) and not entry.is_symlink()]
    runs = [entry for entry in named if (entry / MANIFEST).is_file()]
    return sorted(runs, key=lambda run: int(run.name[len("seed-") :]))


def runs_in(path: Path, names: Sequence[str]) -> list[Run]:
    """Return the run in each named folder; "" is the folder itself.

    Raises:
        RunError: a folder is a link, through which a training would write elsewhere.
    """
    for name in names:
        if (path / name).is_symlink():
            raise RunError(f"{path / name}: expected a run folder, got a link; put what it leads to in its place")
    return [Run(path / name) for name in names]


def is_run(path: Path) -> bool:
    """Return whether stackae made this folder, of one run or of several."""
    return (path / MANIFEST).is_file() or bool(numbered(path)) or bool(seed_runs(path))


def unfinished(path: Path) -> bool:
    """Return whether the results of its newest checkpoint have not been written as files of the run."""
    numbers = [number for number, _ in numbered(path)]
    try:
        return bool(numbers) and numbers[-1] > Folder(path).manifest.made_from
    except RunError:
        return True


def all_runs(root: Path = RUNS) -> list[Path]:
    """List the run folders in ``root``, newest first."""
    inside = [path for path in root.iterdir() if not path.is_symlink() and path.is_dir()] if root.is_dir() else []
    runs = [path for path in inside if not path.name.startswith(".") and is_run(path)]
    return sorted(runs, key=_changed, reverse=True)


def _changed(path: Path) -> float:
    times = [0.0]
    for each in (path, path / "checkpoints", path / MANIFEST):
        with suppress(OSError):  # another process removed or replaced it meanwhile
            times.append(each.stat().st_mtime)
    return max(times)


def has_progress(path: Path) -> bool:
    """Return whether there is a checkpoint to resume from beyond the first."""
    return any(not entry.name.endswith("-begin") for _, entry in numbered(path))
