"""What a stage printed, cut to what is worth reading first: of a thousand errors the first one explains most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

MOST = 11_500
"""Characters that are printed in all."""
KEPT = 500_000
"""Bytes of a stage's output that are kept from its beginning, and as many from its end."""
MOST_FAILURES, MOST_TRACE, MOST_REPORT, WIDEST = 25, 40, 16, 160
"""Lines of the tests that failed, of a traceback, of a report by compute-sanitizer; and characters of a line."""


class Printed:
    """What has been said; what would make it more than MOST characters is left out, and so it says."""

    def __init__(self, most: int = MOST) -> None:
        self.text = ""
        self._most = most

    @property
    def left(self) -> int:
        return max(0, self._most - len(self.text))

    def say(self, text: str, most: int | None = None) -> None:
        """Prints the text, or so many characters of it."""
        said = cut(text, min(self.left, self._most if most is None else most) - 1)
        if said:
            self.text += said + "\n"
            print(said, flush=True)


def cut(text: str, most: int) -> str:
    """The first ``most`` characters, with three dots where there were more."""
    return text if len(text) <= most else text[: max(0, most - 4)].rstrip() + " ..." if most > 4 else ""


def text_of(log: Path) -> str:
    """A log's beginning and its end, with what terminals and progress bars leave in it taken out."""
    size = log.stat().st_size
    with log.open("rb") as file:
        data = file.read(2 * KEPT if size <= 2 * KEPT else KEPT)
        if size > 2 * KEPT:
            file.seek(size - KEPT)
            data += f"\n[{size - 2 * KEPT:,} bytes left out]\n".encode() + file.read()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]", "", data.decode(errors="replace"))


def last_line(text: str) -> str:
    """The last one that is not empty, without the rule that pytest draws around it."""
    lines = [line.strip(" =") for line in text[-10_000:].splitlines() if line.strip(" =")]
    return lines[-1] if lines else ""


def first_errors(text: str) -> str:
    """Of pytest the tests that failed and the first traceback, of compute-sanitizer its first report, of a compiler its
    first error, and of anything else the first traceback, the first lines that speak of an error, or the end."""
    lines = text.splitlines()
    found = [*_pytest(lines), *_sanitizer(lines)] or _beginning(lines, r"\berror:", 10) or _anything(lines)
    return "\n".join(cut(line, WIDEST) for line in found)


def _pytest(lines: Sequence[str]) -> list[str]:
    """The short summary; then the first section below FAILURES or ERRORS."""
    failed = [line for line in lines if re.match(r"(FAILED|ERROR) \S+(::|\.py)", line)]
    headers = [i for i, line in enumerate(lines) if re.match(r"=+ (FAILURES|ERRORS) =+$", line)]
    if not failed and not headers:
        return []
    if len(failed) > MOST_FAILURES:
        failed = [*failed[:MOST_FAILURES], f"... and {len(failed) - MOST_FAILURES} more"]
    if not headers:
        return failed
    trace: list[str] = []
    for line in lines[headers[0] + 1 :]:
        if trace and re.match(r"(_{3,} .* _{3,}|=+ .* =+)$", line):
            break
        trace.append(line)
    return [*failed, *_middle_out(trace, MOST_TRACE)]


def _sanitizer(lines: Sequence[str]) -> list[str]:
    """The first report, to the line where its own lines end, and how many there are."""
    about = r"========= (?!COMPUTE-SANITIZER|ERROR SUMMARY|RACECHECK SUMMARY|LEAK SUMMARY|Target application)\S"
    begins = next((i for i, line in enumerate(lines) if re.match(about, line)), None)
    if begins is None:
        return []
    report = [lines[begins]]
    for line in lines[begins + 1 :]:
        if not re.match(r"=========\s{2,}\S", line):
            break
        report.append(line)
    return [*report[:MOST_REPORT], *(line for line in lines if "SUMMARY:" in line)][: MOST_REPORT + 1]


def _anything(lines: Sequence[str]) -> list[str]:
    begins = next((i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")), None)
    if begins is not None:
        ends = next((i for i in range(begins + 1, len(lines)) if re.match(r"\S", lines[i])), len(lines) - 1)
        return _middle_out(lines[begins : ends + 3], MOST_TRACE)
    return _beginning(lines, r"\berror\b|\bError:|\bfatal\b|^Fatal|Segmentation fault|Aborted", 20) or list(lines[-10:])


def _beginning(lines: Sequence[str], pattern: str, most: int) -> list[str]:
    """So many lines from the first one in which the pattern is found."""
    begins = next((i for i, line in enumerate(lines) if re.search(pattern, line)), len(lines))
    return list(lines[begins : begins + most])


def _middle_out(lines: Sequence[str], most: int) -> list[str]:
    """Where a traceback is long, its beginning and its end."""
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most // 4], f"[{len(lines) - most} lines left out]", *lines[len(lines) - (most - most // 4) :]]
