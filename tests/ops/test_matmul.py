"""The CPU step's own matmuls: right values at the edges of every tile, and the same bits however they are cut."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stackae.ops import compiled as ops

LEVELS = ["default", "x86-64-v3", "x86-64-v4"]
# One number, ragged and whole tiles of every level, deeper and wider than a part, more rows than a group of tiles has.
SHAPES = [
    (1, 1, 1),
    (3, 2, 0),
    (7, 1, 40),
    (12, 32, 512),
    (13, 33, 70),
    (31, 256, 64),
    (64, 140, 784),
    (70, 17, 513),
    (129, 300, 1100),
    (65, 1100, 1030),
    (600, 40, 270),
    (64, 256, 300),
]


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def matrix(rows: int, columns: int, dtype: torch.dtype, *, transposed: bool = False) -> Tensor:
    """Random numbers among NaN that no result may hold."""
    if transposed:
        return matrix(columns, rows, dtype).t()
    around = torch.full((rows + 2, columns + 20), float("nan"), dtype=dtype)
    inside = around[1:-1, 3 : 3 + columns]
    inside.copy_(torch.randn(rows, columns, dtype=dtype))
    return inside


TRANSPOSED = pytest.mark.parametrize(
    "transposed", list(itertools.product([False, True], repeat=2)), ids=["neither", "right", "left", "both"]
)


@TRANSPOSED
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_shape_has_the_right_values_and_nothing_else_is_written(dtype, shape, transposed):
    m, n, k = shape
    a = matrix(m, k, dtype, transposed=transposed[0])
    b, out = matrix(k, n, dtype, transposed=transposed[1]), matrix(m, n, dtype)
    whole = out._base
    assert whole is not None
    before = int(whole.isnan().sum())
    ops.bare_product(a, b, out)
    expected = (a.double() @ b.double()).to(dtype)
    torch.testing.assert_close(out, expected, rtol=0, atol=8 * torch.finfo(dtype).eps * k)
    assert int(whole.isnan().sum()) == before


@TRANSPOSED
def test_a_part_of_a_matmul_has_the_bits_of_the_whole(transposed):
    a = matrix(150, 600, torch.float32, transposed=transposed[0])
    b = matrix(600, 310, torch.float32, transposed=transposed[1])
    whole = torch.empty(150, 310)
    ops.bare_product(a, b, whole)
    for (top, bottom), (left, right) in itertools.product(
        [(0, 1), (5, 78), (149, 150)], [(0, 310), (3, 40), (309, 310)]
    ):
        part = torch.empty(bottom - top, right - left)
        ops.bare_product(a[top:bottom], b[:, left:right], part)
        assert torch.equal(part, whole[top:bottom, left:right])


@TRANSPOSED
def test_any_number_of_threads_gives_the_same_bits(transposed):
    a = matrix(700, 500, torch.float32, transposed=transposed[0])
    b = matrix(500, 300, torch.float32, transposed=transposed[1])
    results = []
    for count in (1, 2, 3, 4):
        torch.set_num_threads(count)
        results.append(torch.empty(700, 300))
        ops.bare_product(a, b, results[-1])
    assert all(torch.equal(each, results[0]) for each in results)


def test_what_does_not_fit_is_refused():
    a, b, out = torch.zeros(4, 6), torch.zeros(6, 5), torch.zeros(4, 5)
    with pytest.raises(ValueError, match="expected matrices in row-major order, or transposes of such, got strides"):
        ops.bare_product(a, torch.zeros(6, 10)[:, ::2], out)
    with pytest.raises(ValueError, match="expected matrices in row-major order, or transposes of such, got strides"):
        ops.bare_product(a, b, torch.zeros(5, 4).t())
    with pytest.raises(ValueError, match=r"of a type that has matmuls, got \[4, 6\], \[6, 5\], \[5, 5\] Float"):
        ops.bare_product(a, b, torch.zeros(5, 5))
    with pytest.raises(ValueError, match=r"of a type that has matmuls, got \[4, 6\], \[6, 5\], \[4, 5\] Long"):
        ops.bare_product(a.long(), b.long(), out.long())


@pytest.mark.parametrize("level", LEVELS[: LEVELS.index(ops.build_info()["cpu_level_in_use"])])
def test_a_lower_level_that_is_asked_for_passes_these_tests_too(level):
    asked = {**os.environ, "STACKAE_CPU_LEVEL": level.removeprefix("x86-64-")}
    used = "import sys; from stackae import ops; sys.exit(ops.build_info()['cpu_level_in_use'] != sys.argv[1])"
    assert subprocess.run([sys.executable, "-c", used, level], env=asked, check=False).returncode == 0
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not lower_level", __file__]
    done = subprocess.run(tests, env=asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
