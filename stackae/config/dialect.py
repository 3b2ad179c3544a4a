"""How tables of text are written, where a user says it: names for what stands between cells, and encodings."""

from __future__ import annotations

import codecs
from typing import Annotated

from pydantic import BeforeValidator

from stackae.errors import legible

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
NO_TEXT = ("idna", "mbcs", "oem", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf-7")
"""Encodings of Python's that files of text do not have."""


def _delimiter(value: object) -> object:
    text = DELIMITERS.get(str(value).lower(), "\t" if value == "\\t" else value)
    if value is not None and text not in DELIMITERS.values():
        raise ValueError(f"expected {', '.join(DELIMITERS)} or one of , ; | itself, got '{legible(str(value))}'")
    return text


def _decimal(value: object) -> object:
    text = {"point": ".", "comma": ","}.get(str(value).lower(), value)
    if value is not None and text not in (".", ","):
        raise ValueError(f"expected point or comma, got '{legible(str(value))}'")
    return text


def _encoding(value: object) -> object:
    """The name that Python knows an encoding by."""
    if value is None:
        return None
    try:
        found = codecs.lookup(str(value))
        known = found._is_text_encoding and found.name not in NO_TEXT
    except (LookupError, ValueError):
        known = False
    if not known:
        raise ValueError(
            f"expected an encoding of text, such as utf-8, latin-1, cp1252 or utf-16, got '{legible(str(value))}'"
        )
    return codecs.lookup(str(value)).name


Delimiter = Annotated[str | None, BeforeValidator(_delimiter)]
Decimal = Annotated[str | None, BeforeValidator(_decimal)]
Encoding = Annotated[str | None, BeforeValidator(_encoding)]
