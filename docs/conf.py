"""Sphinx: the pages of docs/ as a site (`make docs`), with tutorials that run while it is built.

The reference of Python is read from docstrings, that of the command line from its help.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

import stackae
from stackae.cli.main import app as cli
from stackae.config.documented import settings_of

HERE = Path(__file__).parent
project, author, release = "stackae", "the stackae developers", stackae.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "sphinx_copybutton",
]
exclude_patterns = ["requirements.txt", "examples/README.rst"]
html_theme, html_title, html_show_copyright = "furo", "stackae", False
html_static_path: list[str] = []
highlight_language, smartquotes = "text", False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
autodoc_typehints, autodoc_member_order = "none", "bysource"
autodoc_default_options = {"members": True, "undoc-members": False}
napoleon_google_docstring, napoleon_numpy_docstring, napoleon_use_ivar = True, False, True
copybutton_prompt_text = "$ "
suppress_warnings = ["config.cache"]  # of the gallery's functions, which cannot be pickled
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "tutorials",
    "filename_pattern": r"\.py$",
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "within_subsection_order": "FileNameSortKey",
}
OUTSIDE = (
    (re.compile(r"\]\(\.\./README\.md(#[\w-]+)?\)"), r"](/index.md\1)"),
    (re.compile(r"\[([^\]]+)\]\(\.\./benchmarks[^)]*\)"), r"\1"),
)
"""Links of pages to files that are not of the site."""
OF_HELP = (
    (re.compile(r"\*\*Commands\*\*:\n\n(\*.*\n)+"), ""),
    (re.compile(r"\[dim\]\\\[(.*?)\]\[/dim\]"), r"(\1)"),
    (re.compile(r"\[/?bold\]"), "**"),
    (re.compile(r"((?:^stackae .*\n+)+)", re.MULTILINE), r"```\n\1```\n\n"),
)
"""What a terminal shows of help, as Markdown; commands have sections of their own."""


def links_inside(app: Any, name: str, content: list[str]) -> None:
    for pattern, put in OUTSIDE:
        content[0] = pattern.sub(put, content[0])


def write_command_line(app: Any) -> None:
    """The page of every command and option, from what `--help` says."""
    command = get_command(cli)
    page = get_docs_for_click(obj=command, ctx=Context(command), name="stackae", title="Command line")
    for pattern, put in OF_HELP:
        page = pattern.sub(put, page)
    (HERE / "reference" / "command-line.md").write_text(page)


def docstrings_as_markup(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are written for a terminal: `code` in single backticks, |x|, and names of arguments over lines."""
    text = "\n".join(lines)
    text = re.sub(r"(?<![`\w])`([^`\n]+)`(?!`)", r"``\1``", text)
    text = re.sub(r"``s\b", r"``\\ s", text)
    text = re.sub(r"\|", r"\\|", text)
    while (joined := LONG_NAMES.sub(r"\1 \2", text)) != text:
        text = joined
    models = SETTINGS_OF.get(name, ())
    lines[:], replaced = [], False
    for line in text.split("\n"):
        each = _each_setting(line, models)
        replaced = bool(each) or (replaced and line.startswith(" " * 8))
        lines += each if replaced else [line]


def _each_setting(line: str, models: tuple[str, ...]) -> list[str]:
    """Of a line of arguments that are settings of these models, a line each with what the setting is."""
    names, colon, _ = line.strip().partition(": ")
    known = {name: setting for model in models for name, setting in settings_of(model).items()}
    found = names.split(", ")
    if not colon or len(found) < 4 or not all(name in known for name in found):
        return []
    return [f"    {name}: {known[name].help}" for name in found]


LONG_NAMES = re.compile(r"^( {4}(?:\w+, )*\w+,)\n +(?=\w+[,:])(.*)", re.MULTILINE)
"""Names of arguments that go on in the next line."""
SETTINGS_OF = {"stackae.pretrain": ("LayerConfig", "PretrainConfig"), "stackae.finetune": ("FinetuneConfig",)}
"""Models whose fields are arguments of a function."""


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", docstrings_as_markup, priority=100)
    app.connect("builder-inited", write_command_line)
    app.connect("source-read", links_inside)
