"""The command line in a process of its own, which draws no pictures: python rank_main.py ARGUMENTS."""

from __future__ import annotations

from contextlib import ExitStack
from unittest.mock import patch

from shell import PICTURES, undrawn_picture

from stackae.cli.start import main

if __name__ == "__main__":
    with ExitStack() as stack:
        for name in PICTURES:
            stack.enter_context(patch(f"stackae.{name}", undrawn_picture))
        main()
