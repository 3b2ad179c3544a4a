"""The manifest of a folder: name, size and SHA-256 of each file, so that a changed bit is found before it is used.

``manifest.json`` has one canonical form and a digest of itself, so that a changed bit in it is found too. Names are
plain: no folders, no links, no paths outside. A file that is being replaced is listed with its old and new digest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from stackae import system
from stackae.errors import RunError
from stackae.runs.durable import Content
from stackae.runs.staging import Staged

NAME = "manifest.json"
LARGEST = 1 << 20  # bytes of a manifest, at most
CHUNK = 1 << 20
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
DIGEST = re.compile(r"[0-9a-f]{64}")


class Entry(NamedTuple):
    """Size and digest of one content of a file."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: Content) -> Entry:
        if isinstance(content, Staged):
            return cls(content.size, content.sha256)
        return cls(len(content), hashlib.sha256(content).hexdigest())


class Manifest(NamedTuple):
    """The files, each with its valid contents, and the number of the checkpoint that they were made from."""

    files: Mapping[str, tuple[Entry, ...]]
    made_from: int = 0

    def pack(self) -> bytes:
        """Serialize in the canonical form."""
        files = {name: [each._asdict() for each in self.files[name]] for name in sorted(self.files)}
        body = {"files": files, "made_from": self.made_from}
        digest = hashlib.sha256(_spelled(body)).hexdigest()
        return _spelled({**body, "sha256": digest})

    @classmethod
    def unpack(cls, content: bytes) -> Manifest:
        """Parse a manifest; raises ValueError unless it is in canonical form with plain names and valid sizes."""
        document = json.loads(content)
        made_from, files = document["made_from"], document["files"]
        if not isinstance(made_from, int) or made_from < 0 or not all(map(PLAIN.fullmatch, files)):
            raise ValueError("a name that is not plain")
        manifest = cls({name: tuple(_entry(each) for each in given) for name, given in files.items()}, made_from)
        if manifest.pack() != content:
            raise ValueError("another spelling or digest than its own")
        return manifest


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        RunError: the manifest is missing or damaged.
    """
    path = folder / NAME
    try:
        return Manifest.unpack(read_file(path, LARGEST))
    except FileNotFoundError:
        raise RunError(f"{path}: expected the list of this folder's files, got no such file") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path}: expected the list of this folder's files, got a damaged one ({error})") from None


def vouched(folder: Path) -> dict[str, tuple[Entry, ...]]:
    """Return the entries of a damaged manifest that match a file in the folder: those files are as they were listed."""
    content = b""
    with suppress(OSError, ValueError):
        content = read_file(folder / NAME, LARGEST)
    digests = {match.decode() for match in re.findall(rb'"([0-9a-f]{64})"', content)}
    found: dict[str, tuple[Entry, ...]] = {}
    for path in folder.iterdir() if digests else ():
        if PLAIN.fullmatch(path.name) and path.name != NAME:
            with suppress(OSError, ValueError), open_plain(path) as file:
                digest = _digest(file)
                if digest in digests:
                    found[path.name] = (Entry(os.fstat(file.fileno()).st_size, digest),)
    return found


def read_listed(folder: Path, name: str, manifest: Manifest, most: int | None = None) -> bytes:
    """Read a listed file of at most ``most`` bytes, and verify it.

    Raises:
        RunError: the file is missing, not a plain file, of another content, or too large for the memory.
    """
    path, entries = folder / name, manifest.files.get(name, ())
    if not entries:
        raise RunError(f"{path}: expected a file that {NAME} lists, got none of that name")
    listed = max(entry.size for entry in entries)
    if most is not None and listed > most:
        raise RunError(f"{path}: expected at most {most:,} bytes, got {listed:,} in {NAME}")
    try:
        content = read_file(path, listed)
    except FileNotFoundError:
        raise RunError(f"{path}: expected a file of {listed:,} bytes, got no such file") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: expected a file of {listed:,} bytes, got {error}") from None
    except MemoryError:
        raise RunError(f"{path}: expected a file that fits into the memory, got {listed:,} bytes") from None
    if Entry.of(content) not in entries:
        raise RunError(
            f"{path}: expected the {listed:,} bytes that {NAME} lists, got {len(content):,} bytes of another content: "
            "a damaged file"
        )
    return content


def check_listed(folder: Path, name: str, manifest: Manifest) -> None:
    """Verify a listed file of any size without keeping its content."""
    path, entries = folder / name, manifest.files.get(name, ())
    if not entries:
        raise RunError(f"{path}: expected a file that {NAME} lists, got none of that name")
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size not in [entry.size for entry in entries]:
                raise ValueError(f"a file of {size:,} bytes")
            digest = _digest(file)
    except FileNotFoundError:
        raise RunError(f"{path}: expected a file of {entries[-1].size:,} bytes, got no such file") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: expected a file of {entries[-1].size:,} bytes, got {error}") from None
    if digest not in [entry.sha256 for entry in entries if entry.size == size]:
        raise RunError(f"{path}: expected the {size:,} bytes that {NAME} lists, got others: a damaged file")


def read_file(path: Path, most: int) -> bytes:
    """Read a plain file of at most ``most`` bytes, no link. Raises ValueError if it is larger, OSError as usual."""
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"a file of {size:,} bytes")
        return file.read(size)


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading; raises ValueError for any other kind, without blocking on it."""
    descriptor = os.open(path, os.O_RDONLY | system.PLAIN | system.PRIVATE)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise ValueError("something that is not a plain file")
    return file


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(CHUNK):
        digest.update(piece)
    return digest.hexdigest()


def _entry(given: Any) -> Entry:
    entry = Entry(**given)
    if not isinstance(entry.size, int) or entry.size < 0 or not DIGEST.fullmatch(entry.sha256):
        raise ValueError("an entry that is no size and SHA-256")
    return entry


def _spelled(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
