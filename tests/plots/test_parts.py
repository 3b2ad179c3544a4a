"""Laws of the texts and the numbers in pictures: names are shown as they are written, and nothing is too large."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from stackae.plots import curves
from stackae.plots import latent as latent_pictures
from stackae.plots import runs as pictures
from stackae.plots import scores as score_pictures
from stackae.plots import sweep as sweep_pictures
from stackae.plots.parts import loaded_aside, new_figure, png_of, written
from stackae.plots.scores import Panel, Suspects

NAMES = ("$x_1", "_hidden", "a\x1b[31m", "a\u202eb", "a\nb", "x\udcff", "$\\frac{1}{$", "{", "^", "\\", "%s")
SHOWN = ("$x_1", " _hidden", "a\\x1b[31m", "a\\u202eb", "a\\nb", "x\\udcff", "$\\frac{1}{$", "{", "^", "\\", "%s")
LONG = "x" * 5000
EPOCH = {"stage": "layer1", "epoch": 1, "loss": 1.0, "validation_loss": 1.0, "best": True}


def texts_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """All that is written into the next pictures, as their backend gets it, with whether it is read as a formula."""
    from matplotlib.backends.backend_agg import RendererAgg

    seen: list[str] = []
    draw = RendererAgg.draw_text

    def noted(self: Any, gc: Any, x: float, y: float, s: str, *more: Any, **named: Any) -> None:
        seen.append(s)
        assert not named.get("ismath") or s in OURS or s.startswith("$\\mathdefault{"), s
        draw(self, gc, x, y, s, *more, **named)

    monkeypatch.setattr(RendererAgg, "draw_text", noted)
    return seen


OURS = ("$h_1$", "$h_2$")


def drawn() -> Iterator[bytes]:
    """With every name in every place."""
    names = (*NAMES, LONG)
    yield curves.loss_curves_compared({name: [EPOCH] for name in names})
    classes = torch.arange(len(names))
    yield pictures.confusion_matrix(torch.diag(classes), names, "test")
    yield latent_pictures.latent_scatter(torch.rand(len(names), 2), classes, names, "codes\n" + "".join(NAMES))
    panels = [Panel("autoencoder", 1.0, torch.rand(5), torch.rand(6), torch.rand(4))]
    some = torch.rand(1, len(names))
    for own, other in zip(NAMES[::2], NAMES[1::2], strict=False):
        suspects = [Suspects(own, ["1\n2"], some, some, some), Suspects(other, ["1\n2"], some, some, some)]
        yield score_pictures.anomaly_scores(panels, ["validation rows", own, other], suspects, None, names)
    for name in ("".join(NAMES), "$\\frac{1}{$", LONG):
        yield sweep_pictures.error_by_width([1, 2], [2.0, 1.0], [3.0, 2.0, 1.0], name)


def test_no_name_is_read_as_a_formula_or_breaks_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = texts_of(monkeypatch)
    for picture in drawn():
        assert _is_whole(picture)
    assert all(each.isprintable() for each in seen)
    for name in NAMES:
        assert sum(each.strip() == written(name).strip() for each in seen) >= 4, name


def test_names_are_shown_as_they_are_written() -> None:
    assert tuple(map(written, NAMES)) == SHOWN and len(written(LONG)) == 203


def _is_whole(picture: bytes) -> bool:
    """A PNG that is not gigantic, whose first part is as its checksum says."""
    width, height = struct.unpack(">II", picture[16:24])
    return zlib.crc32(picture[12:29]) == int.from_bytes(picture[29:33], "big") and width * height < 1e8


VALUES = (float("inf"), float("-inf"), float("nan"), 3e38, -3e38, 1e-45, 0.0)


@pytest.mark.parametrize("shape", [None, (2, 2)])
def test_numbers_at_the_ends_of_all_and_beyond_are_drawn(shape: tuple[int, ...] | None) -> None:
    for value in VALUES:
        all_of_it, rows = torch.full((3, 4), value), torch.rand(3, 4)
        rows[0, 0], rows[1] = value, value
        assert _is_whole(pictures.reconstructions([("original", all_of_it), ("layer 1", rows)], shape))
    rows = torch.tensor(VALUES).repeat(4, 1)[:, :4]
    for some in (rows, rows * 0 + 1e-45):
        assert _is_whole(pictures.reconstructions([("original", some)], shape))
        assert _is_whole(latent_pictures.samples(some, shape))
        assert _is_whole(latent_pictures.latent_scatter(some[:, :2], None, ()))
        suspects = [Suspects("suspects", ["1", "2", "3", "4"], some, rows, some.abs())]
        panels = [Panel("autoencoder", 1.0, torch.rand(5), torch.rand(6))]
        assert _is_whole(score_pictures.anomaly_scores(panels, ["validation", "rows"], suspects, shape))


def test_matplotlib_is_there_after_it_was_loaded_aside() -> None:
    """In a process that has not loaded it."""
    lines = [
        "import sys",
        "from stackae.plots.parts import loaded_aside",
        "assert 'matplotlib' not in sys.modules",
        "with loaded_aside(): pass",
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.backends.backend_agg' in sys.modules",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_error_of_loading_aside_is_left_to_the_first_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with loaded_aside():
        pass
    with pytest.raises(ImportError):
        png_of(new_figure(1, 1))
