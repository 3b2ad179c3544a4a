"""Decide by proof which files in a folder are stackae's. Nothing else is removed, whatever its name or place.

A folder is a run's if it, or a checkpoint in it, has a manifest with a valid digest of its own. The run owns the
manifest and the files it lists, checkpoints that hold only their own files, a lock and a log that identify
themselves, temporary files, and the runs ``seed-N`` of the same kind.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from stackae.errors import RunError, argument, legible, suggested
from stackae.runs import lock
from stackae.runs.checkpoints import FOLDER, MOST_TRIED, NUMBERED, numbered, state_of
from stackae.runs.durable import is_temporary, remove_files, remove_temporary
from stackae.runs.manifest import LARGEST, open_plain, read_file, read_manifest
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.pruning import files_of, remove_checkpoint
from stackae.system import begin_of

LOG = "log.txt"
LOGGED = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4,6}  ")
SEED = re.compile(r"seed-[0-9]{1,20}")


def is_proven(path: Path) -> bool:
    """Return whether it is provably the folder of one or several runs."""
    with suppress(RunError):
        read_manifest(path)
        return True
    return any(_is_checkpoint(each) for _, each in numbered(path)[-MOST_TRIED:])


def strangers(path: Path) -> list[Path]:
    """List what lies in a run's folder but is not the run's."""
    listed, found = _listed(path), []
    for entry in sorted(path.iterdir()):
        if entry.is_symlink():
            found.append(entry)
        elif entry.name == FOLDER and entry.is_dir():
            found += [each for each in sorted(entry.iterdir()) if not _of_checkpoints(each)]
        elif SEED.fullmatch(entry.name) and entry.is_dir():
            found += strangers(entry)
        elif not (entry.is_file() and _is_own(entry, listed)) and not is_temporary(entry):
            found.append(entry)
    return found


def refusal(path: Path) -> str:
    """Explain why a run cannot be replaced: which foreign files it holds, and the remedy; "" if there are none."""
    found = strangers(path)
    if not found:
        return ""
    names = ", ".join(legible(str(each.relative_to(path)), 60) for each in found[:3])
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    listing = "" if (path / MANIFEST).exists() and _is_whole(path) else f"give `{suggested('resume', path)}` first, "
    return (
        f"{path}: expected a run and nothing besides, got {names}{more}, which its {MANIFEST} does not list; "
        f"{listing}move away what is yours, or choose another {argument('run')}"
    )


def never_began(path: Path) -> bool:
    """Return whether the folder is empty, or holds only what a run killed before its first checkpoint leaves."""
    if not path.is_dir() or path.is_symlink():
        return False
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink() and (entry.name == FOLDER or SEED.fullmatch(entry.name)):
            if not never_began(entry):
                return False
        elif not (is_temporary(entry) or _is_own(entry, ())):
            return False
    return True


def remove_own(path: Path, itself: bool = True) -> bool:
    """Remove the run's own files, its manifest last; return whether the folder is gone, as it is without foreign files.

    With ``itself`` false the folder stays, with its lock and its log. Raises DiskError.
    """
    listed, files = _listed(path), list[Path]()
    if not path.exists():
        return True
    for entry in sorted(path.iterdir()):
        if is_temporary(entry):
            remove_temporary(entry)
        elif entry.is_symlink():
            continue
        elif entry.name == FOLDER and entry.is_dir():
            _remove_checkpoints(entry)
        elif SEED.fullmatch(entry.name) and entry.is_dir():
            remove_own(entry)
        elif _is_own(entry, listed) and entry.name != MANIFEST and (itself or not _is_diary(entry)):
            files.append(entry)
    remove_files(path, files)
    remove_files(path, [path / MANIFEST] if listed else [])
    if not itself or any(path.iterdir()):
        return False
    remove_files(path.parent, [path])
    return True


def asides(path: Path) -> Iterator[Path]:
    """Yield the runs that were put aside for the one at ``path``, and empty folders left of such runs."""
    prefix = _aside_prefix(path)
    found = [entry for entry in sorted(path.parent.iterdir()) if entry.name.startswith(prefix) and _is_folder(entry)]
    for entry in found:
        mark = entry.name.removeprefix(prefix).partition("-")[0]
        if mark == _mark(entry, path.name) or not any(entry.iterdir()):
            yield entry


def aside_of(path: Path) -> Path:
    """Return a unique name beside the run to put it aside under, which tells what it holds."""
    aside = path.with_name(f"{_aside_prefix(path)}{_mark(path, path.name)}")
    number = 1
    while os.path.lexists(aside):
        number += 1
        aside = aside.with_name(f"{_aside_prefix(path)}{_mark(path, path.name)}-{number}")
    return aside


def is_log(path: Path) -> bool:
    """Return whether the file is a log of stackae, by its first bytes, and has no hard link elsewhere."""
    with suppress(OSError, ValueError), open_plain(path) as file:
        return logs(file.fileno())
    return False


def logs(descriptor: int) -> bool:
    """Return whether the descriptor is of a log of stackae, or of an empty file that may become one."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        return False
    return found.st_size == 0 or LOGGED.match(begin_of(descriptor, 40)) is not None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _is_own(entry: Path, listed: frozenset[str] | tuple[()]) -> bool:
    if entry.name in listed:
        return not entry.is_symlink() and entry.is_file()
    return (entry.name == lock.NAME and lock.is_lock(entry)) or (entry.name == LOG and is_log(entry))


def _is_diary(entry: Path) -> bool:
    return entry.name in (lock.NAME, LOG)


def _listed(path: Path) -> frozenset[str]:
    """Return the names of the manifest and its files; empty if the manifest is not stackae's."""
    with suppress(RunError):
        return frozenset({MANIFEST, *read_manifest(path).files})
    return frozenset()


def _is_whole(path: Path) -> bool:
    return bool(_listed(path))


def _is_checkpoint(path: Path) -> bool:
    with suppress(RunError):
        state_of(path)
        return True
    return False


def _of_checkpoints(path: Path) -> bool:
    return is_temporary(path) or (NUMBERED.fullmatch(path.name) is not None and files_of(path) is not None)


def _remove_checkpoints(inside: Path) -> None:
    for path in sorted(inside.iterdir()):
        if is_temporary(path):
            remove_temporary(path)
        elif NUMBERED.fullmatch(path.name):
            with suppress(RunError):
                remove_checkpoint(path)
    if not any(inside.iterdir()):
        remove_files(inside.parent, [inside])


def _aside_prefix(path: Path) -> str:
    return f".{os.fsencode(path.name)[:200].decode(errors='ignore')}.replaced-"


def _mark(folder: Path, name: str) -> str:
    """Digest what a run of that name lists in its manifest."""
    content = b""
    with suppress(OSError, ValueError):
        content = read_file(folder / MANIFEST, LARGEST)
    return hashlib.sha256(b"stackae\0" + os.fsencode(name) + b"\0" + content).hexdigest()[:16]
