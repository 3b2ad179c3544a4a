"""Which configurations may train together: those whose networks have one shape and one way of training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stackae.config import LayerConfig, PretrainConfig, TrainingConfig
from stackae.errors import ConfigError

MAY_DIFFER = ("seed", "learning_rate", "weight_decay", "corruption", "sparsity", "contraction")


def check_together(configs: Sequence[PretrainConfig]) -> None:
    """Passes over seeds, learning rates, weight decays, noise and penalties.

    Raises:
        ConfigError: there is no configuration, or one differs from the first in anything else.
    """
    if not configs:
        raise ConfigError("configs: expected at least one configuration, got none")
    for number, config in enumerate(configs[1:], start=2):
        for (name, wanted), (_, found) in zip(_common(configs[0]), _common(config), strict=True):
            if wanted != found:
                raise ConfigError(
                    f"configuration {number}: {name}: expected {wanted} as in the first one, got {found}; train it "
                    "apart: seeds, learning rates, weight decays, noise and penalties may differ"
                )


def _common(config: PretrainConfig) -> Iterator[tuple[str, object]]:
    """What must agree, with the name that an error gives it; sizes first, so that layers stand side by side."""
    yield "layers", ",".join(map(str, config.layer_sizes))
    for name in TrainingConfig.model_fields:
        if name not in MAY_DIFFER:
            yield name, getattr(config, name)
    for number, layer in enumerate(config.layers, start=1):
        for name in LayerConfig.model_fields:
            if name not in MAY_DIFFER:
                yield f"layer {number}: {name}", getattr(layer, name)
        eager = layer.steps_eagerly or config.trains_eagerly("cpu")
        fused = "the fused one of a CPU" if layer.fused_on_cpu else "the fused one"
        yield f"layer {number}: the step", "an eager one" if eager else fused
