"""Inputs of workflows: settings from options by name, data, and the checks of arguments."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stackae.config import DataConfig, FinetuneConfig, LayerConfig, PretrainConfig, RunConfig, read_tables
from stackae.config.values import Model, is_text, validated
from stackae.data import Dataset, Part
from stackae.data.formats import Place, place_of, table_of
from stackae.data.provenance import FROM_ARRAY
from stackae.data.reading import OF_DIALECT, OF_TABLES
from stackae.data.run_rows import RowsRead, read_dataset, read_rows
from stackae.errors import ConfigError, DataError, argument, legible, nearest
from stackae.runs import Run
from stackae.runs.checkpointer import EVERY
from stackae.runs.kept_data import known_of
from stackae.workflows.callbacks import Callbacks

Tables = dict[str, dict[str, Any]]
PARTS = ("test", "validation", "train", "all")


def run_settings(options: Mapping[str, Any], config: Path | None = None) -> RunConfig:
    """Build the settings of a pretraining: defaults < ``config`` (a TOML file) < options that are not None.

    An option of layers is one value for all layers, or text with one value per layer, separated by commas:
    ``{"data": "mnist", "layers": "784,300,150", "activation": "relu,sigmoid"}``. Names of other settings are ignored.

    Raises:
        ConfigError: no layers, or an invalid value.
    """
    tables = read_tables(config)
    return RunConfig(data=data_settings(options, tables), pretrain=pretrain_settings(options, tables))


def data_settings(options: Mapping[str, Any], tables: Tables) -> DataConfig:
    """Build the settings of the data: options override the tables of a file; paths become absolute."""
    return absolute(validated(DataConfig, overridden(tables.get("data", {}), _given(options, DataConfig)), "data"))


def pretrain_settings(options: Mapping[str, Any], tables: Tables) -> PretrainConfig:
    """Build the settings of layers and their training: options override the tables of a file."""
    given = _given(options, PretrainConfig, LayerConfig)
    layers = given.pop("layers", None)
    if (weights := options.get("weights")) is not None:
        given["tied"] = ",".join(_tied(word.strip()) for word in weights.split(","))
    return PretrainConfig.from_options(layers, base=tables.get("pretrain"), **given)


def finetune_settings(options: Mapping[str, Any], config: Path | None = None) -> FinetuneConfig:
    """Build a head's settings: defaults < ``config`` (a TOML file) < options that are not None. Raises ConfigError."""
    return validated(FinetuneConfig, read_tables(config).get("finetune", {}) | _given(options, FinetuneConfig))


def _given(options: Mapping[str, Any], *kinds: type[Model]) -> dict[str, Any]:
    """Return the options that are fields of these models, and not None."""
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


def is_per_feature(loss_unit: str | None) -> bool:
    """Return whether losses are shown per feature, by their unit: row, as None is, or feature.

    Raises ConfigError for another unit.
    """
    units = ("row", "feature")
    if loss_unit not in (None, *units):
        given = legible(str(loss_unit))
        raise ConfigError(f"{argument('loss_unit')}: expected row or feature, got '{given}'{nearest(given, units)}")
    return loss_unit == "feature"


class DataRequest(NamedTuple):
    """Data that a caller names for a run: fields of ``DataConfig``, None if not named."""

    data: str | None = None
    data_root: str | None = None
    target: str | None = None
    target_kind: str | None = None
    background: str | None = None
    storage: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing_values: str | None = None

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> DataRequest:
        """Return the request of a command's options by name; others are ignored."""
        return cls(**{name: options.get(name) for name in cls._fields})

    @classmethod
    def of(cls, data: DataRequest | str | None) -> DataRequest:
        """Return the request itself, or one for data given by name alone."""
        return data if isinstance(data, DataRequest) else cls(data)

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in self._asdict().items() if value is not None}

    @property
    def flags(self) -> dict[str, bool]:
        """Return keyword arguments of the readers in ``stackae.data.run_rows``: whether target and data are named."""
        return {"target_given": self.target is not None, "data_given": self.data is not None}


def absolute(config: DataConfig) -> DataConfig:
    """Return the same data with absolute paths.

    Raises:
        ConfigError: the path is not UTF-8, so config.toml cannot hold it.
    """
    changed, root = {}, os.path.realpath(config.data_root)
    place = place_of(config.data)
    if place is not None:
        changed["data"] = _absolute(place)
        targets = None if config.target is None or place.format.named else _file_of(config.target)
        if targets is not None:
            changed["target"] = _absolute(targets)
    if is_text(root) or not (place or config.data == "digits"):  # for these the folder is not used
        changed["data_root"] = root
    for name, path in changed.items():
        if not is_text(path):
            raise ConfigError(
                f"{name}: expected a path in UTF-8, as config.toml is to keep it, got '{legible(path, 200)}'; rename "
                "the folder or file, or give it a link with such a name and work from there"
            )
    return config.model_copy(update=changed)


def _file_of(name: str) -> Place | None:
    """Return where targets lie that have a file of their own."""
    place = table_of(name) or place_of(name)
    return place if place is not None and not place.format.pictures and place.path.exists() else None


def _absolute(place: Place) -> str:
    path = os.path.realpath(place.path)
    return f"{path}:{place.inside}" if place.inside else path


def data_of(run: Run, request: DataRequest) -> DataConfig:
    """Return the requested data or, by default, those of the run's last training, with the run's own target.

    Raises:
        DataError: the run was saved from Python, without its rows, and no others are named.
    """
    own = run.config.finetune_data or run.config.data
    if own.data == FROM_ARRAY and request.data is None:
        raise DataError(
            f"{argument('data')}: expected rows to read, got none, and the run keeps none of its own; "
            "name a file or a set"
        )
    return requested(own, request)


def requested(own: DataConfig, request: DataRequest) -> DataConfig:
    """Override the data of a run with the request.

    Classes are left out only of the run's own labels, and are background only of its own target; how a file is written
    is recognised of each for itself, unless the request says it.
    """
    if not request.given:
        return own
    inherited = own.model_dump()
    if request.data is not None and own.target is not None and _file_of(own.target):  # of labels, of the run's own rows
        inherited["target"] = None
    config = absolute(validated(DataConfig, inherited | request.given, "data"))
    if config.data != own.data:
        config = config.model_copy(update=dict.fromkeys({*OF_DIALECT} - {*request.given}))
    if config.data == own.data and request.target is None:
        config = config.model_copy(update={"target": own.target})
    if (config.target, config.target_kind) != (own.target, own.target_kind):
        return config.model_copy(update={"leave_out": None, "background": request.background})
    return config if config.data == own.data else config.model_copy(update={"leave_out": None})


def overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Override settings of the data; other data do not inherit the names of columns."""
    other = "data" in given and Path(given["data"]).absolute() != Path(str(settings.get("data", ""))).absolute()
    inherited = {name: value for name, value in settings.items() if not (other and name in ("target", *OF_TABLES))}
    return inherited | given


def kind_of_targets(settings: FinetuneConfig) -> str | None:
    """Return the ``target_kind`` that the head learns from; None if it learns from none."""
    return settings.row.targets


def dataset_of(run: Run, request: DataRequest, callbacks: Callbacks) -> Dataset:
    """Load the requested data in parts for further training, scaled as the run's were, and pass on their notes."""
    config = data_of(run, request)
    with callbacks.progress(f"reading {config.data}") as tell:
        dataset = read_dataset(config, known_of(run), run.load_scaling(), tell=tell, **request.flags)
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
    """Read the rows of a workflow, in the run's order of columns, scaled as its own, and pass on their notes.

    They are a part of the run's own data, or all rows of other data. ``own`` are the run's data if not those of its
    last training; ``own_test`` reads only the test part of other data that have one. Without ``labels``, other data
    need not have the run's target.

    Raises:
        ConfigError: an unknown part. DataError: an empty one, or as ``stackae.data.run_rows.read_rows``.
    """
    if part is not None and part not in PARTS:
        raise ConfigError(f"{argument('part')}: expected {', '.join(PARTS)}, got '{part}'{nearest(part, PARTS)}")
    config = data_of(run, request) if own is None else requested(own, request)
    if not labels and request.data is not None and request.target is None:
        config = config.model_copy(update={"target": None})
    known, scaling = known_of(run), run.load_scaling()
    again: Callable[..., RowsRead]
    again = partial(read_rows, config, known, scaling, part, **request.flags, own_test=own_test)  # type: ignore[arg-type]  # flags are not tell
    with callbacks.progress(f"reading {config.data}") as tell:
        rows = again(tell=tell)._replace(again=again)
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
    """Return the first of test, validation and training part that has rows."""
    parts = (dataset.test, dataset.validation, dataset.train)
    return next(part for part in parts if len(part.x))


def check_weights(weights: str) -> None:
    """Raise ConfigError unless ``weights`` is pretrained or finetuned."""
    choices = ("pretrained", "finetuned")
    if weights not in choices:
        raise ConfigError(
            f"{argument('weights')}: expected pretrained or finetuned, got '{weights}'{nearest(weights, choices)}"
        )


def whole_number(option: str, value: str | int, largest: int) -> int:
    """Parse the whole number of an option. Raises ConfigError unless it is 1 to ``largest``."""
    text = str(value)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= largest:
        raise ConfigError(f"{option}: expected 1 to {largest}, got {text}")
    return int(text)


def share(option: str, value: str | float) -> float:
    """Parse the share of an option. Raises ConfigError unless it is between 0 and 1."""
    if not 0 < (number := _number(value, 0.0)) < 1:
        raise ConfigError(f"{option}: expected a number between 0 and 1, such as 0.01, got {value}")
    return number


def seconds(option: str, value: str | float | None) -> float:
    """Parse the seconds of an option; None is 30. Raises ConfigError unless it is a number of at least 0."""
    if not 0 <= (number := EVERY if value is None else _number(value, -1.0)) < float("inf"):
        raise ConfigError(f"{option}: expected a number of seconds of at least 0, got {value}")
    return number


def _number(value: str | float, otherwise: float) -> float:
    try:
        return float(value)
    except ValueError:
        return otherwise
