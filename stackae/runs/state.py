"""What a checkpoint says beside its tensors, as JSON that is read strictly: state.json.

Needs pydantic and the standard library alone, but for the settings and the records that it holds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stackae.config import RunConfig
from stackae.training.history import EpochRecord

Number = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Work(Strict):
    """What is being done, in full: with the same work, a training goes on to the same bits.

    ``settings`` are those of the runs that train together, by place; ``data`` is a digest of the rows and the labels.
    """

    command: Literal["pretrain", "finetune"]
    runs: tuple[Annotated[str, Field(pattern=r"^(seed-[0-9]{1,20})?$")], ...]
    settings: tuple[RunConfig, ...]
    data: Digest


class EndedState(Strict):
    """How a network left a stage; the file of its weights lies in the checkpoint of that number."""

    checkpoint: Number
    size: Number
    sha256: Digest
    history: tuple[EpochRecord, ...]
    diverged: str | None


class StandingState(Strict):
    """``stackae.training.keeping.Standing``."""

    total: float
    score: tuple[float, ...] | None
    waited: Number
    history: tuple[EpochRecord, ...]
    diverged: str | None


class StageState(Strict):
    """``stackae.training.keeping.Left``, with the name of its stage."""

    name: Name
    epoch: Annotated[int, Field(ge=1)]
    rows: Number
    members: dict[int, StandingState]


class State(Strict):
    """All of a checkpoint but for tensors. ``begun`` is the number of the first checkpoint of this work.

    ``machine`` is what the bits depend on beside the work: the version of torch, and the processor and its threads.
    """

    format: Literal[1] = 1
    begun: Number
    work: Work
    machine: dict[str, str]
    ended: dict[Name, dict[int, EndedState]]
    stage: StageState | None = None

    def pack(self) -> bytes:
        return self.model_dump_json(indent=1).encode()

    @classmethod
    def unpack(cls, content: bytes) -> State:
        """Raises ValueError where the content is no state."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"{place}: {first['msg']}") from None
