"""Read and write the file of a fine-tuned head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stackae.config import PretrainConfig
from stackae.models.files import opened, pack
from stackae.models.heads import HEADS, Finetuned


def pack_head(model: Finetuned, names: Sequence[str]) -> bytes:
    """Serialize the model; ``names`` are its classes, targets or labels."""
    return pack(model.state_dict(), sizes=model.layer_sizes, **model.described(names))


def read_head(
    path: Path, content: bytes, head: str, config: PretrainConfig, engine: str
) -> tuple[Any, tuple[str, ...]]:
    """Read the fine-tuned model, of the head's class, and the names of its classes, targets or labels."""
    with opened(path, content) as (tensors, description):
        return HEADS[head].read(tensors, description, config, engine)
