"""Lazy packages: names are imported on first use, and type checkers still see them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any


def lazily(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` for a package whose ``if TYPE_CHECKING`` block imports its public names."""

    @cache
    def homes() -> dict[str, str]:
        """Map each public name to its module, as that block says."""
        import ast
        from pathlib import Path

        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
        block = next(node for node in tree.body if isinstance(node, ast.If))
        found = [node for node in block.body if isinstance(node, ast.ImportFrom)]
        return {alias.name: str(node.module) for node in found for alias in node.names}

    def getattribute(name: str) -> Any:
        if name == "__all__":
            return [name for name in ("__version__",) if name in vars(sys.modules[package])] + sorted(homes())
        if name.startswith("_") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes()[name]), name)

    def names() -> list[str]:
        return [*vars(sys.modules[package]), *homes()]

    return getattribute, names
