"""What stands between the cells of a line of text: its names in messages, and which one a file has."""

from __future__ import annotations

import re

from stackae.data.formats import listed
from stackae.errors import DataError, legible

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
"""What each is called in messages. A run of spaces is one delimiter, and tabs in it count as spaces."""


def find_delimiter(where: str, header: str, delimiters: str) -> str:
    """The one of ``delimiters`` that cuts the header line of a file, outside quotes; spaces where no other does.

    Raises DataError, which begins with ``where``, when none of several does, and when more than one other does.
    """
    line = header.strip("\r\n ")
    if len(delimiters) == 1 or not line:
        return delimiters[0]
    bare = re.sub(r'"[^"]*"', '"', line)
    others = [each for each in delimiters if each in bare and each != " "]
    found = others or [each for each in delimiters if each in bare]
    if len(found) == 1:
        return found[0]
    wanted = listed([DELIMITERS[each] for each in delimiters])
    got = " and ".join(DELIMITERS[each] for each in found) or "none"
    remedy = "quote names that hold one" if found else "save a table of one column as .csv"
    raise DataError(f"{where}: expected {wanted} between the names, got {got} ({legible(line)}); {remedy}")
