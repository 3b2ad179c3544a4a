"""Laws of rows and labels that Python gives: any holder of the same numbers gives the same bits, or one sentence."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from cli_cases import says
from data_files import message
from face_cases import NAMES, QUICK, X, Y, trained_stack
from scipy import sparse

import stackae
from stackae.errors import ConfigError, DataError, DataWarning


class Frame:
    """As a table of pandas: numpy reads it by this method alone."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.values.astype(dtype) if dtype else self.values


def strided(x: np.ndarray) -> np.ndarray:
    return np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3]


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def byte_rows(x: np.ndarray) -> stackae.ByteRows:
    raw = x.astype(np.uint8)
    return stackae.ByteRows(torch.from_numpy(raw), stackae.Scaling.fit("unit", raw))


NUMPY = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), ">f4", ">i8")
NUMPY += ("float16", "float32", "float64", "longdouble")
TORCH = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **{f"numpy {name}": lambda x, name=name: x.astype(name) for name in NUMPY},
    **{f"torch {name}": lambda x, name=name: torch.tensor(x).to(getattr(torch, name)) for name in TORCH},
    "columns first": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "transposed tensor": lambda x: torch.tensor(x.T).T,
    "with a gradient": lambda x: torch.tensor(x).requires_grad_(),
    "lists": np.ndarray.tolist,
    "tuple of arrays": tuple,
    "__array__": Frame,
    "DataFrame": lambda x: pd.DataFrame(x, columns=[*"abcdefgh"]),
    "nullable columns": lambda x: pd.DataFrame(x).convert_dtypes(),
    "sparse": sparse.csr_array,
    "COO": sparse.coo_matrix,
    "structured": lambda x: np.array([*map(tuple, x)], dtype=[(name, "f8") for name in "abcdefgh"]),
    "nothing masked": np.ma.masked_array,
    "images": lambda x: x.reshape(-1, 2, 4),
    "channels": lambda x: x.reshape(-1, 2, 2, 2),
    "bytes that are scaled when they are read": byte_rows,
}


@pytest.fixture(scope="module")
def stack() -> stackae.PretrainedStack:
    return trained_stack()


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_any_holder_are_read_alike(stack: stackae.PretrainedStack, form: str) -> None:
    held = FORMS[form](X)
    named = isinstance(held, pd.DataFrame)  # whose names the stack, trained on an array, does not know
    with pytest.warns(DataWarning, match="in the(ir)? order") if named else nullcontext():
        codes = stack.encode(held)
        assert codes.dtype == torch.float32 and not codes.requires_grad and torch.equal(codes, stack.encode(X))
        assert torch.equal(stack.reconstruct(held), stack.decode(codes))
        again = stackae.pretrain(held, (6, 4), scale="minmax", **QUICK)
        assert torch.equal(again.encode(X), codes) and again.config == stack.config


HARM: dict[str, tuple[Any, tuple[str, ...]]] = {
    "complex": (X + 1j, ("expected real numbers, got complex128", "save it as")),
    "text": (X.astype(str), ("expected real numbers, got <U", "save it as")),
    "objects": (X.astype(object), ("expected real numbers, got object", "save it as")),
    "one axis": (X[0], ("expected shape (n, d), (n, h, w) or (n, h, w, channels), got (8,)", "reshape")),
    "five axes": (X.reshape(-1, 1, 2, 2, 2), ("expected shape", "got (40, 1, 2, 2, 2)", "reshape")),
    "a number": (3.0, ("expected shape", "got ()")),
    "nothing": (None, ("expected an array of rows, got NoneType", "convert")),
    "no rows": (X[:0], ("expected at least one row and one column, got shape (0, 8)", "give")),
    "no columns": (X[:, :0], ("expected at least one row", "got shape (40, 0)")),
    "NaN": (np.where(X[3, 2] == X, np.nan, X), ("expected finite 32-bit numbers, got nan", "remove or fill")),
    "infinity": (X * 1e300, ("expected finite 32-bit numbers, got 1e+300", "remove or fill")),
    "ragged": ([[1.0, 2.0], [3.0]], ("rows of equal length, got list", "convert")),
    "sparse": (torch.eye(3).to_sparse(), ("expected an array, a tensor", "got Tensor", "convert")),
    "masked": (np.ma.masked_equal(X, 1), ("expected finite 32-bit numbers, got nan",)),
    "iterator": (iter(X), ("expected an array of rows, got", "convert")),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_is_no_rows_is_refused_in_one_sentence(stack: stackae.PretrainedStack, harm: str) -> None:
    value, parts = HARM[harm]
    calls: list[Callable[[], Any]] = [
        lambda: stackae.pretrain(value, (6,), missing="refuse"),
        lambda: stack.encode(value),
    ]
    for call in (*calls, lambda: stackae.finetune(stack, value, Y), lambda: stackae.evaluate(stack, value)):
        with pytest.raises(DataError) as caught:
            call()
        says(str(caught.value), "x: ", *parts)
        assert "\n" not in str(caught.value) and str(caught.value).startswith("x: ")


def test_rows_of_another_width_are_refused_by_the_argument(stack: stackae.PretrainedStack) -> None:
    for call, name, wanted in ((stack.encode, "x", 8), (stack.reconstruct, "x", 8), (stack.decode, "h", 4)):
        with pytest.raises(DataError, match=rf"^{name}: expected rows of {wanted} numbers, got shape \(40, 7\); give"):
            call(X[:, :7])
    with pytest.raises(DataError, match=r"^validation: expected rows of 8 numbers, got shape \(40, 7\)"):
        stackae.pretrain(X, (6,), validation=X[:, :7], **QUICK)
    for call in (stack.encode, stack.reconstruct):
        with pytest.raises(ConfigError, match="layer: expected 1 to 2, or None for the top, got 3"):
            call(X, layer=3)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_to_validate_by_is_below_all(share: float) -> None:
    with pytest.raises(ConfigError, match="validation: expected rows, or a share of x from 0 to below 1, got"):
        stackae.pretrain(X, (6,), validation=share)


# ---- labels

LABELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "int64": (Y, ("0", "1", "2")),
    "uint8": (Y.astype(np.uint8), ("0", "1", "2")),
    "list": (Y.tolist(), ("0", "1", "2")),
    "tensor": (torch.tensor(Y), ("0", "1", "2")),
    "frame": (Frame(Y), ("0", "1", "2")),
    "text": (NAMES[Y], ("ant", "bee", "cat")),
    "bytes": (NAMES[Y].astype("S"), ("ant", "bee", "cat")),
    "texts": (NAMES[Y].tolist(), ("ant", "bee", "cat")),
    "objects": (NAMES[Y].astype(object), ("ant", "bee", "cat")),
    "a column": (Y[:, None], ("0", "1", "2")),
    "doubles": (Y.astype(float), ("0", "1", "2")),
    "one-hot": (np.eye(3)[Y], ("0", "1", "2")),
    "series": (pd.Series(NAMES[Y], dtype="category"), ("ant", "bee", "cat")),
    "frame of a column": (pd.DataFrame({"y": NAMES[Y]}), ("ant", "bee", "cat")),
    "nullable": (pd.Series(Y, dtype="Int8"), ("0", "1", "2")),
    "integers as objects": (Y.astype(object), ("0", "1", "2")),
}


@pytest.fixture(scope="module")
def classifier(stack: stackae.PretrainedStack) -> stackae.FinetunedModel:
    return stackae.finetune(stack, X, Y, **QUICK)


@pytest.mark.parametrize("form", LABELS)
def test_labels_in_any_holder_are_the_same_classes(
    stack: stackae.PretrainedStack, classifier: stackae.FinetunedModel, form: str
) -> None:
    y, names = LABELS[form]
    model = stackae.finetune(stack, X, y, **QUICK)
    found = model.predict(X)
    assert model.names == found.names == names and not found.values.requires_grad
    assert torch.equal(found.values, classifier.predict(X).values)
    assert str(stackae.evaluate(model, X, y)) == str(stackae.evaluate(classifier, X, Y))
    assert set(found.classes) <= set(names)


def test_two_classes_of_bool_and_labels_that_lack(stack: stackae.PretrainedStack) -> None:
    model = stackae.finetune(stack, X, Y > 0, **QUICK)
    assert model.names == ("0", "1") and stackae.evaluate(model, X, Y > 0).rows == 40
    some = [None if n % 4 == 0 else float("nan") if n % 4 == 1 else name for n, name in enumerate(NAMES[Y])]
    lacking = stackae.finetune(stack, X, np.array(some, dtype=object), **QUICK)
    written = stackae.finetune(stack, X, np.where(np.arange(40) % 4 < 2, "", NAMES[Y]), **QUICK)
    assert lacking.names == tuple(NAMES) and torch.equal(lacking.predict(X).values, written.predict(X).values)


@pytest.mark.parametrize(
    ("y", "head", "parts"),
    [
        (Y[:39], "classifier", ("y: expected one label per row, 40 in all, got labels of shape (39,)", "give as many")),
        (Y + 0.5, "classifier", ("y: expected labels that are whole numbers", "for row 0 (counted from 0)")),
        (np.column_stack((Y, Y)), "classifier", ("y: expected labels y of shape (n,)", "got shape (40, 2)")),
        (Y * 0, "classifier", ("labels: expected at least two classes, got one", "another class")),
        (None, "classifier", ("labels: expected labels to train a classifier, got none", "use data that has them")),
        (None, "regressor", ("targets: expected numbers to train a regressor, got none", "use data")),
        (NAMES[Y], "regressor", ("y: expected real numbers, got <U3",)),
        (X[:39, :2], "regressor", ("y: expected 2 targets per row, 40 rows in all, got shape (39, 2)", "give as many")),
        (Y, "multilabel", ("targets: expected labels that are 0 or 1, or missing, got 2", "head='regressor'")),
        (Y, "reconstruction", ("y: expected none", "leave it out")),
    ],
)
def test_targets_that_do_not_fit_are_refused(
    stack: stackae.PretrainedStack, y: Any, head: Any, parts: tuple[str, ...]
) -> None:
    with pytest.raises(DataError) as caught:
        stackae.finetune(stack, X, y, head=head, **QUICK)
    says(str(caught.value), *parts)


def test_arrays_of_files_and_matrices_beyond_the_memory(stack: stackae.PretrainedStack, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = X
        assert torch.equal(stack.encode(file["x"]), stack.encode(X))
    wide = sparse.coo_array((1 << 40, 1 << 20))
    assert "a sparse matrix is made dense: give fewer" in message(stack.encode, wide)
