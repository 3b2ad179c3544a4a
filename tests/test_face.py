"""Laws of the Python face: any holder of the same rows gives the same bits, which are those of the command line."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_cases import says
from shell import Shell

import stackae
from stackae.api.evaluation import evaluate
from stackae.api.loading import load, load_run
from stackae.api.model import FinetunedModel, finetune
from stackae.api.stack import PretrainedStack, pretrain
from stackae.config import FinetuneConfig, LayerConfig
from stackae.config.training import TrainingConfig
from stackae.data import ByteRows, Scaling
from stackae.errors import ConfigError, DataError, RunError, argument, naming_options

X = np.random.default_rng(0).integers(0, 2, (40, 8)).astype(np.float64)
X[:2] = [[0] * 8, [1] * 8]  # no column is constant
Y = np.arange(40) % 3
QUICK: dict[str, Any] = {"max_epochs": 2, "device": "cpu"}


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


def byte_rows(x: np.ndarray) -> ByteRows:
    raw = x.astype(np.uint8)
    return ByteRows(torch.from_numpy(raw), Scaling.fit("unit", raw))


NUMPY = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), ">f4", ">i8")
NUMPY += ("float16", "float32", "float64", "longdouble")
TORCH = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **{f"numpy {name}": lambda x, name=name: x.astype(name) for name in NUMPY},  # type: ignore[misc]
    **{f"torch {name}": lambda x, name=name: torch.tensor(x).to(getattr(torch, name)) for name in TORCH},  # type: ignore[misc]
    "columns first": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "transposed tensor": lambda x: torch.tensor(x.T).T,
    "with a gradient": lambda x: torch.tensor(x).requires_grad_(),
    "lists": np.ndarray.tolist,
    "tuple of arrays": tuple,
    "__array__": Frame,
    "nothing masked": np.ma.masked_array,
    "images": lambda x: x.reshape(-1, 2, 4),
    "channels": lambda x: x.reshape(-1, 2, 2, 2),
    "bytes that are scaled when they are read": byte_rows,
}


@pytest.fixture(scope="module")
def stack() -> PretrainedStack:
    return pretrain(X, (6, 4), scale="minmax", **QUICK)


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_any_holder_are_read_alike(stack: PretrainedStack, form: str) -> None:
    held = FORMS[form](X)
    codes = stack.encode(held)
    assert codes.dtype == torch.float32 and not codes.requires_grad and torch.equal(codes, stack.encode(X))
    assert torch.equal(stack.reconstruct(held), stack.decode(codes))
    again = pretrain(held, (6, 4), scale="minmax", **QUICK)
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
def test_what_is_no_rows_is_refused_in_one_sentence(stack: PretrainedStack, harm: str) -> None:
    value, parts = HARM[harm]
    calls: list[Callable[[], Any]] = [lambda: pretrain(value, (6,)), lambda: stack.encode(value)]
    for call in (*calls, lambda: finetune(stack, value, Y), lambda: evaluate(stack, value)):
        with pytest.raises(DataError) as caught:
            call()
        says(str(caught.value), "x: ", *parts)
        assert "\n" not in str(caught.value) and str(caught.value).startswith("x: ")


def test_rows_of_another_width_are_refused_by_the_argument(stack: PretrainedStack) -> None:
    for call, name, wanted in ((stack.encode, "x", 8), (stack.reconstruct, "x", 8), (stack.decode, "h", 4)):
        with pytest.raises(DataError, match=rf"^{name}: expected rows of {wanted} numbers, got shape \(40, 7\); give"):
            call(X[:, :7])
    with pytest.raises(DataError, match=r"^validation: expected rows of 8 numbers, got shape \(40, 7\)"):
        pretrain(X, (6,), validation=X[:, :7], **QUICK)
    for call in (stack.encode, stack.reconstruct):
        with pytest.raises(ConfigError, match="layer: expected 1 to 2, or None for the top, got 3"):
            call(X, layer=3)


@pytest.mark.parametrize("share", [1.0, -0.1, float("nan")])
def test_a_share_to_validate_by_is_below_all(share: float) -> None:
    with pytest.raises(ConfigError, match="validation: expected rows, or a share of x from 0 to below 1, got"):
        pretrain(X, (6,), validation=share)


# ---- labels

NAMES = np.array(["ant", "bee", "cat"])
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
    "integers as objects": (Y.astype(object), ("0", "1", "2")),
}


@pytest.fixture(scope="module")
def classifier(stack: PretrainedStack) -> FinetunedModel:
    return finetune(stack, X, Y, **QUICK)


@pytest.mark.parametrize("form", LABELS)
def test_labels_in_any_holder_are_the_same_classes(
    stack: PretrainedStack, classifier: FinetunedModel, form: str
) -> None:
    y, names = LABELS[form]
    model = finetune(stack, X, y, **QUICK)
    found = model.predict(X)
    assert model.names == found.names == names and not found.values.requires_grad
    assert torch.equal(found.values, classifier.predict(X).values)
    assert str(evaluate(model, X, y)) == str(evaluate(classifier, X, Y))
    assert set(found.classes) <= set(names)


def test_two_classes_of_bool_and_labels_that_lack(stack: PretrainedStack) -> None:
    model = finetune(stack, X, Y > 0, **QUICK)
    assert model.names == ("0", "1") and evaluate(model, X, Y > 0).rows == 40  # type: ignore[union-attr]
    some = [None if n % 4 == 0 else float("nan") if n % 4 == 1 else name for n, name in enumerate(NAMES[Y])]
    lacking = finetune(stack, X, np.array(some, dtype=object), **QUICK)
    written = finetune(stack, X, np.where(np.arange(40) % 4 < 2, "", NAMES[Y]), **QUICK)
    assert lacking.names == tuple(NAMES) and torch.equal(lacking.predict(X).values, written.predict(X).values)


@pytest.mark.parametrize(
    ("y", "head", "parts"),
    [
        (Y[:39], "classifier", ("y: expected one label a row, 40 in all, got labels of shape (39,)", "give as many")),
        (Y + 0.5, "classifier", ("y: expected labels y of shape (n,), integers or strings", "float64", "save class")),
        (Y[:, None], "classifier", ("y: expected labels y of shape (n,)", "got shape (40, 1)")),
        (Y * 0, "classifier", ("labels: expected at least two classes, got one", "another class")),
        (None, "classifier", ("labels: expected labels to train a classifier, got none", "use data that has them")),
        (None, "regressor", ("targets: expected numbers to train a regressor, got none", "use data")),
        (NAMES[Y], "regressor", ("y: expected real numbers, got <U3",)),
        (X[:39, :2], "regressor", ("y: expected 2 targets a row, 40 rows in all, got shape (39, 2)", "give as many")),
        (Y, "multilabel", ("targets: expected labels that are 0 or 1, or missing, got 2", "head='regressor'")),
        (Y, "reconstruction", ("y: expected none", "leave it out")),
    ],
)
def test_targets_that_do_not_fit_are_refused(stack: PretrainedStack, y: Any, head: Any, parts: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        finetune(stack, X, y, head=head, **QUICK)
    says(str(caught.value), *parts)


# ---- the command line's own weights


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("data", "head"), [("unlabelled.npy", "reconstruction"), ("labelled.npz", "classifier")])
def test_weights_are_those_of_the_command_line(fresh: Shell, data: str, head: Any) -> None:
    noise, whole = ("--corruption", "masking:0.2,none"), ("--test-fraction", "0")
    fresh.does("pretrain", "--layers", "8,6,4", "--data", data, *whole, *noise)
    x, y = np.load(fresh.folder / "unlabelled.npy"), np.load(fresh.folder / "labelled.npz")["y"]
    stack = load(fresh.run)
    assert isinstance(stack, PretrainedStack)
    if head == "reconstruction":
        own = pretrain(x, (6, 4), corruption=("masking:0.2", "none"), **QUICK)
        assert same_weights(own.network, stack.network) and own.config == stack.config
    fresh.does("finetune", "--head", head)
    tuned, theirs = finetune(stack, x, y if head == "classifier" else None, head=head, **QUICK), load(fresh.run)
    assert isinstance(theirs, FinetunedModel) and same_weights(tuned.network, theirs.network)
    assert tuned.names == theirs.names and tuned.config == theirs.config


# ---- saved and loaded

TARGETS: dict[str, Any] = {"classifier": NAMES[Y], "regressor": X[:, :2] + Y[:, None], "multilabel": X[:, :3]}


@pytest.mark.parametrize("head", [*TARGETS, "reconstruction"])
def test_what_was_saved_is_loaded_whole(stack: PretrainedStack, tmp_path: Path, head: Any) -> None:
    y = TARGETS.get(head)
    model = finetune(stack, X, y, head=head, **QUICK)
    model.save(tmp_path / "model")
    found = load(tmp_path / "model")
    assert isinstance(found, FinetunedModel) and same_weights(found.network, model.network)
    assert (found.names, found.config, found.head) == (model.names, model.config, head)
    assert torch.equal(found.encode(X), model.encode(X)) and torch.equal(found.stack.encode(X), stack.encode(X))
    assert str(evaluate(found, X, y)) == str(evaluate(model, X, y)) and evaluate(found.stack, X) == evaluate(stack, X)
    for mine, theirs in ((model.history, found.history), (stack.history, found.stack.history)):
        assert [(each.stage, each.epoch, each.loss, each.best) for each in mine] == [
            (each.stage, each.epoch, each.loss, each.best) for each in theirs
        ]
    suffixes = {path.suffix for path in (tmp_path / "model").iterdir() if path.name != "lock"}
    assert suffixes == {".json", ".jsonl", ".toml", ".safetensors"}
    if head == "reconstruction":
        assert torch.equal(found.reconstruct(X), model.reconstruct(X))
        with pytest.raises(ConfigError, match="head: expected one that predicts, got reconstruction; use"):
            found.predict(X)
    else:
        assert torch.equal(found.predict(X).values, model.predict(X).values)
        with pytest.raises(ConfigError, match=f"head: expected reconstruction, got {head}; use"):
            found.reconstruct(X)


def test_a_saved_stack_is_a_run_for_the_command_line(stack: PretrainedStack, fresh: Shell) -> None:
    np.save(fresh.folder / "x.npy", X)
    stack.save(fresh.folder / "saved")
    fresh.does("encode", "--run", "saved", "--data", "x.npy", "--out", "codes.npy")
    assert np.array_equal(np.load(fresh.folder / "codes.npy"), stack.encode(X).numpy())


def test_what_lies_there_is_replaced_only_by_force(stack: PretrainedStack, tmp_path: Path) -> None:
    place = tmp_path / "saved"
    stack.save(place)
    with pytest.raises(
        ConfigError, match="expected a new folder, got an existing run; choose another run, or add force"
    ):
        stack.save(place)
    stack.save(str(place), force=True)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == ["saved"]
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="expected a new folder or an earlier run, got something else"):
        stack.save(other, force=True)


def test_every_changed_bit_of_what_was_saved_is_found(stack: PretrainedStack, tmp_path: Path) -> None:
    stack.save(tmp_path / "saved")
    for path in (path for path in (tmp_path / "saved").iterdir() if path.name != "lock"):
        whole = path.read_bytes()
        path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
        with pytest.raises(RunError):
            load(tmp_path / "saved")
        path.write_bytes(whole)
    assert isinstance(load(tmp_path / "saved"), PretrainedStack)
    with pytest.raises(RunError, match="expected a run folder, got no such folder"):
        load(tmp_path / "none")


# ---- signatures, types and texts

SETTINGS = {
    pretrain: ({*LayerConfig.model_fields} - {"n_hidden", "shape", "channels", "kernel", "pool"})
    | {*TrainingConfig.model_fields},
    finetune: {*FinetuneConfig.model_fields},
}


@pytest.mark.parametrize("function", SETTINGS, ids=lambda function: function.__name__)
def test_every_setting_is_an_argument_with_the_default_of_the_settings(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    own = {"stack", "x", "y", "layers", "validation", "scale", "callback"}
    assert parameters.keys() - own == SETTINGS[function]
    for model in (FinetuneConfig,) if function is finetune else (TrainingConfig,):
        told = {name: parameters[name].default for name in model.model_fields if name != "seed" or function is pretrain}
        assert told == {name: model.model_fields[name].default for name in told}
    layer = parameters.keys() & LayerConfig.model_fields.keys() if function is pretrain else set()
    assert all(parameters[name].default is None for name in layer)


SNIPPET = """import numpy as np
import stackae
from stackae.api.model import finetune
from stackae.api.stack import pretrain
x = np.zeros((9, 8))
stack = pretrain(x, (6, 4), activation=("relu", "tanh"), tied=False, sparsity="l1:0.1", patience="auto")
pretrain(x, (6, 4), activation="sigmod")
pretrain(x, (6, 4), activation=("relu", "sigmod"))
finetune(stack, x, head="clasifier")
stackae.LayerConfig(n_hidden=3, loss="mae")
stackae.load("a", "regresor")
"""


def test_type_checkers_see_names_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "snippet.py").write_text(SNIPPET)
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(root / "pyproject.toml")]
    done = subprocess.run(
        [*command, str(tmp_path / "snippet.py")], cwd=root, capture_output=True, text=True, check=False
    )
    found = re.findall(r"snippet\.py:(\d+): error: (.*?)  \[(.*)\]", done.stdout)
    assert [int(line) for line, _, _ in found] == [7, 8, 9, 10, 11], done.stdout
    assert {code for _, _, code in found} == {"arg-type"}


def test_every_public_name_is_there_and_told() -> None:
    assert {*stackae.__all__} <= {*dir(stackae)}
    for name in stackae.__all__[1:]:
        public = getattr(stackae, name)
        assert name in ("ArrayLike", "PerLayer", "Report") or inspect.getdoc(public), name
    with pytest.raises(AttributeError, match="module 'stackae' has no attribute 'pretrain_stack'"):
        _ = stackae.pretrain_stack


def methods() -> list[tuple[str, str]]:
    """The public methods and properties of the public classes."""
    classes = [
        (name, getattr(stackae, name)) for name in stackae.__all__[1:] if inspect.isclass(getattr(stackae, name))
    ]
    own = [(name, each) for name, public in classes if not issubclass(public, Exception) for each in vars(public)]
    return [(name, each) for name, each in own if each[0] != "_" and callable(getattr(getattr(stackae, name), each))]


@pytest.mark.parametrize(("public", "name"), methods())
def test_every_public_method_is_told(public: str, name: str) -> None:
    assert inspect.getdoc(getattr(getattr(stackae, public), name))


@pytest.mark.parametrize("function", [pretrain, finetune, evaluate, load, load_run, PretrainedStack.encode])
def test_every_argument_is_told(function: Any) -> None:
    text = function.__doc__
    missing = [name for name in inspect.signature(function).parameters if not re.search(rf"\b{name}\b", text)]
    assert missing == ["self"][: "self" in inspect.signature(function).parameters]
    says(text, "Args:", "Raises:")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: LayerConfig(n_hidden=3, loss="mae"), "loss: expected one of mse, bce, got 'mae'"),  # type: ignore[arg-type]
        (lambda: LayerConfig(n_hidden=0), "n_hidden: expected a number greater than or equal to 1, got 0"),
        (lambda: pretrain(X, (6, 4), activation="sigmod"), "layer 1: activation: expected one of .*mean 'sigmoid'"),  # type: ignore[arg-type]
        (lambda: pretrain(X, (6, 4), loss=("mse",) * 3), "loss: expected one value, or 2 .one a layer., got 3 in"),
        (lambda: pretrain(X, ()), "layers: expected the input width and at least one code width"),
        (lambda: pretrain(X, (6, 0)), "layers: expected widths of at least 1, got 0"),
        (lambda: pretrain(X, (6,), scale="unity"), "scale: expected one of .*, got 'unity'; did you mean 'unit'"),  # type: ignore[arg-type]
        (lambda: pretrain(3 * X, (6,), scale="none", loss="bce"), "use output_activation='linear' with loss='mse'"),
        (lambda: pretrain(X, ("conv3",)), "layers: expected an image below conv3, got a flat row of numbers"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_names(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        call()
    assert "--" not in str(caught.value)


def test_messages_name_arguments_and_on_the_command_line_options() -> None:
    assert (argument("batch_size"), argument("scale", "none")) == ("batch_size", "scale='none'")
    with naming_options():
        assert (argument("batch_size"), argument("scale", "a", "b")) == ("--batch-size", "--scale a or b")
    assert argument("seed", 1) == "seed=1"
