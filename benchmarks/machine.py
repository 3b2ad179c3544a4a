"""What a measurement was taken on: part of every result."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import Any

import torch

from stackae import ops


def machine(device: torch.device) -> dict[str, Any]:
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "cpu": cpu,
        "cores": torch.get_num_threads() if device.type == "cpu" else None,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "python": platform.python_version(),
        "build": ops.build_info(),
        "precision": "float32" if device.type == "cpu" else f"float32, {torch.get_float32_matmul_precision()}",
    }


def save(path: Path, about: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """What was measured, and on what, as JSON; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "rows": entries}, indent=1) + "\n")


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
