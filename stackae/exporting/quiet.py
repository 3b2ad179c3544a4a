"""Warnings that torch.export, torch.onnx and onnxruntime cause by themselves, each by its name."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

WARNINGS = (
    (r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning),  # torch.export copies its own trees
    ("overflow encountered in cast", RuntimeWarning),  # onnx_ir rounds 64-bit constants to see whether they fit
    ("The given buffer is not writable", UserWarning),  # torch.export.load makes tensors of the bytes of a file
)
LOGGERS = (
    "onnx_ir",  # names every constant that is an output too, as the threshold is
    "root",  # onnxruntime's quantisation advises steps that serve convolutions
)


@contextmanager
def quiet() -> Iterator[None]:
    """Pass over what these libraries say, which is nothing that a user could mend."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for message, category in WARNINGS:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
