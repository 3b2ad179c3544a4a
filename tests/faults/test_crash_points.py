"""Every operation on the disk of a whole training fails, or is the last: what was there stays, and it can go on."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fault_cases import ALL, BRIEF, SHORT, a_step_a_call, result
from fault_disk import CutOffError, Disk, Operation, cut_off, failing
from shell import Shell, write_data

from stackae.runs import latest
from stackae.runs.verify import damages

JOBS = {
    "pretrain": (BRIEF, (*BRIEF, "--resume")),
    "seeds": ((*BRIEF, "--seeds", "2"), (*BRIEF, "--seeds", "2", "--resume")),
    "replaced": ((*BRIEF, "--seed", "7", "--force"), (*BRIEF, "--seed", "7", "--resume", "--force")),
    "finetune": (("finetune", "--run", "runs/it", *SHORT), ("resume", "runs/it")),
}
ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS)
EVERY = 1 if ALL else 31


class Job(NamedTuple):
    """A command, what is there before it, what it leaves, and how many operations that takes."""

    shell: Shell
    command: tuple[str, ...]
    again: tuple[str, ...]
    before: Path
    expected: dict[str, Any]
    operations: int

    def restart(self) -> None:
        shutil.rmtree(self.shell.folder / "runs", ignore_errors=True)
        shutil.copytree(self.before, self.shell.folder / "runs", symlinks=True)

    @property
    def run(self) -> Path:
        return self.shell.folder / "runs" / "it"

    def goes_on(self) -> dict[str, Any]:
        """What is left when the command is given once more, to go on."""
        with a_step_a_call():
            if self.command[0] == "finetune":
                self.shell.does(*self.again)
                if not (self.run / "classifier.safetensors").exists():
                    self.shell.does(*self.command)
            elif "replaced" in self.before.name and self.untouched():
                self.shell.does(*self.command)
            else:
                self.shell.does(*self.again)
        return everything(self.shell)

    def untouched(self) -> bool:
        return (self.run / "manifest.json").exists() and result(self.run) == result(self.before / "it")


def everything(shell: Shell) -> dict[str, Any]:
    """All of ``runs``: the run, the one beside it, where the pointer leads, and that nothing else is there."""
    runs = shell.folder / "runs"
    names = sorted(path.name for path in runs.iterdir())
    hidden = [str(path) for path in runs.rglob(".*")]
    return {"names": names, "hidden": hidden, "latest": str((runs / "latest").resolve()), **result(runs / "it")}


@pytest.fixture(scope="module", params=JOBS)
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Job:
    shell = Shell(tmp_path_factory.mktemp(request.param))
    write_data(shell.folder)
    command, again = JOBS[request.param]
    with a_step_a_call():
        shell.does(*BRIEF, "--run", "runs/earlier")
        if request.param in ("finetune", "replaced"):
            shell.does(*BRIEF)
        before = shell.folder / f"before-{request.param}"
        shutil.copytree(shell.folder / "runs", before, symlinks=True)
        with Disk(shell.folder / "runs").watched() as disk:
            shell.does(*command)
    return Job(shell, command, again, before, everything(shell), len(disk.operations))


def points(job: Job) -> range:
    return range(1, job.operations + 1, EVERY)


def check_what_was_there(job: Job, point: int) -> None:
    runs = job.shell.folder / "runs"
    assert result(runs / "earlier") == result(job.before / "earlier"), point
    passed: list[Exception] = []
    if job.run.exists() and (job.run / "checkpoints").exists():
        latest(job.run, None, passed.append)
    assert not passed, (point, passed)
    aside = [path for path in runs.glob(".it.replaced-*") if not damages(path)]
    assert (runs / "latest" / "manifest.json").exists() or aside, point
    if "replaced" in job.before.name:
        assert job.untouched() or aside or latest(job.run, "pretrain", passed.append) is not None, point
    if "finetune" in job.before.name:
        old = result(job.before / "it")
        found = {name: (job.run / name).read_bytes() for name in old if (job.run / name).is_file()}
        kept = ("layer1.safetensors", "layer2.safetensors", "scaling.safetensors")
        assert all(found[name] == old[name] for name in kept) and not damages(job.run), point


def removes(operation: Operation) -> bool:
    """Whether it gives up a checkpoint: one too many costs space alone, and goes at the next occasion."""
    name = operation.detail.name if operation.kind == "rename" else operation.path.name
    return operation.kind in ("unlink", "rmdir") or name == "checkpoints" or name.endswith(".tmp")


def test_any_operation_fails(job: Job, figures: dict[str, int]) -> None:
    for point in points(job):
        job.restart()
        number = ERRORS[(point // EVERY) % 3]
        with a_step_a_call(), Disk(job.shell.folder / "runs", failing(point, number)).watched() as disk:
            ended = job.shell(*job.command)
        failed = (point, disk.operations[point - 1], ended.err)
        assert ended.code == 7 or (ended.code == 0 and removes(disk.operations[point - 1])), failed
        assert [line[:7] for line in ended.err.splitlines()].count("error: ") == (ended.code == 7), failed
        assert "Traceback" not in ended.err, failed
        check_what_was_there(job, point)
        assert job.goes_on() == job.expected, failed
        figures["operations that failed"] += 1


def test_any_operation_is_the_last(job: Job, figures: dict[str, int]) -> None:
    for point in points(job):
        job.restart()
        disk = Disk(job.shell.folder / "runs", cut_off(point))
        with a_step_a_call(), disk.watched(), pytest.raises(CutOffError):
            job.shell(*job.command)
        cut = (point, disk.operations[point - 1])
        check_what_was_there(job, point)
        assert job.goes_on() == job.expected, cut
        figures["operations that were the last"] += 1
