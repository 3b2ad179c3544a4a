"""state.json of a checkpoint: everything but its tensors, read strictly.

An inconsistent state is rejected: stages must follow the order of the settings, the networks in training must be those
that ended the stage before, and epochs must count from one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stackae.config import FinetuneConfig, LayerConfig, RunConfig
from stackae.models.files import layer_name
from stackae.runs.records import Name, check_epochs, read_json
from stackae.training.callbacks import EpochRecord
from stackae.training.early_stopping import Patience

Number = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Work(Strict):
    """The complete description of a training: with the same work, a resumed training is bit-identical.

    ``settings`` are those of the runs that train together, by index; ``data`` is a digest of the rows and the labels.
    """

    command: Literal["pretrain", "finetune"]
    runs: tuple[Annotated[str, Field(pattern=r"^(seed-[0-9]{1,20})?$")], ...]
    settings: tuple[RunConfig, ...]
    data: Digest

    @property
    def stages(self) -> list[str]:
        """List the stages in the order of training."""
        if self.command == "finetune":
            return [own.head for settings in self.settings if (own := settings.finetune) is not None]
        return [layer_name(number) for number in range(1, len(self.settings[0].pretrain.layers) + 1)]

    def settings_of(self, stage: str) -> LayerConfig | FinetuneConfig:
        """Return the settings of one of the ``stages``, for the first of the runs."""
        own = self.settings[0]
        if own.finetune is not None and self.command == "finetune":
            return own.finetune
        return own.pretrain.layers[self.stages.index(stage)]

    @model_validator(mode="after")
    def _each_run_has_settings(self) -> Self:
        seeds = tuple(f"seed-{settings.pretrain.seed}" for settings in self.settings)
        if self.runs != seeds and (self.runs != ("",) or len(seeds) != 1):
            raise ValueError(f"runs {list(self.runs)} with settings of {list(seeds)}")
        if len(set(self.runs)) < len(self.runs) or not self.runs:
            raise ValueError(f"runs {list(self.runs)}")
        if self.command == "finetune" and (self.runs != ("",) or self.settings[0].finetune is None):
            raise ValueError("a fine-tuning of other than one run with settings for it")
        return self


class StageResultState(Strict):
    """The result of a stage for one network; its weights are in the checkpoint of that number."""

    checkpoint: Number
    size: Number
    sha256: Digest
    history: tuple[EpochRecord, ...]
    diverged: str | None


class ReplicaSnapshotState(Strict):
    """A ``stackae.training.checkpointing.ReplicaSnapshot`` without its tensors."""

    total: float
    score: tuple[float, ...] | None
    waited: Number
    history: tuple[EpochRecord, ...]
    diverged: str | None


class SnapshotState(Strict):
    """A ``stackae.training.checkpointing.Snapshot`` with the name of its stage."""

    name: Name
    epoch: Annotated[int, Field(ge=1)]
    rows: Number
    members: dict[int, ReplicaSnapshotState]


class State(Strict):
    """A checkpoint without its tensors. ``begun`` is the number of the first checkpoint of this work.

    ``machine`` is what the bits depend on beside the work: the version of torch, the processor and its threads.
    """

    format: Literal[1] = 1
    begun: Number
    work: Work
    machine: dict[str, str]
    ended: dict[Name, dict[int, StageResultState]]
    stage: SnapshotState | None = None

    @model_validator(mode="after")
    def _stages_follow_one_another(self) -> Self:
        stages, indices = self.work.stages, set(range(len(self.work.runs)))
        if list(self.ended) != stages[: len(self.ended)]:
            raise ValueError(f"{list(self.ended)} ended, of {stages}")
        for name, results in self.ended.items():
            if set(results) != indices or len({each.checkpoint for each in results.values()}) != 1:
                raise ValueError(f"{name} of networks {list(results)} instead of {sorted(indices)}")
            for each in results.values():
                _check_history(name, each.history, None if each.diverged else max(1, len(each.history)))
            indices = {index for index, each in results.items() if each.diverged is None}
        if self.stage is not None:
            self._check_stage(self.stage, indices)
        return self

    def _check_stage(self, stage: SnapshotState, indices: set[int]) -> None:
        if [stage.name] != self.work.stages[len(self.ended) :][:1] or set(stage.members) != indices or not indices:
            raise ValueError(f"{stage.name} of networks {list(stage.members)} after {list(self.ended)}")
        settings = self.work.settings_of(stage.name)
        if stage.rows % settings.batch_size:
            raise ValueError(f"{stage.rows} rows passed in batches of {settings.batch_size}")
        patience = Patience.of(settings.patience, 0)
        for each in stage.members.values():
            stands = each.diverged is not None or patience.is_over(each.waited, each.history)
            _check_history(stage.name, each.history, None if stands else stage.epoch - 1)
            if len(each.history) >= stage.epoch:
                raise ValueError(f"{len(each.history)} epochs before epoch {stage.epoch}")

    def pack(self) -> bytes:
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def unpack(cls, content: bytes) -> State:
        """Parse a state; raises ValueError if it is invalid."""
        return read_json(cls, content)


def _check_history(stage: str, history: Sequence[EpochRecord], epochs: int | None) -> None:
    """Raise ValueError unless the records are the stage's, from epoch 1 on, and as many as ``epochs`` (if given)."""
    check_epochs(history)
    found = [record.epoch for record in history]
    if {record.stage for record in history} - {stage} or found != list(range(1, len(found) + 1)):
        raise ValueError(f"{stage} with a history of other stages, or of epochs that are counted twice")
    if epochs not in (None, len(found)):
        raise ValueError(f"{stage} with a history of {len(found)} epochs instead of {epochs}")
