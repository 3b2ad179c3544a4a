"""A large table says how much of it is read; a small one is read in silence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from data_files import write

from stackae.data.formats.text_frame import read_frame
from stackae.data.tables import progress
from stackae.data.tables.progress import Tell, shown_by, telling


@pytest.mark.parametrize("quiet", [0.0, 60.0])
def test_what_is_told_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: float) -> None:
    monkeypatch.setattr(progress, "QUIET", quiet)
    for name in ("BLOCK_BYTES", "CHUNK_BYTES"):
        monkeypatch.setattr(f"stackae.data.text.blocks.{name}", 1000)
    path, events = write(tmp_path / "a.csv", "a,b\n" + "1,2\n" * 2000 + "1,x\n"), list[object]()

    @contextmanager
    def step(name: str) -> Iterator[Tell]:
        events.append(name)
        yield events.append
        events.append("end")

    with shown_by(step), telling("a.csv") as tell:
        read_frame(path, None, tell)
    if quiet:
        assert events == []
    else:
        name, *shares, end = events
        assert (name, end) == ("reading a.csv", "end") and shares == sorted(shares) and 0.9 < shares[-1] <= 1  # type: ignore[type-var]
    with telling("a.csv") as tell:  # where nobody looks
        tell(0.5)
