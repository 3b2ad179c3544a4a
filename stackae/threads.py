"""How many threads this process should compute with: as many as the CPUs that it may use, and why."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, MutableMapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import NamedTuple

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
SPINS = "10000"  # about 0.1 ms: longer than from one op to the next; OpenMP of GCC takes 300,000
ROOT = Path("/")
PIECE = 1 << 12
LARGEST = 1 << 20  # bytes that are read of a file: a machine with many containers has thousands of mounts
USUAL_PERIOD = "100000"  # microseconds, where cpu.max has a quota alone

_limited: list[str] = []  # the value that limit_threads set, which is not the user's
_processes = [1]  # that it divided the CPUs among
TORCHRUNS = "1"  # what torchrun sets where it starts several processes, and the user set nothing


class Cpus(NamedTuple):
    """The CPUs that a process may use at a time, of those of the machine; a quota may allow half of one.

    ``by`` is what allows fewer than all: "affinity" or "cgroup"; "" where nothing does. ``cores`` counts the physical
    cores among those of the affinity: two CPUs of one core share its arithmetic units.
    """

    allowed: float
    machine: int
    by: str
    cores: int

    @property
    def threads(self) -> int:
        """The number of threads that they carry: of 1.5 CPUs, one, since a second would wait for its quota in turns."""
        return max(1, math.floor(self.allowed))

    @property
    def described(self) -> str:
        """Return "64 CPUs", or "CPUs of the process, 2 of 64 by its cgroup"."""
        allowed = f"{self.allowed:.4g} of {self.machine} by its {self.by}"
        return f"CPUs of the process, {allowed}" if self.by else f"{self.machine} CPUs"


def usable_cpus(root: Path = ROOT) -> Cpus:
    """Find the CPUs that the affinity and the control groups (v1 and v2) of this process allow.

    A group's quota holds for all groups in it, so that the smallest from the process's own up to the root counts. Files
    that are missing, or that say anything unexpected, set no limit. No errors.

    Args:
        root: the folder in which proc and sys are looked for.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux has it
    cpus = affinity(0) if affinity else set(range(os.cpu_count() or 1))
    machine = max(os.cpu_count() or 1, len(cpus))
    allowed, by = float(len(cpus)), "affinity" if len(cpus) < machine else ""
    quota = min((quota for folder in _groups(root) for quota in _quotas(folder)), default=math.inf)
    if quota < allowed:
        allowed, by = quota, "cgroup"
    return Cpus(allowed, machine, by, _cores(cpus, root))


def limit_threads(environment: MutableMapping[str, str] = os.environ, root: Path = ROOT, processes: int = 1) -> None:
    """Set OMP_NUM_THREADS where control groups allow fewer CPUs than there are cores, and the user set no number.

    Of several ``processes`` that torchrun starts on this machine, each takes its share of the CPUs; the one thread each
    that torchrun sets is no number of the user's, whose own is MKL_NUM_THREADS.

    For the command line, before it loads a library: torch, MKL, OpenBLAS and pyarrow read the variable when they are
    loaded, and by themselves they count the CPUs of the affinity, or of the machine. Also bounds the time for which
    OpenMP's threads spin, unless the user says how they wait: while another process has a core, they spin in vain.
    """
    if not any(environment.get(name) for name in WAITING):
        environment[WAITING[0]] = SPINS
    cpus = usable_cpus(root)
    _processes[:] = [processes]
    if processes > 1:
        if _requested(environment) in (None, (VARIABLES[0], int(TORCHRUNS))):
            environment[VARIABLES[0]] = str(_share_of(cpus))
            _limited[:] = [environment[VARIABLES[0]]]
    elif cpus.by == "cgroup" and cpus.threads < cpus.cores and _requested(environment) is None:
        environment[VARIABLES[0]] = str(cpus.threads)
        _limited[:] = [environment[VARIABLES[0]]]


def shown_threads(count: int, environment: MutableMapping[str, str] = os.environ, root: Path = ROOT) -> str:
    """Describe torch's number of threads by its reason: "2 (CPUs of the process, 2 of 64 by its cgroup)"."""
    cpus, requested = usable_cpus(root), _requested(environment)
    own = min(cpus.threads, cpus.cores)  # torch takes one thread per core
    if _processes[0] > 1 and requested is None and count == _share_of(cpus):
        return f"{count} (its share of the {cpus.described} for {_processes[0]} processes)"
    if requested is not None and (count == requested[1] or requested[1] > count == cpus.cores):
        name, number = requested
        why = f"{name} is {number}" + (f", more than the {cpus.cores} cores" if number > count else "")
    elif count == own < cpus.threads:
        why = f"one per core of the {cpus.described}"
    elif count == own:
        why = cpus.described if cpus.by else "one per CPU"
    elif cpus.by and count > own:
        why = f"as torch is set, more than the {cpus.described}"
    else:
        why = "as torch is set"
    return f"{count} ({why})"


def _share_of(cpus: Cpus) -> int:
    """The threads of one of the processes."""
    return max(1, min(cpus.threads, cpus.cores) // _processes[0])


def _requested(environment: MutableMapping[str, str]) -> tuple[str, int] | None:
    """Return the variable by which the user requests a number of threads, and the number; None if there is none."""
    for name in reversed(VARIABLES):  # torch's own threads follow MKL's
        value = environment.get(name, "")
        found = re.match(r"\s*0*([1-9]\d{0,8})\s*(,|$)", value)
        if found and not (name == VARIABLES[0] and _limited == [value]):
            return name, int(found[1])
    return None


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that may limit the CPUs of this process, each before its parent."""
    own = {}
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "cpu" in controllers.split(","):
            own["cgroup"] = path
        elif number == "0" and not controllers:
            own["cgroup2"] = path
    for line in _read(root / "proc/self/mountinfo").splitlines():
        place, _, kind = line.partition(" - ")
        fields, (system, _, options) = place.split(), kind.partition(" ")
        of_cpus = system == "cgroup2" or "cpu" in options.rpartition(" ")[2].split(",")
        if len(fields) < 5 or system not in own or not of_cpus:
            continue
        group, top, mount = map(PurePosixPath, (own[system], *map(_unescaped, fields[3:5])))
        inside = group.relative_to(top).parts if group.is_relative_to(top) and ".." not in group.parts else ()
        folder = root.joinpath(*mount.parts[1:])
        yield from (folder.joinpath(*inside[:depth]) for depth in range(len(inside), -1, -1))


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _quotas(folder: Path) -> Iterator[float]:
    """Yield the CPUs that a control group allows at a time, where it limits them: time in a period by its length."""
    second = [*_read(folder / "cpu.max").split(), USUAL_PERIOD][:2]
    first = [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
    for found in (second, first):
        if len(found) == 2 and all(re.fullmatch("[1-9][0-9]{0,17}", number) for number in found):
            yield int(found[0]) / int(found[1])


def _cores(cpus: set[int], root: Path) -> int:
    """Count the physical cores of these CPUs; as many as CPUs where the system does not tell."""
    folder = root / "sys/devices/system/cpu"
    return len({_read(folder / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in cpus})


def _read(path: Path) -> str:
    """Return a file's first LARGEST bytes as text; "" if it cannot be read."""
    try:
        with path.open("rb") as file:
            pieces = islice(iter(lambda: file.read(PIECE), b""), LARGEST // PIECE)
            return b"".join(pieces).decode(errors="replace")
    except (OSError, ValueError):
        return ""
