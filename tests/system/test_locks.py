"""Locks between processes, and what the library does where a system lacks what Linux has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stackae import system

HOLDER = """
import os, sys
from stackae import system
descriptor = os.open(sys.argv[1], os.O_RDWR)
assert system.try_lock(descriptor, shared=sys.argv[2] == "shared")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("held", "asked", "had"),
    [("alone", False, False), ("alone", True, False), ("shared", True, True), ("shared", False, False)],
)
def test_a_lock_keeps_others_out_until_its_holder_ends(held: str, asked: bool, had: bool, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"who holds it")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), held], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    with holder, path.open("r+b") as file:
        assert holder.stdout.readline() == b"held\n"
        assert system.try_lock(file.fileno(), shared=asked) is had
        assert system.begin_of(file.fileno(), 3) == b"who" and system.begin_of(file.fileno(), 99) == b"who holds it"
        holder.kill()
        holder.wait()
        system.lock(file.fileno())  # would wait forever for one who lives


LACKING = """
import os, signal, sys, types
sys.modules.update(dict.fromkeys(("fcntl", "resource", "pwd", "grp", "termios"), None))
for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "O_TMPFILE", "pread", "pwrite", "preadv",
             "pwritev", "posix_fallocate", "sched_getaffinity", "sysconf", "geteuid", "getuid", "mkfifo"):
    delattr(os, name)
for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGKILL"):
    delattr(signal, name)
own, sys.platform = sys.platform, "win32"
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
import stackae.system
sys.platform = own  # torch is that of this system
del sys.modules["msvcrt"]
"""
EVERYTHING = """
import importlib, pkgutil, stackae
for module in pkgutil.walk_packages(stackae.__path__, "stackae."):
    if module.name not in ("stackae.__main__", "stackae._C", "stackae.cli.start"):
        importlib.import_module(module.name)
        imported = module.name
print("imported", imported)
"""
WINDOWS = """
import types
sys.platform = "win32"
taken = {}
def locking(descriptor, mode, count):
    assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, 1 << 30)
    if taken.setdefault(os.fstat(descriptor).st_ino, descriptor) != descriptor:
        raise PermissionError
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
import importlib.util
def fresh(name):
    spec = importlib.util.spec_from_file_location(name, sys.argv[1] + f"/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
locks = fresh("locks")
first, second = (os.open(sys.argv[2], os.O_RDWR) for _ in "ab")
os.lseek(first, 3, os.SEEK_SET)
assert locks.try_lock(first) and not locks.try_lock(second, shared=True)
assert os.lseek(first, 0, os.SEEK_CUR) == 3
assert fresh("limits").address_space() is None
print("locked")
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_loads_without_what_posix_alone_has() -> None:
    assert run(LACKING + EVERYTHING).startswith("imported stackae.workflows")


def test_the_locks_of_windows_are_of_a_byte_behind_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"content")
    assert run("import os, sys\n" + WINDOWS, str(Path(system.__file__).parent), str(tmp_path / "lock")) == "locked\n"
