"""Laws of what a person sees: no text from elsewhere reaches the screen raw, or is taken for markup."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from shell import Shell

from stackae.cli import console, progress
from stackae.errors import MOST_MARKS, ConfigError, legible
from stackae.training.callbacks import EpochRecord

HOSTILE = "[red]x[/nope]:fire:\x1b[31m\x9b1m\u202eok\u2066\u200b\ufeff\nerror: forged\r\t\u2028\udc80e" + "\u0301" * 20
SHOWN = (
    "[red]x[/nope]:fire:\\x1b[31m\\x9b1m\\u202eok\\u2066\\u200b\\ufeff\\nerror: forged\\r\\t\\u2028\\udc80e"
    + "\u0301" * MOST_MARKS
    + "\\u0301" * (20 - MOST_MARKS)
)


def told(show: Callable[[], object], *, terminal: bool = False) -> str:
    """Everything that both streams get."""
    both = io.StringIO()
    if terminal:
        both.isatty = lambda: True
    with redirect_stdout(both), redirect_stderr(both):
        show()
    return both.getvalue()


def test_what_is_not_seen_is_shown_as_an_escape_of_every_category() -> None:
    unseen = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    for number in range(0x110000):
        letter = chr(number)
        shown = legible(letter)
        if unicodedata.category(letter) in unseen or (unicodedata.category(letter) == "Zs" and letter != " "):
            assert shown.startswith("\\") and shown.isascii(), hex(number)
        elif shown != letter:
            assert shown.isascii() and unicodedata.category(letter) in ("Mn", "Lo", "So"), hex(number)


@pytest.mark.parametrize("letter", ["\u3164", "\u2800", "\ufe0f", "\u115f", "\uffa0", "\u034f", "\U000e0100"])
def test_letters_that_show_nothing_are_told_too(letter: str) -> None:
    assert legible(f"a{letter}b") == f"a{letter.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("text", ["exp[lr=0.1]", "größe", "λ₁ ≤ 0.5", "日本語", "ตุ๊กตา", "naïve", "क्षि", "a b"])
def test_what_people_write_is_shown_as_it_is(text: str) -> None:
    assert legible(text) == text


def test_the_text_of_every_door_is_shown_as_an_escape() -> None:
    assert legible(HOSTILE, 1000) == SHOWN
    doors: dict[str, Callable[[], object]] = {
        "say": lambda: console.say(HOSTILE),
        "note": lambda: console.note(HOSTILE),
        "table": lambda: console.table(HOSTILE, ["", HOSTILE], [[HOSTILE, HOSTILE]]),
        "listing": lambda: console.listing(HOSTILE, ["", HOSTILE], [[HOSTILE, HOSTILE]]),
        "closing": lambda: console.closing(Path("runs") / HOSTILE, [HOSTILE], f"stackae {HOSTILE}"),
        "in_columns": lambda: console.in_columns([(HOSTILE, 500, "left", "")]),
    }
    console.stdout.width = console.stderr.width = 1200
    for name, show in doors.items():
        printed = told(show)
        assert SHOWN in printed, name
        assert not {line[:6] for line in printed.splitlines()} & {"error:"}, name
        assert all(each.isprintable() for each in printed.replace("\n", "")), name
    console.stdout.width = 60
    narrow = told(doors["listing"])
    assert SHOWN in narrow and all(each.isprintable() for each in narrow.replace("\n", ""))


def test_the_bars_of_a_terminal_show_names_as_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    console.stderr.width = 1200

    def reading() -> None:
        with progress.Meter(HOSTILE) as meter:
            meter.update(0.1)
            meter.update(0.9)

    def training() -> None:
        with progress.Display() as display:
            display.start_stage("layer1", HOSTILE, 1, 10, 2, 5)
            display.batch(5, 0.1)
            record = EpochRecord("layer1", 1, 0.5, None, None, 0.1, seconds=1.0, rows_per_second=10.0, best=True)
            display.epoch({0: record})

    monkeypatch.setenv("TERM", "xterm")
    for show in (reading, training):
        for terminal in (True, False):
            printed = told(show, terminal=terminal)
            assert SHOWN in printed, printed
            assert not set(printed) & set("\x9b\u202e\u2066\u200b\ufeff\u2028\udc80") and "[31m" not in printed.replace(
                SHOWN, ""
            )


def test_json_says_every_text_whole_in_ascii_and_has_null_for_what_is_not_finite() -> None:
    printed = told(lambda: console.emit_json({"name": HOSTILE, "x": [float("inf"), {"y": float("nan")}, 1.5]}))
    assert printed.isascii() and all(each.isprintable() for each in printed.replace("\n", ""))
    assert json.loads(printed) == {"name": HOSTILE.replace("\udc80", "\\udc80"), "x": [None, {"y": None}, 1.5]}


def test_an_error_is_a_line_and_what_it_adds_are_lines_of_their_own(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise ConfigError(f"a{HOSTILE}", "b\nc")

    monkeypatch.setattr("stackae.workflows.doctor.examine_installation", refuse)
    assert fresh("doctor").err == f"error: a{SHOWN}\nb\\nc\n"


def test_the_traceback_of_debug_is_legible_too(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise ConfigError("a\x1b[31mb")

    monkeypatch.setattr("stackae.workflows.doctor.examine_installation", refuse)
    printed = fresh("doctor", "--debug").err
    assert "Traceback (most recent call last):" in printed and "ConfigError: a\\x1b[31mb" in printed
    assert "\x1b" not in printed


def test_a_width_that_no_terminal_has_pads_no_help(fresh: Shell) -> None:
    assert max(map(len, fresh.does("--help", COLUMNS="99999999").splitlines())) < 1000
