"""What the subcommands that read a run have in common: the run, and the data to show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stackae.config import DataConfig, FinetuneConfig, PretrainConfig
    from stackae.data import Dataset, Part
    from stackae.runs import Run

PARTS = ("test", "validation", "train")


def absolute(config: DataConfig) -> DataConfig:
    """The same data, found from any working directory."""
    changed = {"data_root": str(Path(config.data_root).resolve())}
    if config.data.lower().endswith((".npy", ".npz", ".csv")):
        changed["data"] = str(Path(config.data).resolve())
    return config.model_copy(update=changed)


def data_of(run: Run, params: dict[str, Any]) -> DataConfig:
    """The data that the command line names, or those the run was last trained on."""
    own = run.config.finetune_data or run.config.data
    return inherited(own, params, "data", "data_root", "target", "target_kind")


def inherited(own: DataConfig, params: dict[str, Any], *names: str) -> DataConfig:
    """The data of a run with the named parameters on top; classes are left out of its own labels alone."""
    from stackae.config import DataConfig
    from stackae.fields import validated

    given = {name: params[name] for name in names if params.get(name) is not None}
    if not given:
        return own
    config = absolute(validated(DataConfig, overridden(own.model_dump(), given), "data"))
    same = (config.data, config.target, config.target_kind) == (own.data, own.target, own.target_kind)
    return config if same else config.model_copy(update={"leave_out": None})


def overridden(settings: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the data with those given on top; other data do not inherit the target column."""
    other = "data" in given and Path(given["data"]).absolute() != Path(str(settings.get("data", ""))).absolute()
    inherited = {name: value for name, value in settings.items() if not (other and name == "target")}
    return inherited | given


def read_as(settings: FinetuneConfig, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters with the kind of targets that the head learns from."""
    kinds = {"classifier": "classes", "regressor": "numbers", "multilabel": "numbers"}
    return {**params, "target_kind": kinds.get(settings.head)}


def dataset_of(run: Run, params: dict[str, Any]) -> Dataset:
    """Those data, scaled as the run's were."""
    from stackae.data import load_data

    return load_data(data_of(run, params), run.load_scaling())


def part_of(dataset: Dataset, wish: str | None) -> tuple[str, Part]:
    """The named part, or the first of test, validation and training that has rows.

    Raises:
        ConfigError: an unknown part. DataError: an empty one.
    """
    from stackae.errors import ConfigError, DataError, nearest

    parts = {"test": dataset.test, "validation": dataset.validation, "train": dataset.train}
    if wish is None:
        wish = next(name for name in PARTS if len(parts[name].x))
    if wish not in parts:
        raise ConfigError(f"--part: expected {', '.join(PARTS)}, got '{wish}'{nearest(wish, PARTS)}")
    if not len(parts[wish].x):
        raise DataError(f"--part: expected rows in the {wish} part of {dataset.name}, got none; choose another part")
    return wish, parts[wish]


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


def check_memory(config: PretrainConfig, count: int) -> None:
    """Raises ConfigError unless the parameters of the widest layer, the best ones and both moments can be held."""
    from stackae.autoencoders.building import numbers_of
    from stackae.data.memory import free_memory
    from stackae.errors import ConfigError

    numbers = max(numbers_of(n, layer) for n, layer in zip(config.layer_sizes, config.layers, strict=False))
    needed, free = 4 * 4 * numbers * count, free_memory()
    if free is not None and needed > free:
        raise ConfigError(
            f"--layers: expected a network that fits into the memory, got {needed:,} bytes to be held and {free:,} "
            "bytes available; make its widest layer narrower"
        )


def check_out(path: Path, *, must_be_new: bool) -> None:
    """Raises ConfigError unless a file may be written there."""
    from stackae.errors import ConfigError

    if path.is_dir():
        raise ConfigError(f"--out: expected a file, got {path}, which is a folder; add a file name")
    if not path.parent.is_dir():
        raise ConfigError(f"--out: expected a folder that exists, got {path.parent}; make it first")
    if must_be_new and path.exists():
        raise ConfigError(f"--out: expected a new file, got {path}, which exists; choose another name, or add --force")
