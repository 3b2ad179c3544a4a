"""What is said of a run on a GPU machine: the first errors of each stage, and the numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu_numbers import sections
from benchmarks.gpu_output import first_errors, last_line
from benchmarks.step_files import by_case

ROOT = Path(__file__).resolve().parents[2]

PYTEST = """\
..F.F [100%]
=================================== FAILURES ===================================
______________________________ test_first[cuda] ______________________________
tests/test_ops.py:12: in test_first
    assert 1 == 2
E   assert 1 == 2
______________________________ test_second[cuda] _____________________________
E   assert 3 == 4
=========================== short test summary info ============================
FAILED tests/test_ops.py::test_first[cuda] - assert 1 == 2
FAILED tests/test_ops.py::test_second[cuda] - assert 3 == 4
2 failed, 3 passed in 1.00s
"""
SANITIZER = """\
========= COMPUTE-SANITIZER
1x1-1, tf32: 0.1 to 0.2
========= Invalid __global__ read of size 4 bytes
=========     at logits_kernel(float *)+0x30
=========     by thread (3,0,0) in block (0,0,0)
=========     Address 0x7f is out of bounds
=========
========= Invalid __global__ read of size 8 bytes
=========     at another_kernel+0x30
=========
RuntimeError: CUDA error
========= ERROR SUMMARY: 2 errors
"""
COMPILER = """\
[1/3] nvcc -Werror=all-warnings -c a.cu
FAILED: a.o
a.cu(12): error: identifier "foo" is undefined
      foo();
      ^

1 error detected in the compilation of "a.cu".
Traceback (most recent call last):
  File "setup.py", line 1, in <module>
RuntimeError: Error compiling objects for extension
"""


def test_of_pytest_the_summary_and_the_first_traceback():
    found = first_errors(PYTEST)
    assert found.splitlines()[:2] == PYTEST.splitlines()[-3:-1]
    assert "E   assert 1 == 2" in found and "E   assert 3 == 4" not in found
    assert last_line(PYTEST) == "2 failed, 3 passed in 1.00s"


def test_of_pytest_no_more_than_25_failures():
    lines = [f"FAILED tests/test_ops.py::test_{number} - it is wrong" for number in range(60)]
    assert first_errors("\n".join(lines)).splitlines() == [*lines[:25], "... and 35 more"]


def test_of_compute_sanitizer_the_first_report():
    found = first_errors(SANITIZER).splitlines()
    assert found[0] == "========= Invalid __global__ read of size 4 bytes"
    assert found[-1] == "========= ERROR SUMMARY: 2 errors"
    assert len(found) == 5 and "another_kernel" not in "\n".join(found)


def test_of_a_compiler_its_first_error():
    assert first_errors(COMPILER).splitlines()[0] == 'a.cu(12): error: identifier "foo" is undefined'


def test_of_a_program_the_first_traceback():
    trace = "Traceback (most recent call last):\n  File 'a'\n    f()\nValueError: one\n"
    text = f"begins\n{trace}Traceback (most recent call last):\n  File 'b'\nValueError: two\n"
    assert first_errors(text).splitlines()[:4] == text.splitlines()[1:5]
    assert first_errors("one\ntwo\n") == "one\ntwo"


# ---- what was compiled stands in rows of its own


def row(part: str, first: str = "fused", failed: dict[str, str] | None = None, **ratios: float) -> dict[str, Any]:
    detail = {
        name: {"microseconds": 20.0 * ratio, "quartiles": (19.0, 21.0), "interval": (1, 2)}
        for name, ratio in ratios.items()
    }
    detail[first] = {"microseconds": 20.0, "quartiles": (19.0, 21.0), "interval": (1, 1)}
    about = {
        "part": part,
        "case": "R: 256x784-300, tf32",
        "precision": "tf32",
        "first": first,
        "fused_us_per_step": 20.0,
    }
    return {**about, "floor": None, "noise": (0.9, 1.1), "ratios": ratios, "detail": detail, "failed": failed or {}}


def test_compiled_rows_add_to_those_of_their_case_and_take_nothing():
    plain, compiled = row("cases", **{"eager, Adam": 21.0}), row("compiled", **{"torch.compile, default": 5.0})
    joined = by_case([plain, compiled])["R: 256x784-300, tf32"]
    assert joined["ratios"] == {"eager, Adam": 21.0, "torch.compile, default": 5.0}
    broken = {"part": "compiled", "case": plain["case"], "failed": {"the row": "RuntimeError: CUDA error"}}
    joined = by_case([plain, broken])[plain["case"]]
    assert joined["ratios"] == plain["ratios"] and joined["failed"] == broken["failed"]
    without_ours = row("compiled", first="torch.compile, default", failed={"fused": "RuntimeError: CUDA error"})
    assert by_case([plain, without_ours])[plain["case"]]["fused_us_per_step"] == 20.0
    without_ours["part"] = "cases"
    assert by_case([without_ours, compiled])[plain["case"]]["ratios"] == compiled["ratios"]


def test_the_numbers_begin_with_the_targets(tmp_path):
    about = {"gpu": "a GPU", "date": "today", "build": {}}
    for name, part, ratios in (
        ("step.json", "cases", {"eager, Adam": 21.0, "eager in a CUDA graph": 5.0}),
        ("step_compiled.json", "compiled", {"torch.compile in a CUDA graph": 1.6}),
    ):
        (tmp_path / name).write_text(json.dumps({"machine": about, "rows": [row(part, **ratios)]}))
    (title, lines), *others = sections("measure", tmp_path)
    assert title == "targets of the step"
    assert "R: 256x784-300, tf32: microseconds a step, at most: 25; 20.00, met" in lines
    assert "R: 256x784-300, tf32: over eager in a CUDA graph: 6; 5.00, 5.00 of 6" in lines
    assert "R: 256x784-300, tf32: over torch.compile in a CUDA graph: 1.5; 1.60, met" in lines
    assert any("eager 21.00, eager graph 5.00, compiled graph 1.60" in line for _, more in others for line in more)
    done = subprocess.run([sys.executable, "-m", "benchmarks.report", str(tmp_path)], cwd=ROOT, check=True)
    assert done.returncode == 0 and "1.60 [1.00, 2.00]" in (tmp_path / "results.md").read_text()
