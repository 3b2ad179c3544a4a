"""A plugin of pytest (-p benchmarks.cuda_required): without a GPU and CUDA code a run ends; it would skip all else."""

from __future__ import annotations

import pytest
import torch


def pytest_configure() -> None:
    if not torch.cuda.is_available():
        pytest.exit(f"expected a GPU, got none that torch {torch.__version__} sees", returncode=3)
    try:
        from stackae import ops
    except ImportError as error:
        pytest.exit(str(error), returncode=3)
    if ops.build_info()["cuda"] == "none":
        pytest.exit("expected an extension with CUDA code, got one without; build it with STACKAE_CUDA=1", returncode=3)
