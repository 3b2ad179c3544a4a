"""The heads: one class per module, of which ``stackae.config.heads`` is the table."""

from importlib import import_module

from stackae.config import heads as rows
from stackae.models.heads.base import Finetuned

__all__ = ["HEADS", "Finetuned"]

HEADS: dict[str, type[Finetuned]] = {
    name: getattr(import_module(f"{__name__}.{name}"), row.class_name) for name, row in rows.HEADS.items()
}
