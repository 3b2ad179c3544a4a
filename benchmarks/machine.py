"""What a measurement was taken on: part of every result."""

from __future__ import annotations

import datetime
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from stackae import ops


def machine(device: torch.device) -> dict[str, Any]:
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit(f"--device {device}: expected a GPU, got none that torch {torch.__version__} sees")
    cpu = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown")
    return {
        "date": datetime.date.today().isoformat(),
        "torch": torch.__version__,
        "cpu": cpu,
        "cores": torch.get_num_threads() if device.type == "cpu" else None,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "python": platform.python_version(),
        "build": ops.build_info(),
        "precision": "float32" if device.type == "cpu" else f"float32, {torch.get_float32_matmul_precision()}",
    }


def save(path: Path, about: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """What was measured, and on what."""
    write(path, {"machine": about, "rows": entries})


def write(path: Path, document: dict[str, Any]) -> None:
    """The document as JSON, a line per row, whole or not at all; the folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(as_lines(document))
    unfinished.replace(path)


def as_lines(document: dict[str, Any]) -> str:
    """The document as JSON: a line per field, and per item of a field that lists objects."""
    fields = (f"{json.dumps(name)}: {_value(value)}" for name, value in document.items())
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _value(value: Any) -> str:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"
    return json.dumps(value)


def _driver() -> str:
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return (done.stdout.split() or ["unknown"])[0] if done.returncode == 0 else "unknown"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []
