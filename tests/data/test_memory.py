"""Memory that was freed goes back to the system, where its library can."""

from __future__ import annotations

import ctypes
from types import SimpleNamespace

import pytest

from stackae.data.memory import give_back


def test_the_library_is_told_to_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(malloc_trim=kept.append))
    give_back()
    assert kept == [0]


def test_a_library_that_cannot_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def other(name: str | None) -> object:
        asked.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", other)
    give_back()
    assert asked == [None]
