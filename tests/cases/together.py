"""A process that begins, points at and replaces runs at the same moments as others do: python together.py FOLDER N."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from pathlib import Path
from unittest.mock import patch

from stackae.errors import StackaeError
from stackae.runs.beginning import complete, new_runs
from stackae.runs.places import default_path
from stackae.runs.pointer import point_latest

ROUNDS = 12
AT = datetime(2026, 1, 1)


def met(folder: Path, step: str, processes: int) -> None:
    """Waits until that many processes have come to this step."""
    (folder / "steps" / f"{step}-{sys.argv[2]}").touch()
    while len(list((folder / "steps").glob(f"{step}-*"))) < processes:
        time.sleep(0.001)


def begin(path: Path | None, force: bool = False) -> str:
    """What becomes of a run of an instant: its name, or the sentence of the error."""
    try:
        with patch("stackae.runs.places.datetime") as clock:
            clock.now = lambda: AT
            default = default_path("data.csv", (8, 4))
        with new_runs(path, force, default=default) as (folder, (run,)):
            run.publish({"whose": sys.argv[2].encode()})
            (folder.path / "checkpoints" / "000002-layer1-end").mkdir(parents=True)
            complete(folder.path, [run])
        return f"has {folder.path.name}"
    except StackaeError as error:
        return f"{error.exit_code} {error}"


def main() -> None:
    folder, processes = Path.cwd(), int(sys.argv[1])
    for number in range(ROUNDS):
        met(folder, f"default{number}", processes)
        said = [begin(None)]
        met(folder, f"same{number}", processes)
        said.append(begin(folder / "runs" / f"same{number}"))
        met(folder, f"forced{number}", processes)
        said.append(begin(folder / "runs" / "forced", force=True))
        met(folder, f"latest{number}", processes)
        for _ in range(5):
            point_latest(folder / "runs" / f"same{number}")
        print("\n".join(said), flush=True)


if __name__ == "__main__":
    main()
