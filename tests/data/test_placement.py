"""Where rows lie, told from the free memory of a device; the devices here are named, never used."""

from __future__ import annotations

import pytest
import torch

from stackae.data.placement import SHARE, home, placed
from stackae.data.rows import ByteRows
from stackae.data.scaling import Scaling
from stackae.models.stack import ROWS_AT_ONCE, in_batches

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> int:
    """A device with a thousand free bytes."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 4000))
    return 1000


def test_rows_lie_on_the_device_where_they_fit(free):
    assert home(int(SHARE * free), CUDA) == CUDA
    assert home(int(SHARE * free) + 1, CUDA) == CPU
    assert home(10**18, CPU) == CPU


def test_rows_that_are_too_many_stay_in_memory_as_they_are(free):
    x = torch.rand(200, 10)
    assert placed(x, CUDA).device == CPU
    raw = torch.zeros(200, 10, dtype=torch.uint8)
    rows = placed(ByteRows(raw, Scaling.fit("unit", raw)), CUDA)
    assert isinstance(rows, ByteRows)
    assert rows.raw.data_ptr() == raw.data_ptr()


@pytest.mark.parametrize("count", [0, 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1, 3 * ROWS_AT_ONCE - 5])
def test_in_batches_gives_what_one_call_gives(count):
    x = torch.rand(count, 3)
    for function in (lambda rows: rows * 2, lambda rows: rows.argmax(dim=1)):
        whole = function(x)
        result = in_batches(function, x, CPU)
        assert torch.equal(result, whole)
        assert result.dtype == whole.dtype


def test_codes_are_kept_where_they_are_asked_to_be():
    x = torch.rand(10, 3)
    assert in_batches(lambda rows: rows * 2, x, CPU, torch.device("meta")).device.type == "meta"
