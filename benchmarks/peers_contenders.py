"""One training by stackae or by a peer, in a process of its own: what benchmarks.peers starts.

    python -m benchmarks.peers_contenders NAME --folder DIR --out FILE
        [--hidden N] [--epochs N] [--batch-size N] [--rate R] [--seed N] [--threads N]

DIR holds rows.npy and held-out.npy, float32 rows in [0, 1], and the same rows as MNIST/raw. First comes a training on a
few batches that is not timed: for imports, compilation and first allocations. Then the one that counts, from new
weights: ``training`` is the seconds of the passes over the rows alone, ``call`` those of the whole call that a user
writes. Reconstructions of the held-out rows go to FILE; the last line that is printed says times, versions, and how
many cores other processes kept busy during the call: a machine that was shared has measured something else.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers_fits import (
    Fit,
    Setting,
    Trained,
    by_clustpy,
    by_data_loader,
    by_keras,
    by_pyod,
    by_scikit_learn,
    by_stackae,
    in_memory,
)

WARM_UP_BATCHES = 16
"""And the incomplete batch that an epoch ends with, for which some compile anew."""


class Contender(NamedTuple):
    """What trains, the packages whose versions are told, and the headings of peers.txt that it needs, if any.

    ``differs``: in what it cannot do as the others.
    """

    prepare: Callable[[Setting], Fit]
    packages: tuple[str, ...]
    needs: tuple[str, ...] = ()
    differs: str = ""


OURS = "stackae"
CONTENDERS = {
    OURS: Contender(by_stackae, ("torch",)),
    "in memory, fused Adam": Contender(in_memory, ("torch",)),
    "Keras, TensorFlow": Contender(
        functools.partial(by_keras, backend="tensorflow"), ("keras", "tensorflow-cpu"), ("keras", "tensorflow")
    ),
    "Keras, JAX": Contender(functools.partial(by_keras, backend="jax"), ("keras", "jax"), ("keras", "jax")),
    "scikit-learn": Contender(by_scikit_learn, ("scikit-learn",)),
    "ClustPy": Contender(by_clustpy, ("clustpy", "torch"), ("clustpy",), "its code is linear"),
    "PyOD": Contender(by_pyod, ("pyod", "torch"), ("pyod",), "it leaves out the incomplete batch"),
    "DataLoader": Contender(by_data_loader, ("torch", "torchvision")),
}


def train(name: str, setting: Setting, epochs: int) -> tuple[Trained, float]:
    """The training that counts, after one on a few batches; and how many cores other processes kept busy meanwhile."""
    fit = CONTENDERS[name].prepare(setting)
    rows, batch_size = len(setting.x), setting.batch_size
    fit(min(rows, WARM_UP_BATCHES * batch_size + rows % batch_size), 1)
    before, started = busy_beside_this(), time.perf_counter()
    trained = fit(rows, epochs)
    return trained, kept_busy(before, started)


def busy_beside_this(stat: Path = Path("/proc/stat")) -> float:
    """Processor seconds that other processes have taken since the machine started."""
    user, nice, system = map(int, stat.read_text().split(maxsplit=4)[1:4])
    own = os.times()
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - own.user - own.system


def kept_busy(before: float, started: float) -> float:
    """How many cores other processes have kept busy since then.

    The clocks of the machine and of this process tick apart: where the difference is below zero, it is none.
    """
    return max(0.0, busy_beside_this() - before) / (time.perf_counter() - started)


def bind(threads: int) -> None:
    """Give this process so many cores; libraries that are loaded later make as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    os.environ.update({f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS")})


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=CONTENDERS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hidden", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args(given)
    bind(asked.threads)
    import numpy as np

    x, held_out = (np.load(asked.folder / f"{part}.npy") for part in ("rows", "held-out"))
    setting = Setting(x, asked.folder, asked.hidden, asked.batch_size, asked.rate, asked.seed)
    trained, others = train(asked.name, setting, asked.epochs)
    np.save(asked.out, trained.reconstruct(held_out))
    versions = {name: importlib.metadata.version(name) for name in CONTENDERS[asked.name].packages}
    said = {"training": trained.training, "call": trained.call, "others": others, "versions": versions}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
