"""What the subcommands that read a run have in common: the run, and the data to show it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection

    from stackae.config import DataConfig, FinetuneConfig
    from stackae.data import Dataset, Part
    from stackae.data.for_run import RowsRead
    from stackae.runs import Run

PARTS = ("test", "validation", "train", "all")


def absolute(config: DataConfig) -> DataConfig:
    """The same data, found from any working directory.

    Raises:
        ConfigError: the path cannot be kept in config.toml, since its bytes are no UTF-8.
    """
    from stackae.errors import ConfigError, legible
    from stackae.fields import is_text

    changed, root = {}, os.path.realpath(config.data_root)
    is_file = config.data.lower().endswith((".npy", ".npz", ".csv"))
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


def data_of(run: Run, params: dict[str, Any]) -> DataConfig:
    """The data that the command line names, or those the run was last trained on, with the run's own target."""
    return asked_of(run.config.finetune_data or run.config.data, params)


def asked_of(own: DataConfig, params: dict[str, Any]) -> DataConfig:
    """The data of a run with what the command line names on top; classes are left out of its own labels alone, and are
    background of its own target alone."""
    from stackae.config import DataConfig
    from stackae.fields import validated

    names = ("data", "data_root", "target", "target_kind", "unlabelled")
    given = {name: params[name] for name in names if params.get(name) is not None}
    if not given:
        return own
    config = absolute(validated(DataConfig, own.model_dump() | given, "data"))
    if (config.target, config.target_kind) != (own.target, own.target_kind):
        return config.model_copy(update={"leave_out": None, "unlabelled": given.get("unlabelled")})
    return config if config.data == own.data else config.model_copy(update={"leave_out": None})


def overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the data with those given on top; other data do not inherit the names of columns."""
    other = "data" in given and Path(given["data"]).absolute() != Path(str(settings.get("data", ""))).absolute()
    inherited = {name: value for name, value in settings.items() if not (other and name in ("target", "ignore"))}
    return inherited | given


def read_as(settings: FinetuneConfig, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the kind of targets that the head learns from."""
    kinds = {"classifier": "classes", "regressor": "numbers", "multilabel": "numbers"}
    return {**params, "target_kind": kinds.get(settings.head)}


def dataset_of(run: Run, params: dict[str, Any]) -> Dataset:
    """Those data in parts to be trained on further, scaled as the run's were; what there is to say of them is noted."""
    from stackae.data.for_run import read_dataset
    from stackae.runs.kept_data import known_of

    dataset = read_dataset(data_of(run, params), known_of(run), run.load_scaling(), **given_in(params))
    note_all(dataset.notes)
    return dataset


def rows_of(
    run: Run,
    params: dict[str, Any],
    part: str | None,
    own: DataConfig | None = None,
    own_test: bool = False,
    labels: bool = True,
) -> RowsRead:
    """The rows that a command looks at: a part of the run's own data (``own``: those of another training than the
    last), or all of other data (``own_test``: the test part that those may have); in the run's order of columns and
    scaled as its own. Without ``labels`` the run's target is not looked for in other data. What there is to say is
    noted.

    Raises:
        ConfigError: an unknown part. DataError: an empty one, or what ``stackae.data.for_run.read_rows`` raises.
    """
    from stackae.data.for_run import read_rows
    from stackae.errors import ConfigError, DataError, nearest
    from stackae.runs.kept_data import known_of

    if part is not None and part not in PARTS:
        raise ConfigError(f"--part: expected {', '.join(PARTS)}, got '{part}'{nearest(part, PARTS)}")
    config = data_of(run, params) if own is None else asked_of(own, params)
    given = given_in(params)
    if not labels and given["data_given"] and not given["target_given"]:
        config = config.model_copy(update={"target": None})
    rows = read_rows(config, known_of(run), run.load_scaling(), part, own_test=own_test, **given)
    note_all(rows.notes)
    if not len(rows.numbers):
        raise DataError(f"--part: expected rows in the {rows.part} part of {rows.name}, got none; choose another part")
    return rows


def given_in(params: dict[str, Any]) -> dict[str, bool]:
    """Whether the user names a target, and data."""
    return {f"{name}_given": params.get(name) is not None for name in ("target", "data")}


def note_all(notes: tuple[str, ...]) -> None:
    from .console import note

    for each in notes:
        note(f"note        {each}")


def part_of(dataset: Dataset) -> Part:
    """The first of test, validation and training part that has rows."""
    parts = (dataset.test, dataset.validation, dataset.train)
    return next(part for part in parts if len(part.x))


def check_weights(wish: str) -> None:
    """Raises ConfigError unless they are pretrained or finetuned."""
    from stackae.errors import ConfigError, nearest

    choices = ("pretrained", "finetuned")
    if wish not in choices:
        raise ConfigError(f"--weights: expected pretrained or finetuned, got '{wish}'{nearest(wish, choices)}")


def whole_number(option: str, text: str, largest: int) -> int:
    """The number that an option gives. Raises ConfigError unless it is 1 to ``largest``."""
    from stackae.errors import ConfigError

    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= largest:
        raise ConfigError(f"{option}: expected 1 to {largest}, got {text}")
    return int(text)


def share(option: str, text: str) -> float:
    """The number that an option gives. Raises ConfigError unless it is between 0 and 1."""
    from stackae.errors import ConfigError

    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise ConfigError(f"{option}: expected a number between 0 and 1, such as 0.01, got {text}")
    return value


def seconds(option: str, text: str | None) -> float:
    """How many seconds an option gives; 30 without it. Raises ConfigError unless it is a number of at least 0."""
    from stackae.errors import ConfigError
    from stackae.runs.journal import EVERY

    try:
        value = EVERY if text is None else float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(f"{option}: expected a number of seconds of at least 0, got {text}")
    return value


def check_out(path: Path, suffixes: Collection[str], *, must_be_new: bool) -> str:
    """The suffix of a file that --out names. Raises ConfigError unless it is one of these, and may be written."""
    from stackae.errors import ConfigError
    from stackae.tables import suffix_of

    if path.is_dir():
        raise ConfigError(f"--out: expected a file, got {path}, which is a folder; add a file name")
    suffix = suffix_of("--out", path, suffixes)
    if not path.parent.is_dir():
        raise ConfigError(f"--out: expected a folder that exists, got {path.parent}; make it first")
    if must_be_new and (path.exists() or path.is_symlink()):
        raise ConfigError(f"--out: expected a new file, got {path}, which exists; choose another name, or add --force")
    return suffix
