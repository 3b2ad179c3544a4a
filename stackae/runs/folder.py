"""A folder whose files are listed with their digests: read only where they are right, replaced all together."""

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

TRIES = 100  # a file that is replaced is read again, by a process that writes as fast as it can
T = TypeVar("T")


class Folder:
    """One folder of a run, or of runs that train together."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def writing(self) -> AbstractContextManager[None]:
        """This process alone writes to it; RunError where another does."""
        return writing(self.path)

    @property
    def manifest(self) -> Manifest:
        """RunError where it is missing or damaged."""
        with self._remedied():
            return read_manifest(self.path)

    def holds(self, name: str) -> bool:
        """Whether the manifest lists such a file."""
        return name in self.manifest.files

    def read(self, name: str, most: int | None = None) -> bytes:
        """The content of a listed file, of at most ``most`` bytes; RunError where it is missing or damaged."""
        return self._steadily(lambda manifest: read_listed(self.path, name, manifest, most))

    def check(self, name: str) -> None:
        """Compares a listed file of any size; RunError where it is missing or damaged."""
        self._steadily(lambda manifest: check_listed(self.path, name, manifest))

    def publish(self, files: Mapping[str, Content], made_from: int | None = None) -> None:
        """Writes files and lists them, as made from the checkpoint of that number.

        At every moment each listed file has a content that is listed: a file that is replaced is listed with both. A
        damaged manifest is replaced by one of these files and of those whose digests stand in it still.

        Raises:
            DiskError: they could not be written. RunError: another process writes to the folder.
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
        """By a manifest that is the same afterwards: a file that another process replaces meanwhile is read again."""
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
        """New files that could not be listed: without a listing nothing would tell that they are the run's."""
        listed = self._listed_before().files
        for name in added:
            if name not in listed:
                with suppress(OSError):
                    (self.path / name).unlink(missing_ok=True)

    def _list(self, manifest: Manifest) -> None:
        write_files(self.path, {NAME: manifest.pack()})
