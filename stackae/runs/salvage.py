"""Recover a damaged metrics.jsonl: keep lines that match their digest, and epochs that checkpoints hold."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from stackae.errors import RunError, legible
from stackae.runs.checkpoints import history_of, state_of
from stackae.runs.pruning import of_command
from stackae.runs.records import EpochLine, epoch_of, read_line, sealed, unsealed

START, END = b'{"event": ', re.compile(rb', "digest": "[0-9a-f]{16}"\}')
SHORTEST = 20  # bytes of a record: anything shorter is a damaged newline or no record
SHOWN, MOST_TOLD = 60, 20
Block = Sequence[bytes]


class Mended(NamedTuple):
    """The recovered lines of metrics.jsonl, and one sentence per loss."""

    lines: list[bytes]
    lost: list[str]


class _Found(NamedTuple):
    number: int
    line: bytes
    record: object
    vouched: bool


def known_blocks(folder: Path, added: Block) -> list[Block]:
    """List ``added``, then the epochs of each complete training, from its newest readable checkpoint, as lines."""
    blocks = [added]
    for command in ("finetune", "pretrain"):
        for _, path in reversed(of_command(folder, command)):
            with suppress(RunError):
                state = state_of(path)
                lines = [sealed(epoch_of(record)) for record in history_of(state, 0)]
                if state.stage is None and len(state.ended) == len(state.work.stages) and set(lines).isdisjoint(added):
                    blocks.append(lines)
                break
    return blocks


def mended(content: bytes, blocks: Sequence[Block]) -> Mended:
    """Keep the whole lines in order, and put each known training in the place of its damaged lines."""
    found, lost = _whole_lines(content)
    of = {line: place for place, block in enumerate(blocks) for each in block for line in (each, unsealed(each))}
    lines, placed, last = list[bytes](), set[int](), dict[str, int]()
    for each in found:
        place = of.get(each.line)
        if place is not None:
            if place not in placed:
                lines += blocks[place]
            placed.add(place)
            continue
        if isinstance(each.record, EpochLine):
            stage, epoch = each.record.stage, each.record.epoch
            if epoch not in (1, last.get(stage, 0) + 1) or (epoch == 1 and not each.record.best):
                lost.append(f"line {each.number}: epoch {epoch} of {stage} without the one before; it is left out")
                continue
            last[stage] = epoch
        if not each.vouched:
            lost.append(f"line {each.number}: kept, but it has no digest that vouches for it")
        lines.append(each.line)
    missing = [block for place, block in enumerate(blocks) if place not in placed]
    first = [line for block in missing if _pretrained(block) for line in block]
    if len(lost) > MOST_TOLD:
        lost[MOST_TOLD:] = [f"and {len(lost) - MOST_TOLD:,} more lines"]
    return Mended(first + lines + [line for block in missing if not _pretrained(block) for line in block], lost)


def _whole_lines(content: bytes) -> tuple[list[_Found], list[str]]:
    """Return the lines that can be read, with their records, and one sentence per line that cannot."""
    found, lost = list[_Found](), list[str]()
    for number, line in enumerate(io.BytesIO(content), start=1):
        whole, rest = _sealed_in(line)
        found += (_Found(number, *each, True) for each in whole)
        if len(rest) < SHORTEST:
            continue
        try:
            if b'"digest' in rest:
                raise ValueError("a damaged line")
            found.append(_Found(number, rest, read_line(rest), False))
        except ValueError:
            what = legible(rest[: 4 * SHOWN].decode(errors="replace"), SHOWN)
            lost.append(f"line {number}: '{what}' is damaged; an epoch is made again, an evaluation is lost")
    return found, lost


def _sealed_in(line: bytes) -> tuple[list[tuple[bytes, object]], bytes]:
    """Return the records in a line that match their digests, and the rest of it.

    A line holds two or more records where the newline between them was damaged.
    """
    whole, rest, place = list[tuple[bytes, object]](), list[bytes](), 0
    for match in END.finditer(line):
        piece, place = line[place : match.end()], match.end()
        for start in sorted({piece.find(START), piece.rfind(START)} - {-1}):
            with suppress(ValueError):
                whole.append((piece[start:], read_line(piece[start:])))
                piece = piece[:start]
                break
        rest.append(piece)
    return whole, b"".join([*rest, line[place:]]).removesuffix(b"\n")


def _pretrained(block: Block) -> bool:
    return bool(block) and b'"stage": "layer' in block[0]
