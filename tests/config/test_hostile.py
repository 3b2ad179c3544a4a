"""Configuration files that mean harm: refused in one sentence, before they cost memory or time."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from data_files import laws, message, write
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import RunConfig, read_tables
from stackae.config.values import validated
from stackae.errors import ConfigError

TOO_LONG = "of at most 262,144 characters, 2,048 a line, and 10,000 dots, got more"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("a = " + "[" * 2000, "got lists or tables nested too deeply"),
        ("a = " + "{a=" * 600, "got lists or tables nested too deeply"),
        ("a" + ".a" * 100_000 + " = 1", TOO_LONG),
        ("a = 1\n" * 50_000, TOO_LONG),
        ("\n".join(f"k{number}" + ".a" * 1000 + " = 1" for number in range(20)), TOO_LONG),
        ("\n".join(f"k{number}" + ".a" * 1000 + " = 1" for number in range(9)), "expected the tables data"),
        ("a = 1979-02-31", "Invalid date"),
        ("a = '\x1b[31m'", "Found invalid character '\\x1b'"),
    ],
)
def test_files_that_mean_harm(tmp_path: Path, content: str, part: str) -> None:
    path = write(tmp_path / "a.toml", content)
    tracemalloc.start()
    text = message(read_tables, path, error=ConfigError)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert part in text and text.isprintable() and peak < 64 << 20


def test_pipes_and_devices_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "device.toml").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.toml", tmp_path / "device.toml", tmp_path):
        assert "got something that is no regular file" in message(read_tables, path, error=ConfigError)


WORDS = st.sampled_from([
    "[data]", "[pretrain]", "[[pretrain.layers]]", "data = 'digits'", "n_visible = 4", "n_hidden = 2", "scale = 1",
    "layers = [{n_hidden = 2}]", "corruption = 'gaussian:inf'", "sparsity = 'kl:0.1:1'", "batch_size = nan",
    "seed = 99999999999999999999", "max_epochs = 'auto'", "a.b.c = {}", "=",
])  # fmt: skip


@laws
@given(st.lists(WORDS | st.text(max_size=12), max_size=8).map("\n".join))
def test_any_text_is_a_configuration_or_a_config_error(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "a.toml", content.encode("utf-8", "surrogatepass"))
    try:
        validated(RunConfig, dict(read_tables(path)))
    except ConfigError as error:
        assert "expected" in str(error)
