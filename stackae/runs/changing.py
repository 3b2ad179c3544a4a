"""Change settings for the rest of a training, so that a divergence in one layer does not cost the layers below it.

Learning rate and weight decay may change between two steps: the stage resumes from its last checkpoint. Noise and
penalties change the loss itself, whose values could not be compared with earlier ones: a half-trained layer restarts.
From the checkpoint written here on, the training with the changed settings is reproducible bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stackae.config import FinetuneConfig, PretrainConfig, RunConfig
from stackae.config.stack import per_layer
from stackae.config.values import validated
from stackae.errors import ConfigError, argument
from stackae.runs.checkpoints import Checkpoint, read, rewrite
from stackae.runs.differences import Difference, differences
from stackae.runs.state import State

OF_THE_UPDATE = ("learning_rate", "weight_decay")
OF_THE_OBJECTIVE = ("corruption", "sparsity", "contraction", "weight_l1", "beta")


class Changed(NamedTuple):
    """The checkpoint to resume from, the settings that differ, and the stage that restarts ("" if none does)."""

    checkpoint: Checkpoint
    found: list[Difference]
    anew: str


def change(folder: Path, checkpoint: Checkpoint, options: Mapping[str, str]) -> Changed:
    """Write a checkpoint of the same training with other settings for the stages that have not ended.

    Args:
        options: by setting name, one value for all layers or a comma-separated list with one per layer.

    Raises:
        ConfigError: nothing is left to train, a trained layer would change, or a value is invalid.
        DiskError: the checkpoint could not be written.
    """
    state, names = checkpoint.state, ", ".join(argument(name) for name in options)
    rest = state.work.stages[len(state.ended) :]
    if not rest:
        raise ConfigError(
            f"{names}: expected a training that has not ended, got one whose {_stages(state)} are trained; train a new "
            "run, or fine-tune it again with `stackae finetune`"
        )
    for name, value in options.items():
        if "auto" in [word.strip() for word in value.split(",")]:
            raise ConfigError(f"{argument(name)}: expected a value, got auto, which was settled when the run began")
    settings = tuple(_with(each, state, options) for each in state.work.settings)
    found = [each for pair in zip(state.work.settings, settings, strict=True) for each in differences(*pair)]
    if not found:
        return Changed(checkpoint, [], "")
    objective = any(each.name.split(".")[-1] in OF_THE_OBJECTIVE for each in found if _is_of(each, rest[0]))
    anew = state.stage.name if state.stage is not None and objective else ""
    update = {"work": state.work.model_copy(update={"settings": settings})} | ({"stage": None} if anew else {})
    changed = State.model_validate(state.model_copy(update=update).model_dump())
    return Changed(read(rewrite(folder, checkpoint, changed)), list(dict.fromkeys(found)), anew)


def _with(settings: RunConfig, state: State, options: Mapping[str, str]) -> RunConfig:
    """Return settings with the options applied to what is not trained yet. Raises ConfigError if they cannot be."""
    if state.work.command == "pretrain":
        config = _with_layers(settings.pretrain, len(state.ended), options)
        return settings.model_copy(update={"pretrain": config})
    own = settings.finetune
    other = [name for name in options if name not in OF_THE_UPDATE]
    if own is None or other:
        raise ConfigError(
            f"{argument(other[0] if other else 'run')}: expected a pretraining, got a fine-tuning, which has no such "
            "setting; leave it out"
        )
    return settings.model_copy(
        update={"finetune": validated(FinetuneConfig, {**own.model_dump(), **options}, "finetune")}
    )


def _with_layers(config: PretrainConfig, trained: int, options: Mapping[str, str]) -> PretrainConfig:
    """Apply the options to the layers above the first ``trained`` ones, which must stay as they are."""
    layers = [layer.model_dump() for layer in config.layers]
    for name, value in options.items():
        items, one = per_layer(name, value, len(layers)), "," not in value
        for layer, item in list(zip(layers, items, strict=True))[trained if one else 0 :]:
            layer[name] = item
    found = validated(PretrainConfig, {**config.model_dump(), "layers": layers})
    for number, (before, after) in enumerate(zip(config.layers, found.layers, strict=True), start=1):
        for name in options if number <= trained else ():
            if getattr(before, name) != getattr(after, name):
                was = before.model_dump()[name]
                raise ConfigError(
                    f"{argument(name)}: expected {was} for layer {number}, which is trained, got "
                    f"{after.model_dump()[name]}; give one value for the layers that are left"
                )
        if (before.sparsity.keeps_few, before.sparsity.count) != (after.sparsity.keeps_few, after.sparsity.count):
            raise ConfigError(
                f"{argument('sparsity')}: expected a code of layer {number} that keeps as many units as before, got "
                f"{after.model_dump()['sparsity']} instead of {before.model_dump()['sparsity']}; train a new run"
            )
    return found


def _is_of(difference: Difference, stage: str) -> bool:
    return f".{stage}." in difference.name


def _stages(state: State) -> str:
    return "stages" if state.work.command == "finetune" else "layers"
