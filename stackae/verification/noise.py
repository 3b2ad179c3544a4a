"""Noise: it has the requested rates and moments, and its words depend only on key and position."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from stackae.autoencoders.corruption import Corruption, Dropout, Emphasis
from stackae.config.values import CORRUPTIONS
from stackae.ops.engine import choose_engine
from stackae.random import Purpose, permutation, philox
from stackae.verification.check import Case, Check
from stackae.verification.subjects import against_draws

SHAPE = (2000, 512)
DRAWS = SHAPE[0] * SHAPE[1]
LEVELS = (0.1, 0.3, 0.5)
WHERE = {"seed": 11, "layer": 2, "step": 7}
KNOWN_WORDS = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)
"""Counter, key and words of Random123, the implementation by Philox's authors (Salmon et al. 2011)."""


def inputs() -> Tensor:
    """Make (2000, 512) float32 inputs, none of which equals a value that noise writes."""
    return torch.linspace(0.25, 0.75, DRAWS).view(SHAPE)


def share(name: str, happened: Tensor, chance: float) -> Case:
    """Compare the frequency of an event with its probability p; the standard error is √(p (1 − p) / n)."""
    error = math.sqrt(chance * (1 - chance) / happened.numel())
    return against_draws(name, happened.double().mean(), chance, error)


def masking_cases(levels: Iterable[float] = LEVELS) -> Iterator[Case]:
    x, engine = inputs(), choose_engine()
    for level in levels:
        noise = Corruption("masking", level)
        noisy = noise(x, engine, **WHERE)
        replaced = noisy == 0
        yield share(f"share, masking:{level:g}", replaced, level)
        halves = replaced[:, : SHAPE[1] // 2] & replaced[:, SHAPE[1] // 2 :]
        yield share(f"share of pairs, masking:{level:g}", halves, level**2)
        yield Case(f"what is left, masking:{level:g}", float((noisy != x)[~replaced].sum()), 0)
        weight = Emphasis(2.0, 0.5)(x, noise, engine, **WHERE)
        astray = (weight != torch.where(replaced, 2.0, 0.5)).sum()
        yield Case(f"emphasis on what was corrupted, masking:{level:g}", float(astray), 0)


def salt_cases(levels: Iterable[float] = LEVELS) -> Iterator[Case]:
    x = inputs()
    for level in levels:
        noisy = Corruption("salt-and-pepper", level, low=-1.0, high=2.0)(x, choose_engine(), **WHERE)
        low, high = noisy == -1.0, noisy == 2.0
        for name, replaced, chance in (("low", low, level / 2), ("high", high, level / 2), ("both", low | high, level)):
            yield share(f"{name}, salt-and-pepper:{level:g}", replaced, chance)
        yield Case(f"what is left, salt-and-pepper:{level:g}", float((noisy != x)[~(low | high)].sum()), 0)


def gaussian_cases() -> Iterator[Case]:
    """Compare mean, deviation and fourth moment, whose variances over n normal numbers are 1/n, ½/n and 96/n."""
    x = torch.zeros(SHAPE, dtype=torch.float64)
    for level in LEVELS:
        noise = Corruption("gaussian", level)(x, choose_engine(), **WHERE)
        error = level / math.sqrt(DRAWS)
        yield against_draws(f"mean, gaussian:{level:g}", noise.mean(), 0.0, error)
        yield against_draws(f"deviation, gaussian:{level:g}", noise.std(), level, error / math.sqrt(2))
        fourth, spread = (noise / level).pow(4).mean(), math.sqrt(96 / DRAWS)
        yield against_draws(f"fourth moment, gaussian:{level:g}", fourth, 3.0, spread)


def dropout_cases() -> Iterator[Case]:
    x, engine = torch.ones(SHAPE, dtype=torch.float64), choose_engine()
    for level in LEVELS:
        first, second = (Dropout(level, place)(x, engine, **WHERE) for place in (1, 2))
        for place, left in enumerate((first, second), start=1):
            yield share(f"share, {level:g}, place {place}", left == 0, level)
            error = math.sqrt(level / (1 - level) / DRAWS)
            yield against_draws(f"mean, {level:g}, place {place}", left.mean(), 1.0, error)
        yield share(f"both places, {level:g}", (first == 0) & (second == 0), level**2)


def word_cases() -> Iterator[Case]:
    for number, (counter, key, words) in enumerate(KNOWN_WORDS, start=1):
        found = philox(np.array(counter, dtype=np.uint32)[:, None], np.array(key, dtype=np.uint32))[:, 0]
        yield Case(f"answer {number}", sum(a != b for a, b in zip(found.tolist(), words, strict=True)), 0)
    order = permutation(1000, seed=3, purpose=Purpose.ORDER)
    yield Case("an order holds each row once", int((order.sort().values != torch.arange(1000)).sum()), 0)


def thread_cases() -> Iterator[Case]:
    """Check that noise is bit-identical for one, two and three threads, and for as many as were set."""
    x, engine, given = inputs(), choose_engine(), torch.get_num_threads()
    for kind in CORRUPTIONS[1:]:
        found = []
        for threads in (1, 2, 3, given):
            torch.set_num_threads(threads)
            found.append(Corruption(kind, 0.3)(x, engine, **WHERE))
        yield Case(kind, sum(int((each != found[0]).sum()) for each in found), 0)


_RATES, _FIGURE = f"to be that asked for, over {DRAWS:,} draws", "standard errors"
CHECKS = (
    Check("noise", "masking", f"the share that is corrupted {_RATES}", _FIGURE, masking_cases),
    Check("noise", "salt-and-pepper", f"the shares that become low and high {_RATES}", _FIGURE, salt_cases),
    Check("noise", "gaussian", f"mean, deviation and fourth moment {_RATES}", _FIGURE, gaussian_cases),
    Check("noise", "dropout", f"share and mean {_RATES}", _FIGURE, dropout_cases),
    Check("noise", "words", "Philox-4x32-10 to give its authors' known answers", "words that differ", word_cases),
    Check(
        "noise",
        "threads",
        "noise to be the same for 1, 2 and 3 threads",
        "numbers that differ",
        thread_cases,
        threads=True,
    ),
)
