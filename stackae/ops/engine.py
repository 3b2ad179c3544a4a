"""Choose, by the requested names, the implementation of the ops, the training step and the device."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stackae.errors import BrokenExtensionError, ConfigError, SetupError, argument
from stackae.ops import reference
from stackae.ranks import group


class Engine(NamedTuple):
    """The ops that a model calls, and the reason for the choice."""

    name: str
    reason: str
    dense_act: Callable[[Tensor, Tensor, Tensor | None, str], Tensor]
    sparsity_kl: Callable[[Tensor, float], Tensor]
    corrupt: Callable[[Tensor, str, float, float, float, int, int, int], Tensor]


class Extension(NamedTuple):
    """The state of the compiled extension, with its ops where it loads, else with the error's sentence and cause."""

    state: Literal["loaded", "absent", "broken"]
    ops: ModuleType | None = None
    problem: str = ""
    cause: str = ""

    @property
    def sources(self) -> str:
        """Whether a loaded one was compiled from the sources beside the package as they are now."""
        told: str = importlib.import_module("stackae.ops.library").state_of_sources()
        return told

    @property
    def short(self) -> str:
        """The state in a few words, with the loader's cause."""
        words = {"loaded": "is built", "absent": "is not built", "broken": "is there, but does not load"}
        return f"the extension {words[self.state]}" + (f": {self.cause}" if self.cause else "")


def find_extension() -> Extension:
    """Try to load the compiled extension; report it as loaded, absent, or broken (built for another torch, say)."""
    try:
        return Extension("loaded", importlib.import_module("stackae.ops.compiled"))
    except BrokenExtensionError as error:
        return Extension("broken", None, str(error), error.cause)
    except ImportError as error:
        return Extension("absent", None, str(error))


def choose_engine(requested: str = "auto") -> Engine:
    """Choose an engine: ``fused`` is the compiled extension, ``eager`` plain torch, ``auto`` fused where it is built.

    Where the extension exists but does not load, ``auto`` is eager too, with a RuntimeWarning that says why.

    Raises:
        SetupError: ``fused`` was requested and the extension is not built, or does not load.
        ConfigError: any other word.
    """
    if requested not in ("auto", "fused", "eager"):
        raise ConfigError(f"engine: expected auto, fused or eager, got '{requested}'")
    if requested == "eager":
        return _engine("eager", "requested", reference)
    extension = find_extension()
    if extension.ops is not None:
        return _engine("fused", "requested" if requested == "fused" else extension.short, extension.ops)
    if requested == "fused":
        raise SetupError(extension.problem)
    if extension.state == "broken":
        warnings.warn(f"{extension.problem}; until then training steps eagerly, which is slower", RuntimeWarning, 2)
    return _engine("eager", extension.short, reference)


def _engine(name: str, reason: str, ops: ModuleType) -> Engine:
    return Engine(name, reason, ops.dense_act, ops.sparsity_kl, ops.corrupt)


class StepChoice(NamedTuple):
    """The choice between the fused and the eager training step, with its reason.

    reason: the library of its matmuls, or why the extension has no step. lacks: the part of the objective that the
    fused step does not support, where that is the only reason against it.
    """

    fused: bool
    reason: str
    lacks: str = ""


def choose_step(engine: str, device: torch.device, precision: str = "fp32", lacks: str = "") -> StepChoice:
    """Choose the fused step where the extension has one for the device and the precision, and ``lacks`` is empty.

    Otherwise choose the eager step, in fp32.

    Args:
        lacks: the first part of the network or objective that the fused step does not support, in words; "" for none.

    Raises:
        SetupError: matmuls of another precision were requested and there are none.
    """
    chosen = choose_engine(engine)
    if chosen.name == "fused":
        products = importlib.import_module("stackae.ops.compiled").products(device.type, precision)
        if products is not None:
            return StepChoice(not lacks, f"{precision}, products by {products}", lacks)
    if precision != "fp32":
        raise SetupError(_no_such_products(chosen, device, precision))
    if chosen.name == "eager":
        slower = "" if engine == "eager" else "slower than fused: "
        remedy = "" if engine == "eager" else "; `stackae doctor` says how to build it"
        return StepChoice(False, f"engine eager, {slower}{chosen.reason}{remedy}")
    return StepChoice(False, f"the extension was built without a step for {device.type}; its ops are fused")


def _no_such_products(chosen: Engine, device: torch.device, precision: str) -> str:
    if chosen.name == "eager":
        found = f"{argument('engine', 'eager')} ({chosen.reason})"
        remedy = f"use {argument('precision', 'fp32')}, or {argument('engine', 'fused')}"
        return f"precision {precision}: expected the fused step, got {found}; {remedy}"
    if device.type == "cpu" and precision == "bf16":
        return (
            "precision bf16: expected a processor with avx512_bf16 or amx_bf16 and a torch that uses it, got one "
            f"without; use {argument('precision', 'fp32')}"
        )
    if device.type == "cpu":
        remedy = argument("precision", "fp32", "bf16")
        return f"precision {precision}: expected a CUDA device, got {argument('device', 'cpu')}; use {remedy}"
    return (
        f"precision {precision}: expected an extension that was built with a step for {device.type}, got one without; "
        f"use {argument('precision', 'fp32')}, or install stackae again where nvcc is at hand"
    )


def choose_device(requested: str = "auto") -> torch.device:
    """Choose a device: ``auto`` is CUDA where a GPU is available, else the CPU.

    Raises:
        SetupError: the requested CUDA device does not exist, or not one for each process that trains on this machine.
    """
    device = torch.device(requested if requested != "auto" else "cuda" if torch.cuda.is_available() else "cpu")
    _check_own(device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SetupError(
            f"device: expected one of the {torch.cuda.device_count()} CUDA devices that torch {torch.__version__} "
            f"sees, got {requested}; use {argument('device', 'cpu')}, or check the driver with `stackae doctor`"
        )
    return device


def _check_own(device: torch.device) -> None:
    """Raise SetupError where several ranks on this machine cannot each train on a GPU of their own."""
    own = group()
    if not own.several or device.type != "cuda":
        return
    if str(device) != "cuda":
        raise SetupError(
            f"{argument('device', device)}: expected that each of {own.count} processes takes a GPU of its own, got "
            f"one for all; use {argument('device', 'cuda')}"
        )
    if (gpus := torch.cuda.device_count()) < own.beside:
        raise SetupError(
            f"{argument('device', 'cuda')}: expected a GPU for each of the {own.beside} processes on this machine, got "
            f"{gpus}; start as many by torchrun --nproc-per-node {gpus or 1}, or use {argument('device', 'cpu')}"
        )
