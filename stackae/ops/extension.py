"""Load the compiled extension, or raise an error that says whether it is absent or broken, and why.

What a library's file says of its build is read first: one that was built for another torch, or from other signatures
than these, is not loaded at all, since what it would do is anything from a missing symbol to the end of the process.
"""

from __future__ import annotations

import importlib
import os
import struct
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import torch

from stackae.errors import BrokenExtensionError, ConfigError, legible
from stackae.ops import stamp

FROM_SOURCE = "by `pip install --no-build-isolation -e .` in stackae's source folder"
FROM_FILE = "install stackae again, `pip install --force-reinstall --no-deps` of a wheel for this Python and torch"
LEVELS = ("default", "v3", "v4")  # what STACKAE_CPU_LEVEL may ask for
LONGEST_CAUSE = 400  # characters that are shown of the loader's message


def load(folder: Path) -> ModuleType:
    """Load the extension in the package's folder.

    Raises:
        ImportError: there is none.
        BrokenExtensionError: there is one, but it does not load, or was built for another torch or from other sources.
        ConfigError: STACKAE_CPU_LEVEL names no level.
    """
    level = os.environ.get("STACKAE_CPU_LEVEL")
    if level not in (None, *LEVELS):
        raise ConfigError(f"STACKAE_CPU_LEVEL: expected default, v3 or v4, got '{legible(str(level), 40)}'; unset it")
    library = next((path for each in EXTENSION_SUFFIXES if (path := folder / f"_C{each}").exists()), None)
    if library is None and (others := sorted(path.name for path in folder.glob("_C.*") if _is_library(path))):
        raise broken(f"{', '.join(others)} is of another Python than this one, {EXTENSION_SUFFIXES[0]}", folder)
    try:
        if library is not None:
            check_whole(library)
            _check_fits(stamp.read(library), folder)
        loaded = importlib.import_module("stackae._C")
    except (MemoryError, BrokenExtensionError):
        raise
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "stackae._C":
            remedy = f"{_remedy(folder, 'build it')}, or use engine eager"
            raise ImportError(f"stackae._C: expected the compiled extension, got none; {remedy}") from error
        raise broken(str(error), folder) from error
    if "interface" not in getattr(loaded, "build_info", dict)():
        raise broken("it was built from an older version of stackae", folder)
    return loaded


def is_of_these_sources(built: dict[str, str], folder: Path) -> bool | None:
    """Whether a library was compiled from the sources beside the package as they are now; None where there are none."""
    if not _source_is_beside(folder):
        return None
    cuda = built["cuda"] != "none"
    return built.get("sources") == stamp.digest_of_sources(folder.parent / "csrc", cuda)


def broken(cause: str, folder: Path, first: str = "") -> BrokenExtensionError:
    """The error of a library that cannot be used; ``first`` is a remedy to name before that of building it again."""
    remedy = f"{first}{_remedy(folder, 'build it again')}, or use engine eager"
    return BrokenExtensionError(legible(cause or "no reason given", LONGEST_CAUSE), remedy)


def release(version: str) -> str:
    """Return major and minor version: torch keeps its binary interface for extensions within such a release."""
    return ".".join(version.partition("+")[0].split(".")[:2])


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


def _check_fits(built: dict[str, str], folder: Path) -> None:
    """Raise BrokenExtensionError for a library of another torch, CUDA or source; load one that has no stamp."""
    if not built:
        return
    torch_of, cuda_of, own_cuda = built.get("torch", "?"), built.get("cuda_version", "none"), torch.version.cuda
    if release(torch_of) != release(torch.__version__):
        cause = f"it was built for torch {torch_of}, and this is torch {torch.__version__}"
        raise broken(cause, folder, f"install that one, `pip install 'torch=={release(torch_of)}.*'`, or ")
    if cuda_of != "none" and cuda_of.partition(".")[0] != (own_cuda or "").partition(".")[0]:
        here = f"has CUDA {own_cuda}" if own_cuda else "is without CUDA"
        cause = f"it was built with CUDA {cuda_of}, and this torch {torch.__version__} {here}"
        raise broken(cause, folder, f"install a torch with CUDA {cuda_of}, or ")
    if _source_is_beside(folder) and built.get("interface") != stamp.digest_of_interface(folder.parent / "csrc"):
        raise broken("it was built from another version of csrc/bindings.cpp than the one beside it", folder)


def _is_library(path: Path) -> bool:
    return path.suffix in (".so", ".pyd")


def _source_is_beside(folder: Path) -> bool:
    return (folder.parent / "csrc" / "bindings.cpp").exists()


def _remedy(folder: Path, build: str) -> str:
    return f"{build} {FROM_SOURCE}" if _source_is_beside(folder) else FROM_FILE
