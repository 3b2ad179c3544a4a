"""Estimate a training's peak memory, part by part, before it begins; refuse a training that does not fit.

Data are not counted: they are already in memory. Sizes of codes and parameters are exact; the additional memory of a
step, a checkpoint and a closed form is a measured multiple of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from stackae.autoencoders.statistics import MATRICES
from stackae.config import FinetuneConfig, LayerConfig, PretrainConfig
from stackae.data import memory
from stackae.data.kind import STRIP, most_looked_at
from stackae.errors import ConfigError, argument
from stackae.models.stack import ROWS_AT_ONCE
from stackae.objectives.kinds import KINDS, numbers_of
from stackae.ops.engine import choose_device, choose_step
from stackae.ranks import group
from stackae.training.lbfgs import HISTORY

NUMBER = 4  # bytes
FUSED, EAGER = 7, 12  # numbers per parameter: itself, its best, optimizer state, gradients; with autograd, guard copies
LBFGS = 4 * HISTORY + 8  # the same with its pairs, here and in torch
SAVED = 6  # numbers per parameter while a checkpoint of it is written
SOLVED = 3  # numbers per parameter of a closed form, beside its matrices
TRAINED = 3  # numbers per number that a row becomes on its way through a layer, gradients included
PASSED = 2  # numbers per cell that an eager pass holds beside those
LOOKED = 3  # numbers per cell of the same that a look at them holds beside the input
PAIRED = 2  # numbers per cell of rows with targets of their own: the target, and its weight


class Part(NamedTuple):
    """One part of the memory: its name, its bytes, how to lower them, and whether it lies on the device."""

    what: str
    bytes: int
    remedy: str
    on_device: bool = True


class Phase(NamedTuple):
    """The parts that are in memory together during one phase of training."""

    when: str
    parts: list[Part]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)


def check_finetuning(
    config: FinetuneConfig, stack: PretrainConfig, rows: int, held_out: int, outputs: int, *, paired: bool = False
) -> None:
    """Check the memory of training a head with ``outputs`` outputs. Raises ConfigError as ``check``."""
    check([finetuning(config, stack, rows, held_out, outputs, paired)], Free.of(config.device))


def pretraining(
    config: PretrainConfig,
    rows: int,
    held_out: int,
    count: int = 1,
    kept: int = 0,
    paired: bool = False,
    homes: Sequence[str] = (),
) -> Iterator[Phase]:
    """Yield the phases: each layer's training, and its encoding, when inputs and codes are in memory together.

    ``count`` stacks are trained together on ``rows`` rows, 0 for the minimum that any data need; ``kept`` is the number
    of parameters of stacks that were trained before and stay in memory. ``homes`` say where the codes of each layer
    lie, bottom first: device, memory, or where they take none of either; layers that it does not name are on the
    device. On a GPU the first layer steps eagerly where its rows are ``paired``.
    """
    device = choose_device(config.device)
    able = choose_step(config.engine, device, config.precision, config.trains_eagerly(device.type)).fused
    before = (
        [Part("the stacks of other widths", NUMBER * kept, f"name fewer or narrower {argument('widths')}")]
        if kept
        else []
    )
    for number, layer in enumerate(config.layers, start=1):
        n, whole = config.layer_sizes[number - 1], config.optimizer == "lbfgs"
        layer = layer.model_copy(update={"batch_size": max(rows, 1)}) if whole else layer
        inputs = _codes_at(homes, number - 1, n, rows + held_out, count)
        held, pairs = [*before, *inputs], paired and number == 1
        fused = able and not pairs
        lacks = not able or layer.lacks_on(device.type, config.precision) or (pairs and device.type == "cuda")
        times = LBFGS if whole else EAGER if lacks else FUSED
        training = _training(number, n, layer, rows, held_out, count, times, fused, pairs)
        yield Phase(f"layer {number} is trained", [*held, *training])
        if number < len(config.layers):
            codes = _codes_at(homes, number, layer.n_hidden, rows + held_out, count)
            passing = _passing(number, n, layer, max(rows, held_out), layer.corruption.level > 0, able)
            yield Phase(f"layer {number} makes its codes", [*held, *codes, *passing])
    yield Phase("the rows are looked at", [_look(config.n_visible, rows, paired)])


def finetuning(
    config: FinetuneConfig, stack: PretrainConfig, rows: int, held_out: int, outputs: int, paired: bool = False
) -> Phase:
    """The phase of a head's training, with the layers below it, or on their codes alone.

    On a GPU a reconstruction steps eagerly where its rows are ``paired``.
    """
    paired = paired and not config.row.predicts
    pairs = list(zip(stack.layer_sizes, stack.layers, strict=False))
    top = stack.layer_sizes[-1]
    device = choose_device(config.device)
    lacks = config.lacks_on(device.type) or ("pairs" if paired and device.type == "cuda" else "")
    fused = choose_step(config.engine, device, lacks=lacks).fused
    whole = config.optimizer == "lbfgs"
    times, batch = LBFGS if whole else FUSED if fused else EAGER, rows if whole else config.batch_size
    numbers = sum(KINDS[layer.kind].autoencoder.unrolled_numbers_of(n, layer) for n, layer in pairs)
    numbers = numbers if not config.row.predicts else numbers // 2 + (top + 1) * outputs
    alone = config.train == "head" and config.row.predicts
    moving = (top + 1) * outputs if alone else numbers
    parts = [
        Part(
            "the network, with its best epoch, optimizer state and gradients",
            _held(numbers, moving, times),
            _narrower(),
        ),
        Part(
            f"a step of {batch:,} rows",
            _batch(pairs, batch, rows) + _targets(stack.n_visible, min(batch, max(rows, 1)), paired),
            f"lower {argument('batch_size')}",
        ),
        Part(
            f"a pass over {ROWS_AT_ONCE:,} rows",
            _widest_pass(pairs, max(rows, held_out))
            + _targets(stack.n_visible, min(max(rows, held_out), ROWS_AT_ONCE), paired),
            _narrower(),
        ),
    ]
    if alone:
        parts.append(_codes(len(pairs), top, rows + held_out, 1, "or give fewer rows")._replace(on_device=False))
    return Phase(f"the {config.head} is trained", parts)


def _look(n: int, rows: int, paired: bool) -> Part:
    """The rows that settle ``auto``, targets and weights included."""
    looked_at = min(rows, most_looked_at(n))
    size = looked_at * ((NUMBER * (1 + LOOKED) + 1) * n if paired else NUMBER * n) + 8 * (
        looked_at * min(n, STRIP) + 2 * n
    )
    return Part(f"a look at {looked_at:,} rows", size, "give fewer columns")


def _narrower() -> str:
    return f"make the widest of {argument('layers')} narrower"


def codes_bytes(width: int, rows: int, count: int) -> int:
    """The bytes of so many rows of codes, one set per stack."""
    return NUMBER * rows * width * count


def _codes_at(homes: Sequence[str], number: int, width: int, rows: int, count: int) -> list[Part]:
    """The codes of layer ``number`` where they are held; layer 0 is the data, which are not counted."""
    home = homes[number - 1] if 0 < number <= len(homes) else "device"
    if number == 0 or home not in ("device", "memory"):
        return []
    part = _codes(number, width, rows, count, f"give fewer rows, or use {argument('codes', 'auto')}")
    return [part._replace(on_device=home == "device")]


def _codes(number: int, width: int, rows: int, count: int, remedy: str) -> Part:
    """The codes of layer ``number``, one set per stack."""
    seeds = f"train fewer {argument('seeds')} together, " if count > 1 else ""
    remedy = f"make layer {number} narrower, {seeds}{remedy}"
    return Part(f"the codes of layer {number}", codes_bytes(width, rows, count), remedy)


def _training(
    number: int, n: int, layer: LayerConfig, rows: int, held_out: int, count: int, held: int, fused: bool, paired: bool
) -> Iterator[Part]:
    numbers = numbers_of(n, layer)
    seeds = f"train fewer {argument('seeds')} together, or " if count > 1 else ""
    if layer.closed_form:
        other = argument("kind", "dense") if layer.row.solved else argument("init", "random")
        yield Part(f"moments of {n:,} x {n:,}", MATRICES * 8 * n**2, f"use {other}, or give fewer columns")
    times = (SOLVED if layer.row.solved else held) + SAVED
    narrower = f"{seeds}make layer {number} narrower"
    yield Part(
        f"the parameters of layer {number}, their optimizer state and copies",
        NUMBER * times * numbers * count,
        narrower,
    )
    if not layer.row.solved:
        batch = min(layer.batch_size, max(rows, 1))
        size = (NUMBER * TRAINED * batch * _row(n, layer) + _targets(n, batch, paired)) * count
        yield Part(f"a step of {batch:,} rows", size, f"lower {argument('batch_size')}")
    yield from _passing(number, n, layer, max(rows, held_out), layer.corruption.level > 0, fused, paired)


def _passing(
    number: int, n: int, layer: LayerConfig, rows: int, noisy: bool, fused: bool, paired: bool = False
) -> list[Part]:
    """The memory of a pass over many rows at once, for validation and for codes."""
    beside = (n if noisy else 0) if fused else (6 * n if noisy else PASSED * n)
    size = NUMBER * min(rows, ROWS_AT_ONCE) * (_row(n, layer) + beside) + _targets(n, min(rows, ROWS_AT_ONCE), paired)
    remedy = "give it fewer channels" if layer.row.images else f"make layer {number} narrower"
    return [Part(f"a pass of {min(rows, ROWS_AT_ONCE):,} rows through layer {number}", size, remedy)]


def _targets(n: int, rows: int, paired: bool) -> int:
    """The bytes of targets and weights of so many rows of n cells."""
    return NUMBER * PAIRED * n * rows * paired


def _row(n: int, layer: LayerConfig) -> int:
    return KINDS[layer.kind].autoencoder.row_numbers_of(n, layer)


def _held(numbers: int, moving: int, times: int) -> int:
    return NUMBER * (2 * numbers + (times + SAVED - 2) * moving)


def _batch(pairs: Sequence[tuple[int, LayerConfig]], size: int, rows: int) -> int:
    return NUMBER * TRAINED * min(size, max(rows, 1)) * sum(_row(n, layer) for n, layer in pairs)


def _widest_pass(pairs: Sequence[tuple[int, LayerConfig]], rows: int) -> int:
    return NUMBER * min(rows, ROWS_AT_ONCE) * max(_row(n, layer) for n, layer in pairs)


class Free(NamedTuple):
    """Bytes that are free for a training on a device: of the device, and of the memory beside it; inf where unknown.

    On a CPU the two are one.
    """

    device: torch.device
    on_device: float
    in_memory: float

    @classmethod
    def of(cls, device: str) -> Free:
        """Measured now, within the limits of the machine, its container and this process; of the memory, its share
        beside other ranks."""
        where, found = choose_device(device), memory.free_memory()
        there = math.inf if found is None else found // group().beside
        return cls(where, torch.cuda.mem_get_info(where)[0] if where.type == "cuda" else there, there)


def check(phases: Sequence[Phase], free: Free) -> None:
    """Check that every phase fits into what is free on the device, and beside it.

    Raises:
        ConfigError: one does not; it names the largest part.
    """
    if free.device.type == "cuda":
        _refuse(_peak(phases, (True,)), free.on_device, "memory of the GPU")
        _refuse(_peak(phases, (False,)), free.in_memory, "memory")
    else:
        _refuse(_peak(phases, (True, False)), free.in_memory, "memory")


def _peak(phases: Sequence[Phase], where: Sequence[bool]) -> Phase:
    """The phase with the most bytes in the parts that lie there."""
    kept = [each._replace(parts=[part for part in each.parts if part.on_device in where]) for each in phases]
    return max(kept, key=lambda phase: phase.bytes)


def _refuse(peak: Phase, free: float, what: str) -> None:
    if peak.bytes <= max(free, memory.UNASKED):
        return
    largest = max(peak.parts, key=lambda part: part.bytes)
    raise ConfigError(
        f"{argument('layers')}: expected a training that fits into the {what}, got {peak.bytes:,} bytes to be "
        f"held while {peak.when} and {free:,} bytes available, besides the data; the largest part is {largest.what}, "
        f"{largest.bytes:,} bytes: {largest.remedy}"
    )
