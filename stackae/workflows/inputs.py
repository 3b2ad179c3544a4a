"""What workflows are given: settings from options by name, data, and the checks of their arguments."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import DataConfig, FinetuneConfig, LayerConfig, PretrainConfig, RunConfig, read_tables
from stackae.config.values import Model, is_text, validated
from stackae.data import Dataset, Part
from stackae.data.formats import format_of
from stackae.data.run_rows import RowsRead, read_dataset, read_rows
from stackae.errors import ConfigError, DataError, argument, legible, nearest
from stackae.runs import Run
from stackae.runs.checkpointer import EVERY
from stackae.runs.kept_data import known_of
from stackae.workflows.callbacks import Callbacks

Tables = dict[str, dict[str, Any]]
PARTS = ("test", "validation", "train", "all")


def run_settings(options: Mapping[str, Any], config: Path | None = None) -> RunConfig:
    """The data and layers of a pretraining: defaults < ``config``, a TOML file < options that are not None.

    Options of layers are values for all layers, or texts with commas between those of each: ``{"data": "mnist",
    "layers": "784,300,150", "activation": "relu,sigmoid"}``. Others than these settings are ignored.

    Raises:
        ConfigError: no layers, or a value that cannot work.
    """
    tables = read_tables(config)
    return RunConfig(data=data_settings(options, tables), pretrain=pretrain_settings(options, tables))


def data_settings(options: Mapping[str, Any], tables: Tables) -> DataConfig:
    """What the options say of the data, on top of the tables of a file; its paths are absolute."""
    return absolute(validated(DataConfig, overridden(tables.get("data", {}), _given(options, DataConfig)), "data"))


def pretrain_settings(options: Mapping[str, Any], tables: Tables) -> PretrainConfig:
    """What the options say of layers and their training, on top of the tables of a file."""
    given = _given(options, PretrainConfig, LayerConfig)
    layers = given.pop("layers", None)
    if (weights := options.get("weights")) is not None:
        given["tied"] = ",".join(_tied(word.strip()) for word in weights.split(","))
    return PretrainConfig.from_options(layers, base=tables.get("pretrain"), **given)


def finetune_settings(options: Mapping[str, Any], config: Path | None = None) -> FinetuneConfig:
    """Settings of a head: defaults < ``config``, a TOML file < options that are not None. Raises ConfigError."""
    return validated(FinetuneConfig, read_tables(config).get("finetune", {}) | _given(options, FinetuneConfig))


def _given(options: Mapping[str, Any], *kinds: type[Model]) -> dict[str, Any]:
    """Those of the options that are settings of these kinds, and not None."""
    names = {name for kind in kinds for name in kind.model_fields}
    found = {name: value for name, value in options.items() if value is not None and name in names}
    if options.get("epochs") is not None and "max_epochs" in names:
        found["max_epochs"] = options["epochs"]
    return found


def _tied(word: str) -> str:
    if word not in ("tied", "untied"):
        raise ConfigError(
            f"{argument('weights')}: expected tied or untied, got '{word}'{nearest(word, ('tied', 'untied'))}"
        )
    return "true" if word == "tied" else "false"


class DataRequest(NamedTuple):
    """The data that a caller names for a run, None where it names none: fields of ``DataConfig``."""

    data: str | None = None
    data_root: str | None = None
    target: str | None = None
    target_kind: str | None = None
    unlabelled: str | None = None

    @classmethod
    def of(cls, data: DataRequest | str | None) -> DataRequest:
        """The request, or that of data by their name alone."""
        return data if isinstance(data, DataRequest) else cls(data)

    @property
    def given(self) -> dict[str, str]:
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def flags(self) -> dict[str, bool]:
        """Whether a target and data are named, as the readers of ``stackae.data.run_rows`` ask."""
        return {"target_given": self.target is not None, "data_given": self.data is not None}


def absolute(config: DataConfig) -> DataConfig:
    """The same data, found from any working directory.

    Raises:
        ConfigError: the path cannot be kept in config.toml, since its bytes are no UTF-8.
    """
    changed, root = {}, os.path.realpath(config.data_root)
    is_file = format_of(config.data) is not None
    if is_file:
        changed["data"] = os.path.realpath(config.data)
    if is_text(root) or not (is_file or config.data == "digits"):  # which are not looked for there
        changed["data_root"] = root
    for name, path in changed.items():
        if not is_text(path):
            raise ConfigError(
                f"{name}: expected a path in UTF-8, as config.toml is to keep it, got '{legible(path, 200)}'; rename "
                "the folder or file, or give it a link with such a name and work from there"
            )
    return config.model_copy(update=changed)


def data_of(run: Run, request: DataRequest) -> DataConfig:
    """The requested data, or those the run was last trained on, with the run's own target."""
    return requested(run.config.finetune_data or run.config.data, request)


def requested(own: DataConfig, request: DataRequest) -> DataConfig:
    """The data of a run with what the caller names on top; classes are left out of its own labels alone, and are
    background of its own target alone."""
    if not request.given:
        return own
    config = absolute(validated(DataConfig, own.model_dump() | request.given, "data"))
    if (config.target, config.target_kind) != (own.target, own.target_kind):
        return config.model_copy(update={"leave_out": None, "unlabelled": request.unlabelled})
    return config if config.data == own.data else config.model_copy(update={"leave_out": None})


def overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the data with those given on top; other data do not inherit the names of columns."""
    other = "data" in given and Path(given["data"]).absolute() != Path(str(settings.get("data", ""))).absolute()
    inherited = {name: value for name, value in settings.items() if not (other and name in ("target", "ignore"))}
    return inherited | given


def kind_of_targets(settings: FinetuneConfig) -> str | None:
    """The ``target_kind`` that the head learns from; None where it learns from none."""
    return settings.row.targets


def dataset_of(run: Run, request: DataRequest, callbacks: Callbacks) -> Dataset:
    """Those data in parts to be trained on further, scaled as the run's were; what there is to say of them is noted."""
    dataset = read_dataset(data_of(run, request), known_of(run), run.load_scaling(), **request.flags)
    note_all(dataset.notes, callbacks)
    return dataset


def rows_of(
    run: Run,
    request: DataRequest,
    part: str | None,
    callbacks: Callbacks,
    own: DataConfig | None = None,
    own_test: bool = False,
    labels: bool = True,
) -> RowsRead:
    """The rows that a workflow reads: a part of the run's own data (``own``: those of another training than the
    last), or all of other data (``own_test``: the test part that those may have); in the run's order of columns and
    scaled as its own. Without ``labels`` the run's target is not looked for in other data. What there is to say is
    noted.

    Raises:
        ConfigError: an unknown part. DataError: an empty one, or what ``stackae.data.run_rows.read_rows`` raises.
    """
    if part is not None and part not in PARTS:
        raise ConfigError(f"{argument('part')}: expected {', '.join(PARTS)}, got '{part}'{nearest(part, PARTS)}")
    config = data_of(run, request) if own is None else requested(own, request)
    if not labels and request.data is not None and request.target is None:
        config = config.model_copy(update={"target": None})
    rows = read_rows(config, known_of(run), run.load_scaling(), part, own_test=own_test, **request.flags)
    note_all(rows.notes, callbacks)
    if not len(rows.numbers):
        raise DataError(
            f"{argument('part')}: expected rows in the {rows.part} part of {rows.name}, got none; choose another part"
        )
    return rows


def note_all(notes: tuple[str, ...], callbacks: Callbacks) -> None:
    for each in notes:
        callbacks.note(f"note        {each}")


def part_of(dataset: Dataset) -> Part:
    """The first of test, validation and training part that has rows."""
    parts = (dataset.test, dataset.validation, dataset.train)
    return next(part for part in parts if len(part.x))


def check_weights(weights: str) -> None:
    """Raises ConfigError unless they are pretrained or finetuned."""
    choices = ("pretrained", "finetuned")
    if weights not in choices:
        raise ConfigError(
            f"{argument('weights')}: expected pretrained or finetuned, got '{weights}'{nearest(weights, choices)}"
        )


def whole_number(option: str, value: str | int, largest: int) -> int:
    """The number that an option gives. Raises ConfigError unless it is 1 to ``largest``."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= largest:
        raise ConfigError(f"{option}: expected 1 to {largest}, got {text}")
    return int(text)


def share(option: str, value: str | float) -> float:
    """The number that an option gives. Raises ConfigError unless it is between 0 and 1."""
    if not 0 < (number := _number(value, 0.0)) < 1:
        raise ConfigError(f"{option}: expected a number between 0 and 1, such as 0.01, got {value}")
    return number


def seconds(option: str, value: str | float | None) -> float:
    """How many seconds an option gives; 30 without it. Raises ConfigError unless it is a number of at least 0."""
    if not 0 <= (number := EVERY if value is None else _number(value, -1.0)) < float("inf"):
        raise ConfigError(f"{option}: expected a number of seconds of at least 0, got {value}")
    return number


def _number(value: str | float, otherwise: float) -> float:
    try:
        return float(value)
    except ValueError:
        return otherwise
