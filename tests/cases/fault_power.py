"""A model of a disk that loses its power: what was not synced may be there, or not, or in part.

Contents are there once their file is synced, else empty, cut, zeros or whole. Entries of a folder are there once the
folder is synced, else each change of it may have come to pass without the others; a rename is one change.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fault_disk import Operation

MOST_COMBINED = 4  # changes of which every combination is tried; of more: none, all, one, all but one, the first ones


@dataclass(eq=False)
class Node:
    """A file (``entries`` is None), a folder, or a link. ``entries`` as they are in use, ``synced`` as on the disk."""

    entries: dict[str, Node] | None = None
    synced: dict[str, Node] = field(default_factory=dict)
    content: bytes = b""
    safe: bool = False
    target: str | None = None


class Change(NamedTuple):
    """Of a folder: what each name leads to from now on, None for nothing."""

    folder: Node
    entries: dict[str, Node | None]


class Model:
    """Takes operations inside ``root``, which is empty at first."""

    def __init__(self, root: Path) -> None:
        self._root, self._top, self._pending = root.resolve(), Node(entries={}), list[Change]()

    def apply(self, operation: Operation) -> None:
        kind, path = operation.kind, operation.path
        if kind == "fsync":
            self._sync(self._at(path))
        elif kind == "write":
            node = self._at(path)
            node.content, node.safe = node.content + operation.detail, False
        elif kind == "rename":
            self._change(path.parent, {path.name: None, operation.detail.name: self._at(path)})
        elif kind in ("unlink", "rmdir"):
            self._change(path.parent, {path.name: None})
        else:
            made = {"mkdir": Node(entries={}), "symlink": Node(target=operation.detail), "create": Node()}[kind]
            self._change(path.parent, {path.name: made})

    def states(self) -> Iterator[tuple[str, list[Change], str]]:
        """What the disk may hold after a loss of power now: to be written out by ``write``."""
        reachable = {id(folder): folder for folder in self._reachable()}
        pending = [change for change in self._pending if id(change.folder) in reachable]
        entries = [*(folder.synced for folder in reachable.values()), *(change.entries for change in pending)]
        may_tear = any(node and node.content and not node.safe for each in entries for node in each.values())
        for chosen in _subsets(len(pending)):
            changes = [pending[number] for number in chosen]
            for torn in ("empty", "cut", "zeros", "whole") if may_tear else ("whole",):
                yield f"{len(chosen)} of {len(pending)} changes, contents {torn}", changes, torn

    def write(self, to: Path, changes: Sequence[Change], torn: str) -> None:
        """One of the states, as files in a new folder."""
        entries: dict[int, dict[str, Node]] = {}
        for change in changes:
            own = entries.setdefault(id(change.folder), dict(change.folder.synced))
            _merge(own, change.entries)
        self._write(self._top, to, entries, torn)

    def _write(self, folder: Node, to: Path, entries: dict[int, dict[str, Node]], torn: str) -> None:
        to.mkdir()
        for name, node in entries.get(id(folder), folder.synced).items():
            if node.entries is not None:
                self._write(node, to / name, entries, torn)
            elif node.target is not None:
                (to / name).symlink_to(node.target)
            else:
                (to / name).write_bytes(node.content if node.safe else _torn(node.content, torn))

    def _change(self, folder: Path, entries: dict[str, Node | None]) -> None:
        node = self._at(folder)
        assert node.entries is not None
        _merge(node.entries, entries)
        self._pending.append(Change(node, entries))

    def _sync(self, node: Node) -> None:
        if node.entries is None:
            node.safe = True
            return
        node.synced = dict(node.entries)
        self._pending = [change for change in self._pending if change.folder is not node]

    def _at(self, path: Path) -> Node:
        node = self._top
        for name in path.relative_to(self._root).parts:
            assert node.entries is not None
            node = node.entries[name]
        return node

    def _reachable(self) -> Iterator[Node]:
        """Folders that are on the disk, or may be."""
        seen, left = set(), [self._top]
        while left:
            node = left.pop()
            if node.entries is None or id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            left += node.synced.values()
            left += [
                each for change in self._pending if change.folder is node for each in change.entries.values() if each
            ]


def _merge(entries: dict[str, Node], changed: dict[str, Node | None]) -> None:
    for name, node in changed.items():
        if node is None:
            entries.pop(name, None)
        else:
            entries[name] = node


def _torn(content: bytes, how: str) -> bytes:
    return {"empty": b"", "cut": content[: len(content) // 2], "zeros": bytes(len(content)), "whole": content}[how]


def _subsets(count: int) -> list[tuple[int, ...]]:
    every = range(count)
    if count <= MOST_COMBINED:
        return [chosen for size in range(count + 1) for chosen in itertools.combinations(every, size)]
    firsts = [tuple(range(end)) for end in range(count + 1)]
    return list(dict.fromkeys([*firsts, *((n,) for n in every), *(tuple(m for m in every if m != n) for n in every)]))
