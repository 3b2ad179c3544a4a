"""Saved stacks and models: run folders without data, which every reader of runs reads and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from stackae.config import FinetuneConfig, PretrainConfig, RunConfig
from stackae.data.provenance import FROM_ARRAY, KnownData
from stackae.data.scaling import Scaling
from stackae.models.stack import StackedAutoencoder
from stackae.runs import Run, new_runs
from stackae.runs.kept_data import known_files
from stackae.runs.ownership import asides, remove_own, strangers
from stackae.runs.records import epoch_of
from stackae.runs.run import config_file, scaling_file, trained_layer_file
from stackae.training.callbacks import EpochRecord


def stack_files(
    network: StackedAutoencoder,
    scaling: Scaling,
    config: PretrainConfig,
    known: KnownData,
    finetune: FinetuneConfig | None = None,
    target: str | None = None,
) -> dict[str, bytes]:
    """config.toml, scaling.safetensors, a file per layer, and what is known of the data."""
    data = known.config.model_copy(update={"data": FROM_ARRAY, "scale": scaling.kind})
    learned = None
    if finetune is not None and target is not None:
        learned = data.model_copy(update={"target": target, "target_kind": finetune.row.targets or "classes"})
    whole = RunConfig(data=data, pretrain=config, finetune=finetune, finetune_data=learned)
    files = config_file(whole) | scaling_file(scaling) | (known_files(known) if known.recorded else {})
    for number, (autoencoder, layer) in enumerate(zip(network.autoencoders, config.layers, strict=True), start=1):
        files |= trained_layer_file(number, autoencoder, layer)
    return files


def save_run(path: str | Path, files: Mapping[str, bytes], history: Iterable[EpochRecord], force: bool) -> None:
    """Write a folder of these files and metrics.jsonl; what it replaces is given up when all is written.

    Raises:
        ConfigError: something is there that may not be replaced. DiskError: it could not be written.
    """
    with new_runs(Path(path), force) as (folder, (run,)):
        run.publish(files)
        run.publish({"metrics.jsonl": run.metrics_with(map(epoch_of, history))})
        for aside in asides(folder.path):
            if not strangers(aside):
                remove_own(aside)


def history_of(run: Run, stages: Iterable[str]) -> tuple[EpochRecord, ...]:
    """The epochs of the last training of each stage; how long they took is not kept, and NaN."""
    found: dict[str, list[EpochRecord]] = {stage: [] for stage in stages}
    nowhere = {"seconds": float("nan"), "rows_per_second": float("nan")}
    for record in run.each_metric():
        if record["event"] == "epoch" and record["stage"] in found:
            known = {name: record[name] for name in EpochRecord.__dataclass_fields__ if name in record}
            epochs = found[record["stage"]]
            epochs[:] = [*(epochs if record["epoch"] > 1 else []), EpochRecord(**(nowhere | known))]
    return tuple(epoch for epochs in found.values() for epoch in epochs)
