"""What runs on a GPU machine, rehearsed without one: its runner on commands of the shell, and both scripts whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_output import MOST, Printed
from benchmarks.gpu_plan import RESULTS, Places
from benchmarks.gpu_setup import problem_of
from benchmarks.gpu_stages import FAILED, OK, SKIPPED, Runner, Stage

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = {"needs": None}


def shell(name: str, script: str, limit: float = 20, **given: Any) -> Stage:
    return Stage(name, limit, ["sh", "-c", script], **{**ALWAYS, **given})


def runner(folder: Path) -> Runner:
    return Runner(folder / "out", os.environ)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_a_stage_out_of_time_is_killed_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu_stages.GRACE", 0.3)
    script = f"trap '' INT; sleep 600 & echo $! > {tmp_path}/pid; wait; sleep 600"
    one = runner(tmp_path)
    one.run([[shell("slow", script, 0.5)], [shell("next", "echo here")]], 60)
    assert one.outcomes["slow"].why == "out of time after 0.5 s" and one.outcomes["slow"].verdict == FAILED
    assert one.outcomes["next"].verdict == OK
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


STUCK = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in a shell's background
def waiting():
    time.sleep(60)
waiting()
"""


def test_a_stage_out_of_time_is_first_asked_where_it_was(tmp_path):
    one = runner(tmp_path)
    one.run([[Stage("stuck", 1, [sys.executable, "-c", STUCK], {}, None)]], 60)
    assert one.outcomes["stuck"].verdict == FAILED
    assert "in waiting" in one.outcomes["stuck"].errors and "KeyboardInterrupt" in one.outcomes["stuck"].errors


def test_what_a_stage_leaves_running_ends_with_it(tmp_path):
    one = runner(tmp_path)
    one.run([[shell("leaves", f"sleep 600 & echo $! > {tmp_path}/pid")]], 60)
    assert one.outcomes["leaves"].verdict == OK
    time.sleep(0.05)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_stages_of_one_group_run_side_by_side(tmp_path):
    def meets(own: str, other: str) -> str:
        wait = f"while [ ! -e {tmp_path}/{other} ]; do sleep 0.02; done"
        return f"touch {tmp_path}/{own}; {wait}; echo {own} met {other}"

    one = runner(tmp_path)
    one.run([[shell("a", meets("a", "b")), shell("b", meets("b", "a"))]], 60)
    assert [each.verdict for each in one.outcomes.values()] == [OK, OK]
    logs = (tmp_path / "out" / "logs.txt").read_text()
    assert logs.index("a met b") < logs.index("b met a")  # in the order of the stages, whichever ended first


def test_each_stage_that_is_skipped_says_why(tmp_path):
    one = runner(tmp_path)
    planned = [
        shell("wheels", "true", unless="no wheels"),
        shell("library", "echo broken; exit 3"),
        shell("smoke", "true", needs="library"),
        shell("after", "true", needs="smoke"),
        Stage("tool", 5, ["no-such-tool"], needs=None),
    ]
    one.run([[each] for each in planned], 60)
    one.run([[shell("late", "true")]], 0)
    assert {name: (each.verdict, each.why) for name, each in one.outcomes.items()} == {
        "wheels": (SKIPPED, "no wheels"),
        "library": (FAILED, "exit code 3"),
        "smoke": (SKIPPED, "needs library, which failed"),
        "after": (SKIPPED, "needs smoke, which was skipped"),
        "tool": (FAILED, "no-such-tool: No such file or directory"),
        "late": (SKIPPED, "out of time"),
    }
    assert one.finish("check.json") == 1
    rows = json.loads((tmp_path / "out" / "check.json").read_text())["stages"]
    assert [row["name"] for row in rows] == list(one.outcomes)


def test_a_crash_is_named(tmp_path):
    one = runner(tmp_path)
    one.run([[shell("crash", "kill -SEGV $$")]], 60)
    assert one.outcomes["crash"].why == "killed by SIGSEGV"


def test_all_that_is_printed_is_bounded_whatever_stages_print(tmp_path, capsys):
    loud = "i=0; while [ $i -lt 16 ]; do head -c 65536 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done"
    one = runner(tmp_path)
    one.run([[shell(f"loud{number}", f"{loud}; echo 'Error: it broke'; exit 1")] for number in range(4)], 120)
    one.show_errors(6_000)
    one.printed.say("y" * 50_000)
    one.printed.say("no room is left")
    assert one.finish("check.json") == 1
    said = capsys.readouterr().out
    assert MOST - 10 < len(said) <= MOST and said == one.printed.text == (tmp_path / "out" / "summary.txt").read_text()
    assert all(f"loud{number}: failed (exit code 1)" in said for number in range(4))
    assert said.count("Error: it broke") >= 4
    assert (tmp_path / "out" / "logs.txt").stat().st_size < 4 * 1_100_000


def test_a_log_that_is_long_keeps_its_beginning_and_its_end(tmp_path):
    one = runner(tmp_path)
    one.run([[shell("long", "echo begins; head -c 2000000 /dev/zero | tr '\\0' x; echo; echo ends")]], 60)
    text = one.outcomes["long"].text
    assert (
        text.startswith("begins\n") and text.endswith("ends\n") and "bytes left out" in text and len(text) < 1_001_000
    )


def test_printed_says_no_more_than_it_may(capsys):
    printed = Printed(30)
    for text in ("a" * 20, "b" * 20, "c" * 20):
        printed.say(text)
    assert len(printed.text) <= 30 and printed.text.count("\n") == 2
    assert capsys.readouterr().out == printed.text


# ---- both scripts, without a GPU


@pytest.mark.parametrize(
    ("module", "stages"),
    [
        ("check", ["smoke", "tests", "step tests", "memcheck", "step", "profile", "numbers"]),
        ("measure", ["step", "profile", "ladder", "population", "end to end", "accuracy", "compiled", "racecheck"]),
    ],
)
def test_without_a_gpu_every_stage_says_so(tmp_path, module, stages):
    nowhere = {name: str(tmp_path / "nothing") for name in ("LIBRARY", "WHEELS", "DATA_ROOT")}
    environment = {
        **os.environ,
        **nowhere,
        "OUT": str(tmp_path / "out"),
        "CUDA_VISIBLE_DEVICES": "",
        "PATH": os.defpath,
    }
    (tmp_path / "out").mkdir()
    for name in RESULTS:
        (tmp_path / "out" / name).write_text("of another run")
    command = [sys.executable, "-m", f"benchmarks.gpu_{module}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and done.stderr == "" and len(done.stdout) < 12_000
    assert "gpu_stages.py" not in done.stdout and "gpu_plan.py" not in done.stdout
    verdicts = dict(line.split(": ", 1) for line in done.stdout.split("\n\n")[0].splitlines())
    assert verdicts["wheels"].startswith("skipped (no wheels in nothing")
    assert verdicts["library"].startswith("failed (exit code 1)") and "expected a GPU, got none" in verdicts["library"]
    assert all(verdicts[name] == "skipped (needs library, which failed)" for name in stages)
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {f"{module}.json", "logs.txt", "summary.txt"}


def test_a_machine_gets_no_more_files_than_it_may_bring_back():
    assert len({*RESULTS, "measure.json", "logs.txt", "summary.txt"}) <= 8


def test_folders_are_those_that_the_environment_names(tmp_path, monkeypatch):
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.delenv("LIBRARY", raising=False)
    with Places.asked() as places:
        assert places.out == tmp_path and places.library == ROOT / "build" / "gpu-lib"


def test_a_library_that_does_not_run_here_says_why(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    assert problem_of(tmp_path) == "expected a library, got none"
    (tmp_path / "stackae").mkdir()
    (tmp_path / "stackae" / "__init__.py").write_text("")
    (tmp_path / "stackae" / "ops.py").write_text("def build_info():\n    return {'cuda': 'none'}\n")
    assert problem_of(tmp_path) == "expected CUDA code, got none"
    (tmp_path / "stackae" / "ops.py").write_text("raise ImportError('it is for another Python')\n")
    assert problem_of(tmp_path) == "ImportError: it is for another Python"
    assert capsys.readouterr().out == ""
