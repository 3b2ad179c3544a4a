"""Commands, and readers of what they leave: what the tests of the command line share."""

from __future__ import annotations

import json
import signal
import tomllib
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shell import LAYERS, Shell

from stackae.runs import DiskCheckpointer, Run
from stackae.runs.manifest import NAME as MANIFEST
from stackae.runs.manifest import Entry, Manifest

COMMANDS = (
    "pretrain",
    "finetune",
    "evaluate",
    "predict",
    "encode",
    "reconstruct",
    "score",
    "report",
    "sweep",
    "compare",
    "doctor",
    "verify",
)
NEXT = {
    "pretrain": "finetune",
    "finetune": "evaluate",
    "evaluate": "report",
    "predict": "evaluate",
    "encode": "reconstruct",
    "reconstruct": "encode",
    "score": "reconstruct",
    "report": "encode",
    "sweep": "pretrain",
    "compare": "pretrain",
    "doctor": "pretrain",
    "verify": "pretrain",
}
PNG = b"\x89PNG\r\n\x1a\n"
NOISY = ("--activation", "sigmoid", "--loss", "mse", "--corruption", "masking:0.3")
PLAIN = ("pretrain", "--layers", LAYERS, "--data", "labelled.npz")
PRETRAIN = (*PLAIN, *NOISY)
SWEEP = ("sweep", "--widths", "2,4", "--data", "labelled.npz")
QUICK_HEADS = Path(__file__).with_name("quick.toml")
COMPARED = ("--data", "labelled.npz", "--contenders", "pretrained,random,logistic", "--seeds", "1")
COMPARE = ("compare", "--layers", LAYERS, *COMPARED, "--config", str(QUICK_HEADS))
READERS = ("finetune", "evaluate", "encode", "reconstruct", "score")
DIVERGING = ("--optimizer", "sgd", "--learning-rate", "1e30", "--schedule", "constant", "--batch-size", "10")
VERIFY = ("verify", "--only", "contraction")


def says(sentence: str, *parts: str) -> None:
    """Each of the parts is in the sentence."""
    assert [part for part in parts if part not in sentence] == [], sentence


def arguments_of(command: str) -> tuple[str, ...]:
    return {"pretrain": PRETRAIN, "sweep": SWEEP, "compare": COMPARE, "verify": VERIFY}.get(command, (command,))


def settings(run: Path) -> dict[str, Any]:
    return tomllib.loads((run / "config.toml").read_text())


def layer_bytes(run: Path) -> list[bytes]:
    return [(run / f"layer{number}.safetensors").read_bytes() for number in (1, 2)]


def records(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def stop(shell: Shell, *arguments: object, at: int = 3) -> str:
    """What it says when it is interrupted at the ``at``-th time that it may be, which is after every step."""
    seen = []
    original = DiskCheckpointer.pause

    def interrupted(checkpointer: DiskCheckpointer, *rest: Any, **named: Any) -> None:
        seen.append(1)
        if len(seen) == at:
            checkpointer._requests.stop = signal.SIGTERM
        original(checkpointer, *rest, **named)

    with patch("stackae.training.trainer.REPORTED_EVERY", -1.0), patch.object(DiskCheckpointer, "pause", interrupted):
        result = shell(*arguments)
    assert result.code == 143 and result.out == "", result.err
    return result.err


def replaced(run: Path, name: str, content: bytes) -> None:
    """A file with another content that the manifest lists."""
    (run / name).write_bytes(content)
    manifest = Run(run).manifest
    (run / MANIFEST).write_bytes(Manifest({**manifest.files, name: (Entry.of(content),)}, manifest.made_from).pack())
