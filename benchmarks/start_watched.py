"""One command of stackae in this process, watched: what its main thread does, and the peak of its memory.

    python benchmarks/start_watched.py FILE pretrain --layers 784,300,150 ...

A thread looks at the main thread's stack every two milliseconds, and counts the time since its last look for what it
finds there. FILE gets a JSON document. Torch is imported by itself, before all else that stackae loads.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

from stackae.threads import limit_threads

EVERY = 0.002  # seconds
PAGE = os.sysconf("SC_PAGE_SIZE")
IMPORTS = ("<frozen importlib._bootstrap>", "_find_and_load")
PARTS = {
    ("stackae/data/loading.py", "load_data"): "reading and dividing the data",
    ("stackae/data/kind.py", "kind_of"): "settling the layers",
    ("stackae/pretraining.py", "settle"): "settling the layers",
    ("stackae/pretraining.py", "reasons"): "settling the layers",
    ("stackae/data/fingerprint.py", "fingerprint"): "digest of the data",
    ("stackae/training/layer.py", "train_layer"): "training",
    ("stackae/training/layer.py", "through"): "codes for the next layer",
    ("stackae/analysis/principal.py", "principal_of"): "principal components",
    ("stackae/workflows/stacks.py", "_explained"): "layers beside principal components",
    ("stackae/workflows/pictures.py", "pretraining_pictures"): "pictures",
    ("stackae/analysis/calibration.py", "fit_baselines"): "scores by PCA and Mahalanobis distance",
    ("stackae/analysis/combined.py", "fit_combined"): "combined scores",
    ("stackae/analysis/calibration.py", "calibrate"): "scores by reconstruction",
}
"""What a function is counted for, with all that it calls; the outermost counts, but for imports."""


def part_of(frame: FrameType | None) -> str:
    """What the code in this frame is at work for."""
    found, imported = "the rest", ""
    while frame is not None:
        code = frame.f_code
        if (code.co_filename, code.co_name) == IMPORTS:
            imported = str(frame.f_locals.get("name", "")).partition(".")[0]
        else:
            names = ((name, part) for (path, name), part in PARTS.items() if code.co_filename.endswith(path))
            found = next((part for name, part in names if name == code.co_name), found)
        frame = frame.f_back
    return f"import {imported}" if imported else found


class Watch:
    """Seconds, processor seconds and the most bytes held by part, until ``stop``."""

    def __init__(self) -> None:
        self.seconds, self.processor, self.held = (defaultdict[str, float](float) for _ in range(3))
        self._main, self._ended = threading.get_ident(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        before = time.perf_counter(), time.process_time()
        while not self._ended.wait(EVERY):
            part = part_of(sys._current_frames().get(self._main))
            now = time.perf_counter(), time.process_time()
            self.seconds[part] += now[0] - before[0]
            self.processor[part] += now[1] - before[1]
            self.held[part] = max(self.held[part], held())
            before = now

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()


def held() -> int:
    """The bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def peak() -> int:
    """The most bytes of memory that this process has held at a time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    file, *arguments = sys.argv[1:]
    limit_threads()  # as the command line does, before a library is loaded
    started = time.perf_counter(), time.process_time()
    import torch  # noqa: F401 - its import is what is timed

    imported, of_torch = (time.perf_counter() - started[0], time.process_time() - started[1]), peak()
    watch = Watch()
    sys.argv[:] = ["stackae", *arguments]
    try:
        importlib.import_module("stackae.cli.start").main()
    except SystemExit as ended:
        if ended.code:
            raise
    watch.stop()
    document = {
        "seconds": {"import torch": imported[0], **watch.seconds},
        "processor": {"import torch": imported[1], **watch.processor},
        "held": watch.held,
        "peak_of_torch": of_torch,
        "peak": peak(),
    }
    Path(file).write_text(json.dumps(document))


if __name__ == "__main__":
    main()
