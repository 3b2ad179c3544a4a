"""Choose the fused or the eager training step, with the reason; the summary shows this same choice."""

from __future__ import annotations

from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.models.stack import StackedAutoencoder
from stackae.ops.engine import StepChoice, choose_device, choose_step
from stackae.ranks import group

PAIRS, RANKS = "targets beside its rows", "several processes"
OVER_BATCH = ("batch-top-k", "lifetime")  # sparsities that select units over a whole batch


def layer_steps(config: PretrainConfig, paired: bool = False) -> dict[int, StepChoice]:
    """Choose the step of each layer, by its number from 1; layers that are solved in closed form have none.

    ``paired``: the first layer's rows are ``PairedRows``.
    """
    device, ranks = choose_device(config.device), group()
    lacks = {
        number: layer.lacks_on(device.type, config.precision)
        or config.trains_eagerly(device.type)
        or (_unshared(layer, device.type) if ranks.several else "")
        or (PAIRS if paired and number == 1 and device.type == "cuda" else "")
        for number, layer in enumerate(config.layers, start=1)
        if not layer.row.solved
    }
    return {number: choose_step(config.engine, device, config.precision, each) for number, each in lacks.items()}


def _unshared(layer: LayerConfig, device: str) -> str:
    """The first setting that the fused step of a device does not share between ranks; "" where it shares all."""
    if device == "cuda":
        return RANKS
    return f"sparsity {layer.sparsity.kind}, over {RANKS}" if layer.sparsity.kind in OVER_BATCH else ""


def head_step(stack: StackedAutoencoder, config: FinetuneConfig, paired: bool = False) -> StepChoice:
    """Choose the step that trains a head, alone or with the layers of the stack; the fused one needs dense layers.

    ``paired``: the rows of a reconstruction are ``PairedRows``.
    """
    device = choose_device(config.device)
    lacks = config.lacks_on(device.type) or (PAIRS if paired and device.type == "cuda" else "")
    lacks = lacks or (RANKS if group().several and device.type == "cuda" else "")
    if not lacks and (config.train != "head" or not config.row.predicts):
        found = (one.not_dense(decoding=not config.row.predicts) for one in stack.autoencoders)
        lacks = next((f"layer {number} of {each}" for number, each in enumerate(found, start=1) if each), "")
    return choose_step(config.engine, device, config.precision, lacks)


def shown_layer_steps(config: PretrainConfig, paired: bool = False) -> str:
    """Describe the layers' steps: fused if any layer's is, the device, the reason, and the layers that are eager."""
    device, steps = choose_device(config.device), layer_steps(config, paired)
    device_step = choose_step(config.engine, device, config.precision)
    precision = " in fp32" if config.precision != "fp32" else ""
    eager = [f"layer {number} eager{precision}: {step.lacks}" for number, step in steps.items() if step.lacks]
    fused = any(step.fused for step in steps.values()) if steps else device_step.fused
    return f"{'fused' if fused else 'eager'} on {device} ({'; '.join([device_step.reason, *eager])})"


def shown_head_step(stack: StackedAutoencoder, config: FinetuneConfig) -> str:
    """Describe the head's step, its device and the reason."""
    step = head_step(stack, config)
    reasons = [step.reason, step.lacks] if step.lacks else [step.reason]
    return f"{'fused' if step.fused else 'eager'} on {choose_device(config.device)} ({'; '.join(reasons)})"
