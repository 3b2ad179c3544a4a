"""Files that are written before they have their name: put there whole, listed with their digest, or gone."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from stackae.errors import DiskError
from stackae.runs import Folder, durable
from stackae.runs.durable import staged, write_files
from stackae.runs.staging import Counted

PIECES = [b"one" * 1000, b"two" * 50]
WHOLE = b"".join(PIECES)


@pytest.fixture(params=["nameless", "named"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file system knows files without a name, and one that does not."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    return tmp_path


def write(file: Counted) -> None:
    for piece in PIECES:
        file.write(piece)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_staged_file_appears_whole_when_it_is_put(place: Path) -> None:
    path = place / "file"
    path.write_bytes(b"old")
    with staged(path, write) as content:
        assert path.read_bytes() == b"old" and not [name for name in names(place) if not name.startswith(".")][1:]
        assert (len(content), content.sha256) == (len(WHOLE), hashlib.sha256(WHOLE).hexdigest())
        write_files(place, {"file": content, "beside": b"it"})
    assert path.read_bytes() == WHOLE and names(place) == ["beside", "file"]
    other = place / "written"
    other.write_bytes(b"")
    assert path.stat().st_mode == other.stat().st_mode


def test_a_run_lists_it_as_it_was_written(place: Path) -> None:
    folder = Folder(place)
    folder.publish({"file": b"old"})
    with staged(place / "file", write) as content:
        folder.publish({"file": content})
    assert folder.read("file") == WHOLE and [each.size for each in folder.manifest.files["file"]] == [len(WHOLE)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("rows")])
def test_nothing_is_left_of_what_was_interrupted(place: Path, error: BaseException) -> None:
    def interrupted(file: Counted) -> None:
        write(file)
        raise error

    with pytest.raises(type(error)), staged(place / "file", interrupted):
        raise AssertionError("it was not written")
    assert names(place) == []
    with pytest.raises(type(error)), staged(place / "file", write):
        raise error
    assert names(place) == []


def test_a_full_disk_is_one_sentence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable.os, "fsync", full)
    sentence = r"file: expected to write 3,150 bytes, got 'No space left on device' with [\d,]+ bytes free; free some"
    with pytest.raises(DiskError, match=sentence), staged(place / "file", write):
        raise AssertionError("it was not written")
    assert names(place) == []


def test_a_folder_that_is_gone_is_one_sentence(place: Path) -> None:
    with pytest.raises(DiskError, match="the folder is gone"), staged(place / "no" / "file", write):
        raise AssertionError("it was not written")
