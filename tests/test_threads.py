"""How many threads a process should have: by its CPUs, its control groups, and what the user says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stackae import threads
from stackae.threads import limit_threads, shown_threads, usable_cpus

SECOND = "31 23 0:28 {top} {mount} rw,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n"
FIRST = "32 31 0:29 {top} {mount} rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
OTHER = "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 64 CPUs on 64 cores without limits, whose files are those of a folder."""
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    monkeypatch.setattr(threads, "_limited", [])
    return tmp_path


def write(root: Path, **texts: str) -> None:
    """Write files, by names in which __ stands for a slash."""
    for name, text in texts.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def second(root: Path, group: str = "/", top: str = "/", mount: str = "/sys/fs/cgroup") -> Path:
    """Put the process into a group of version 2; return the folder of its mount."""
    write(root, proc__self__cgroup=f"0::{group}\n", proc__self__mountinfo=OTHER + SECOND.format(top=top, mount=mount))
    return root / mount.removeprefix("/").replace("\\040", " ")


def first(root: Path, group: str = "/") -> Path:
    """Put the process into a group of version 1, as systems do that have both."""
    mounts = OTHER + SECOND.format(top="/", mount="/sys/fs/cgroup/unified")
    mounts += FIRST.format(top="/", mount="/sys/fs/cgroup/cpu,cpuacct")
    groups = f"9:name=systemd:/\n4:memory:/other\n1:cpu,cpuacct:{group}\n0::/\n"
    write(root, proc__self__cgroup=groups, proc__self__mountinfo=mounts)
    return root / "sys/fs/cgroup/cpu,cpuacct"


def quota(folder: Path, text: str) -> None:
    write(folder, **{"cpu.max": text})


def with_siblings(root: Path) -> None:
    """Two CPUs lie on one core."""
    for cpu in range(64):
        name = f"sys__devices__system__cpu__cpu{cpu}__topology__thread_siblings_list"
        write(root, **{name: f"{cpu % 32},{cpu % 32 + 32}\n"})


def test_without_any_file_there_is_no_limit(machine: Path) -> None:
    assert usable_cpus(machine) == (64, 64, "", 64)
    assert shown_threads(64, {}, machine) == "64 (one per CPU)"


def test_the_machine_that_tests_run_on_has_cpus() -> None:
    found = usable_cpus()
    assert 0 < found.allowed <= found.machine and found.threads >= 1 and 1 <= found.cores <= found.machine


@pytest.mark.parametrize(
    ("text", "count", "number"),
    [
        ("200000 100000\n", 2, 2),
        ("150000 100000\n", 1.5, 1),
        ("25000 100000\n", 0.25, 1),
        ("300000", 3, 3),
        ("20000 10000\n", 2, 2),
        ("6500000 100000\n", 64, 64),
        ("max 100000\n", 64, 64),
        ("max", 64, 64),
        ("", 64, 64),
        ("0 100000", 64, 64),
        ("200000 0", 64, 64),
        ("-1 100000", 64, 64),
        ("two 100000", 64, 64),
        ("٢00000 100000", 64, 64),
        ("9" * 5000 + " 1", 64, 64),
        ("\0\n\n", 64, 64),
    ],
)
def test_a_quota_of_version_2_is_time_by_period(machine: Path, text: str, count: float, number: int) -> None:
    quota(second(machine), text)
    found = usable_cpus(machine)
    assert (found.allowed, found.threads, found.by) == (count, number, "cgroup" if count < 64 else "")


@pytest.mark.parametrize(
    ("time", "period", "count"),
    [("400000\n", "100000\n", 4), ("-1\n", "100000\n", 64), ("400000", None, 64), (None, "100000", 64)],
)
def test_a_quota_of_version_1_is_in_two_files(machine: Path, time: str | None, period: str | None, count: int) -> None:
    folder = first(machine)
    for name, text in (("cpu.cfs_quota_us", time), ("cpu.cfs_period_us", period)):
        if text is not None:
            write(folder, **{name: text})
    assert usable_cpus(machine).allowed == count


def test_the_smallest_quota_from_the_group_up_counts(machine: Path) -> None:
    folder = second(machine, "/slice/service/leaf")
    quota(folder / "slice", "300000 100000")
    quota(folder / "slice/service", "800000 100000")
    quota(folder / "slice/service/leaf", "max 100000")
    quota(folder / "beside", "100000 100000")
    assert usable_cpus(machine).allowed == 3
    quota(folder / "slice/service/leaf", "100000 100000")
    assert usable_cpus(machine).allowed == 1


def test_groups_of_version_1_are_nested_too(machine: Path) -> None:
    folder = first(machine, "/docker/one")
    write(folder / "docker", **{"cpu.cfs_quota_us": "500000", "cpu.cfs_period_us": "100000"})
    write(folder / "docker/one", **{"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert usable_cpus(machine).allowed == 5


def test_a_container_sees_its_group_as_the_root_of_the_mount(machine: Path) -> None:
    folder = second(machine, "/docker/one/inner", top="/docker/one")
    quota(folder, "200000 100000")
    quota(folder / "inner", "700000 100000")
    assert usable_cpus(machine).allowed == 2


@pytest.mark.parametrize("group", ["/../../beside", "/elsewhere", "/gone (deleted)", ""])
def test_a_group_outside_of_the_mount_leaves_the_limit_of_the_mount(machine: Path, group: str) -> None:
    quota(second(machine, group, top="/" if group.startswith(("/.", "/gone")) else "/docker"), "200000 100000")
    write(machine.parent, **{"cpu.max": "100000 100000"})
    assert usable_cpus(machine).allowed == 2
    (machine.parent / "cpu.max").unlink()


def test_a_mount_may_have_a_space_in_its_name(machine: Path) -> None:
    quota(second(machine, mount="/run/my\\040groups"), "200000 100000")
    assert usable_cpus(machine).allowed == 2


def test_without_a_mount_nothing_is_limited(machine: Path) -> None:
    quota(second(machine), "200000 100000")
    write(machine, proc__self__mountinfo="what\n - cgroup2\n1 2 3 / /m rw - \n31 23 0:28 - cgroup2 c rw\n")
    assert usable_cpus(machine).allowed == 64


def test_a_file_is_read_up_to_a_bound(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota(second(machine), "200000" + " " * 5000 + "100000")
    assert usable_cpus(machine).allowed == 2
    quota(second(machine), "200000" + " " * 5000 + "200000")
    monkeypatch.setattr(threads, "LARGEST", 4096)
    assert usable_cpus(machine).allowed == 2


def test_the_affinity_limits_too_and_the_smaller_one_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7})
    assert usable_cpus(machine) == (3, 64, "affinity", 3)
    assert shown_threads(3, {}, machine) == "3 (CPUs of the process, 3 of 64 by its affinity)"
    quota(second(machine), "200000 100000")
    assert usable_cpus(machine) == (2, 64, "cgroup", 3)
    assert shown_threads(2, {}, machine) == "2 (CPUs of the process, 2 of 64 by its cgroup)"


def test_a_system_without_affinity_has_the_cpus_of_the_machine(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cpus(machine) == (64, 64, "", 64)


def test_two_cpus_of_a_core_are_one_core(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_siblings(machine)
    assert usable_cpus(machine).cores == 32
    assert shown_threads(32, {}, machine) == "32 (one per core of the 64 CPUs)"
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 32, 33})
    assert shown_threads(2, {}, machine) == "2 (one per core of the CPUs of the process, 4 of 64 by its affinity)"


@pytest.mark.parametrize(
    ("text", "given", "wanted"),
    [
        ("200000 100000", {}, "2"),
        ("150000 100000", {"OMP_NUM_THREADS": ""}, "1"),
        ("200000 100000", {"OMP_NUM_THREADS": "many"}, "2"),
        ("200000 100000", {"OMP_NUM_THREADS": "0"}, "2"),
        ("200000 100000", {"OMP_NUM_THREADS": "8"}, "8"),
        ("200000 100000", {"OMP_NUM_THREADS": " 8,2"}, " 8,2"),
        ("200000 100000", {"MKL_NUM_THREADS": "8"}, None),
        ("4000000 100000", {}, None),
        ("max 100000", {}, None),
    ],
)
def test_the_command_line_limits_threads_below_the_cores_unless_told(
    machine: Path, text: str, given: dict[str, str], wanted: str | None
) -> None:
    with_siblings(machine)
    quota(second(machine), text)
    environment = dict(given)
    limit_threads(environment, machine)
    assert environment.get("OMP_NUM_THREADS") == wanted


def test_an_affinity_is_left_to_the_libraries_that_know_it(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    environment: dict[str, str] = {}
    limit_threads(environment, machine)
    assert "OMP_NUM_THREADS" not in environment


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": ""}, "10000"),
        ({"GOMP_SPINCOUNT": "5"}, "5"),
        ({"OMP_WAIT_POLICY": "active"}, None),
    ],
)
def test_openmp_spins_for_a_while_unless_told_how_to_wait(
    machine: Path, given: dict[str, str], wanted: str | None
) -> None:
    environment = dict(given)
    limit_threads(environment, machine)
    assert environment.get("GOMP_SPINCOUNT") == wanted


def test_what_the_command_line_set_is_not_taken_for_the_users(machine: Path) -> None:
    quota(second(machine), "200000 100000")
    environment: dict[str, str] = {}
    limit_threads(environment, machine)
    assert shown_threads(2, environment, machine) == "2 (CPUs of the process, 2 of 64 by its cgroup)"
    limit_threads(environment, machine)  # again, in a process that runs two commands
    assert shown_threads(2, environment, machine) == "2 (CPUs of the process, 2 of 64 by its cgroup)"


@pytest.mark.parametrize(
    ("count", "environment", "shown"),
    [
        (8, {"OMP_NUM_THREADS": "8"}, "8 (OMP_NUM_THREADS is 8)"),
        (4, {"OMP_NUM_THREADS": "8", "MKL_NUM_THREADS": "4"}, "4 (MKL_NUM_THREADS is 4)"),
        (64, {"OMP_NUM_THREADS": "99"}, "64 (OMP_NUM_THREADS is 99, more than the 64 cores)"),
        (
            64,
            {"OMP_NUM_THREADS": "9x"},
            "64 (as torch is set, more than the CPUs of the process, 2 of 64 by its cgroup)",
        ),
        (1, {"OMP_NUM_THREADS": "8"}, "1 (as torch is set)"),
        (1, {}, "1 (as torch is set)"),
    ],
)
def test_the_reason_is_the_one_that_holds(machine: Path, count: int, environment: dict[str, str], shown: str) -> None:
    quota(second(machine), "200000 100000")
    assert shown_threads(count, environment, machine) == shown


def test_more_threads_than_cpus_are_as_torch_is_set(machine: Path) -> None:
    assert shown_threads(128, {}, machine) == "128 (as torch is set)"


def test_the_library_leaves_threads_as_they_are_and_the_command_line_does_not() -> None:
    """In a process of its own, whose first library is torch: as if a control group allowed one of many CPUs."""
    lines = [
        "import os, sys",
        "from stackae import threads",
        "limited = threads.Cpus(1, 64, 'cgroup', 64)",
        "threads.usable_cpus = lambda root: limited",
        "import stackae.workflows.doctor",
        "assert 'OMP_NUM_THREADS' not in os.environ",
        "from stackae.cli import main",
        "sys.argv = ['stackae', '--version']",
        "try: main.main()",
        "except SystemExit: print(os.environ['OMP_NUM_THREADS'])",
    ]
    environment = {name: value for name, value in os.environ.items() if name not in threads.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "1"


@pytest.mark.parametrize(
    ("given", "threads"),
    [({}, "16"), ({"OMP_NUM_THREADS": "1"}, "16"), ({"OMP_NUM_THREADS": "3"}, "3"), ({"MKL_NUM_THREADS": "1"}, None)],
)
def test_processes_of_one_machine_share_its_cpus(machine: Path, given: dict[str, str], threads: str | None) -> None:
    """torchrun sets one thread each where the user sets none."""
    environment = dict(given)
    try:
        limit_threads(environment, machine, processes=4)
        assert environment.get("OMP_NUM_THREADS") == threads
        if threads == "16":
            assert shown_threads(16, environment, machine) == "16 (its share of the 64 CPUs for 4 processes)"
            limit_threads(few := {"OMP_NUM_THREADS": "1"}, machine, processes=100)
            assert few["OMP_NUM_THREADS"] == "1"
    finally:
        limit_threads({}, machine)
