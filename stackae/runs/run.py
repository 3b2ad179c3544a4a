"""One run folder: its settings, its trained stages, its records.

    manifest.json              size and SHA-256 of every file below; each file is verified before it is used
    config.toml                the requested settings, complete; `stackae pretrain --config` reruns it
    metrics.jsonl              one line per epoch, one per evaluation; a rerun gives bit-identical values
    scaling.safetensors        the scaling that was fitted on the training rows
    data.json                  names of columns, targets and classes of the pretraining data; finetune-data.json
    division.safetensors       hash and part of each of their rows; finetune-division.safetensors
    layer1.safetensors ...     one file per trained layer
    explained.json             the share of the variance that each layer explains, beside PCA
    calibration.safetensors    what `stackae score` needs of the run's own rows (stackae.analysis.calibration)
    classifier.safetensors     the fine-tuned classifier
    reconstruction.safetensors the stack, unrolled and fine-tuned
    regressor.safetensors      the fine-tuned regressor; multilabel.safetensors, the fine-tuned multilabel head
    *.png                      pictures
    checkpoints/               what a training resumes from (stackae.runs.checkpoints)
    log.txt                    what was done when, and how fast; read by `stackae report` alone, for people

Nothing is ever pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stackae.analysis.calibration import Calibration, most_bytes, pack_calibration, read_calibration
from stackae.analysis.detector import Detector
from stackae.autoencoders.base import LayerAutoencoder
from stackae.config import LayerConfig, PretrainConfig, RunConfig
from stackae.config.values import parse_toml, validated
from stackae.data.scaling import Scaling
from stackae.documents import to_json
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
from stackae.runs.records import ExplainedFile, LayerExplained

LARGEST_CONFIG = 1 << 24
CALIBRATION = "calibration.safetensors"
EXPLAINED = "explained.json"
HEAD = "# Written by stackae. `stackae pretrain --config THIS_FILE` trains the same stack again.\n\n"


class Run(Folder):
    """One run folder: ``config`` and ``metrics()`` return what was done, ``load_...`` what was trained.

    Raises:
        RunError: in every method, if a file is missing, damaged, or not what config.toml describes.
    """

    @classmethod
    def open(cls, path: Path) -> Run:
        """Open the run at ``path``.

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
        """Read all records, oldest first."""
        return read_metrics(self)

    def each_metric(self) -> Iterator[dict[str, Any]]:
        """Yield all records, oldest first, one by one: there may be a million."""
        return each_metric(self)

    def metrics_with(
        self, records: Iterable[dict[str, Any]], new: bool = True, report: Callable[[str], None] | None = None
    ) -> bytes:
        """Return the content of metrics.jsonl with these records appended (see stackae.runs.metrics)."""
        return metrics_with(self, records, new, report)

    def explained(self) -> list[LayerExplained]:
        """Read what each layer explains of the variance; nothing for runs that did not measure it."""
        record = self.explained_record()
        return record.layers if record else []

    def explained_record(self) -> ExplainedFile | None:
        """Read what each layer explains, and of which rows; None for runs that did not measure it."""
        path = self.path / EXPLAINED
        if not self.holds(EXPLAINED):
            return None
        try:
            return ExplainedFile.model_validate_json(self.read(EXPLAINED, LARGEST_CONFIG))
        except ValueError:
            raise RunError(
                f"{path}: expected what each layer explains, got something else; `{suggested('resume', self.path)}` "
                "makes it again"
            ) from None

    def load_scaling(self) -> Scaling:
        """Load the scaling that was fitted on the training rows. Raises RunError if its file is missing or damaged."""
        width = self.pretrain_config.n_visible
        content = self.read("scaling.safetensors", 16 * width + LARGEST_HEADER)
        return read_scaling(self.path / "scaling.safetensors", content, width)

    def load_stack(self, engine: str = "auto") -> StackedAutoencoder:
        """Load the pretrained stack.

        Raises:
            RunError: a layer's file is missing, damaged, or not of the shape in config.toml.
        """
        choose_engine(engine)
        return StackedAutoencoder(
            self.load_layer(number, engine) for number in range(1, len(self.pretrain_config.layers) + 1)
        )

    def load_layer(self, number: int, engine: str = "auto") -> LayerAutoencoder:
        """Load one pretrained layer, from 1. Raises RunError as ``load_stack``."""
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
        """Load the calibration of the anomaly scores.

        Raises:
            RunError: the file is damaged, or missing, as in older runs.
        """
        if not self.has_calibration:
            raise RunError(
                f"{self.path / CALIBRATION}: expected what scores are calibrated by, got none; run `stackae score` "
                "once where the data are that the run was trained on"
            )
        sizes = self.pretrain_config.layer_sizes
        return read_calibration(self.path / CALIBRATION, self.read(CALIBRATION, most_bytes(sizes)), sizes)

    def load_detector(self, layer: int | None = None, engine: str = "auto") -> Detector:
        """Load a detector, which scores rows by thresholds and needs none of the run's data.

        Args:
            layer: reconstruct through this layer, from 1; None is the top.

        Raises:
            ConfigError: there is no such layer. RunError: as ``load_stack`` and ``load_calibration``.
        """
        from stackae.runs.kept_data import known_of  # which reads runs

        calibration, stack = self.load_calibration(), self.load_stack(engine)
        stack.check_layer(layer)
        scores = calibration.scores(stack, layer)
        return Detector(self.load_scaling(), scores, known_of(self).pretraining)

    def has_head(self, head: str) -> bool:
        """Return whether the run has a fine-tuned head of that kind."""
        return self.holds(head_file(head))

    def load_head(self, head: str, engine: str = "auto") -> tuple[Any, tuple[str, ...]]:
        """Load the fine-tuned model, of the head's class, and the names of its classes, targets or labels.

        Raises:
            RunError: there is none, or its file is damaged or not of the shape in config.toml.
        """
        choose_engine(engine)
        config, path = self.pretrain_config, self.path / head_file(head)
        if not self.has_head(head):
            raise RunError(f"{path}: expected a trained {head}, got none; run `stackae finetune --head {head}`")
        content = self.read(head_file(head), 4 * HEADS[head].most_numbers(config) + LARGEST_HEADER)
        return read_head(path, content, head, config, engine)

    def load_encoders(self, engine: str = "auto") -> Finetuned:
        """Load the model of the last fine-tuning, whatever its head."""
        finetune = self.config.finetune
        model: Finetuned = self.load_head("classifier" if finetune is None else finetune.head, engine)[0]
        return model


def config_file(config: RunConfig) -> dict[str, bytes]:
    """Make config.toml."""
    return {"config.toml": (HEAD + config.to_toml()).encode()}


def scaling_file(scaling: Scaling) -> dict[str, bytes]:
    """Make scaling.safetensors."""
    return {"scaling.safetensors": pack_scaling(scaling)}


def calibration_file(calibration: Calibration) -> dict[str, bytes]:
    """Make calibration.safetensors."""
    return {CALIBRATION: pack_calibration(calibration)}


def explained_file(part: str, rows: int, layers: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Make explained.json."""
    document = {"measured_on": part, "rows": rows, "layers": list(layers)}
    return {EXPLAINED: to_json(document, indent=2).encode() + b"\n"}


def layer_file(number: int) -> str:
    return f"{layer_name(number)}.safetensors"


def trained_layer_file(number: int, autoencoder: LayerAutoencoder, layer: LayerConfig) -> dict[str, bytes]:
    """Make layerN.safetensors."""
    return {layer_file(number): pack_weights(autoencoder.state_dict(), layer)}


def head_file(head: str) -> str:
    return f"{head}.safetensors"


def trained_head_file(head: str, model: Finetuned, names: Sequence[str]) -> dict[str, bytes]:
    """Make the head's file; ``names`` are those of its outputs."""
    return {head_file(head): pack_head(model, names)}
