"""Codes as rows: made again in any order to the same bits, or kept in a file that no end of the program leaves."""

from __future__ import annotations

import errno
import gc
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stackae.autoencoders.base import LayerAutoencoder
from stackae.config import PretrainConfig
from stackae.data.codes import file
from stackae.data.codes.encoded import EncodedRows, encoded, rows_per_piece
from stackae.data.codes.file import is_of_memory, on_disk
from stackae.data.paired import PairedRows
from stackae.data.rows import ByteRows, Rows, is_fed
from stackae.data.scaling import Scaling
from stackae.errors import DiskError
from stackae.objectives.kinds import build
from stackae.random import Purpose, uniform

COUNT = 700
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "dense": ("50,37", {"activation": "sigmoid"}),
    "tied": ("50,300", {"activation": "tanh", "tied": True}),
    "wide": ("20,1001", {"activation": "elu"}),
    "top-k": ("50,64", {"activation": "relu", "sparsity": "top-k:5"}),
    "variational": ("50,3", {"kind": "variational", "hidden": 301, "activation": "softplus"}),
    "convolutional": ("9x9x1,conv7,pool", {"activation": "sigmoid"}),
    "marginalized": ("50,21", {"kind": "marginalized", "corruption": "masking:0.3", "activation": "tanh"}),
}


def network(layers: str, engine: str, **options: Any) -> LayerAutoencoder:
    """A layer whose weights and biases are none of those that it begins with."""
    settled = {"tied": False, "loss": "mse", "init": "random", "output_activation": "linear", "engine": engine}
    config = PretrainConfig.from_options(layers, **{"device": "cpu", **settled, **options})
    made = build(config.n_visible, config.layers[0], seed=0, number=1, engine=engine)
    for number, each in enumerate(made.parameters()):
        each.data.add_(uniform(tuple(each.shape), seed=number, purpose=Purpose.INITIALISATION), alpha=0.2)
    return made


def codes_of(kind: str, engine: str, below: Rows | None = None) -> EncodedRows:
    layers, options = KINDS[kind]
    made = network(layers, engine, **options)
    return EncodedRows(
        uniform((COUNT, made.n_visible), seed=0, purpose=Purpose.SPLIT) if below is None else below, made
    )


@pytest.fixture(autouse=True)
def _threads() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 3, 5])
@pytest.mark.parametrize("engine", ["fused", "eager"])
@pytest.mark.parametrize("kind", KINDS)
def test_bits_of_a_code_depend_on_its_row_alone(kind: str, engine: str, threads: int) -> None:
    torch.set_num_threads(threads)
    codes = codes_of(kind, engine)
    whole = encoded(codes, torch.device("cpu"))
    assert whole.shape == codes.shape and len(whole.unique()) > 10
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(COUNT))
    for chosen in (shuffled, shuffled[:1], shuffled[:300], shuffled[:2].repeat(400)):
        assert torch.equal(codes[chosen], whole[chosen])
    for part in (slice(None), slice(3, 4), slice(100, 650), slice(1, None, 3), slice(5, 5)):
        assert torch.equal(codes[part], whole[part])
    mask = torch.arange(COUNT) % 3 == 1
    assert torch.equal(codes[mask], whole[mask])
    assert torch.equal(codes.subset(mask)[5:9], whole[mask][5:9])
    assert codes.min() == whole.min() and codes.max() == whole.max()


def test_another_thread_reads_the_same_bits() -> None:
    """A new thread of Python computes with as many threads of torch as there are processors, unless it is told."""
    torch.set_num_threads(3)
    codes, found = codes_of("wide", "eager"), list[torch.Tensor]()
    reader = threading.Thread(target=lambda: found.append(codes[:]))
    torch.set_num_threads(2)  # as other work may have it meanwhile
    reader.start()
    reader.join()
    torch.set_num_threads(3)
    assert torch.equal(found[0], encoded(codes, torch.device("cpu")))


@pytest.mark.parametrize("threads", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("activated", [1, 17, 300, 1001, 2001, 16384])
def test_each_thread_computes_whole_vectors_of_a_piece(activated: int, threads: int) -> None:
    rows = rows_per_piece(activated, threads)
    sharing = min(threads, -(-rows * activated // (1 << 15)))
    assert rows >= 256 and rows * activated % (32 * sharing) == 0


def test_codes_of_codes_and_of_other_kinds_of_rows() -> None:
    raw = torch.arange(COUNT * 50, dtype=torch.int64).remainder(251).to(torch.uint8).reshape(COUNT, 50)
    bytes_ = ByteRows(raw, Scaling.fit("unit", raw))
    for below in (bytes_, PairedRows(bytes_[:], bytes_[:] * 0.5)):
        first = codes_of("dense", "eager", below)
        second = EncodedRows(first, network("37,5", "eager", activation="tanh"))
        kept = EncodedRows(encoded(first, torch.device("cpu")), second.encoder)
        assert torch.equal(second[40:400], kept[40:400]) and second.shape == (COUNT, 5)
        assert is_fed(second) and second.nbytes == below.nbytes and second.to("cpu").device.type == "cpu"
    assert len(codes_of("dense", "eager", bytes_[:0])[:]) == 0


# ---- codes on disk


def open_files(folder: Path) -> list[str]:
    """The maps of this process that lie in the folder."""
    maps = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in maps if str(folder) in line]


def test_a_file_of_codes_is_gone_with_its_rows(tmp_path: Path) -> None:
    codes = codes_of("dense", "fused")
    kept = on_disk(codes, tmp_path)
    whole = encoded(codes, torch.device("cpu"))
    assert torch.equal(kept[:], whole) and is_fed(kept)
    assert torch.equal(kept[torch.tensor([5, 3, 699])], whole[[5, 3, 699]])
    assert kept.min() == whole.min() and kept.max() == whole.max() and kept.shape == whole.shape
    assert list(tmp_path.iterdir()) == [] and open_files(tmp_path)
    del kept
    gc.collect()
    assert not open_files(tmp_path)


def test_where_files_without_a_name_are_unknown_the_name_goes_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "O_TMPFILE")
    codes = codes_of("dense", "fused")
    assert torch.equal(on_disk(codes, tmp_path)[:], codes[:]) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*given: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", full)
    wanted = r"expected to write 103,600 bytes of codes, got '.*' with [\d,]+ bytes free; "
    with pytest.raises(DiskError, match=wanted) as found:
        on_disk(codes_of("dense", "fused"), tmp_path)
    assert os.strerror(number) in str(found.value) and "use codes='recompute'" in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_reserves_nothing_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*given: Any) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(os, "posix_fallocate", unknown)
    codes = codes_of("dense", "fused")
    assert torch.equal(on_disk(codes, tmp_path)[:], codes[:])


def test_a_folder_that_lies_in_memory_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path.stat().st_dev
    line = "36 35 {}:{} / / rw - {} none rw\n"
    for kind, wanted in (("tmpfs", True), ("ext4", False)):
        table = tmp_path / kind
        table.write_text("1 1 0:0 / / rw - proc none rw\n" + line.format(os.major(own), os.minor(own), kind))
        monkeypatch.setattr(file, "MOUNTS", table)
        assert is_of_memory(tmp_path / "not" / "there") is wanted
    monkeypatch.setattr(file, "MOUNTS", tmp_path / "none")
    assert not is_of_memory(tmp_path)
