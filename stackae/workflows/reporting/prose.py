"""Sentences with commands in backquotes, as elements."""

from __future__ import annotations

from stackae.pages.markup import Markup, joined
from stackae.pages.page import code


def with_code(sentence: str) -> Markup:
    """Return the sentence with what stands between backquotes as code; a backquote without another stays."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return joined(sentence)
    return joined(code(part) if place % 2 else part for place, part in enumerate(parts))
