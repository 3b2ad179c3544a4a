"""Elements of HTML and SVG: text is escaped where it enters, so that no name of a file or class becomes markup."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from stackae.errors import legible

VOID = frozenset({"br", "img", "input", "link", "meta"})
NAMES = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")


class Markup(str):
    """Text that is markup already: what ``tag`` and ``joined`` return."""

    __slots__ = ()


Child = str | Iterable[str] | None
"""Markup is taken as it is, other text is escaped; None is nothing."""


def text(value: object) -> Markup:
    """Escape a text, and show its invisible characters as escapes, as the console does."""
    told = str(value)
    return Markup(escape(legible(told, len(told)), quote=True))


def joined(*children: Child) -> Markup:
    """Join children to markup, escaping those that are none."""
    found: list[str] = []
    for child in children:
        if isinstance(child, str):
            found.append(child if isinstance(child, Markup) else text(child))
        elif child is not None:
            found.append(joined(*child))
    return Markup("".join(found))


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """Make an element.

    Attributes are named as Python allows: ``class_``, ``aria_label``, ``stroke_width``; those that are None or False
    are left out, and True is one without a value. Raises ValueError for a name that no element or attribute has.
    """
    told = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        own = key.rstrip("_").replace("_", "-")
        _check(own)
        told.append(f" {own}" if value is True else f' {own}="{text(value)}"')
    _check(name)
    inside = joined(*children)
    return Markup(f"<{name}{''.join(told)}>" + ("" if name in VOID else f"{inside}</{name}>"))


def _check(name: str) -> None:
    if not NAMES.fullmatch(name):
        raise ValueError(f"markup: expected a name of letters, digits and -, got {name!r}")


def table(
    columns: Iterable[object], rows: Iterable[Iterable[object]], caption: str = "", class_: str = "numbers"
) -> Markup:
    """Make a table that scrolls within itself; the first cell of each row names it."""
    head = tag("thead", tag("tr", (tag("th", _cell(each), scope="col") for each in columns)))
    lines = []
    for row in rows:
        first, *others = row
        lines.append(tag("tr", tag("th", _cell(first), scope="row"), (tag("td", _cell(each)) for each in others)))
    named = tag("caption", caption) if caption else None
    return tag(
        "div",
        tag("table", named, head, tag("tbody", lines), class_=class_),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption or "table",
    )


def _cell(value: object) -> str:
    return value if isinstance(value, str) else str(value)
