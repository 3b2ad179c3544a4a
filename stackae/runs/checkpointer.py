"""The checkpointer that writes to disk: it decides when a checkpoint is due, and what a training resumes from."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from stackae.errors import StoppedError
from stackae.models.files import layer_name, pack, pack_weights
from stackae.ranks import group
from stackae.runs.checkpoints import (
    Checkpoint,
    ended_files,
    numbered,
    pack_tensors,
    read_snapshot,
    result_state,
    snapshot_state,
    tensors_of,
    write_checkpoint,
)
from stackae.runs.durable import make_folder
from stackae.runs.folder import Folder
from stackae.runs.pruning import prune, remove_after, remove_checkpoint, remove_if_empty, remove_unfinished
from stackae.runs.state import StageResultState, State, Work
from stackae.training.checkpointing import Snapshot, StageResult

EVERY = 30.0  # maximum seconds between checkpoints within an epoch
SHARE = 0.05  # maximum share of the training time spent on checkpoints at the ends of epochs


@dataclass
class Requests:
    """Requests of signals to a training: to stop (by which signal) or to save; ``heard`` while it polls them."""

    stop: int | None = None
    save: bool = False
    heard: bool = False


def this_machine() -> dict[str, str]:
    """Describe what the bits of a training depend on beside its settings and data."""
    return {
        "torch": torch.__version__,
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "processes": str(group().count),
    }


class DiskCheckpointer:
    """Write checkpoints into a folder: a ``stackae.training.checkpointing.Checkpointer``.

    The end of a stage is always saved. The end of an epoch is saved while this takes at most SHARE of the time. Within
    an epoch, a checkpoint is saved every ``every`` seconds.
    """

    def __init__(
        self, folder: Folder, work: Work, resumed: Checkpoint | None = None, *, every: float = EVERY, requests: Requests
    ) -> None:
        self._folder, self._every, self._requests = folder.path, every, requests
        for name in dict.fromkeys(("", *work.runs)):
            remove_unfinished(folder.path / name)
        if resumed is not None:
            remove_after(folder.path, work.command, resumed.number)
        self._resumed = resumed
        self._number = max((number for number, _ in numbered(folder.path)), default=0)
        self._state = (
            resumed.state if resumed else State(begun=self._number + 1, work=work, machine=this_machine(), ended={})
        )
        self._last, self._cost = time.monotonic(), 0.0

    @property
    def number(self) -> int:
        """The number of the newest checkpoint."""
        return self._number

    def open(self) -> None:
        """Write the first checkpoint: from here on the work can be resumed."""
        if self._number < self._state.begun:
            make_folder(self._folder)
            self._write(f"{self._state.work.command}-begin", self._state, {})

    def begin(self, stage: str, networks: Mapping[int, nn.Module]) -> Snapshot | Mapping[int, StageResult] | None:
        """Return the results of a stage that ended, the snapshot of a half-trained one, or None for a new one."""
        if stage in self._state.ended:
            return self._ended(stage, self._state.ended[stage])
        self.open()
        kept = self._state.stage
        if self._resumed is None or kept is None or kept.name != stage:
            return None
        most = {index: sum(each.nbytes for each in own.state_dict().values()) for index, own in networks.items()}
        return read_snapshot(self._resumed, kept, most)

    def ready(self) -> None:
        """Begin to listen to requests, and to count the time between checkpoints."""
        self._requests.heard = True
        self._last = time.monotonic()

    def pause(self, stage: str, snapshot: Callable[[], Snapshot], epoch_ended: bool) -> None:
        """Save between two steps if a checkpoint is due or requested; raises StoppedError if a stop is requested."""
        waited = time.monotonic() - self._last
        due = waited >= self._every or (epoch_ended and SHARE * waited >= self._cost)
        if due or self._requests.save or self._requests.stop is not None:
            self._save(stage, snapshot())
        self._stop_where_asked()

    def end(self, stage: str, results: Mapping[int, StageResult]) -> None:
        """Save the results of a stage; raises StoppedError if a stop is requested."""
        number = self._number + 1
        contents = {index: self._packed(stage, index, ended) for index, ended in results.items()}
        ended = {index: result_state(number, contents[index], each) for index, each in results.items()}
        state = self._state.model_copy(update={"ended": {**self._state.ended, stage: ended}, "stage": None})
        whole = {index: content for index, content in contents.items() if results[index].diverged is None}
        self._write(f"{stage}-end", state, whole)
        self._stop_where_asked()
        self._requests.heard = False

    def finish(self) -> None:
        """Mark the work as complete: its results are in the run folder."""
        prune(self._folder, self._state.work.command, self._state.begun, done=True)

    def abandon(self) -> None:
        """Clean up after failed work: without progress to resume from, nothing of it is kept."""
        entries = [path for number, path in numbered(self._folder) if number >= self._state.begun]
        if all(path.name.endswith("-begin") for path in entries):
            for path in entries:
                remove_checkpoint(path)
            remove_if_empty(self._folder)

    def _ended(self, stage: str, results: Mapping[int, StageResultState]) -> dict[int, StageResult]:
        """Load the results of a stage that ended from its checkpoint."""
        files = {index: content for name, index, content in ended_files(self._folder, self._state) if name == stage}
        return {
            index: StageResult(
                tensors_of(self._folder / f"{stage}.safetensors", files[index]) if index in files else {},
                each.history,
                each.diverged,
            )
            for index, each in results.items()
        }

    def _packed(self, stage: str, index: int, ended: StageResult) -> bytes:
        """Pack the stage result as in its run folder, byte for byte: either file can replace the other."""
        if ended.diverged is not None:
            return b""
        layers = self._state.work.settings[index].pretrain.layers
        for number, layer in enumerate(layers, start=1):
            if stage == layer_name(number):
                return pack_weights(ended.weights, layer)
        return pack(ended.weights, kind="stage")

    def _save(self, stage: str, snapshot: Snapshot) -> None:
        """Save a half-trained stage, and measure how long this takes."""
        started = time.monotonic()
        state = self._state.model_copy(update={"stage": snapshot_state(stage, snapshot)})
        tensors = {index: pack_tensors(each) for index, each in snapshot.replicas.items()}
        self._write(f"{stage}-epoch{snapshot.epoch}", state, tensors)
        self._last, self._requests.save = time.monotonic(), False
        self._cost = self._last - started

    def _write(self, label: str, state: State, tensors: Mapping[int, bytes]) -> None:
        write_checkpoint(self._folder, self._number + 1, label, state, tensors)
        self._number += 1
        self._state = state
        prune(self._folder, state.work.command, state.begun, done=False)

    def _stop_where_asked(self) -> None:
        if self._requests.stop is not None:
            raise StoppedError(self._requests.stop)
