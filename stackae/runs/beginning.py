"""The folder of a new run: that it is free, that one process alone has it, and what becomes of a run that was there."""

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
    """Makes the folder, or where there is one of that name already, PATH-2, PATH-3 ...: no other process has it."""
    make_folder(path.parent)
    made, number = path, 1
    while not make_new_folder(made):
        number += 1
        made = path.with_name(f"{path.name}-{number}")
    return made


@contextmanager
def reserved(path: Path | None, default: Path) -> Iterator[Path]:
    """An empty folder, made before the work whose result will take its place; a failure leaves none.

    Where no ``path`` is given it is ``default``, or the next name that is free.

    Raises:
        DiskError: it cannot be made.
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
    """Raises ConfigError unless a run may be made at ``path``, or anywhere, and pointed at when it is done.

    Raises RunError where another process writes to it. It is looked at in turn, since another may begin there.
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
    """Why what lies there cannot be replaced; "" where it can."""
    if not is_proven(path):
        found = f"a {MANIFEST} or checkpoints that are not stackae's, or damaged" if is_run(path) else "something else"
        return f"{path}: expected a new folder or an earlier run, got {found}; choose another {argument('run')}"
    if not force:
        remedy = f"go on with it by `{suggested('resume', path)}`, " if unfinished(path) else ""
        return (
            f"{path}: expected a new folder, got an existing run; {remedy}choose another {argument('run')}, "
            f"or add {argument('force')}"
        )
    return refusal(path)


@contextmanager
def new_runs(
    path: Path | None, force: bool, names: Sequence[str] = ("",), default: Path = RUNS / "run"
) -> Iterator[tuple[Folder, list[Run]]]:
    """A fresh folder, this process's to write, with a run in each folder that is named; "" is the folder itself.

    Where no ``path`` is given it is ``default``, or the next name that is free. What was there before is put aside, and
    given up only when all is done. A failure leaves what has a checkpoint to go on from; where there is none, it leaves
    everything as it was. Of several processes that want one folder, one has it.
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
    """The folder, whose lock is held from now on; whether it is a new one; where the run is that lay there before."""
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
    """Gives up what was begun, and puts back what was there.

    Raises:
        RunError: something else was put there meanwhile. DiskError: it cannot be removed.
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
    """The runs in this folder are done: they take the place of what they replace.

    runs/latest then points at the first of those that have the most layers. Returns those replaced runs that stay,
    since something that is not theirs lies in them.
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
