"""Begin a run folder: check that its name is free, lock it for one process, and put aside the run that it replaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path

from stackae.errors import ConfigError, DiskError, RunError, argument, legible, suggested
from stackae.runs.durable import make_folder, make_new_folder, move_folder
from stackae.runs.folder import Folder
from stackae.runs.lock import check_unheld, in_turn
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.ownership import aside_of, asides, is_proven, never_began, refusal, remove_own, strangers
from stackae.runs.places import has_progress, is_run, unfinished
from stackae.runs.pointer import LATEST, RUNS, check_pointer, point_latest, pointer_is_writable
from stackae.runs.run import Run


def new_folder(path: Path) -> Path:
    """Make the folder, or PATH-2, PATH-3, ... where the name is taken, and return it; no other process has it."""
    make_folder(path.parent)
    made, number = path, 1
    while not make_new_folder(made):
        number += 1
        made = path.with_name(f"{path.name}-{number}")
    return made


@contextmanager
def reserved(path: Path | None, default: Path) -> Iterator[Path]:
    """Make an empty folder before the work whose result will take its place; remove it again if the work fails.

    Without ``path`` the folder is ``default``, or the next free name.

    Raises:
        DiskError: the folder cannot be made.
    """
    made = path is None or not path.exists()
    if path is None:
        place = new_folder(default)
    else:
        place = path
        make_folder(path)
    try:
        yield place
    except BaseException:
        with suppress(OSError):
            if made:
                place.rmdir()
        raise


def check_free(path: Path | None, force: bool) -> None:
    """Raise ConfigError unless a run can be made at ``path`` (anywhere, if None) and runs/latest can point at it.

    Raises RunError where another process writes there. Locks the parent folder: another process may begin there.
    """
    with nullcontext() if path is None or not path.parent.is_dir() else in_turn(path.parent):
        _check_free(path, force)


def _check_free(path: Path | None, force: bool) -> None:
    check_pointer()
    if path is None:
        return
    if path.is_symlink() or path.absolute() == LATEST.absolute():
        raise ConfigError(f"{path}: expected a folder of its own for the new run, got the place of a pointer to one")
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(
            f"{path}: expected a new folder, got the one that this command runs in; choose another {argument('run')}"
        )
    check_unheld(path)
    if path.exists() and not never_began(path) and (found := _occupied(path, force)):
        raise ConfigError(found)


def _occupied(path: Path, force: bool) -> str:
    """Return the reason why what lies there cannot be replaced, or "" if it can."""
    if not is_proven(path):
        found = f"a {MANIFEST} or checkpoints that are not stackae's, or damaged" if is_run(path) else "something else"
        return f"{path}: expected a new folder or an earlier run, got {found}; choose another {argument('run')}"
    if not force:
        remedy = f"resume it by `{suggested('resume', path)}`, " if unfinished(path) else ""
        return (
            f"{path}: expected a new folder, got an existing run; {remedy}choose another {argument('run')}, "
            f"or add {argument('force')}"
        )
    return refusal(path)


@contextmanager
def new_runs(
    path: Path | None, force: bool, names: Sequence[str] = ("",), default: Path = RUNS / "run"
) -> Iterator[tuple[Folder, list[Run]]]:
    """Lock a fresh folder for this process, and yield it with one run per name; "" names the folder itself.

    Without ``path`` the folder is ``default``, or the next free name. A run that lay there is put aside, and removed
    only when the new one is complete. A failure keeps the new run if it has a checkpoint to resume from, and otherwise
    restores what was there. Of several processes that request the same folder, exactly one gets it.
    """
    check_free(path, force)
    if path is not None:
        make_folder(path.parent)
    with ExitStack() as held:
        place, made, aside = _begun(path, force, default, held)
        try:
            runs = [Run(place / name) for name in names]
            for run in runs:
                make_folder(run.path)
            yield Folder(place), runs
        except BaseException as error:
            if not has_progress(place):
                with in_turn(place.parent):
                    _undo(place, made, aside, error)
            raise


def _begun(path: Path | None, force: bool, default: Path, held: ExitStack) -> tuple[Path, bool, Path | None]:
    """Lock the folder. Return its path, whether it is new, and where the run that lay there was put aside."""
    if path is None:
        place = new_folder(default)
        held.enter_context(Folder(place).writing())
        return place, True, None
    with in_turn(path.parent):
        _check_free(path, force)
        aside = _put_aside(path) if path.exists() and not never_began(path) else None
        made = False
        try:
            made = make_new_folder(path)
            held.enter_context(Folder(path).writing())
        except BaseException:
            with suppress(OSError):
                if made:
                    path.rmdir()
            if aside is not None and not path.exists():
                move_folder(aside, path)
            raise
    return path, made, aside


def _undo(path: Path, made: bool, aside: Path | None, error: BaseException) -> None:
    """Remove the run that was begun, and restore the one that was put aside.

    Raises:
        RunError: something else appeared there meanwhile. DiskError: the run cannot be removed.
    """
    try:
        remove_own(path, itself=made)
    except (DiskError, OSError) as failure:
        if aside is not None:
            raise DiskError(f"{failure}; the run that was there lies in {aside}") from error
    if aside is None:
        return
    if path.exists():
        names = ", ".join(legible(each.name) for each in strangers(path)[:3])
        raise RunError(
            f"{path}: expected to put back the run that was there, got {names} in its place; it lies in {aside}"
        ) from error
    move_folder(aside, path)


def complete(path: Path, runs: Sequence[Run]) -> list[Path]:
    """Complete the runs of this folder: remove those that they replace, and point runs/latest at the new one.

    runs/latest points at the first of the runs with the most layers. Returns the replaced runs that stay,
    since they hold files that are not their own.
    """
    kept = [aside for aside in asides(path) if strangers(aside) or not remove_own(aside)]
    if pointer_is_writable():
        point_latest(max(runs, key=_layers_in).path)
    return kept


def _layers_in(run: Run) -> int:
    return len(list(run.path.glob("layer*.safetensors")))


def _put_aside(path: Path) -> Path:
    with Folder(path).writing():
        aside = aside_of(path)
        move_folder(path, aside)
    return aside
