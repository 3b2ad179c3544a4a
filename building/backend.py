"""The hooks that pip calls to build stackae: setuptools' own, but for what a build needs to be installed.

An isolated build has a torch of its own, and a library works with the minor version of torch that it was built with. So
that no build fetches another than the one that will be used, it asks for that of the environment it is installed into,
where there is one, else for the version that stackae is tested with; the wheel then requires the same (setup.py).
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from typing import Any

from compilers import why_eager, wish_of
from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  # the hooks that need no change

TESTED, OLDEST = (2, 11), (2, 11)


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    return []


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    if wish_of("STACKAE_BUILD", "auto", "require", "no") == "no" or why_eager():
        return []
    major, minor = installed_torch() or TESTED
    return [f"torch=={major}.{minor}.*", "ninja", "pybind11"]


get_requires_for_build_editable = get_requires_for_build_wheel


def installed_torch() -> tuple[int, int] | None:
    """Major and minor version of the torch in the environment of this Python, which an isolated build cannot import."""
    for folder in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        for path in Path(folder).glob("torch-*.dist-info"):
            found = re.match(r"torch-(\d+)\.(\d+)", path.name)
            if found and (version := (int(found[1]), int(found[2]))) >= OLDEST:
                return version
    return None


__all__ = [*build_meta.__all__, "installed_torch"]
