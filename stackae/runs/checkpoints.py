"""Checkpoints: numbered folders from which a training resumes, bit-identical.

    checkpoints/000001-pretrain-begin/     the work: its settings, and a digest of the data
    checkpoints/000004-layer1-end/         a trained layer; kept for good, so that a damaged file can be restored
    checkpoints/000006-layer2-epoch12/     between two steps of epoch 12: parameters, best parameters, optimizer state;
                                           the newest two are kept
        state.json                         stackae.runs.state
        0.safetensors ...                  the tensors of each network, by index
        manifest.json                      size and SHA-256 of each file

No random state is stored: batch orders and noise are functions of seed, layer, epoch and step. The newest folder is the
latest checkpoint; there is no pointer that could disagree. A damaged checkpoint is skipped for the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from stackae.errors import RunError, argument
from stackae.models.files import LARGEST_HEADER, opened, pack
from stackae.models.heads import HEADS
from stackae.objectives.kinds import numbers_of
from stackae.runs.durable import make_folder, write_folder
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.manifest import Entry, Manifest, check_listed, read_file, read_listed, read_manifest
from stackae.runs.state import ReplicaSnapshotState, SnapshotState, StageResultState, State, Work
from stackae.training.callbacks import EpochRecord
from stackae.training.checkpointing import ReplicaSnapshot, Snapshot, StageResult
from stackae.training.lbfgs import VECTORS

FOLDER = "checkpoints"
STATE = "state.json"
LARGEST_STATE = 1 << 28
MOST_TRIED = 20
LARGEST_NUMBER = 10**18
NUMBERED = re.compile(r"([0-9]{6,18})-([a-z0-9-]{1,60})")


class Checkpoint(NamedTuple):
    """A checkpoint that was read and verified."""

    path: Path
    number: int
    state: State


def numbered(folder: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a run folder by number, oldest first, whole or damaged."""
    inside = folder / FOLDER
    if inside.is_symlink() or not inside.is_dir():
        return []
    found = []
    with suppress(FileNotFoundError):  # it was removed meanwhile
        found = [(NUMBERED.fullmatch(path.name), path) for path in inside.iterdir()]
    return sorted((int(match[1]), path) for match, path in found if match)


def latest(folder: Path, command: str | None, skipped: Callable[[RunError], None]) -> Checkpoint | None:
    """Return the newest checkpoint (of that command, if given) that is whole, including all that it builds on."""
    for _, path in reversed(numbered(folder)):
        try:
            checkpoint = read(path)
            if command in (None, checkpoint.state.work.command):
                for _ in ended_files(folder, checkpoint.state):
                    pass
                return checkpoint
        except RunError as error:
            skipped(error)
    return None


def newest_state(folder: Path) -> State:
    """Read the newest state that is whole, even if the tensors beside it are damaged. Raises RunError if there is none.

    Tries at most the MOST_TRIED newest checkpoints.
    """
    tried: set[Path] = set()
    while fresh := [path for _, path in numbered(folder)[-MOST_TRIED:] if path not in tried]:
        for path in reversed(fresh):  # a running training may have replaced the ones listed before
            with suppress(RunError):
                return state_of(path)
        tried.update(fresh)
        if len(tried) >= MOST_TRIED:
            break
    raise RunError(
        f"{folder}: expected a checkpoint with a whole {STATE}, got none; train it again with {argument('force')}"
    )


def state_of(path: Path) -> State:
    """Read a checkpoint's state without verifying its tensors. Raises RunError if it is missing or damaged."""
    return _read_state(path, _manifest(path))


def read(path: Path) -> Checkpoint:
    """Read a checkpoint, and compare each of its files with its manifest.

    Raises:
        RunError: a file is missing or damaged.
    """
    manifest = _manifest(path)
    for name in manifest.files:
        check_listed(path, name, manifest)
    return Checkpoint(path, int(path.name.partition("-")[0]), _read_state(path, manifest))


def _manifest(path: Path) -> Manifest:
    """Read the manifest of a folder, which must not be a symbolic link."""
    if path.is_symlink() or not path.is_dir():
        raise RunError(f"{path}: expected the folder of a checkpoint, got something else; remove it")
    return read_manifest(path)


def _read_state(path: Path, manifest: Manifest) -> State:
    content = read_listed(path, STATE, manifest, LARGEST_STATE)
    try:
        state = State.unpack(content)
        missing = {
            f"{index}.safetensors" for index in (state.stage.members if state.stage else ())
        } - manifest.files.keys()
        if missing or not all(index < len(state.work.runs) for each in state.ended.values() for index in each):
            raise ValueError(f"other networks than {len(state.work.runs)} with a file each")
    except ValueError as error:
        raise RunError(f"{path / STATE}: expected the state of a training, got another content ({error})") from None
    return state


def ended_files(folder: Path, state: State) -> Iterator[tuple[str, int, bytes]]:
    """Yield stage name, network index and packed weights of every stage that ended.

    A layer is read from the checkpoint of its stage's end or, if that is damaged, from the run folder.

    Raises:
        RunError: both copies are damaged.
    """
    paths = dict(numbered(folder))
    for stage, results in state.ended.items():
        for index, ended in results.items():
            if ended.diverged is None:
                end = paths.get(ended.checkpoint, folder / FOLDER / f"{ended.checkpoint:06d}-{stage}-end")
                made_of_it = folder / state.work.runs[index] / f"{stage}.safetensors"
                yield stage, index, _first_whole([end / f"{index}.safetensors", made_of_it], ended)


def _first_whole(paths: list[Path], ended: StageResultState) -> bytes:
    for path in paths:
        try:
            content = read_file(path, ended.size)
        except (OSError, ValueError):
            continue
        if Entry.of(content) == Entry(ended.size, ended.sha256):
            return content
    raise RunError(f"{paths[0]}: expected the {ended.size:,} bytes of a trained stage, got none or a damaged file")


def tensors_of(path: Path, content: bytes) -> dict[str, Tensor]:
    """Unpack the tensors of a trained stage."""
    with opened(path, content) as (tensors, _):
        return tensors


def write_checkpoint(folder: Path, number: int, label: str, state: State, tensors: Mapping[int, bytes]) -> None:
    """Write a new checkpoint atomically. Raises DiskError."""
    files = {f"{index}.safetensors": content for index, content in tensors.items()} | {STATE: state.pack()}
    manifest = Manifest({name: (Entry.of(content),) for name, content in files.items()}, number)
    inside = folder / FOLDER
    if inside.is_symlink():
        raise RunError(f"{inside}: expected a folder of this run, got a link; put what it leads to in its place")
    if number >= LARGEST_NUMBER:
        raise RunError(
            f"{inside}: expected checkpoints with numbers of at most 18 digits, got {number - 1:06d}; remove the one "
            "of that number, or train a new run"
        )
    make_folder(inside, above=False)  # a run folder that was deleted during training is not created again
    write_folder(inside / f"{number:06d}-{label}", files | {MANIFEST: manifest.pack()})


def rewrite(folder: Path, checkpoint: Checkpoint, state: State) -> Path:
    """Write a newest checkpoint with another state, and the same tensors for the stage that the state has, if any."""
    manifest, config = read_manifest(checkpoint.path), state.work.settings[0].pretrain
    sizes = zip(config.layer_sizes, config.layers, strict=False)
    heads = [kind.most_numbers(config) for kind in HEADS.values()]
    numbers = max(*(numbers_of(n, layer) for n, layer in sizes), *(heads if state.work.command == "finetune" else (0,)))
    most = 4 * copies_of(state.work) * numbers + LARGEST_HEADER
    names = {index: f"{index}.safetensors" for index in (state.stage.members if state.stage else ())}
    tensors = {index: read_listed(checkpoint.path, name, manifest, most) for index, name in names.items()}
    label = f"{state.stage.name}-epoch{state.stage.epoch}" if state.stage else f"{state.work.command}-changed"
    number = max(found for found, _ in numbered(folder)) + 1
    write_checkpoint(folder, number, label, state, tensors)
    return folder / FOLDER / f"{number:06d}-{label}"


def copies_of(work: Work) -> int:
    """Return how many times the parameters a half-trained network is stored at most: as they are, at their best, and as
    the moments of Adam or the vectors of L-BFGS."""
    settings = work.settings[0]
    training = settings.finetune if work.command == "finetune" and settings.finetune else settings.pretrain
    counts = any(layer.revive.kind == "auxiliary" for layer in settings.pretrain.layers)  # the rows of silent units
    return 2 + (VECTORS if training.optimizer == "lbfgs" else 2) + int(counts)


def pack_tensors(replica: ReplicaSnapshot) -> bytes:
    """Pack the tensors of a network between two steps."""
    flat = {f"weights.{name}": tensor for name, tensor in replica.weights.items()}
    flat |= {f"best.{name}": tensor for name, tensor in replica.best_weights.items()}
    flat |= {f"moments.{number}": tensor for number, tensor in enumerate(replica.optimizer_state)}
    return pack(flat, kind="checkpoint")


def read_snapshot(checkpoint: Checkpoint, stage: SnapshotState, most: Mapping[int, int]) -> Snapshot:
    """Read the snapshot of a half-trained stage; ``most`` is the size of each network's parameters in bytes.

    Raises:
        RunError: a file is damaged, or larger than its network explains.
    """
    replicas, copies = {}, copies_of(checkpoint.state.work)
    manifest = read_manifest(checkpoint.path)
    for index, replica in stage.members.items():
        name = f"{index}.safetensors"
        content = read_listed(checkpoint.path, name, manifest, copies * most.get(index, 0) + LARGEST_HEADER)
        with opened(checkpoint.path / name, content) as (tensors, _):
            replicas[index] = ReplicaSnapshot(**dict(replica), **_sorted_out(tensors))
    return Snapshot(stage.epoch, stage.rows, replicas)


def _sorted_out(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Group the tensors of a snapshot by kind: weights, best weights, optimizer state."""
    weights, best, moments = (
        {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}
        for kind in ("weights.", "best.", "moments.")
    )
    optimizer_state = [moments[str(number)] for number in range(len(moments))]
    return {"weights": weights, "best_weights": best, "optimizer_state": optimizer_state}


def snapshot_state(name: str, snapshot: Snapshot) -> SnapshotState:
    """Return the part of a snapshot that is stored as JSON."""
    members = {
        index: ReplicaSnapshotState(**{field: getattr(each, field) for field in ReplicaSnapshotState.model_fields})
        for index, each in snapshot.replicas.items()
    }
    return SnapshotState(name=name, epoch=snapshot.epoch, rows=snapshot.rows, members=members)


def result_state(number: int, content: bytes, ended: StageResult) -> StageResultState:
    """Return the part of a stage result that is stored as JSON; ``content`` is its packed weights."""
    size, sha256 = Entry.of(content)
    return StageResultState(checkpoint=number, size=size, sha256=sha256, history=ended.history, diverged=ended.diverged)


def history_of(state: State, index: int) -> list[EpochRecord]:
    """Return the records of all epochs of a network so far, stage by stage."""
    records = [record for stage in state.ended.values() if index in stage for record in stage[index].history]
    return records + list(state.stage.members[index].history if state.stage and index in state.stage.members else ())
