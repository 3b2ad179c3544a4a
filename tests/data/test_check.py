"""What `stackae data check` rests on: findings are numpy's, and a refusal is the reader's own sentence."""

from __future__ import annotations

import gzip
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from data_files import TEXT_FORMATS, idx_bytes, laws, npy_bytes, peak_of, write, write_idx_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stackae.config import DataConfig
from stackae.data import load_data, load_source
from stackae.data.inspect.advice import warnings_of
from stackae.data.inspect.check import Report, check_data
from stackae.data.inspect.examine import Examiner, Findings
from stackae.data.reading import read_table
from stackae.errors import ConfigError, DataError

cells = st.sampled_from([0.0, -0.0, 1.0, 0.5, -3.25, 7e-41, 1e30, math.nan, math.inf, -math.inf, 1e300])
tables = hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=cells)
bytes_tables = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.integers(0, 2))


def examined(x: np.ndarray, *cuts: int) -> Findings:
    examiner = Examiner(x.shape[1])
    for piece in np.split(x, sorted(cut for cut in cuts if cut < len(x))):
        examiner.add(piece)
    return examiner.findings()


def key(line: np.ndarray) -> tuple[object, ...]:
    return tuple("nan" if value != value else value for value in line.tolist())  # -0.0 == 0.0


@laws
@given(tables | bytes_tables, st.integers(0, 8), st.integers(0, 8))
def test_findings_are_those_of_numpy(x: np.ndarray, first: int, second: int) -> None:
    found = examined(x, first, second)
    with np.errstate(over="ignore"):
        finite = np.isfinite(x.astype(np.float32))
    assert (found.rows, found.columns) == x.shape
    assert (found.nan, found.infinite) == (np.isnan(x).sum(), np.isinf(x).sum())
    assert found.bad == (~finite).sum()
    expected = [(row, column, str(x[row, column])) for row, column in np.argwhere(~finite).tolist()]
    assert [tuple(cell) for cell in found.first_bad] == expected[:10]
    for column in range(x.shape[1]):
        kept = x[finite[:, column], column].astype(np.promote_types(x.dtype, np.float32))
        assert found.low[column] == kept.min(initial=np.inf) and found.high[column] == kept.max(initial=-np.inf)
    whole = [column for column in range(x.shape[1]) if finite[:, column].all() and len(set(x[:, column].tolist())) == 1]
    assert found.constant_columns == whole
    columns: dict[object, list[int]] = {}
    for column in range(x.shape[1]):
        columns.setdefault(key(x[:, column]), []).append(column)
    assert found.duplicate_columns == sorted(group for group in columns.values() if len(group) > 1)
    assert found.duplicate_rows == len(x) - len({key(row) for row in x})


def test_planted_faults_are_found_in_large_data(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(5000, 40))
    x[:, 7], x[:, 30], x[:, 31] = 2.5, x[:, 3], x[:, 3]
    x[4000:4100] = x[:100]
    x[1234, 5], x[4999, 39] = math.nan, 1e39
    monkeypatch.setattr("stackae.data.inspect.examine.BLOCK_BYTES", 8000)
    found = examined(x)
    assert found.constant_columns == [7] and found.duplicate_columns == [[3, 30, 31]] and found.duplicate_rows == 100
    assert [tuple(cell)[:2] for cell in found.first_bad] == [(1234, 5), (4999, 39)]
    assert (found.nan, found.infinite, found.too_large) == (1, 0, 1)
    monkeypatch.setattr("stackae.data.inspect.duplicates.MOST_ROWS_COMPARED", 4050)
    few = examined(x)
    assert (few.duplicate_rows, few.compared_rows) == (50, 4050)


def test_equal_numbers_in_another_order_are_not_equal_columns() -> None:
    x = np.array([[1, 2, 1], [2, 1, 2]], np.uint8)
    assert examined(x).duplicate_columns == [[0, 2]] and examined(x).duplicate_rows == 0
    assert examined(x.astype(np.float32)).duplicate_columns == [[0, 2]]


# ---- the same verdict as the readers'


def verdict(config: DataConfig) -> str:
    """What pretraining says of the data, "" when it takes them."""
    try:
        load_data(config.model_copy(update={"validation_fraction": 0.0, "test_fraction": 0.0}))
    except DataError as error:
        return str(error)
    return ""


def plain(found: Findings) -> dict[str, object]:
    return {**found._asdict(), "low": found.low.tolist(), "high": found.high.tolist()}


layouts = st.tuples(st.sampled_from(["<f8", ">f8", "<f4", ">f4", "<f2", "u1", "i4", "?"]), st.sampled_from("CF"))
shapes = hnp.array_shapes(min_dims=2, max_dims=4, max_side=4)


@laws
@given(hnp.arrays(np.float64, shapes, elements=cells), layouts, st.integers(1, 100))
def test_a_npy_file_in_pieces(tmp_path: Path, array: np.ndarray, layout: tuple[str, str], piece: int) -> None:
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("stackae.data.formats.npy.PIECE_BYTES", piece)
        array = np.nan_to_num(array, posinf=1, neginf=1) % 200 if layout[0] in ("u1", "i4", "?") else array
        config = DataConfig(data=str(write(tmp_path / "a.npy", npy_bytes(array.astype(*layout)))))
        report = check_data(config)
    assert report.refusal == verdict(config) and report.training is not None
    with np.errstate(all="ignore"):
        whole = examined(np.load(config.data).reshape(len(array), -1))
    assert plain(report.training.findings) == plain(whole)


@laws
@given(st.binary(max_size=40) | st.integers(0, 200), st.integers(0, 160))
def test_damaged_npy_files(tmp_path: Path, change: bytes | int, place: int) -> None:
    content = npy_bytes(np.arange(8.0).reshape(4, 2))
    content = content[:change] if isinstance(change, int) else content[:place] + change + content[place + len(change) :]
    config = DataConfig(data=str(write(tmp_path / "a.npy", content)))
    assert check_data(config).refusal == verdict(config)


csv_cells = st.sampled_from(["1", "-2.5", "0", "nan", "inf", "1e39", "x", "1_0", "", "é", "cat", '"a\nb"', " 3 ", "2"])
csv_lines = st.lists(st.lists(csv_cells, max_size=4).map(",".join), max_size=8)


@settings(laws, max_examples=400)
@given(
    st.sampled_from(["a,b,y", "a,y", "y", "1,2", "a,a", ""]),
    csv_lines,
    st.sampled_from([None, "y", "z"]),
    st.sampled_from(TEXT_FORMATS),
)
def test_a_csv_file_in_pieces(
    tmp_path: Path, header: str, lines: list[str], target: str | None, kind: tuple[str, str]
) -> None:
    content = "\n".join([header, *lines]).replace(",", kind[1])
    config = DataConfig(data=str(write(tmp_path / f"a{kind[0]}", content)), target=target)
    report = check_data(config)
    assert report.refusal == verdict(config)
    if not report.refusal:
        source = load_source(config)
        assert report.training is not None and report.training.findings.rows == len(source.x)
        np.testing.assert_array_equal(report.training.findings.low, np.fmin.reduce(source.x))
        assert report.classes == source.classes and report.column_names == source.column_names
        assert (report.training.counts is None) == (source.y is None)
        if source.y is not None and report.training.counts is not None:
            counts = Counter(source.y.tolist())
            assert report.training.unlabelled == counts.pop(-1, 0)
            assert {index: count for index, count in enumerate(report.training.counts.tolist()) if count} == counts


def test_csv_faults_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,y\n1,x,k\n2,nan,k\n3,inf,\n4,1e300,l\n5\n6,5,1\n7,7,l\n8,9,l\n")
    report = check_data(DataConfig(data=str(path), target="y"))
    assert report.training is not None
    found = report.training.findings
    assert (found.rows, report.ragged_rows, report.not_numbers) == (5, 1, 2)  # those that are not refused
    assert (found.nan, found.infinite, found.too_large) == (2, 0, 0) and found.high.tolist() == [8, 9]
    assert report.refusal == f"{path}:6: expected 3 cells as in the header, got 1"
    path.write_text(path.read_text().replace("5\n6", "6"))
    lines = check_data(DataConfig(data=str(path), target="y")).refusal.splitlines()
    assert lines[0] == f"{path}:2: column 'b' (2): 'x' is not a number" and len(lines) == 3
    assert lines[1] == f"{path}:5: column 'b' (2): '1e300' is too large for a 32-bit number"


def test_columns_and_rows_of_text_are_equal_where_their_texts_are(tmp_path: Path) -> None:
    rows = ["tcp,http,a,1", "udp,dns,b,1", "tcp,http,a,1", "udp,dns,b,2"]
    report = check_data(DataConfig(data=str(write(tmp_path / "a.csv", "\n".join(["u,v,w,x", *rows])))))
    assert report.training is not None and not report.refusal and report.not_numbers == 0
    found = report.training.findings
    assert report.column_names == ("u=tcp", "u=udp", "v=dns", "v=http", "w=a", "w=b", "x")
    assert found.duplicate_columns == [[0, 3, 4], [1, 2, 5]] and found.duplicate_rows == 1


def test_wide_integers_are_compared_exactly(tmp_path: Path) -> None:
    big = 2**62 + np.arange(40)[:, None] // 2 * np.array([1, 1, 3])
    np.save(tmp_path / "a.npy", big)
    report = check_data(DataConfig(data=str(tmp_path / "a.npy")))
    assert report.training is not None
    found = report.training.findings
    assert found.duplicate_rows == 20 and found.duplicate_columns == [[0, 1]]
    assert [each.column for each in found.merged] == [0, 1, 2] and found.merged[0][1:] == (20, 1)


def test_data_are_spoken_of_and_not_their_rounding(tmp_path: Path) -> None:
    """Seconds since 1970: one 32-bit number, and yet no constant column and no equal rows."""
    table = ["time,north", *(f"{1_700_000_000 + i},{4492557 + i / 100}" for i in range(60))]
    report = check_data(DataConfig(data=str(write(tmp_path / "a.csv", "\n".join(table)))))
    assert report.training is not None
    found = report.training.findings
    assert (found.constant_columns, found.duplicate_columns, found.duplicate_rows) == ([], [], 0)
    assert (found.low.tolist(), found.high.tolist()) == ([1.7e9, 4492557], [1.7e9 + 59, 4492557.59])
    assert "values from 4492557 to 1700000059, not within [0, 1]" in warnings_of(report)[0]


def test_npz_and_named_sets(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", np.arange(60, dtype=np.uint8).reshape(10, 6)
    np.savez(path, x=x, y=np.arange(10) % 3 - 1, x_test=x[:4], y_test=[2, 2, 0, 0])
    report = check_data(DataConfig(data=str(path)))
    assert report.refusal == "" and report.training is not None and report.test is not None
    assert report.classes == ("0", "1", "2") and report.training.unlabelled == 4
    assert report.training.counts is not None and report.training.counts.tolist() == [3, 3, 0]
    assert report.test.counts is not None and report.test.counts.tolist() == [2, 0, 2]
    assert "1 class is in the test part alone: '2'" in warnings_of(report)
    np.savez(path, x=x, y=[1, 2])
    wrong = check_data(DataConfig(data=str(path)))
    assert "expected one label per row, 10 in all" in wrong.refusal and wrong.training is not None
    raw = write_idx_folder(tmp_path)
    config = DataConfig(data="mnist", data_root=str(tmp_path))
    assert check_data(config).refusal == "" and check_data(config).image_shape == (2, 3)
    write(raw / "t10k-labels-idx1-ubyte.gz", gzip.compress(idx_bytes(np.full(6, 12))))
    assert check_data(config).refusal == verdict(config) != ""
    shares: list[float] = []
    report = check_data(DataConfig(), shares.append)
    assert report.training is not None and report.training.findings.rows == 1797
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_more_than_the_memory_is_refused_and_yet_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stackae.data.memory.UNASKED", 0)
    monkeypatch.setattr("stackae.data.memory.free_memory", lambda: 7)
    np.save(tmp_path / "a.npy", np.ones((4, 2), np.float32))
    write(tmp_path / "a.csv", "a,b\n" + "1,1\n" * 4)
    for name, needed in (("a.npy", 32),):
        report = check_data(DataConfig(data=str(tmp_path / name)))
        assert f"{name}: expected data that fit in the memory, got {needed} bytes to be held and 7" in report.refusal
        assert report.training is not None and report.training.findings.duplicate_rows == 3


def test_a_range_that_no_32_bit_number_holds(tmp_path: Path) -> None:
    config = DataConfig(data=str(write(tmp_path / "a.npy", npy_bytes(np.array([[-3e38, 0.0], [3e38, 1.0]], "f4")))))
    assert check_data(config).refusal == verdict(config)
    assert "range is a 32-bit number, got -3e+38 to 3e+38 in column 0" in verdict(config)


def test_what_cannot_be_read_and_what_cannot_be_asked(tmp_path: Path) -> None:
    assert check_data(DataConfig(data="digts")).refusal.endswith("got 'digts'; did you mean 'digits'?")
    assert warnings_of(check_data(DataConfig(data="digts"))) == []
    with pytest.raises(ConfigError, match=r"its columns have no names"):
        check_data(DataConfig(target="y"))


def test_warnings(tmp_path: Path) -> None:
    def of(content: str) -> list[str]:
        return warnings_of(check_data(DataConfig(data=str(write(tmp_path / "a.csv", content)), target="y")))

    rows = "".join(f"{0.01 * n},5,{0.01 * n},{'ab'[n > 2]}\n" for n in range(40))
    assert of("u,v,w,y\n" + rows) == [
        "1 class has fewer than 10 rows: 'a' (3)",
        "1 column is constant and will teach nothing: 'v'",
        "1 group of equal columns: 'u' = 'w'",
        "values from 0 to 5, not within [0, 1]: each column is scaled to it (scale='auto'); under scale='none' or "
        "'standard', loss='bce' and a sigmoid output are refused",
    ]
    assert of("u,y\n0.5,\n") == [
        "no row has a label: the data serve pretraining alone",
        "1 column is constant and will teach nothing: 'u'",
        "one row alone: none can be held out for validation or testing",
    ]
    assert of("u,y\n" + "0,a\n1,\n" * 20) == [
        "all labelled rows are of class 'a': fine-tuning needs two classes",
        "95.0 % of the rows equal an earlier one: what is held out will hold copies of training rows",
    ]
    many = of("\x1b,y\n" + "".join(f"{n / 9},c{n}\x1b\n" for n in range(9)))
    assert many == [
        "9 classes have fewer than 10 rows: 'c0\\x1b' (1), 'c1\\x1b' (1), 'c2\\x1b' (1), 'c3\\x1b' (1), "
        "'c4\\x1b' (1) and 4 more"
    ]


def test_infinite_cells_of_a_first_column_are_no_steps(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,b\n" + "inf,1\n" * 6 + "1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n")
    report = check_data(DataConfig(data=str(path)))
    assert not report.refusal and not any("counts the rows" in note for note in report.notes)


def test_no_second_copy_of_a_table_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are held, and the rows that become of them a few at a time: those are found as they are whole."""
    rows, columns = 20_000, 30
    x = np.random.default_rng(0).random((rows, columns)).round(3)
    lines = [",".join([*(f"c{column}" for column in range(columns)), "kind"])]
    lines += [",".join([*map(str, row), "ab"[at % 2]]) for at, row in enumerate(x.tolist())]
    config = DataConfig(data=str(write(tmp_path / "a.csv", "\n".join(lines) + "\n")), target="kind")
    whole = check_data(config)
    monkeypatch.setattr("stackae.data.tables.sources.CHUNK_CELLS", 1000 * columns)
    frame, reports = read_table(config), list[Report]()
    monkeypatch.setattr("stackae.data.inspect.check.read_table", lambda *given: frame)
    monkeypatch.setattr("stackae.data.outliers.MOST_ROWS", 100)
    assert peak_of(lambda: reports.append(check_data(config))) < x.nbytes / 2
    (report,) = reports
    assert report.training is not None and whole.training is not None
    assert plain(report.training.findings) == plain(whole.training.findings)
    assert plain(report.training.findings) == plain(examined(x)._replace(first_bad=[]))
    assert report.notes == whole.notes and report.training.counts.tolist() == [rows // 2, rows // 2]
