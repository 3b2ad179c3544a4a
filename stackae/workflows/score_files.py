"""The files of scores: one line per row, one line per feature, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stackae.analysis.scoring import TITLES, Scored
from stackae.data.formats.writing import Cells, Here, Piece, Table
from stackae.data.minibatches import in_order
from stackae.data.rows import known_of
from stackae.plots import scores as score_pictures
from stackae.plots.scores import Panel, Suspects
from stackae.runs.durable import Content
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.outputs import tables_written

ROWS_WRITTEN = 1 << 14  # at once


def names_of(path: Path) -> tuple[str, str, str]:
    suffix = path.suffix.lower()
    return f"{path.stem}{suffix}", f"{path.stem}-features{suffix}", f"{path.stem}.png"


@contextmanager
def files_of(path: Path, scored: Scored, count: int, callbacks: Callbacks) -> Iterator[dict[str, Content]]:
    """Have the files made, tables in the format of ``path``, with details of ``count`` suspicious rows; yield them by
    name."""
    *places, picture = (path.with_name(name) for name in names_of(path))
    tables = [_table(each) for each in (_rows_table(scored), _features_table(scored, count))]
    with tables_written(dict(zip(places, tables, strict=True)), callbacks) as files:
        callbacks.busy("drawing a picture")
        yield {**files, picture.name: _picture(scored, count)}


def _table(columns: Mapping[str, Cells]) -> Table:
    rows = len(next(iter(columns.values())))

    def pieces() -> Iterator[Piece]:
        for part in in_order(rows, ROWS_WRITTEN) if rows else [slice(0, 0)]:
            beside = [(name, cells[part]) for name, cells in columns.items()]
            yield Piece(np.empty((len(beside[0][1]), 0)), beside)

    return Table((), rows, Here(pieces()))


def _rows_table(scored: Scored) -> dict[str, Cells]:
    """Return row, ids, score, flagged, the same of other methods; anomaly if known, data if there are several sets."""
    rows = scored.rows
    columns: dict[str, Cells] = {"row": np.concatenate([group.rows for group in rows.groups])}
    for name in rows.groups[0].ids:
        columns[name] = [str(cell) for group in rows.groups for cell in group.ids.get(name, [""] * len(group.x))]
    for name, method in scored.methods.items():
        titles = ("score", "flagged") if name == scored.default else (name, f"{name}_flagged")
        columns |= dict(zip(titles, [method.scores.numpy(), method.flagged.int().numpy()], strict=True))
    if rows.anomaly is not None:
        columns["anomaly"] = np.ma.masked_less(rows.anomaly.numpy(), 0)
    if len(rows.groups) > 1:
        columns["data"] = [group.name for group in rows.groups for _ in range(len(group.x))]
    return columns


def _features_table(scored: Scored, count: int) -> dict[str, Cells]:
    """Return feature, mean_error, and the feature's error in each of the most suspicious rows; masked are errors of
    cells that are missing."""
    rows = scored.rows
    indices = scored.most_suspicious(count)
    columns: dict[str, Cells] = {
        "feature": [rows.feature_name(place) for place in range(len(scored.errors))],
        "mean_error": np.ma.masked_invalid(scored.errors.numpy()),
    }
    suspects = _suspects(scored, indices.tolist(), "")
    for index, errors in zip(indices.tolist(), suspects.errors, strict=True):
        group, number = rows.place_of(index)[0], rows.number_of(index)
        name = f"row_{number}" if len(rows.groups) == 1 else f"{group.name}_row_{number}"
        columns[name] = np.ma.masked_invalid(errors.numpy())
    return columns


def _picture(scored: Scored, count: int) -> bytes:
    """Draw the histograms of all methods above the ``count`` most suspicious rows of each group."""
    rows = scored.rows
    own, *others = (Path(group.name).name for group in rows.groups)
    if rows.anomaly is None:
        labels = ["validation rows", f"{rows.part} rows of {own}"]
        blocks = [_suspects(scored, scored.most_suspicious(count).tolist(), "most suspicious rows")]
    else:
        labels = ["validation rows", *([own, *others] if others else ["normal rows", "anomalies"])]
        titles = [f"most suspicious {label}" if not others else f"most suspicious of {label}" for label in labels[1:]]
        blocks = [
            _suspects(scored, scored.most_suspicious(count, kind).tolist(), title) for kind, title in enumerate(titles)
        ]
    panels = [_panel(scored, name) for name in scored.methods]
    return score_pictures.anomaly_scores(
        panels, [_short(label) for label in labels], blocks, scored.calibration.image_shape, rows.column_names
    )


def _short(label: str) -> str:
    return label if len(label) <= 40 else "…" + label[-39:]


def _panel(scored: Scored, name: str) -> Panel:
    method, anomaly, found = scored.methods[name], scored.rows.anomaly, scored.performance(name)
    title = TITLES[name]
    if found is None or anomaly is None:
        flagged = int(method.flagged.sum())
        title += f"\n{flagged:,} of {len(method.scores):,} rows flagged"
        return Panel(title, method.threshold, method.calibration, _finite(method.scores))
    title += (
        f", AUROC {found.auroc:.4f}\ndetects {100 * found.detections:.2f} % at {100 * found.false_alarms:.2f} % "
        "false alarms"
    )
    known = [_finite(method.scores[anomaly == kind]) for kind in (0, 1)]
    return Panel(title, method.threshold, method.calibration, *known)


def _finite(scores: Tensor) -> Tensor:
    return scores[scores.isfinite()]


def _suspects(scored: Scored, indices: list[int], title: str) -> Suspects:
    rows, score = scored.rows, scored.score
    names, nowhere = list[str](), torch.empty(0, len(scored.errors))
    taken, known = [nowhere], [nowhere.bool()]
    for index in indices:
        group, place = rows.place_of(index)
        names.append(f"{rows.number_of(index)}\n{float(scored.scores[index]):.3g}")
        at = torch.tensor([place])
        taken.append(group.x[at])
        there = known_of(group.x, at)
        known.append(torch.ones_like(taken[-1], dtype=torch.bool) if there is None else there)
    x = torch.cat(taken)
    with torch.no_grad():
        made = score.stack.reconstruct(x, score.layer)
        errors = score.errors(x, torch.cat(known))
    return Suspects(title, names, rows.scaling.inverse_transform(x), rows.scaling.inverse_transform(made), errors)
