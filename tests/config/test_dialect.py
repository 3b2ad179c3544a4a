"""Settings that say how a file of text is written: by name or by the very character."""

from __future__ import annotations

import pytest

from stackae.config import DataConfig
from stackae.data.reading import dialect_of
from stackae.data.tables.frame import Dialect
from stackae.errors import ConfigError


def test_what_is_not_given_is_left_open() -> None:
    assert dialect_of(DataConfig()) == Dialect()
    asked = DataConfig(delimiter="tab", decimal="comma", encoding="Latin-1", header=False, missing_values="-999, none")
    assert dialect_of(asked) == Dialect("\t", ",", "iso8859-1", False, ("-999", "none"))
    assert [DataConfig(delimiter=each).delimiter for each in (";", "\t", "\\t", "Space", "bar")] == [
        ";", "\t", "\t", " ", "|",
    ]  # fmt: skip
    again = DataConfig.model_validate(asked.model_dump())
    assert again == asked and DataConfig(decimal="point").decimal == "."


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("delimiter", "colon", "expected comma, semicolon, tab, bar, space or one of , ; | itself, got 'colon'"),
        ("decimal", ";", "decimal: expected point or comma, got ';'"),
        ("encoding", "utf-99", "such as utf-8, latin-1, cp1252 or utf-16, got 'utf-99'"),
        ("encoding", "base64", "got 'base64'"),
        ("encoding", "punycode", "got 'punycode'"),
        ("encoding", "a\0b", "got 'a\\x00b'"),
        ("header", "perhaps", "header: expected true or false, got 'perhaps'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(setting: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(**{setting: value})
    assert sentence in str(caught.value)
