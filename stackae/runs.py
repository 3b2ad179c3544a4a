"""The run folder: everything a run leaves behind, and how it is read again.

    config.toml                what was asked, complete; `stackae pretrain --config` reruns it
    metrics.jsonl              one line an epoch, one line an evaluation
    scaling.safetensors        the scaling that was fitted on the training part
    layer1.safetensors ...     one file a trained layer
    classifier.safetensors     the fine-tuned classifier
    *.png                      pictures

Stacks that were trained together lie in one folder: a run folder ``seed-N`` for each, and curves.png, of all of them.
Files are written beside their place and renamed into it; nothing here is ever pickled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from stackae.autoencoders.dense import Autoencoder
from stackae.classifier import Classifier
from stackae.config import PretrainConfig, RunConfig
from stackae.data.scaling import Scaling
from stackae.engine import choose_engine
from stackae.errors import ConfigError, RunError
from stackae.fields import read_toml, validated
from stackae.stack import StackedAutoencoder
from stackae.stages import (
    pack_classifier,
    pack_layer,
    pack_scaling,
    read_classifier,
    read_layer,
    read_scaling,
)

RUNS = Path("runs")
LATEST = RUNS / "latest"


class Run:
    """One run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path | None) -> Run:
        """The run at ``path``, or the newest.

        Raises:
            RunError: there is none.
        """
        chosen = path or LATEST
        if seeds := seed_runs(chosen):
            raise RunError(
                f"{chosen}: expected a run folder, got a folder of {len(seeds)} runs; name one, as --run {seeds[0]}"
            )
        if not (chosen / "config.toml").is_file():
            found = "a file" if chosen.is_file() else "a folder without config.toml"
            what = found if chosen.exists() else "no such folder"
            remedy = "name one with --run DIR" if path is None else "check the path"
            raise RunError(
                f"{chosen}: expected a run folder, got {what}; "
                f"{remedy}, or make one with `stackae pretrain --layers 784,300,150`"
            )
        return cls(chosen.resolve())

    @property
    def config(self) -> RunConfig:
        path = self.path / "config.toml"
        try:
            return validated(RunConfig, read_toml(path))
        except ConfigError as error:
            raise RunError(f"{path}: expected the configuration of a run, got a damaged one ({error})") from None

    @property
    def pretrain_config(self) -> PretrainConfig:
        return self.config.pretrain

    def write(self, name: str, content: bytes) -> None:
        """Writes one file of the run, whole."""
        write_whole(self.path / name, content)

    def write_config(self, config: RunConfig) -> None:
        head = "# Written by stackae. `stackae pretrain --config THIS_FILE` trains the same stack again.\n\n"
        self.write("config.toml", (head + config.to_toml()).encode())

    def append_metrics(self, record: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Every record that was written whole; a line torn by a crash is passed over."""
        path = self.path / "metrics.jsonl"
        records = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return records

    def save_scaling(self, scaling: Scaling) -> None:
        self.write("scaling.safetensors", pack_scaling(scaling))

    def load_scaling(self) -> Scaling:
        return read_scaling(self.path / "scaling.safetensors", self.pretrain_config.n_visible)

    def save_layer(self, number: int, autoencoder: Autoencoder) -> None:
        self.write(f"layer{number}.safetensors", pack_layer(autoencoder))

    def load_stack(self, engine: str = "auto") -> StackedAutoencoder:
        """The pretrained stack.

        Raises:
            RunError: a layer's file is missing, damaged, or not of the shape that config.toml says.
        """
        choose_engine(engine)
        pretrain = self.pretrain_config
        return StackedAutoencoder(
            read_layer(self.path / f"layer{number}.safetensors", pretrain.layer_sizes[number - 1], layer, engine)
            for number, layer in enumerate(pretrain.layers, start=1)
        )

    def save_classifier(self, model: Classifier, classes: tuple[str, ...]) -> None:
        self.write("classifier.safetensors", pack_classifier(model, classes))

    @property
    def has_classifier(self) -> bool:
        return (self.path / "classifier.safetensors").is_file()

    def load_classifier(self, engine: str = "auto") -> tuple[Classifier, tuple[str, ...]]:
        """The fine-tuned classifier and its class names."""
        choose_engine(engine)
        return read_classifier(self.path / "classifier.safetensors", self.pretrain_config.layer_sizes, engine)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """A reader sees the old file or the new one, never a part; a failure leaves the old one and nothing else."""
    beside = path.with_name(f".{path.name}.tmp")
    try:
        beside.write_bytes(content)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def default_path(data: str, layer_sizes: tuple[int, ...], seeds: int | None = None) -> Path:
    """runs/<time>-<data>-<sizes>, and -<seeds>-seeds where a number of them is given; free to use."""
    label = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(data).stem)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{label}-{'-'.join(map(str, layer_sizes))}"
    name += f"-{seeds}-seeds" if seeds else ""
    path, number = RUNS / name, 1
    while path.exists():
        number += 1
        path = RUNS / f"{name}-{number}"
    return path


def seed_runs(path: Path) -> list[Path]:
    """The runs of stacks that were trained together, by seed, where ``path`` holds them and nothing else."""
    inside = [entry for entry in path.iterdir() if entry.name != "curves.png"] if path.is_dir() else []
    runs = [entry for entry in inside if re.fullmatch(r"seed-\d+", entry.name) and (entry / "config.toml").is_file()]
    return sorted(runs, key=lambda run: int(run.name[len("seed-") :])) if len(runs) == len(inside) else []


def check_free(path: Path, force: bool) -> None:
    """Raises ConfigError unless a run may be made at ``path``."""
    if path.is_symlink() or path.absolute() == LATEST.absolute():
        raise ConfigError(f"{path}: expected a folder of its own for the new run, got the place of a pointer to one")
    if Path.cwd().is_relative_to(path.resolve()):
        raise ConfigError(f"{path}: expected a new folder, got the one that this command runs in; choose another --run")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / "config.toml").is_file() and not seed_runs(path):
        raise ConfigError(f"{path}: expected a new folder or an earlier run, got something else; choose another --run")
    if not force:
        raise ConfigError(f"{path}: expected a new folder, got an existing run; choose another --run, or add --force")


@contextmanager
def new_runs(path: Path, force: bool, names: Sequence[str] = ("",)) -> Iterator[list[Run]]:
    """A fresh folder with a run in each folder that is named, or one run that is the folder itself.

    What was there before is given up only when all is done. runs/latest then points at the first of the runs that have
    the most layers.
    """
    check_free(path, force)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = _put_aside(path) if path.exists() else None
    runs = [Run(path / name) for name in names]
    for run in runs:
        run.path.mkdir(parents=True)
    try:
        yield runs
    except BaseException:
        if aside is not None:
            shutil.rmtree(path)
            aside.replace(path)
        elif not any(map(_layers_in, runs)):
            shutil.rmtree(path)
        raise
    if aside is not None:
        shutil.rmtree(aside)
    point_latest(max(runs, key=_layers_in).path)


def _layers_in(run: Run) -> int:
    return len(list(run.path.glob("layer*.safetensors")))


def _put_aside(path: Path) -> Path:
    number = 1
    while (aside := path.with_name(f".{path.name}.replaced-{number}")).exists():
        number += 1
    return path.rename(aside)


def point_latest(path: Path) -> None:
    """Makes runs/latest a pointer to this run."""
    RUNS.mkdir(parents=True, exist_ok=True)
    if LATEST.exists() and not LATEST.is_symlink():
        raise ConfigError(f"{LATEST}: expected a pointer to the newest run, got a folder; move it away")
    beside = RUNS / ".latest.tmp"
    beside.unlink(missing_ok=True)
    beside.symlink_to(os.path.relpath(path.resolve(), RUNS.resolve()), target_is_directory=True)
    beside.replace(LATEST)
