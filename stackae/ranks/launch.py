"""How the processes that torchrun started meet, and which device each of them takes."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from stackae.errors import SetupError
from stackae.ranks import ALONE, TIMEOUT, Ranks, leave, member

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")


def launched(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return what torchrun says of this process; ALONE where it did not start it, or no other.

    Raises:
        SetupError: numbers that do not fit each other.
    """
    given = [environment.get(name, "") for name in VARIABLES]
    if given[1] in ("", "1"):
        return ALONE
    with suppress(ValueError):
        rank, count, local, beside = (int(each or number) for each, number in zip(given, (0, 1, 0, 1), strict=True))
        if 0 <= rank < count and 0 <= local < beside <= count:
            return Ranks(rank, count, local, beside)
    said = ", ".join(f"{name} '{value}'" for name, value in zip(VARIABLES, given, strict=True))
    raise SetupError(f"ranks: expected the numbers that torchrun sets in the environment, got {said}")


@contextmanager
def joined(found: Ranks) -> Iterator[Ranks]:
    """Meet the other ranks, and be one of them meanwhile. Alone, do nothing.

    Sums are gloo's in memory, and NCCL's on GPUs, of which each rank on a machine takes its own.

    Raises:
        SetupError: the ranks do not meet.
    """
    if not found.several:
        yield ALONE
        return
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    gpus = torch.cuda.device_count()
    backend = "cpu:gloo,cuda:nccl" if gpus >= found.beside and dist.is_nccl_available() else "gloo"
    if gpus >= found.beside:
        torch.cuda.set_device(found.local)
    try:
        store, _, _ = next(rendezvous("env://", found.rank, found.count, timeout=TIMEOUT))
        messages, sums = PrefixStore("stackae", store), PrefixStore("sums", store)
        dist.init_process_group(backend, store=sums, rank=found.rank, world_size=found.count, timeout=TIMEOUT)
    except (RuntimeError, ValueError) as error:
        first, *_ = str(error).splitlines() or [""]
        raise SetupError(
            f"ranks: expected {found.count} processes to meet, got '{first}'; run it by torchrun"
        ) from error
    own = Ranks(found.rank, found.count, found.local, found.beside, messages)
    own.say(f"rank{own.rank}", (socket.gethostname(), os.getpid()))
    with member(own):
        yield own
    leave()
