"""Laws of the streams that people read: work outlasts them, and what could not be delivered is told."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from shell import QUICK, Shell

from stackae.cli import screen
from stackae.cli.main import main

PRETRAIN = ("pretrain", "--layers", "8,6,4", "--data", "unlabelled.npy", "--run", "runs/it")


class Failing(io.StringIO):
    """From a write on, every one fails."""

    def __init__(self, number: int, after: int = 0, terminal: bool = False) -> None:
        super().__init__()
        self.number, self.left, self.terminal = number, after, terminal

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)

    def isatty(self) -> bool:
        return self.terminal


def ended(shell: Shell, out: object, err: object, *arguments: str) -> int:
    """How the command ends with those streams."""
    with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        return _ended(shell, *arguments)


def _ended(shell: Shell, *arguments: str) -> int:
    with patch.dict(os.environ, QUICK), patch.object(sys, "argv", ["stackae", *arguments]):
        before = Path.cwd()
        os.chdir(shell.folder)
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0)
        finally:
            os.chdir(before)
    raise AssertionError("main() ends by SystemExit")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_a_training_outlasts_the_stream_of_its_progress(
    number: int, after: int, terminal: bool, fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = io.StringIO()
    assert ended(fresh, out, Failing(number, after, terminal), *PRETRAIN) == 0
    assert "run folder  runs/it" in out.getvalue()
    assert fresh("runs", "verify", "runs/it").out.startswith("runs/it: every file is as it was written")


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("number", "code"), [(errno.EPIPE, 0), (errno.EIO, 0), (errno.ENOSPC, 7), (errno.EDQUOT, 7)])
def test_a_closed_pipe_costs_nothing_and_a_full_disk_is_told_when_all_is_done(
    number: int, code: int, fresh: Shell
) -> None:
    err = io.StringIO()
    assert ended(fresh, Failing(number), err, *PRETRAIN) == code
    told = [line for line in err.getvalue().splitlines() if line.startswith("error: ")]
    sentence = (
        f"error: standard output: expected to write results to it, got '{os.strerror(number)}'; the command did all "
        "else; free some space, or send its output elsewhere"
    )
    assert told == ([sentence] if code else [])
    assert (fresh.folder / "runs" / "latest").resolve() == (fresh.folder / "runs" / "it").resolve()


def test_an_error_keeps_its_exit_code_where_nobody_can_read_it(fresh: Shell) -> None:
    for arguments, code in ((("runs", "show", "none"), 4), (("pretrain", "--layers", "x"), 2), (("encode", "--no"), 2)):
        assert ended(fresh, Failing(errno.ENOSPC), Failing(errno.ENOSPC), *arguments) == code
        assert ended(fresh, None, None, *arguments) == code


@pytest.mark.parametrize("streams", ["out", "err", "both"])
def test_streams_that_were_closed_from_the_start_cost_nothing(streams: str, fresh: Shell) -> None:
    out, err = (None if streams in (each, "both") else io.StringIO() for each in ("out", "err"))
    assert ended(fresh, out, err, *PRETRAIN) == 0
    assert ended(fresh, out, err, "runs", "verify", "runs/it") == 0


def test_what_an_encoding_does_not_have_is_written_as_an_escape(fresh: Shell) -> None:
    (fresh.folder / "größe.npy").write_bytes((fresh.folder / "unlabelled.npy").read_bytes())
    for errors in ("strict", "replace"):
        out = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors=errors)
        assert ended(fresh, out, io.StringIO(), "data", "check", "größe.npy") == 0
        out.flush()
        assert b"gr\\xf6\\xdfe.npy" in out.buffer.getvalue()


def test_the_streams_are_put_back(fresh: Shell) -> None:
    before = sys.stdout, sys.stderr
    fresh("doctor")
    assert (sys.stdout, sys.stderr) == before


def test_after_a_failure_nothing_waits_in_the_stream_beneath(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as beneath:  # noqa: PTH123 - a descriptor, no path
        stream = screen.Lasting(beneath)
        stream.write("x")
        stream.flush()
        assert stream.failure is not None and stream.failure.errno == errno.EPIPE
        stream.write("y")
        beneath.write("z")
        beneath.flush()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{} --help >&-", 0),
        ("{} --help 2>&- <&- >&-", 0),
        ("{} pretrain --layers x 2>/dev/full", 2),
        ("{} --help | true; exit ${{PIPESTATUS[0]}}", 0),
        ("{} --version >/dev/full", 7),
    ],
)
def test_a_shell_sees_the_exit_code_and_no_traceback(line: str, code: int, tmp_path: Path) -> None:
    command = f"{sys.executable} -m stackae.cli.main"
    done = subprocess.run(
        ["bash", "-c", line.format(command)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_no_file_takes_the_number_of_a_stream_that_was_closed(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom stackae.cli import screen\n"
        "with screen.lasting():\n    assert os.open('made', os.O_CREAT | os.O_WRONLY) > 2"
    )
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{code}" >&- 2>&- <&-'], cwd=tmp_path, check=False)
    assert done.returncode == 0 and (tmp_path / "made").exists()
