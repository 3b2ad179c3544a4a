"""torchvision's sets: read as they are, and nothing under the data root is unpickled unchecked."""

from __future__ import annotations

import bz2
import gzip
import os
import pickle
import sys
import types
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import TEST_DATA, idx_bytes, message, needs_data, write

from stackae.config import DataConfig
from stackae.data import Source, load_source
from stackae.data.formats.vision import FILES
from stackae.errors import SetupError


class FakeImages:
    """A set as torchvision has them: train or test part, downloaded on request."""

    images: object = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    failure: Exception | None = None

    def __init__(self, root: str, train: bool = True, download: bool = False) -> None:
        if self.failure is not None:
            raise self.failure
        assert download and root
        self.data = self.images if train else self.images[:2]
        self.targets = [0, 1, 2, 1, 0] if train else [2, 0]
        self.classes = ["plane", "car", "bird"]


class FakeSplits:
    """As SVHN: a split, channels before height, labels instead of targets, no class names."""

    def __init__(self, root: str, split: str = "train", download: bool = False) -> None:
        count = {"train": 5, "test": 2}[split]
        self.data = np.arange(count * 48).reshape(count, 3, 4, 4).astype(np.uint8)
        self.labels = np.arange(count)


def vision(name: str, root: Path) -> Source:
    return load_source(DataConfig(data=f"torchvision:{name}", data_root=str(root)))


def test_vision_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(datasets, "CIFAR10", FakeImages)
    monkeypatch.setattr(datasets, "SVHN", FakeSplits)
    source = vision("CIFAR10", tmp_path)
    assert source.x.shape == (5, 48) and source.image_shape == (4, 4, 3) and source.classes[1] == "car"
    assert source.y_test is not None and source.y_test.tolist() == [2, 0]
    source = vision("SVHN", tmp_path)
    assert source.image_shape == (4, 4, 3) and source.classes == ("0", "1", "2", "3", "4")
    np.testing.assert_array_equal(source.x[0].reshape(4, 4, 3)[..., 1].ravel(), np.arange(16, 32))
    monkeypatch.setattr(FakeImages, "images", torch.ones(5, 4, 4, dtype=torch.uint8))
    assert vision("CIFAR10", tmp_path).image_shape == (4, 4)


def test_vision_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr(datasets, "CIFAR10", FakeImages)
    assert "got 'mnist'; did you mean 'MNIST'?" in message(vision, "mnist", tmp_path)
    assert "got 'CIFAR1O'; did you mean 'CIFAR10'?" in message(vision, "CIFAR1O", tmp_path)
    unserved = message(vision, "LSUN", tmp_path)
    assert "expected torchvision:NAME with MNIST, FashionMNIST" in unserved and "as .npz and give that file" in unserved
    monkeypatch.setattr(FakeImages, "images", np.zeros(5))
    assert "expected images of one size in .data, got shape (5,)" in message(vision, "CIFAR10", tmp_path)
    for error in (urllib.error.URLError, RuntimeError, ConnectionError, AssertionError, KeyError, TypeError):
        failure = error("no network")
        monkeypatch.setattr(FakeImages, "failure", failure)
        text = message(vision, "CIFAR10", tmp_path)
        assert f"expected the train part under {tmp_path} or a download of it, got" in text and "no network" in text
    monkeypatch.setattr(FakeImages, "failure", ModuleNotFoundError("No module named 'scipy'"))
    text = message(vision, "CIFAR10", tmp_path, error=SetupError)
    assert "expected what torchvision needs to read it, got No module named 'scipy'; install it" in text


def test_vision_without_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    assert "pip install torchvision, in the build that matches" in message(vision, "MNIST", tmp_path, error=SetupError)


@needs_data
def test_vision_reads_a_downloaded_mnist_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision.datasets")

    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (TEST_DATA / "MNIST" / "raw").glob("*-ubyte.gz"):  # torchvision insists on its own .gz by MD5
        write(raw / path.stem, gzip.decompress(path.read_bytes()))
    ours = load_source(DataConfig(data="mnist", data_root=str(TEST_DATA)))
    theirs = vision("MNIST", tmp_path)
    np.testing.assert_array_equal(ours.x, theirs.x)
    np.testing.assert_array_equal(ours.y, theirs.y)
    assert "no network" in message(vision, "KMNIST", tmp_path)


# ---- a data root that is not to be trusted


class Bomb:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def no_network(*_: object, **__: object) -> None:
    raise urllib.error.URLError("no network")


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST"])
def test_files_that_older_versions_pickled_are_refused(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torchvision.datasets")
    processed = tmp_path / name / "processed"
    processed.mkdir(parents=True)
    for part in ("training", "test"):
        write(processed / f"{part}.pt", pickle.dumps(Bomb(tmp_path / "exploded")))
    text = message(vision, name, tmp_path)
    assert f"got {processed} as well, pickles that older versions" in text and text.endswith("remove that folder")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(("name", "folder"), [("CIFAR10", "cifar-10-batches-py"), ("CIFAR100", "cifar-100-python")])
def test_pickles_of_another_checksum_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, folder: str
) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    kind = getattr(datasets, name)
    (tmp_path / folder).mkdir()
    for file in [entry[0] for entry in kind.train_list + kind.test_list] + [kind.meta["filename"]]:
        write(tmp_path / folder / file, pickle.dumps(Bomb(tmp_path / "exploded")))
    assert "no network" in message(vision, name, tmp_path)  # it would be fetched anew
    assert not (tmp_path / "exploded").exists()


def test_every_set_that_is_served_was_read(tmp_path: Path) -> None:
    """Of torchvision's classes, those that may unpickle what no checksum covers are not served."""
    datasets = pytest.importorskip("torchvision.datasets")
    assert {name for name in FILES if not hasattr(datasets, name)} == set()
    assert not {"LSUN", "ImageNet", "PhotoTour", "EMNIST", "QMNIST", "MovingMNIST"} & FILES.keys()


def test_usps_is_compared_with_its_checksum(tmp_path: Path) -> None:
    pytest.importorskip("torchvision.datasets")
    write(tmp_path / "usps.bz2", bz2.compress(b"1 " * 1_000_000))
    assert "usps.bz2: expected the MD5 sum ec16c51d" in message(vision, "USPS", tmp_path)


def test_files_that_would_be_waited_for(tmp_path: Path) -> None:
    pytest.importorskip("torchvision.datasets")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    os.mkfifo(raw / "train-images-idx3-ubyte")
    assert "expected a regular file, got a pipe" in message(vision, "MNIST", tmp_path)


def test_damaged_raw_files_are_data_errors(tmp_path: Path) -> None:
    pytest.importorskip("torchvision.datasets")
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images, labels = idx_bytes(np.zeros((2, 2, 2))), idx_bytes(np.zeros(2))
    good = {
        "train-images-idx3": images,
        "train-labels-idx1": labels,
        "t10k-images-idx3": images,
        "t10k-labels-idx1": labels,
    }
    for damaged in (b"", b"\0\0\x0a\x01", b"\0\0\x08\x09", images[:9], images[:-1], labels):
        for name, content in good.items():
            write(raw / f"{name}-ubyte", content)
        write(raw / "train-images-idx3-ubyte", damaged)
        assert "torchvision:MNIST: expected the train part" in message(vision, "MNIST", tmp_path)
