"""One run folder: its settings, its trained stages, its records.

    manifest.json              every file below, by size and SHA-256; nothing is used before it was compared
    config.toml                what was asked, complete; `stackae pretrain --config` reruns it
    metrics.jsonl              one line an epoch, one line an evaluation: figures that a rerun repeats to the bit
    scaling.safetensors        the scaling that was fitted on the training part
    data.json                  names of columns, targets and classes of what it was pretrained on; finetune-data.json
    division.safetensors       the part of every row of that, by what it holds; finetune-division.safetensors
    layer1.safetensors ...     one file a trained layer
    calibration.safetensors    what `stackae score` needs of the run's own rows (stackae.calibration)
    classifier.safetensors     the fine-tuned classifier
    reconstruction.safetensors the stack, unrolled and fine-tuned
    regressor.safetensors      the fine-tuned regressor; multilabel.safetensors, one of labels
    *.png                      pictures
    checkpoints/               what a training goes on from (stackae.runs.checkpoints)
    log.txt                    what was done when, and how fast; never read by the program

Nothing here is ever pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stackae.analysis.calibration import Calibration, most_bytes, pack_calibration, read_calibration
from stackae.analysis.detector import Detector
from stackae.autoencoders.base import LayerAutoencoder
from stackae.config import LayerConfig, PretrainConfig, RunConfig
from stackae.config.values import parse_toml, validated
from stackae.data.scaling import Scaling
from stackae.errors import ConfigError, RunError, argument, suggested
from stackae.models.files import (
    LARGEST_HEADER,
    layer_name,
    pack_scaling,
    pack_weights,
    read_layer,
    read_scaling,
)
from stackae.models.heads import HEADS, Finetuned
from stackae.models.heads.files import pack_head, read_head
from stackae.models.stack import StackedAutoencoder
from stackae.objectives.kinds import numbers_of
from stackae.ops.engine import choose_engine
from stackae.runs.folder import Folder
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.metrics import each_metric, metrics_with, read_metrics

LARGEST_CONFIG = 1 << 24
CALIBRATION = "calibration.safetensors"
HEAD = "# Written by stackae. `stackae pretrain --config THIS_FILE` trains the same stack again.\n\n"


class Run(Folder):
    """One run folder: ``config`` and ``metrics()`` say what was done, ``load_...`` give what was trained.

    Raises:
        RunError: in every method, where a file is missing, damaged, or not what config.toml describes.
    """

    @classmethod
    def open(cls, path: Path) -> Run:
        """The run at ``path``.

        Raises:
            RunError: there is none.
        """
        if not (path / MANIFEST).is_file():
            found = "a file" if path.is_file() else f"a folder without {MANIFEST}"
            what = found if path.exists() else "no such folder"
            raise RunError(
                f"{path}: expected a run folder, got {what}; name one with {argument('run')} DIR, or make one with "
                "`stackae pretrain --layers 784,300,150`"
            )
        return cls(path.resolve())

    @property
    def config(self) -> RunConfig:
        path, content = self.path / "config.toml", self.read("config.toml", LARGEST_CONFIG)
        try:
            return validated(RunConfig, parse_toml(content, path))
        except ConfigError as error:
            raise RunError(f"{path}: expected the configuration of a run, got a damaged one ({error})") from None

    @property
    def pretrain_config(self) -> PretrainConfig:
        return self.config.pretrain

    def metrics(self) -> list[dict[str, Any]]:
        """Every record, oldest first."""
        return read_metrics(self)

    def each_metric(self) -> Iterator[dict[str, Any]]:
        """Every record, oldest first, one by one: there may be a million."""
        return each_metric(self)

    def metrics_with(
        self, records: Iterable[dict[str, Any]], new: bool = True, report: Callable[[str], None] | None = None
    ) -> bytes:
        """The content of metrics.jsonl with these records too (stackae.runs.metrics)."""
        return metrics_with(self, records, new, report)

    def load_scaling(self) -> Scaling:
        """The scaling that was fitted on the training part. RunError where its file is missing or damaged."""
        width = self.pretrain_config.n_visible
        content = self.read("scaling.safetensors", 16 * width + LARGEST_HEADER)
        return read_scaling(self.path / "scaling.safetensors", content, width)

    def load_stack(self, engine: str = "auto") -> StackedAutoencoder:
        """The pretrained stack.

        Raises:
            RunError: a layer's file is missing, damaged, or not of the shape that config.toml says.
        """
        choose_engine(engine)
        return StackedAutoencoder(
            self._load_layer(number, engine) for number in range(1, len(self.pretrain_config.layers) + 1)
        )

    def _load_layer(self, number: int, engine: str) -> LayerAutoencoder:
        config, name = self.pretrain_config, layer_file(number)
        if not self.holds(name):
            raise RunError(
                f"{self.path / name}: expected layer {number} of {len(config.layers)}, got a run that did not train it "
                f"yet; go on with `{suggested('resume', self.path)}`"
            )
        n, layer = config.layer_sizes[number - 1], config.layers[number - 1]
        content = self.read(name, 4 * numbers_of(n, layer) + LARGEST_HEADER)
        return read_layer(self.path / name, content, n, layer, engine)

    @property
    def has_calibration(self) -> bool:
        return self.holds(CALIBRATION)

    def load_calibration(self) -> Calibration:
        """What scores are calibrated by.

        Raises:
            RunError: the file is damaged, or missing as in an older run.
        """
        if not self.has_calibration:
            raise RunError(
                f"{self.path / CALIBRATION}: expected what scores are calibrated by, got none; run `stackae score` "
                "once where the data are that the run was trained on"
            )
        sizes = self.pretrain_config.layer_sizes
        return read_calibration(self.path / CALIBRATION, self.read(CALIBRATION, most_bytes(sizes)), sizes)

    def load_detector(self, layer: int | None = None, engine: str = "auto") -> Detector:
        """Scores of rows with their thresholds, without the data that the run was trained on.

        Args:
            layer: reconstruct through this one, from 1; None is the top.

        Raises:
            ConfigError: there is no such layer. RunError: as ``load_stack`` and ``load_calibration``.
        """
        calibration, stack = self.load_calibration(), self.load_stack(engine)
        stack.check_layer(layer)
        scores = calibration.scores(stack, layer)
        return Detector(self.load_scaling(), scores)

    def has_head(self, head: str) -> bool:
        """Whether it was fine-tuned under such a head."""
        return self.holds(head_file(head))

    def load_head(self, head: str, engine: str = "auto") -> tuple[Any, tuple[str, ...]]:
        """The fine-tuned model, of the head's class, and the names of its classes, targets or labels.

        Raises:
            RunError: there is none, or its file is damaged, or not of the shape that config.toml says.
        """
        choose_engine(engine)
        config, path = self.pretrain_config, self.path / head_file(head)
        if not self.has_head(head):
            raise RunError(f"{path}: expected a trained {head}, got none; run `stackae finetune --head {head}`")
        content = self.read(head_file(head), 4 * HEADS[head].most_numbers(config) + LARGEST_HEADER)
        return read_head(path, content, head, config, engine)

    def load_encoders(self, engine: str = "auto") -> Finetuned:
        """What the last fine-tuning made, whatever head it has."""
        finetune = self.config.finetune
        model: Finetuned = self.load_head("classifier" if finetune is None else finetune.head, engine)[0]
        return model


def config_file(config: RunConfig) -> dict[str, bytes]:
    """config.toml."""
    return {"config.toml": (HEAD + config.to_toml()).encode()}


def scaling_file(scaling: Scaling) -> dict[str, bytes]:
    """scaling.safetensors."""
    return {"scaling.safetensors": pack_scaling(scaling)}


def calibration_file(calibration: Calibration) -> dict[str, bytes]:
    """calibration.safetensors."""
    return {CALIBRATION: pack_calibration(calibration)}


def layer_file(number: int) -> str:
    return f"{layer_name(number)}.safetensors"


def trained_layer_file(number: int, autoencoder: LayerAutoencoder, layer: LayerConfig) -> dict[str, bytes]:
    """layerN.safetensors."""
    return {layer_file(number): pack_weights(autoencoder.state_dict(), layer)}


def head_file(head: str) -> str:
    return f"{head}.safetensors"


def trained_head_file(head: str, model: Finetuned, names: Sequence[str]) -> dict[str, bytes]:
    """The head's file; ``names`` are those of what it answers with."""
    return {head_file(head): pack_head(model, names)}
