"""Which implementation of the ops runs, and on which device: both are asked for by name and settled here, once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stackae import reference
from stackae.errors import ConfigError, SetupError


class Engine(NamedTuple):
    """The ops a model calls, and why it is these."""

    name: str
    reason: str
    dense_act: Callable[[Tensor, Tensor, Tensor | None, str], Tensor]
    sparsity_kl: Callable[[Tensor, float], Tensor]


def choose_engine(wish: str = "auto") -> Engine:
    """``fused`` is the compiled extension, ``eager`` plain torch, ``auto`` fused where the extension is built.

    Raises:
        SetupError: ``fused`` was asked for and the extension is not built.
        ConfigError: any other word.
    """
    if wish not in ("auto", "fused", "eager"):
        raise ConfigError(f"engine: expected auto, fused or eager, got '{wish}'")
    if wish == "eager":
        return Engine("eager", "asked for", reference.dense_act, reference.sparsity_kl)
    try:
        ops = importlib.import_module("stackae.ops")
    except ImportError as error:
        if wish == "fused":
            raise SetupError(str(error)) from error
        return Engine("eager", "the extension is not built", reference.dense_act, reference.sparsity_kl)
    return Engine("fused", "asked for" if wish == "fused" else "the extension is built", ops.dense_act, ops.sparsity_kl)


def choose_device(wish: str = "auto") -> torch.device:
    """``auto`` is CUDA where a GPU is at hand, else the CPU.

    Raises:
        SetupError: a CUDA device was asked for that is not there.
    """
    if wish == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(wish)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SetupError(
            f"device: expected one of the {torch.cuda.device_count()} CUDA devices that torch {torch.__version__} "
            f"sees, got {wish}; use --device cpu, or check the driver with `stackae doctor`"
        )
    return device
