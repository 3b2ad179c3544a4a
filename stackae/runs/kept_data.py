"""What a run stores about its data beside their settings; of fine-tuning data, the same under finetune-*.

data.json             names of features, targets, classes and left-out columns, number of rows, a digest of the labels,
                      and how the columns of a table became features
division.safetensors  per row, in order, a 64-bit hash of its numbers and the part (training, validation, test) it is in
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from stackae.data import Dataset
from stackae.data.division import LEFT_OUT, Division
from stackae.data.order.held_out import BORDER
from stackae.data.provenance import Known, KnownData
from stackae.data.tables.columns import Encoding
from stackae.errors import RunError
from stackae.models.files import LARGEST_HEADER, opened, pack
from stackae.runs.records import read_json
from stackae.runs.run import Run

LARGEST_RECORD = 1 << 26  # bytes; for data with longer names, no record is stored
MOST_ROWS = 1 << 27  # rows whose part is stored, at nine bytes per row
Names = tuple[str, ...]


class DataRecord(BaseModel):
    """data.json."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal[1] = 1
    rows: Annotated[int, Field(ge=1, le=1 << 48)]
    columns: Names
    targets: Names
    classes: Names
    ignored: Names
    labels: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    encoding: Encoding | None = None

    @model_validator(mode="after")
    def _each_column_has_a_name_of_its_own(self) -> Self:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("a column that is named twice")
        if self.encoding is not None and self.columns not in (self.encoding.names, self._windowed(self.encoding.names)):
            raise ValueError("an encoding of other columns")
        return self

    def _windowed(self, names: Names) -> Names:
        steps = range(len(self.columns) // max(1, len(names)))
        return tuple(f"{name}[{step}]" for name in names for step in steps)

    def pack(self) -> bytes:
        return self.model_dump_json(indent=1).encode() + b"\n"

    @classmethod
    def unpack(cls, content: bytes) -> DataRecord:
        """Parse data.json; raises ValueError if the content is invalid."""
        return read_json(cls, content)


def data_files(dataset: Dataset, training: str = "") -> dict[str, bytes]:
    """Make data.json and division.safetensors of the training data; ``training`` is "" or "finetune-"."""
    division, config = dataset.division, dataset.config
    assert division is not None
    known = KnownData(
        config,
        dataset.column_names,
        dataset.targets or ((config.target,) if config.target is not None else ()),
        dataset.classes,
        dataset.ignored,
        len(division.sums),
        dataset.labels,
        division,
        encoding=dataset.encoding,
    )
    return known_files(known, training)


def known_files(known: KnownData, training: str = "") -> dict[str, bytes]:
    """Make data.json, and division.safetensors where the part of each row is known."""
    record = DataRecord(**{name: getattr(known, name) for name in DataRecord.model_fields if name != "format"})
    content = record.pack()
    if len(content) > LARGEST_RECORD:
        content = record.model_copy(update={"columns": (), "classes": (), "ignored": (), "encoding": None}).pack()
    files = {f"{training}data.json": content}
    if known.division is not None and known.rows <= MOST_ROWS:
        files[f"{training}division.safetensors"] = pack_division(known.division)
    return files


def labelled_with(run: Run) -> str:
    """Return what the run's pretraining rows are labelled with: classes, numbers, or ""; classes of an older run.

    Raises RunError if the record is damaged.
    """
    if not run.holds("data.json"):
        return "classes"
    return run.config.data.target_kind if _record(run, "data.json").labels else ""


def known_of(run: Run) -> Known:
    """Read what the run stores about its data. Raises RunError if one of the files is damaged."""
    config = run.config
    pretraining = _known_data(run, "")._replace(config=config.data)
    finetuning = None
    if config.finetune is not None:
        finetuning = _known_data(run, "finetune-")._replace(config=config.finetune_data or config.data)
    return Known(run.path.name, config.pretrain.n_visible, pretraining, finetuning)


def _known_data(run: Run, training: str) -> KnownData:
    """Read data.json (or finetune-data.json) and its division; a run of an older version has neither."""
    name, config = f"{training}data.json", run.config.data
    if not run.holds(name):
        return KnownData(config, recorded=False)
    record = _record(run, name)
    fields = {field: getattr(record, field) for field in DataRecord.model_fields if field != "format"}
    return KnownData(config, **fields, division=_division(run, f"{training}division.safetensors", record.rows))


def _record(run: Run, name: str) -> DataRecord:
    try:
        record = DataRecord.unpack(run.read(name, LARGEST_RECORD))
        width = run.pretrain_config.n_visible
        if len(record.columns) not in (0, width):
            raise ValueError(f"{len(record.columns):,} columns of {width:,}")
    except ValueError as error:
        raise RunError(
            f"{run.path / name}: expected what the run keeps of its data, got a damaged file ({error}); train it again"
        ) from None
    return record


def _division(run: Run, name: str, rows: int) -> Division | None:
    if not run.holds(name):
        return None
    content = run.read(name, 9 * min(rows, MOST_ROWS) + LARGEST_HEADER)
    return unpack_division(run.path / name, content, rows)


def pack_division(division: Division) -> bytes:
    """Pack division.safetensors."""
    sums = torch.from_numpy(np.ascontiguousarray(division.sums).view(np.int64))
    return pack({"sums": sums, "parts": torch.from_numpy(np.ascontiguousarray(division.parts))}, kind="division")


def unpack_division(path: Path, content: bytes, rows: int) -> Division:
    """Unpack division.safetensors of so many rows. Raises ValueError if its tensors are invalid."""
    with opened(path, content) as (tensors, description):
        forms = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in tensors.items()}
        if description["kind"] != "division" or forms != {
            "sums": (torch.int64, (rows,)),
            "parts": (torch.uint8, (rows,)),
        }:
            raise ValueError(f"{forms} instead of the parts of {rows:,} rows")
        parts = tensors["parts"].numpy()
        if parts.size and int(parts.max()) > (BORDER | LEFT_OUT):
            raise ValueError("a part that there is not")
        return Division(tensors["sums"].numpy().view(np.uint64), parts)
