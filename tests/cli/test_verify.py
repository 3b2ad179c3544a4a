"""Laws of `stackae verify`: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from shell import Shell

from stackae import verification
from stackae.verification import CHECKS, Case, Check, NotHereError
from stackae.verification.check import run

QUICKLY = ("verify", "--only", "contraction,noise")
COUNT = len([check for check in CHECKS if check.group in ("contraction", "noise")])
FIELDS = {
    "group": str,
    "name": str,
    "expected": str,
    "figure": str,
    "cases": int,
    "worst_case": str,
    "shown": str,
    "measured": (int, float),
    "bound": (int, float),
    "state": str,
    "reason": str,
    "seconds": float,
}


def check_of(name: str, *cases: Case, error: Exception | None = None) -> Check:
    def measure() -> Iterator[Case]:
        yield from cases
        if error is not None:
            raise error

    return Check("tied", name, "one to be two", "relative error", measure, "do without")


PASSING = check_of("fine", Case("easy", 0.25, 1.0))
FAILING = check_of("off", Case("hard", 0.125, 0.001))
BROKEN = check_of("broken", error=KeyError("lost"))
MISSING = check_of("missing", error=NotHereError("no such machine"))


def given(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(verification, "CHECKS", checks)


def test_it_prints_the_machine_a_row_for_each_check_and_the_next_command(fresh: Shell) -> None:
    before = fresh.files()
    lines = fresh.does(*QUICKLY).splitlines()
    assert lines[0].startswith("stackae ") and any(line.startswith("extension cpu level") for line in lines)
    rows = [line for line in lines if line.startswith(("contraction: ", "noise: "))]
    assert len(rows) == COUNT and all(" passed " in row for row in rows)
    assert lines[-2].startswith(f"verified    {COUNT} passed, in ")
    assert lines[-1] == "next        stackae pretrain --layers 784,300,150"
    assert fresh.files() == before


def test_a_row_tells_what_is_compared_and_the_figure_beside_its_bound(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, PASSING, MISSING)
    printed = fresh.does("verify")
    (row,) = (line.split() for line in printed.splitlines() if line.startswith("tied: fine"))
    assert row == ["tied:", "fine", "one", "to", "be", "two;", "relative", "error", "1", "0.25", "1", "passed", "0.0"]
    (row,) = (line.split() for line in printed.splitlines() if line.startswith("tied: missing"))
    assert row == ["tied:", "missing", "no", "such", "machine", "-", "-", "-", "skipped", "0.0"]
    assert "verified    1 passed, 1 skipped, in " in printed


@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_no_row_is_longer_than_a_narrow_terminal_or_a_wide_one_can_show(fresh: Shell, columns: str) -> None:
    lines = fresh.does("verify", "--only", "contraction", COLUMNS=columns).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("check "))
    end = next(number for number, line in enumerate(lines) if line.startswith("verified"))
    assert max(len(line.rstrip()) for line in lines[start:end]) <= min(140, max(80, int(columns)))


def test_a_failure_ends_it_with_1_and_a_sentence_and_the_other_rows_are_there(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, FAILING, BROKEN, PASSING)
    result = fresh("verify")
    assert result.code == 1 and "Traceback" not in result.err
    states = [line.split()[-2] for line in result.out.splitlines() if line.startswith("tied: ")]
    assert states == ["failed", "failed", "passed"]
    assert "verified    1 passed, 2 failed, in " in result.out and "next  " not in result.out
    remedy = "do without; report it together with what `stackae doctor` prints"
    assert result.err.splitlines() == [
        "error: tied, off: expected one to be two, relative error of at most 0.001, measured 0.125 for hard; " + remedy,
        "tied, broken: expected one to be two, got KeyError: 'lost'; " + remedy,
    ]


def test_json_is_one_document_with_every_figure(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    document = json.loads(fresh.does(*QUICKLY, "--json"))
    assert set(document) == {"machine", "checks", "passed", "failed", "skipped", "seconds"}
    assert (document["passed"], document["failed"], document["skipped"]) == (COUNT, 0, 0)
    assert document["machine"]["problem"] == "" and "extension_cpu_level_in_use" in document["machine"]
    for row in document["checks"]:
        assert list(row) == list(FIELDS) and all(isinstance(row[name], kind) for name, kind in FIELDS.items())
        assert row["measured"] <= row["bound"] and row["state"] == "passed" and row["reason"] == ""


def test_json_of_failures_is_one_document_too_without_nan(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, check_of("nan", Case("none", float("nan"), 1.0)), BROKEN, MISSING)
    result = fresh("verify", "--json")
    document = json.loads(result.out, parse_constant=lambda word: pytest.fail(word))
    assert result.code == 1 and document["failed"] == 2 and document["skipped"] == 1
    assert [row["measured"] for row in document["checks"]] == [None] * 3
    assert "measured nan for none" in document["checks"][0]["reason"]
    assert result.err.startswith("error: tied, nan: expected")


def test_a_fault_in_the_library_is_found_by_the_command(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.objectives.reconstruction.contraction", lambda a, weight, f: 0.01 * weight.sum())
    result = fresh("verify", "--only", "contraction")
    assert result.code == 1 and "contraction, every activation: expected the penalty to be" in result.err


def test_without_the_extension_it_says_so_and_checks_the_rest(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stackae.ops.compiled", None)
    printed = fresh.does("verify", "--only", "contraction,tied", COLUMNS="140")
    assert any(line.split() == ["extension", "not", "built"] for line in printed.splitlines())
    assert "verified    3 passed, 1 skipped, in " in printed
    assert "left out    1 check of what is compiled, as the extension is not built: tied: fused step" in printed
    (row,) = (line for line in printed.splitlines() if line.startswith("tied: fused step"))
    assert "the extension is not built" in row and " skipped " in row


@pytest.mark.parametrize(
    ("word", "got"),
    [
        ("gradient", "got 'gradient'; did you mean 'gradients'?"),
        ("tied,ops", "got 'ops'"),
        ("", "got ''"),
    ],
)
def test_a_name_that_no_check_has_is_refused_with_those_there_are(fresh: Shell, word: str, got: str) -> None:
    sentence = fresh.refuses(2, "verify", "--only", word)
    known = "gradients, contraction, marginalized, linear, tied, noise, variational, fused, resuming"
    assert sentence == f"error: --only: expected names out of {known}, {got}"


def test_help_names_every_group(fresh: Shell) -> None:
    printed = fresh.does("verify", "--help", COLUMNS="200")
    assert ", ".join(dict.fromkeys(check.group for check in CHECKS)) in printed


def test_a_row_that_is_run_alone_is_the_one_of_the_table() -> None:
    outcome = run(FAILING)
    assert (outcome.measured, outcome.bound, outcome.worst) == (0.125, 0.001, "hard")
