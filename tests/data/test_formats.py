"""The table of formats: what a row names exists, and a row is all that another kind of text costs."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from data_files import message, write

from stackae.config import DataConfig
from stackae.data import load_source
from stackae.data.formats import FORMATS, Format, format_of, is_named, listed
from stackae.data.inspect.check import check_data


@pytest.mark.parametrize("each", FORMATS.values(), ids=list(FORMATS))
def test_what_a_row_names_exists(each: Format) -> None:
    for name in (each.reader, each.pieces, each.writer):
        if name is not None:
            module, function = name.split(".")
            assert callable(getattr(import_module(f"stackae.data.formats.{module}"), function))
    if each.store is not None:
        module, function = each.store.rsplit(".", 1)
        assert callable(getattr(import_module(f"stackae.data.{module}"), function))
    assert each.named or not each.delimiter


def test_a_format_is_found_by_its_suffix_alone() -> None:
    assert format_of("a/b.NPY") is FORMATS[".npy"] and format_of(Path("b.tar.csv")) is FORMATS[".csv"]
    assert [format_of(name) for name in ("digits", "csv", ".csv", "a.npy.gz", "a.gz", ".gz", "torchvision:MNIST")] == [
        None
    ] * 7
    assert format_of("a.CSV.gz") is FORMATS[".csv"] and format_of("a/b.data.GZ") is FORMATS[".data"]
    assert is_named("a.tsv") and not is_named("a.npz") and not is_named("mnist")
    assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a or b", "a, b or c")


def test_a_row_is_all_that_another_format_of_text_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(data=str(write(tmp_path / "a.bars", "a|b|y\n1|2|u\n3|4|v\n")), target="y")
    assert "(a file of another kind)" in message(load_source, config)
    monkeypatch.setitem(FORMATS, ".bars", replace(FORMATS[".csv"], suffix=".bars", delimiter="|"))
    source = load_source(config)
    assert (source.x.tolist(), source.classes, source.column_names) == ([[1, 2], [3, 4]], ("u", "v"), ("a", "b"))
    report = check_data(config)
    assert not report.refusal and report.classes == ("u", "v")
    assert ".pgm or .bars, got" in message(load_source, DataConfig(data="a.unknown"))
