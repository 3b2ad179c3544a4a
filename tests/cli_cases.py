"""Commands, and readers of what they leave: what the tests of the command line share."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from conftest import LAYERS

COMMANDS = (
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "encode",
    "reconstruct",
    "score",
    "sweep",
    "doctor",
    "verify",
)
NEXT = {
    "pretrain": "finetune",
    "finetune": "evaluate",
    "evaluate": "encode",
    "predict": "evaluate",
    "encode": "reconstruct",
    "reconstruct": "encode",
    "score": "reconstruct",
    "sweep": "pretrain",
    "doctor": "pretrain",
    "verify": "pretrain",
}
PNG = b"\x89PNG\r\n\x1a\n"
PRETRAIN = ("pretrain", "--layers", LAYERS, "--data", "labelled.npz")
SWEEP = ("sweep", "--widths", "2,4", "--data", "labelled.npz")
VERIFY = ("verify", "--only", "contraction")


def says(sentence: str, *parts: str) -> None:
    """Each of the parts is in the sentence."""
    assert [part for part in parts if part not in sentence] == [], sentence


def arguments_of(command: str) -> tuple[str, ...]:
    return {"pretrain": PRETRAIN, "sweep": SWEEP, "verify": VERIFY}.get(command, (command,))


def settings(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "config.toml").read_text())


def layer_bytes(run: Path) -> list[bytes]:
    return [(run / f"layer{number}.safetensors").read_bytes() for number in (1, 2)]


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
