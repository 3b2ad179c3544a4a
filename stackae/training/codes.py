"""Where the codes of a layer lie while the next one reads them: planned by what is free before anything is trained."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from stackae.config import PretrainConfig
from stackae.data.codes.encoded import EncodedRows, Encoder, encoded
from stackae.data.codes.file import free_on_disk, is_of_memory, on_disk
from stackae.data.placement import SHARE
from stackae.data.rows import Rows
from stackae.errors import ConfigError, argument
from stackae.ranks import group
from stackae.training.footprint import Free, Phase, check, codes_bytes, pretraining

SHARE_OF_DISK = 0.9  # of its free bytes: checkpoints come beside the codes
IN_WORDS = {"device": "on the GPU", "memory": "in memory", "disk": "on disk", "recompute": "recomputed when read"}


class CodesPlan(NamedTuple):
    """Where the codes of one layer lie: device, memory, disk or recompute, why, and the bytes that they take there.

    ``bytes`` are those of all stacks that train together, training and validation rows; none where recomputed.
    """

    layer: int
    where: str
    bytes: int
    why: str

    def __str__(self) -> str:
        size = f"{shown_bytes(self.bytes)} " if self.bytes else ""
        return f"layer {self.layer}  {size}{IN_WORDS[self.where]}: {self.why}"


def plan_codes(
    config: PretrainConfig,
    rows: int,
    held_out: int,
    count: int = 1,
    kept: int = 0,
    *,
    paired: bool = False,
    folder: Path | None = None,
) -> list[CodesPlan]:
    """Choose a place for the codes of each layer but the top, and check that the training fits into the memory.

    With codes ``auto`` it is the first that has room of: the device, the memory, a disk that is none of memory, and
    none, where they are made of the rows below whenever they are read.

    Args:
        rows, held_out: number of training and of validation rows; 0 for the minimum that any data need.
        count: stacks that train together.
        kept: number of parameters of stacks that were trained before and stay in memory.
        paired: the rows are ``PairedRows``.
        folder: where files of codes are made; None is the system's for temporary files.

    Raises:
        ConfigError: the training does not fit, or codes do not where the settings want them.
    """
    free, disk, plans = Free.of(config.device), _Disk.of(folder), list[CodesPlan]()

    def phases(homes: Sequence[str]) -> list[Phase]:
        homes = [*(each.where for each in plans), *homes]
        rest = ["recompute"] * (len(config.layers) - len(homes))
        return list(pretraining(config, rows, held_out, count, kept, paired, [*homes, *rest]))

    def has_room(where: str, size: int) -> bool:
        if where in ("device", "memory"):
            fits = where == "memory" or free.device.type == "cpu" or size <= SHARE * free.on_device
            return fits and _fits(phases([where]), free)
        before = plans[-1].bytes if plans and plans[-1].where == "disk" else 0
        return where == "recompute" or (not disk.is_of_memory and before + size <= SHARE_OF_DISK * disk.free)

    for number, layer in enumerate(config.layers[:-1], start=1):
        size = codes_bytes(layer.n_hidden, rows + held_out, count)
        places = ["memory", "disk", "recompute"] if free.device.type == "cpu" else [*IN_WORDS]
        asked = "memory" if config.codes == "device" and free.device.type == "cpu" else config.codes
        where = asked if asked != "auto" else next(each for each in places if has_room(each, size))
        if asked == "disk":
            disk.check(number, size + (plans[-1].bytes if plans else 0))
        why = "as asked" if asked != "auto" else _why(where, places, free, disk)
        plans.append(CodesPlan(number, where, 0 if where == "recompute" else size, why))
    check(phases([]), free)
    return plans


def kept(plan: CodesPlan, folder: Path | None, encoder: Encoder, x: Rows) -> Rows:
    """The codes of rows x (n, n_visible), n >= 1, where the plan has them. Raises DiskError where the disk is full."""
    rows = EncodedRows(x, encoder)
    if plan.where == "recompute":
        return rows
    if plan.where == "disk":
        return on_disk(rows, folder or Path(tempfile.gettempdir()))
    return encoded(rows, encoder.device if plan.where == "device" else torch.device("cpu"))


def shown_bytes(count: float) -> str:
    """The bytes in the unit that suits them, as 1.5 GiB."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    power = min(len(units) - 1, int(math.log2(count) // 10)) if 1 <= count < math.inf else 0
    return f"{count / 2 ** (10 * power):,.{1 if power else 0}f} {units[power]}"


class _Disk(NamedTuple):
    """The folder of files of codes, what is free there for each rank of this machine, and whether it lies in memory."""

    folder: Path
    free: int
    is_of_memory: bool

    @classmethod
    def of(cls, folder: Path | None) -> _Disk:
        place = folder or Path(tempfile.gettempdir())
        return cls(place, free_on_disk(place) // group().beside, is_of_memory(place))

    def check(self, number: int, size: int) -> None:
        if size > SHARE_OF_DISK * self.free:
            raise ConfigError(
                f"{argument('codes')}: expected a disk with room for the codes of layer {number}, got {size:,} bytes "
                f"to be written and {self.free:,} bytes free in {self.folder}; free some space, make layer {number} "
                f"narrower, or use {argument('codes', 'recompute')}"
            )

    def __str__(self) -> str:
        return f"{self.folder} lies in it" if self.is_of_memory else f"the disk {shown_bytes(self.free)}"


def _why(where: str, places: Sequence[str], free: Free, disk: _Disk) -> str:
    """What is free where the codes lie and, before it, where they have no room."""
    known = math.isfinite(free.in_memory)
    found = {"memory": f"the memory has {shown_bytes(free.in_memory)} free" if known else "nothing tells what is free"}
    found |= {"device": f"the GPU has {shown_bytes(free.on_device)} free", "disk": str(disk)}
    return ", ".join(found[each] for each in places[: places.index(where) + 1] if each in found)


def _fits(phases: Sequence[Phase], free: Free) -> bool:
    try:
        check(phases, free)
    except ConfigError:
        return False
    return True
