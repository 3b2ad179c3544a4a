"""Image sets of torchvision, downloaded on first use.

torchvision reads what lies under the data root, and some of it may run code: pickles. Served are therefore the sets
whose reading was followed file by file, and never with a file that torchvision would unpickle without comparing its
checksum first:

    MNIST, FashionMNIST, KMNIST   raw/ is numbers, but where processed/ holds .pt files they are read by torch.load
                                  in its place, unchecked: refused
    CIFAR10, CIFAR100             pickles, every one compared with its MD5 before it is opened
    STL10, SVHN                   numbers (of SVHN in MATLAB's format), compared with their MD5
    USPS                          text under bzip2, unchecked: compared with its MD5 here
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from stackae.data.formats.bounded import check_regular, opened
from stackae.data.memory import check_memory
from stackae.data.source import Source
from stackae.errors import DataError, SetupError, legible, nearest

PREFIX = "torchvision:"
FILES = {
    "MNIST": ("MNIST/raw/*",),
    "FashionMNIST": ("FashionMNIST/raw/*",),
    "KMNIST": ("KMNIST/raw/*",),
    "CIFAR10": ("cifar-10-batches-py/*", "cifar-10-python.tar.gz"),
    "CIFAR100": ("cifar-100-python/*", "cifar-100-python.tar.gz"),
    "STL10": ("stl10_binary/*", "stl10_binary.tar.gz"),
    "SVHN": ("train_32x32.mat", "test_32x32.mat"),
    "USPS": ("usps.bz2", "usps.t.bz2"),
}
"""What torchvision may open of each set that is served, under the data root."""
SPLIT = ("STL10", "SVHN")  # take split="train", the others train=True


def load_vision(name: str, root: Path) -> Source:
    """The data set ``torchvision.datasets.NAME`` under ``root``, with its own test part; x (n, pixels).

    Raises SetupError without a working torchvision, and DataError for an unknown set, for files that torchvision
    should not be let near, and for whatever torchvision itself raises, a failed download or a damaged file.
    """
    kind = _find(name)
    check_files(kind, name, root)
    train, test = (_open(kind, name, root, part) for part in ("train", "test"))
    x, image_shape = _pixels(train, name)
    y, y_test = _targets(train), _targets(test)
    count = int(max(y.max(initial=-1), y_test.max(initial=-1))) + 1
    classes = tuple(str(item) for item in getattr(train, "classes", ()))
    return Source(
        name=f"{PREFIX}{name}",
        x=x,
        y=y,
        classes=classes if len(classes) >= count else tuple(str(number) for number in range(count)),
        x_test=_pixels(test, name)[0],
        y_test=y_test,
        image_shape=image_shape,
    )


def _find(name: str) -> Callable[..., Any]:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        raise SetupError(
            f"{PREFIX}{name}: expected torchvision, got an import that fails ({error}); pip install torchvision, "
            "in the build that matches torch"
        ) from None
    if name not in FILES:
        known = {item.casefold(): item for item in FILES}
        hint = nearest(known.get(name.casefold(), name), FILES) or "; save another set as .npz and give that file"
        raise DataError(f"data: expected torchvision:NAME with {', '.join(FILES)}, got '{legible(name)}'{hint}")
    found: Callable[..., Any] = getattr(datasets, name)
    return found


def check_files(kind: Any, name: str, root: Path) -> None:
    """DataError for a file under ``root`` that torchvision would unpickle unchecked, wait for, or unpack without end.

    Looks at names, kinds and sizes; torchvision itself is not called.
    """
    processed = root / name / "processed"
    if processed.is_dir() and any(processed.iterdir()):
        raise DataError(
            f"{PREFIX}{name}: expected the files in {root / name / 'raw'} alone, got {processed} as well, pickles that "
            "older versions of torchvision wrote and that can run code; remove that folder"
        )
    paths = sorted(path for pattern in FILES[name] for path in root.glob(pattern))
    for path in paths:
        check_regular(path, path.stat().st_mode)
    check_memory(f"{PREFIX}{name}", sum(path.stat().st_size for path in paths))
    if name == "USPS":
        for _, file, expected in kind.split_list.values():
            _check_md5(root / file, expected)


def _check_md5(path: Path, expected: str) -> None:
    if path.exists():
        with opened(path) as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != expected:
            raise DataError(f"{path}: expected the MD5 sum {expected}, got {found}; remove it and fetch it again")


def _open(kind: Callable[..., Any], name: str, root: Path, part: str) -> Any:
    choice: dict[str, Any] = {"split": part} if name in SPLIT else {"train": part == "train"}
    try:
        return kind(root=str(root), download=True, **choice)
    except ImportError as error:
        raise SetupError(
            f"{PREFIX}{name}: expected what torchvision needs to read it, got {error}; install it"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # torchvision says of damaged files whatever its parsers happen to raise
        cause = legible(" ".join(str(error).split()) or type(error).__name__, 300)
        raise DataError(
            f"{PREFIX}{name}: expected the {part} part under {root} or a download of it, got {cause}; "
            "check the network, or put the files there ({argument('data_root')} DIR)"
        ) from None


def _pixels(dataset: Any, name: str) -> tuple[np.ndarray, tuple[int, ...]]:
    images = np.asarray(getattr(dataset, "data", None))
    if images.ndim not in (3, 4):
        raise DataError(
            f"{PREFIX}{name}: expected images of one size in .data, got shape {images.shape}; "
            "save them as .npz and give that file"
        )
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    shape = images.shape[1:3] if images.shape[3:] == (1,) else images.shape[1:]
    return images.reshape(len(images), -1), shape


def _targets(dataset: Any) -> np.ndarray:
    targets = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels)
    return (targets[:, 0] if targets.ndim == 2 else targets).astype(np.int64)
