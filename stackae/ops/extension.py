"""Load the compiled extension, or raise an error that says whether it is absent or broken, and why."""

from __future__ import annotations

import importlib
import os
import struct
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import torch

from stackae.errors import BrokenExtensionError, ConfigError, legible

BUILD = "by `pip install --no-build-isolation -e .` in stackae's source folder, or use engine eager"
LEVELS = ("default", "v3", "v4")  # what STACKAE_CPU_LEVEL may ask for
LONGEST_CAUSE = 400  # characters that are shown of the loader's message


def load(folder: Path) -> ModuleType:
    """Load the extension in the package's folder.

    Raises:
        ImportError: there is none.
        BrokenExtensionError: there is one, but it does not load, or was built from another version.
        ConfigError: STACKAE_CPU_LEVEL names no level.
    """
    level = os.environ.get("STACKAE_CPU_LEVEL")
    if level not in (None, *LEVELS):
        raise ConfigError(f"STACKAE_CPU_LEVEL: expected default, v3 or v4, got '{legible(str(level), 40)}'; unset it")
    try:
        for path in (folder / f"_C{suffix}" for suffix in EXTENSION_SUFFIXES):
            check_whole(path)
        loaded = importlib.import_module("stackae._C")
    except ModuleNotFoundError as error:
        others = sorted(path.name for path in folder.glob("_C.*") if path.suffix in (".so", ".pyd"))
        if error.name != "stackae._C":
            raise broken(str(error)) from error
        if others and not any(name == f"_C{suffix}" for name in others for suffix in EXTENSION_SUFFIXES):
            raise broken(f"{', '.join(others)} is of another Python than this one, {EXTENSION_SUFFIXES[0]}") from error
        raise ImportError(f"stackae._C: expected the compiled extension, got none; build it {BUILD}") from error
    except MemoryError:
        raise
    except Exception as error:
        raise broken(str(error)) from error
    missing = [name for name in ("build_info", "products", "train_step", "Training") if not hasattr(loaded, name)]
    if missing:
        raise broken(f"it lacks {', '.join(missing)}: it was built from another version of stackae")
    built = str(loaded.build_info()["torch"])
    if release(built) != release(torch.__version__):
        raise broken(f"it was built for torch {built}, and this is torch {torch.__version__}")
    return loaded


def release(version: str) -> list[str]:
    """Return major and minor version: torch keeps its binary interface for extensions within such a release."""
    return version.partition("+")[0].split(".")[:2]


def broken(cause: str) -> BrokenExtensionError:
    return BrokenExtensionError(legible(cause or "no reason given", LONGEST_CAUSE), f"build it again {BUILD}")


def check_whole(path: Path) -> None:
    """Raise ImportError for a truncated file: loading one can end the process by a signal (SIGBUS)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return  # the file is absent, or the loader reports the error
    if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
        return  # not a 64-bit ELF file: the loader reports that
    sections, size_of_one, count = *struct.unpack_from("<Q", head, 40), *struct.unpack_from("<HH", head, 58)
    if sections + size_of_one * count > size:
        raise ImportError(f"{path}: file is cut short, {sections + size_of_one * count:,} bytes expected, got {size:,}")
