"""Elements: text is escaped, markup is not, and nothing else becomes a name."""

from __future__ import annotations

import pytest

from stackae.pages.markup import Markup, joined, table, tag, text


def test_text_is_escaped_and_markup_is_kept() -> None:
    assert tag("p", "<b>&", tag("b", "x"), None) == "<p>&lt;b&gt;&amp;<b>x</b></p>"
    assert joined(["a", ["<", Markup("<i>")]]) == "a&lt;<i>"


def test_attributes_are_escaped_and_named_as_html_names_them() -> None:
    made = tag("a", class_="x", aria_label='"<', hidden=True, title=None, disabled=False)
    assert made == '<a class="x" aria-label="&quot;&lt;" hidden></a>'


def test_invisible_characters_are_seen_and_nothing_is_cut() -> None:
    assert text("a\u202eb\n") == "a\\u202eb\\n"
    assert len(text("x" * 100_000)) == 100_000


def test_void_elements_have_no_end() -> None:
    assert tag("img", src="a") == '<img src="a">'


@pytest.mark.parametrize("name", ["a b", "a>", "", "1"])
def test_a_name_that_no_element_has_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="markup: expected a name of letters, digits and -, got"):
        tag(name)


def test_rows_of_a_table_are_named_by_their_first_cell() -> None:
    made = table(("a", "b"), [("<x>", 1)], "what")
    assert '<th scope="row">&lt;x&gt;</th><td>1</td>' in made and "<caption>what</caption>" in made
