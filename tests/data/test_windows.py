"""Windows of signals: what they hold, where they begin, and that none shares a row with another part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import laws, message
from hypothesis import given
from hypothesis import strategies as st

from stackae.config import DataConfig
from stackae.config.values import validated
from stackae.data import Dataset, Scaling, Source, load_data
from stackae.data.division import Division, divided, row_sums
from stackae.data.order.held_out import BORDER, TEST, TRAIN, VALIDATION, check_parts
from stackae.data.order.known_rows import parts_by_content
from stackae.data.order.places import RowOrder
from stackae.data.order.windows import over_time, placed
from stackae.data.provenance import Known, KnownData
from stackae.data.run_rows import read_dataset, read_rows
from stackae.errors import ConfigError, DataError

MOMENTS = np.arange(100.0)


def saved(path: Path, *arrays: np.ndarray, **named: np.ndarray) -> str:
    if arrays:
        np.save(path, arrays[0])
    else:
        np.savez(path, **named)
    return str(path)


def windows(source: Source, **settings: object) -> Source:
    return placed(source, validated(DataConfig, settings))


def known_of(data: Dataset) -> Known:
    assert data.division is not None
    kept = KnownData(data.config, data.column_names, (), data.classes, (), len(data.division.sums), "", data.division)
    return Known("run", len(data.scaling.offset), kept)


@given(st.integers(1, 12), st.integers(1, 15), st.integers(1, 3))
@laws
def test_a_window_holds_its_rows_channel_by_channel(length: int, stride: int, channels: int) -> None:
    x = np.arange(40.0 * channels).reshape(40, channels)
    found = windows(Source("x", x), window=length, stride=stride)
    starts = list(range(0, 40 - length + 1, stride))
    assert found.places is not None and found.places.starts.tolist() == starts
    for window, start in zip(found.x, starts, strict=True):
        assert np.array_equal(window.reshape(channels, length), x[start : start + length].T)
    assert found.row_shape == ((channels, length) if channels > 1 else ())


@pytest.mark.parametrize("stride", [None, 3, 25])
def test_parts_share_no_row_of_the_signal(tmp_path: Path, stride: int | None) -> None:
    data = load_data(DataConfig(data=saved(tmp_path / "a.npy", MOMENTS), window=10, stride=stride, scale="none"))
    rows = [set(part.x[:].flatten().tolist()) for part in (data.train, data.validation, data.test)]
    assert all(rows) and max(rows[0]) < min(rows[1]) and max(rows[1]) < min(rows[2])
    borders = [note for note in data.notes if "share rows with one of another part" in note]
    assert len(borders) == (stride == 3)


def test_a_signal_is_told_by_its_longer_axis(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((200, 3))
    found = [
        load_data(DataConfig(data=saved(tmp_path / f"{name}.npy", array), window=20, scale="none"))
        for name, array in (("down", x), ("across", np.ascontiguousarray(x.T)))
    ]
    assert torch.equal(found[0].train.x[:], found[1].train.x[:]) and found[0].row_shape == (3, 20)
    assert any("3 channels of 200 moments, by its longer axis" in note for note in found[1].notes)
    assert "10 windows of 20 rows x 3 channels, one every 20 rows" in found[0].notes[0]


def test_a_window_has_the_class_of_most_of_its_rows_and_the_numbers_of_the_last() -> None:
    y = np.array([0, 0, 1, 1, 1, 0, -1, -1, 1, -1, -1, -1])
    found = windows(Source("x", MOMENTS[:12, None], y, ("a", "b")), window=3)
    assert found.y is not None and found.y.tolist() == [0, 1, 1, -1]
    tied = windows(Source("x", MOMENTS[:4, None], np.array([0, 0, 1, 1]), ("a", "b")), window=4)
    assert tied.y is not None and tied.y.tolist() == [1] and "1 have rows of several classes" in tied.notes[-1]
    numbers = windows(Source("x", MOMENTS[:6, None], MOMENTS[:6, None], targets=("t",)), window=3)
    assert numbers.y is not None and numbers.y.tolist() == [[2.0], [5.0]]


def test_no_window_spans_two_groups_or_a_step_of_time_that_is_missing() -> None:
    codes = np.repeat([0, 1], 30)
    times = np.concatenate([np.arange(30), np.arange(40)[np.r_[0:12, 22:40]]]).astype(float)
    mixed = np.random.default_rng(0).permutation(60)
    order = RowOrder(mixed, times[mixed], codes[mixed], ("p", "q"), "machine")
    found = windows(Source("x", MOMENTS[:60][mixed][:, None], order=order), window=5, stride=5)
    assert found.places is not None
    for window, start in zip(found.x, found.places.starts.tolist(), strict=True):
        rows = window.astype(int)
        assert rows[0] == start and len(set(codes[rows])) == 1 and np.array_equal(np.diff(times[rows]), np.ones(4))
    assert len(found.x) == 6 + 2 + 3 and "none across 1 gap" in found.notes[-1]


def test_a_row_that_is_left_out_is_a_gap() -> None:
    kept = np.delete(np.arange(20), 7)
    found = windows(Source("x", MOMENTS[kept, None], order=RowOrder(kept)), window=4)
    assert found.places is not None and found.places.starts.tolist() == [0, 8, 12, 16]


def grouped(groups: int, rows: int = 20, length: int | None = 5, stride: int | None = 2) -> tuple[Source, DataConfig]:
    codes = np.repeat(np.arange(groups), rows)
    names = tuple(f"g{number}" for number in range(groups))
    x = np.random.default_rng(0).random((groups * rows, 2))
    config = DataConfig(window=length, stride=stride)
    return placed(Source("x", x, order=RowOrder(np.arange(len(x)), None, codes, names, "machine")), config), config


@pytest.mark.parametrize("length", [None, 5])
def test_groups_are_divided_whole(length: int | None) -> None:
    source, config = grouped(10, length=length, stride=None)
    parts = divided(source, config)
    assert source.places is not None
    of_group = {group: set(parts[source.places.groups == group].tolist()) for group in range(10)}
    assert all(len(found) == 1 for found in of_group.values())
    assert sorted(part for (part,) in of_group.values()) == [TRAIN] * 7 + [VALIDATION] + [TEST] * 2
    order = np.random.default_rng(1).permutation(len(source.x))
    moved = source._replace(x=source.x[order], places=source.places.of(order))
    assert np.array_equal(divided(moved, config), parts[order])


def test_each_group_is_divided_by_time_where_that_is_asked_for() -> None:
    source, config = grouped(3)
    parts = divided(source, config.model_copy(update={"split": "time"}))
    assert source.places is not None
    for group in range(3):
        own = parts[source.places.groups == group].tolist()
        assert [part for part in own if part != BORDER] == sorted(part for part in own if part != BORDER)
        assert {TRAIN, VALIDATION, TEST} <= set(own)


def test_rows_are_divided_by_time_without_windows(tmp_path: Path) -> None:
    data = load_data(DataConfig(data=saved(tmp_path / "a.npy", MOMENTS[:, None]), split="time", scale="none"))
    assert [part.x[:].flatten().tolist() for part in (data.train, data.validation, data.test)] == [
        list(range(72)), list(range(72, 80)), list(range(80, 100)),
    ]  # fmt: skip
    last = DataConfig(data=data.config.data, split="time", validation_rows="last:10", scale="none")
    assert load_data(last).validation.x[:].flatten().tolist() == list(range(70, 80))


def test_a_scaling_is_that_of_each_channel_for_all_moments(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((200, 2)) * [1, 50]
    data = load_data(DataConfig(data=saved(tmp_path / "a.npy", x), window=10, scale="minmax"))
    alone = Scaling.fit("minmax", x[: len(data.train.x) * 10])
    assert torch.equal(data.scaling.offset, alone.offset.repeat_interleave(10))
    assert torch.equal(data.scaling.scale, alone.scale.repeat_interleave(10))
    kinds = {dtype: saved(tmp_path / f"{dtype}.npy", (100 * x).astype(dtype)) for dtype in ("uint8", "float32")}
    found = {dtype: load_data(DataConfig(data=path, window=10)).scaling.kind for dtype, path in kinds.items()}
    assert found == {"uint8": "minmax", "float32": "standard"}


def test_new_rows_of_a_run_are_cut_alike_and_say_where_they_begin(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random(400)
    data = load_data(DataConfig(data=saved(tmp_path / "a.npy", x), window=10, stride=5))
    known = known_of(data)
    own = read_rows(data.config, known, data.scaling)
    assert own.which.startswith(f"{len(data.test.x)} test windows of") and torch.equal(own.x[:], data.test.x[:])
    name, begins = own.beside[1]
    assert name == "start" and list(begins) == [5 * number for number in own.numbers.tolist()]
    new = np.random.default_rng(1).random(60)
    new[25] = np.nan
    config = data.config.model_copy(update={"data": saved(tmp_path / "b.npy", new)})
    read = read_rows(config, known, data.scaling)
    starts = [start for start in range(0, 26, 5) if start + 10 <= 25] + list(range(26, 51, 5))
    assert list(dict(read.beside)["start"]) == starts and read.bad_rows == 1
    assert any("1 of 60 rows left out" in note for note in read.notes)
    assert torch.equal(read.x[0:1], data.scaling.transform(new[None, :10]))


def test_windows_that_are_added_later_are_tested_on_and_none_shares_rows_with_training(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random(400)
    path = tmp_path / "a.npy"
    data = load_data(DataConfig(data=saved(path, x[:300]), window=10, stride=5))
    np.save(path, x)
    longer = read_dataset(data.config, known_of(data), data.scaling)
    assert torch.equal(longer.train.x[:], data.train.x[:]) and len(longer.test.x) > len(data.test.x)
    assert longer.division is not None
    trained = {int(start) for start in np.flatnonzero(longer.division.parts < TEST) * 5}
    tested = np.flatnonzero(longer.division.parts == TEST) * 5
    assert all(abs(start - other) >= 10 for start in tested.tolist() for other in trained)


def test_new_rows_of_a_known_group_are_in_its_part() -> None:
    source, config = grouped(10)
    parts = divided(source, config)
    assert source.places is not None
    first = source.places.starts % 20 < 8
    kept = Division(row_sums(source.x[first]), parts[first])
    found, change = parts_by_content(source, config, row_sums(source.x), [kept])
    assert np.array_equal(found, parts) and change.new == int((~first).sum())
    alone = source.places.groups < 4
    kept = Division(row_sums(source.x[alone]), parts[alone])
    found, _ = parts_by_content(source, config, row_sums(source.x), [kept])
    assert all(len(set(found[source.places.groups == group].tolist())) == 1 for group in range(10))


def test_sentences(tmp_path: Path) -> None:
    signal = saved(tmp_path / "a.npy", MOMENTS)

    def refused(error: type[Exception] = DataError, data: str = signal, **settings: object) -> str:
        return message(lambda: load_data(validated(DataConfig, {"data": data, **settings})), error=error)

    assert "expected 200 rows without a gap for window, got at most 100; use window=100" in refused(window=200)
    assert "stride 5: expected a window beside it" in refused(ConfigError, stride=5)
    assert (
        "expected windows that share no rows, got window=10 with stride=5; use split='time', or stride=10"
        in refused(ConfigError, window=10, stride=5, split="random")
    )
    cube = saved(tmp_path / "b.npy", np.zeros((9, 5, 4)))
    assert "expected a signal, (time,) or (time, channels), for window, got an array of 9 x 5 x 4" in refused(
        data=cube, window=3
    )
    assert "expected windows to train on before those that are held out, got none" in refused(window=60, stride=20)
    assert "group: expected none for" in refused(ConfigError, group="machine")
    source, config = grouped(2)
    with pytest.raises(ConfigError, match="expected a group each for training and validation and test rows, got 2"):
        check_parts("x", source.places, divided(source, config), config)
    source, config = grouped(5)
    with pytest.raises(ConfigError, match="validation_rows: expected none beside group, got last:3"):
        divided(source, config.model_copy(update={"validation_rows": "last:3"}))
    with pytest.raises(DataError, match="one signal; cut it into windows by window=100"):
        over_time(Source("x", MOMENTS[:, None], is_signal=True), DataConfig())
    with pytest.raises(ConfigError, match="time: expected a table, whose columns have names, got x; leave it out"):
        placed(Source("x", MOMENTS[:, None]), DataConfig(time="when"))
