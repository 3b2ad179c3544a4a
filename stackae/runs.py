"""The run folder: everything a run leaves behind, and how it is read again.

    config.toml                what was asked, complete; `stackae pretrain --config` reruns it
    metrics.jsonl              one line an epoch, one line an evaluation
    scaling.safetensors        the scaling that was fitted on the training part
    layer1.safetensors ...     one file a trained layer
    classifier.safetensors     the fine-tuned classifier
    *.png                      pictures

Files are written beside their place and renamed into it; nothing here is ever pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import stackae
from stackae.autoencoders.dense import Autoencoder, Dense
from stackae.classifier import Classifier
from stackae.config import LayerConfig, PretrainConfig, RunConfig, read_toml, validated
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, RunError
from stackae.stack import StackedAutoencoder

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
        if not (chosen / "config.toml").is_file():
            what = "no such folder" if not chosen.exists() else "a folder without config.toml"
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

    def write(self, name: str, content: bytes) -> Path:
        """Writes one file of the run, whole."""
        path = self.path / name
        write_whole(path, content)
        return path

    @property
    def pretrain_config(self) -> PretrainConfig:
        return self.config.pretrain

    def write_config(self, config: RunConfig) -> None:
        head = "# Written by stackae. `stackae pretrain --config THIS_FILE` trains the same stack again.\n\n"
        self.write("config.toml", (head + config.to_toml()).encode())

    def append_metrics(self, record: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        path = self.path / "metrics.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def save_scaling(self, scaling: Scaling) -> None:
        self._save("scaling", scaling.to_tensors(), {"kind": scaling.kind})

    def load_scaling(self) -> Scaling:
        tensors, metadata = self._load("scaling")
        return Scaling.from_tensors(metadata["kind"], tensors)

    def save_layer(self, number: int, autoencoder: Autoencoder) -> None:
        metadata = {
            "kind": "dense",
            "activation": autoencoder.encoder.activation,
            "output_activation": autoencoder.output_activation,
            "tied": str(autoencoder.tied).lower(),
        }
        self._save(f"layer{number}", autoencoder.state_dict(), metadata)

    def load_stack(self, engine: str = "auto") -> StackedAutoencoder:
        """The pretrained stack.

        Raises:
            RunError: a layer's file is missing, damaged, or not of the shape that config.toml says.
        """
        pretrain = self.pretrain_config
        sizes = pretrain.layer_sizes
        return StackedAutoencoder(
            self._load_layer(number, sizes[number - 1], layer, engine)
            for number, layer in enumerate(pretrain.layers, start=1)
        )

    def _load_layer(self, number: int, n_visible: int, layer: LayerConfig, engine: str) -> Autoencoder:
        tensors, metadata = self._load(f"layer{number}")
        autoencoder = Autoencoder(
            n_visible,
            layer.n_hidden,
            activation=metadata.get("activation", layer.activation),
            output_activation=metadata.get("output_activation", layer.output_activation),
            tied=metadata.get("tied") == "true",
            engine=engine,
        )
        self._fill(f"layer{number}", autoencoder, tensors)
        return autoencoder

    def save_classifier(self, model: Classifier, classes: tuple[str, ...]) -> None:
        activations = [module.activation for module in model.encoders if isinstance(module, Dense)]
        metadata = {"activations": json.dumps(activations), "classes": json.dumps(classes)}
        self._save("classifier", model.state_dict(), metadata)

    @property
    def has_classifier(self) -> bool:
        return (self.path / "classifier.safetensors").is_file()

    def load_classifier(self, engine: str = "auto") -> tuple[Classifier, tuple[str, ...]]:
        """The fine-tuned classifier and its class names."""
        tensors, metadata = self._load("classifier")
        sizes = self.pretrain_config.layer_sizes
        classes = tuple(json.loads(metadata["classes"]))
        encoders = [
            Dense.initialised(n_in, n_out, activation, seed=0, layer=0, engine=engine)
            for n_in, n_out, activation in zip(sizes, sizes[1:], json.loads(metadata["activations"]), strict=False)
        ]
        head = Dense.initialised(sizes[-1], len(classes), "linear", seed=0, layer=0, engine=engine)
        model = Classifier(encoders, head)
        self._fill("classifier", model, tensors)
        return model, classes

    def _save(self, stage: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self.write(f"{stage}.safetensors", save(plain, {"stackae": stackae.__version__, **metadata}))

    def _load(self, stage: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        path = self.path / f"{stage}.safetensors"
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        except FileNotFoundError:
            raise RunError(f"{path}: expected a trained {stage}, got no such file; train it first") from None
        except (SafetensorError, OSError) as error:
            raise RunError(
                f"{path}: expected a safetensors file, got a damaged one ({error}); train it again"
            ) from None

    def _fill(self, stage: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
        wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if wanted != found:
            raise RunError(
                f"{self.path / stage}.safetensors: expected tensors {wanted} as config.toml says, got {found}; "
                "this is another run's file, train the stage again"
            )
        module.load_state_dict(tensors)


def write_whole(path: Path, content: bytes | memoryview) -> None:
    """A reader sees the old file or the new one, never a part."""
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def default_path(data: str, layer_sizes: tuple[int, ...]) -> Path:
    """runs/<time>-<data>-<sizes>, free to use."""
    label = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in Path(data).stem)
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{label}-{'-'.join(map(str, layer_sizes))}"
    path, number = RUNS / name, 1
    while path.exists():
        number += 1
        path = RUNS / f"{name}-{number}"
    return path


def check_free(path: Path, force: bool) -> None:
    """Raises ConfigError unless a run may be made at ``path``."""
    if path.is_symlink():
        raise ConfigError(f"{path}: expected a folder of its own for the new run, got a pointer to {path.resolve()}")
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not (path / "config.toml").is_file():
        raise ConfigError(f"{path}: expected a new folder or an earlier run, got something else; choose another --run")
    if not force:
        raise ConfigError(f"{path}: expected a new folder, got an existing run; choose another --run, or add --force")


@contextmanager
def new_run(path: Path, force: bool) -> Iterator[Run]:
    """A fresh run folder. An earlier run at the same place is given up only when the new one is complete."""
    check_free(path, force)
    aside = path.with_name(f".{path.name}.replaced")
    replaces = path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    if replaces:
        path.replace(aside)
    path.mkdir()
    run = Run(path)
    try:
        yield run
    except BaseException:
        if replaces:
            shutil.rmtree(path)
            aside.replace(path)
        elif not (path / "layer1.safetensors").exists():
            shutil.rmtree(path)
        raise
    if replaces:
        shutil.rmtree(aside)
    point_latest(path)


def point_latest(path: Path) -> None:
    """Makes runs/latest a pointer to this run."""
    RUNS.mkdir(parents=True, exist_ok=True)
    if LATEST.exists() and not LATEST.is_symlink():
        raise ConfigError(f"{LATEST}: expected a pointer to the newest run, got a folder; move it away")
    beside = RUNS / ".latest.tmp"
    beside.unlink(missing_ok=True)
    beside.symlink_to(os.path.relpath(path.resolve(), RUNS.resolve()), target_is_directory=True)
    beside.replace(LATEST)
