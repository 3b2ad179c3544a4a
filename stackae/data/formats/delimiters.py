"""What stands between the cells of a line of text: its names in messages, and which one a file has."""

from __future__ import annotations

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
"""What each is called in messages. A run of spaces is one delimiter, and tabs in it count as spaces."""


def find_delimiter(where: str, header: str, delimiters: str) -> str:
    """The one of ``delimiters`` that cuts the header line of a file; ``where`` names the file and begins an error."""
    return delimiters
