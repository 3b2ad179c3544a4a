"""Any image set of torchvision that has ``data`` and labels, downloaded on first use."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np

from stackae.data.source import Source
from stackae.errors import DataError, SetupError, nearest

PREFIX = "torchvision:"


def load_vision(name: str, root: Path) -> Source:
    """The data set ``torchvision.datasets.NAME`` under ``root``, with its own test part; x (n, pixels).

    Raises SetupError without a working torchvision, and DataError for an unknown name, a set of another form, and a
    failed download.
    """
    kind = _find(name)
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


def _find(name: str) -> type[Any]:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError) as error:
        raise SetupError(
            f"{PREFIX}{name}: expected torchvision, got an import that fails ({error}); pip install torchvision, "
            "in the build that matches torch"
        ) from None
    found = getattr(datasets, name, None)
    if not isinstance(found, type):
        known = {item.casefold(): item for item in datasets.__all__}
        hint = nearest(known.get(name.casefold(), name), known.values())
        raise DataError(f"data: expected torchvision:NAME with a class of torchvision.datasets, got '{name}'{hint}")
    return found


def _open(kind: type[Any], name: str, root: Path, part: str) -> Any:
    names = inspect.signature(kind).parameters
    choice: dict[str, Any] = {"train": part == "train"} if "train" in names else {"split": part}
    if "download" not in names or not names.keys() & choice.keys():
        raise DataError(
            f"{PREFIX}{name}: expected a set that can be downloaded and has a train and a test part, "
            f"got {name}({', '.join(names)}); save it as .npz and give that file"
        )
    try:
        return kind(root=str(root), download=True, **choice)
    except ImportError as error:
        raise SetupError(
            f"{PREFIX}{name}: expected what torchvision needs to read it, got {error}; install it"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        cause = " ".join(str(error).split())
        raise DataError(
            f"{PREFIX}{name}: expected the {part} part under {root} or a download of it, got {cause}; "
            "check the network, or put the files there (--data-root DIR)"
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
