"""A whole page: its head, its verdict, its sections with a way to each, and the policy that lets it load nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import NamedTuple

from stackae import __version__
from stackae.pages.markup import Child, Markup, joined, table, tag, text


class Section(NamedTuple):
    """A part of a page: where links lead, its heading, a sentence under it, and what it shows."""

    anchor: str
    title: str
    lead: str
    content: Child


def page(title: str, about: str, first: Markup, sections: Sequence[Section]) -> bytes:
    """Make the page: one file that loads nothing, by a policy that browsers hold it to.

    It follows the system's scheme, light or dark, or the one that its button chooses.
    """
    style, script = _part("page.css"), _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Markup(style)),
    )
    heading = tag("div", tag("h1", title), tag("p", about, class_="about"))
    switch = tag("button", "Dark theme", type="button", id="theme", hidden=True)
    ways = tag(
        "nav",
        tag("ul", (tag("li", tag("a", each.title, href=f"#{each.anchor}")) for each in sections)),
        aria_label="Sections",
    )
    body = tag(
        "body",
        tag("a", "Skip to the sections", href=f"#{sections[0].anchor}" if sections else "#verdict", class_="skip"),
        tag("header", heading, switch),
        tag("main", first, ways, map(_shown, sections)),
        tag("footer", f"Written by stackae {__version__}. This page is one file, and loads nothing."),
        tag("script", Markup(script)),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n".encode()


def figure(
    caption: str,
    drawn: Markup,
    columns: Sequence[object] = (),
    rows: Sequence[Sequence[object]] = (),
    *,
    legend: Sequence[tuple[str, str]] = (),
    under: str = "",
    wide: bool = False,
) -> Markup:
    """Make a figure: caption, drawing, legend (name, class of the key), and its numbers as a table that opens."""
    told = tag("figcaption", caption, tag("small", under) if under else None)
    keys = [tag("li", tag("span", class_=f"key {key}", aria_hidden="true"), name) for name, key in legend]
    numbers = tag("details", tag("summary", "Numbers"), table(columns, rows)) if columns else None
    return tag(
        "figure",
        told,
        drawn,
        tag("ul", keys, class_="legend") if keys else None,
        numbers,
        class_="wide" if wide else None,
    )


def facts(pairs: Sequence[tuple[str, Child]]) -> Markup:
    """Make a list of names and what they are."""
    return tag("dl", (joined(tag("dt", name), tag("dd", value)) for name, value in pairs), class_="facts")


def code(line: object) -> Markup:
    """Make a command or a name that is typed as it stands."""
    return tag("code", text(line))


def _shown(section: Section) -> Markup:
    lead = tag("p", section.lead, class_="lead") if section.lead else None
    return tag("section", tag("h2", section.title), lead, section.content, id=section.anchor, aria_label=section.title)


@cache
def _part(name: str) -> str:
    return resources.files("stackae.pages").joinpath(name).read_text(encoding="utf-8")
