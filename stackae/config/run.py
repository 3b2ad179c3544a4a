"""All that a run was asked to do, in and out of TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import tomli_w
from pydantic import model_validator

from stackae.config.dialect import Decimal, Delimiter, Encoding
from stackae.config.stack import PretrainConfig
from stackae.config.training import FinetuneConfig
from stackae.config.values import Count, Fraction, ImageShape, Model, Places, Positive, Scale, Size, read_toml
from stackae.errors import ConfigError, nearest

Missing = Literal["mean", "indicator", "mask", "drop", "refuse"]
FORMER = {"unlabelled": "background", "ignore": "drop"}
"""Names of settings in older files, and what they are called now."""


class DataConfig(Model):
    """Which data, and how they are divided and scaled."""

    data: str = "digits"
    """Data to read: the name of a set, or the path of a file."""
    data_root: str = "data"
    """Folder of the named image sets."""
    storage: Literal["auto", "memory", "disk"] = "auto"
    """Where the rows of a file are while they are used: in memory, or on disk, from where they are read batch by batch;
    auto: on disk where they would take more than half of the free memory."""
    delimiter: Delimiter = None
    """Delimiter of the cells of a text file: comma, semicolon, tab, bar or space (default: recognised)."""
    decimal: Decimal = None
    """Decimal mark of the numbers in a text file: point or comma (default: recognised)."""
    encoding: Encoding = None
    """Encoding of a text file, such as utf-8, cp1252 or utf-16 (default: recognised)."""
    header: bool | None = None
    """Whether the first line of a text file names its columns, else x0, x1, ... (default: recognised)."""
    missing_values: str | None = None
    """Cells of a text file, as A,B, that mean a missing value beside "", ?, NA, N/A, NaN and null."""
    target: str | None = None
    """Column of a table with the labels, for numbers also several, as A,B,C; or an array of labels, or a file of it;
    or, of pictures, a table with their names and labels, as FILE or FILE:COLUMN."""
    target_kind: Literal["classes", "numbers"] = "classes"
    """Kind of targets: classes, or numbers (for a regressor or several labels)."""
    leave_out: str | None = None
    """Classes, as A,B, whose rows are neither trained nor validated on, but stay in the test part."""
    background: str | None = None
    """Background classes, as A,B, whose rows are pretrained on but count as unlabelled for a head."""
    columns: str | None = None
    """Columns of a table, as A,B, that are the only features."""
    drop: str | None = None
    """Columns of a table, as A,B, that are not features, such as an index."""
    pixels: bool = False
    """Whether each place of a cube (height, width, bands) is a row, with the bands as its features."""
    size: Size = None
    """Size to which the pictures of a folder are resized, HEIGHTxWIDTH; without it, all must be of one size. A run on
    images keeps theirs."""
    colour: Literal["auto", "grey", "colour"] = "auto"
    """Channels of the pictures of a folder: grey (one), colour (three), or auto: grey where all are grey."""
    ids: str | None = None
    """Columns of a table, as A,B, that are not features, but stand beside each row in what is written."""
    categorical: str | None = None
    """Columns of a table, as A,B, whose values are categories, whatever they hold: one feature each."""
    ordinal: str | None = None
    """Ordered categories of columns of a table, as SIZE:small<medium<large: 0, 1, 2."""
    missing: Missing = "mean"
    """Treatment of missing cells of tables and arrays: mean of the training rows, the same with an indicator as another
    feature, mask (the mean, without part in the loss), drop their rows, or refuse."""
    transpose: bool = False
    """Whether the rows of a table are its columns: the first column then names the features."""
    image_shape: ImageShape = None
    """Shape of the images that flat rows are, HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS; pictures are drawn by it."""
    scale: Scale = "auto"
    """Scaling of the features, fitted on the training part; auto: unit for bytes, standard for windows, none within
    [0, 1], else minmax."""
    scale_factor: Positive = 1.0
    """Factor of the features after their scaling."""
    window: Count | None = None
    """Rows of a signal, one after the other, that are one sample; pictures draw it as a curve."""
    stride: Count | None = None
    """Rows from the beginning of a window to that of the next, that of the window unless given."""
    group: str | None = None
    """Column of a table that names groups, such as machines: no feature; windows lie in one, parts have whole ones."""
    time: str | None = None
    """Column of a table by which rows are in order: no feature; windows end where a step of it is missing."""
    split: Literal["auto", "random", "time"] = "auto"
    """Division into parts: random, or time (first rows to train on, last to test on); auto: groups whole, windows by
    time, else random."""
    validation_fraction: Fraction = 0.1
    """Share of the training rows to hold out; they choose the best epoch."""
    validation_rows: Places = None
    """Training rows to hold out by their place instead of a share: first:N or last:N."""
    test_fraction: Fraction = 0.2
    """Share of the rows to hold out for testing, where the data have no test part of their own."""

    @model_validator(mode="after")
    def _windows_have_a_length(self) -> Self:
        if self.stride is not None and self.window is None:
            raise ValueError(f"stride {self.stride}: expected a window beside it, got none; give one, or leave it out")
        return self

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, values: Any) -> Any:
        """Read settings by the names that they have in older files."""
        if not isinstance(values, dict):
            return values
        former = {old: new for old, new in FORMER.items() if old in values and new not in values}
        return {former.get(name, name): value for name, value in values.items()}


class RunConfig(Model):
    """All that a run was asked to do: what its config.toml holds."""

    data: DataConfig
    """Data of the pretraining."""
    pretrain: PretrainConfig
    """Layers of the stack and their training."""
    finetune: FinetuneConfig | None = None
    """Settings of the last fine-tuning."""
    finetune_data: DataConfig | None = None
    """Data of the last fine-tuning, where they are not those of the pretraining."""

    def to_toml(self) -> str:
        """The content of config.toml; what is None is left out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def read_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of a user's configuration file, each complete or not; none at all without a file."""
    tables = read_toml(path) if path else {}
    for name, table in tables.items():
        if name not in RunConfig.model_fields:
            raise ConfigError(
                f"{path}: expected the tables {', '.join(RunConfig.model_fields)}, "
                f"got '{name}'{nearest(name, RunConfig.model_fields)}"
            )
        if not isinstance(table, dict):
            raise ConfigError(f"{path}: {name}: expected a table, got {table!r}")
    return tables
