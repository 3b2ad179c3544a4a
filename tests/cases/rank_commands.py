"""Several commands, one after the other: python rank_commands.py FILE, which has one per line."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

from shell import PICTURES, undrawn_picture

from stackae.cli.main import main

if __name__ == "__main__":
    with ExitStack() as stack:
        for name in PICTURES:
            stack.enter_context(patch(f"stackae.{name}", undrawn_picture))
        first = int(os.environ["MASTER_PORT"])
        for number, line in enumerate(Path(sys.argv[1]).read_text().splitlines()):
            os.environ["MASTER_PORT"] = str(first + number)  # each meets anew
            sys.argv = ["stackae", *shlex.split(line)]
            try:
                main()
            except SystemExit as end:
                if end.code:
                    raise
