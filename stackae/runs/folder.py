"""A folder with a manifest: each file is verified against its digest when read, and files are replaced together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from stackae.errors import RunError, suggested
from stackae.runs.durable import Content, write_files
from stackae.runs.lock import writing
from stackae.runs.manifest import NAME, Entry, Manifest, check_listed, read_listed, read_manifest, vouched

TRIES = 100  # reads of a file that another process keeps replacing
T = TypeVar("T")


class Folder:
    """The folder of one run, or of several runs that train together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def writing(self) -> AbstractContextManager[None]:
        """Lock the folder for this process; raises RunError if another process has it."""
        return writing(self.path)

    @property
    def manifest(self) -> Manifest:
        """Read the manifest; raises RunError if it is missing or damaged."""
        with self._remedied():
            return read_manifest(self.path)

    def holds(self, name: str) -> bool:
        """Return whether the manifest lists a file of this name."""
        return name in self.manifest.files

    def read(self, name: str, most: int | None = None) -> bytes:
        """Read a listed file of at most ``most`` bytes; raises RunError if it is missing or damaged."""
        return self._steadily(lambda manifest: read_listed(self.path, name, manifest, most))

    def check(self, name: str) -> None:
        """Verify a listed file of any size; raises RunError if it is missing or damaged."""
        self._steadily(lambda manifest: check_listed(self.path, name, manifest))

    def publish(self, files: Mapping[str, Content], made_from: int | None = None) -> None:
        """Write files and list them in the manifest, as made from the checkpoint of that number.

        At every moment each listed file has a listed content: while a file is replaced, both digests are listed. A
        damaged manifest is replaced by one of these files, and of those whose digests can still be read in it.

        Raises:
            DiskError: the files could not be written. RunError: another process writes to the folder.
        """
        with self.writing():
            old = self._listed_before()
            new = {name: (Entry.of(content),) for name, content in files.items()}
            replaced = {
                name: (*old.files[name], *new[name]) for name in new if old.files.get(name, new[name]) != new[name]
            }
            if replaced:
                self._list(Manifest({**old.files, **replaced}, old.made_from))
            added = [name for name in files if name not in old.files and not os.path.lexists(self.path / name)]
            write_files(self.path, files)
            try:
                self._list(Manifest({**old.files, **new}, old.made_from if made_from is None else made_from))
            except BaseException:
                self._give_up(added)
                raise

    def _steadily(self, read: Callable[[Manifest], T]) -> T:
        """Read until the manifest is the same before and after: another process may replace the file meanwhile."""
        with self._remedied():
            manifest = read_manifest(self.path)
            for _ in range(TRIES):
                try:
                    return read(manifest)
                except RunError:
                    before, manifest = manifest, read_manifest(self.path)
                    if manifest == before:
                        raise
            return read(manifest)

    @contextmanager
    def _remedied(self) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            remedy = f"`{suggested('resume', self.path)}` restores what its checkpoints hold, else train it again"
            raise RunError(f"{error}; {remedy}") from None

    def _listed_before(self) -> Manifest:
        try:
            return self.manifest
        except RunError:
            return Manifest(vouched(self.path))

    def _give_up(self, added: list[str]) -> None:
        """Remove new files that could not be listed: unlisted, they could not be recognized as the run's."""
        listed = self._listed_before().files
        for name in added:
            if name not in listed:
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    def _list(self, manifest: Manifest) -> None:
        write_files(self.path, {NAME: manifest.pack()})
