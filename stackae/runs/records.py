"""The records of metrics.jsonl, read strictly: the results of an epoch, or of an evaluation.

Each line ends with its own digest, so that a damaged line can be told from its neighbors, which are kept.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from stackae.documents import to_json
from stackae.training.callbacks import EpochRecord

LARGEST = 1 << 28  # bytes: a million epochs
MOST_STAGES = 10_000
ModelT = TypeVar("ModelT", bound=BaseModel)
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


class Line(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)


class EpochLine(Line):
    """A ``stackae.training.callbacks.EpochRecord`` without what a rerun would not reproduce, such as its duration."""

    event: Literal["epoch"]
    stage: Name
    epoch: Annotated[int, Field(ge=1)]
    loss: float
    validation_loss: float | None
    validation_error: float | None
    learning_rate: float
    best: bool
    dead: Annotated[float, Field(ge=0, le=1)] | None = None
    corrupted_validation_loss: float | None = None


class EvaluationLine(Line):
    """The output of `stackae evaluate --json`; ``accuracy`` is present with a classifier and labels."""

    event: Literal["evaluation"]
    accuracy: Annotated[float, Field(ge=0, le=1)] | None = None


LINE: TypeAdapter[EpochLine | EvaluationLine] = TypeAdapter(
    Annotated[EpochLine | EvaluationLine, Field(discriminator="event")]
)


class LayerExplained(Line):
    """What explained.json says of a layer: the share of the variance that it explains, and PCA's, if measured."""

    layer: Annotated[int, Field(ge=1)]
    n_hidden: Annotated[int, Field(ge=1)]
    explained: float
    pca_explained: float | None


class ExplainedFile(Line):
    """explained.json: what each layer explains of the rows of a part."""

    measured_on: Literal["validation", "train"]
    rows: Annotated[int, Field(ge=1)]
    layers: Annotated[list[LayerExplained], Field(max_length=MOST_STAGES)]


SEAL = re.compile(rb', "digest": "([0-9a-f]{16})"\}$')


def epoch_of(record: EpochRecord) -> dict[str, Any]:
    """Return the record of an epoch without what a rerun would not reproduce."""
    figures = record.to_dict()
    del figures["seconds"], figures["rows_per_second"]
    return {"event": "epoch", **figures}


def sealed(record: dict[str, Any]) -> bytes:
    """Serialize a record as a line with its digest, without the newline."""
    line = to_json(record).encode()
    return b'%b, "digest": "%b"}' % (line[:-1], _digest(line))


def unsealed(line: bytes) -> bytes:
    """Return the line without its digest, if it has one. Raises ValueError if the digest does not match."""
    found = SEAL.search(line)
    if found is None:
        return line
    plain = line[: found.start()] + b"}"
    if _digest(plain) != found[1]:
        raise ValueError("another digest than its own")
    return plain


def read_line(line: bytes) -> EpochLine | EvaluationLine:
    """Parse a record, with or without a digest. Raises ValueError if it is invalid."""
    try:
        return LINE.validate_json(unsealed(line))
    except ValidationError as error:
        raise ValueError(first_of(error)) from None


def read_records(content: bytes) -> list[dict[str, Any]]:
    """Parse one record per line, oldest first. Raises ValueError if one is invalid, or epochs are out of order."""
    return list(each_record(content))


def each_record(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of ``read_records`` one by one, so that a million epochs do not fill the memory."""
    last: dict[str, int] = {}
    for number, line in enumerate(io.BytesIO(content), start=1):
        try:
            record = read_line(line.removesuffix(b"\n"))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if isinstance(record, EpochLine):
            _check_next(last, record)
            if len(last) > MOST_STAGES:
                raise ValueError(f"line {number}: more than {MOST_STAGES:,} stages")
        yield record.model_dump(exclude_unset=True)


def check_epochs(records: Iterable[EpochRecord | EpochLine]) -> None:
    """Raise ValueError unless each training of a stage counts its epochs from 1 and begins with a best epoch."""
    last: dict[str, int] = {}
    for record in records:
        _check_next(last, record)


def _check_next(last: dict[str, int], record: EpochRecord | EpochLine) -> None:
    if record.epoch not in (1, last.get(record.stage, 0) + 1):
        raise ValueError(f"epoch {record.epoch} of {record.stage} after epoch {last.get(record.stage, 0)}")
    if record.epoch == 1 and not record.best:
        raise ValueError(f"a first epoch of {record.stage} that is not the best so far")
    last[record.stage] = record.epoch


def _digest(line: bytes) -> bytes:
    return hashlib.sha256(line).hexdigest()[:16].encode()


def read_json(kind: type[ModelT], content: bytes) -> ModelT:
    """Parse a JSON document of that model. Raises ValueError with the first error and its location."""
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(first_of(error)) from None


def first_of(error: ValidationError) -> str:
    """Return the first validation error and its location."""
    first = error.errors()[0]
    place, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
