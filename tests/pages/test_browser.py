"""Pages in a browser: no complaint, no request, no sideways scrolling, light and dark, and by keyboard alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Tab, browser
from cli_cases import PRETRAIN
from shell import Shell

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed here")
LUMINANCE = """(color => { const [r, g, b] = color.match(/[0-9.]+/g).map(v => (v /= 255) <= .04045 ? v / 12.92 :
  ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; })"""
CONTRAST = f"""(() => {{ const of = {LUMINANCE}, found = [];
  for (const one of document.querySelectorAll("main *, header *, footer *")) {{
    if (![...one.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !one.getClientRects().length) continue;
    if (one.closest("svg") && one.matches(".count, .label")) continue;
    const clear = each => ["rgba(0, 0, 0, 0)", ""].includes(getComputedStyle(each).backgroundColor);
    let under = one; while (under && clear(under)) under = under.parentElement;
    const own = getComputedStyle(one), ink = of(one.closest("svg") ? own.fill : own.color);
    const paper = of(getComputedStyle(under || document.body).backgroundColor);
    const ratio = (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
    if (ratio < 4.5) found.push(one.tagName + " " + one.textContent.slice(0, 30) + " " + ratio.toFixed(2));
  }} return [...new Set(found)]; }})()"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, first_run: Shell) -> list[Path]:
    """The page of one run, and that of two."""
    shell = Shell(tmp_path_factory.mktemp("pages"))
    shutil.copytree(first_run.folder, shell.folder, symlinks=True, dirs_exist_ok=True)
    shell.does(*PRETRAIN, "--sparsity", "kl:0.1:0.1", "--run", "runs/second")
    shell.does("report", "runs/first", "--out", "one.html")
    shell.does("report", "runs/first", "runs/second", "--out", "two.html")
    return [shell.folder / "one.html", shell.folder / "two.html"]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_a_page_is_whole_at_any_width(tab: Tab, pages: list[Path], width: int, theme: str) -> None:
    for page in pages:
        tab.open(page, width, theme)
        assert tab.complaints == [] and tab.requests == [page.as_uri()]
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert tab.evaluate(CONTRAST) == []


def test_the_theme_is_chosen_by_keyboard(tab: Tab, pages: list[Path]) -> None:
    tab.open(pages[0], 1400, "light")
    paper = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(paper)
    for _ in range(2):  # past the link that skips to the sections
        tab.press("Tab", 9)
    assert tab.evaluate("document.activeElement.id") == "theme"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate(paper) != before and tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.press("Enter", 13, "\r")
    assert tab.evaluate(paper) == before


def test_numbers_of_a_figure_open_by_keyboard(tab: Tab, pages: list[Path]) -> None:
    tab.open(pages[0], 360)
    tab.evaluate("document.querySelector('figure summary').focus()")
    tab.press("Enter", 13, "\r")
    assert tab.evaluate("document.querySelector('figure details').open")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
