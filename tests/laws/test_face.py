"""The Python face: settings are arguments, names are types, every public name is told, messages name arguments."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_cases import says
from face_cases import QUICK, X, Y, trained_stack

import stackae
from stackae.config.training import TrainingConfig
from stackae.errors import ConfigError, argument, naming_options

SETTINGS = {
    stackae.pretrain: ({*stackae.LayerConfig.model_fields} - {"n_hidden", "shape", "channels", "kernel", "pool"})
    | {*TrainingConfig.model_fields},
    stackae.finetune: {*stackae.FinetuneConfig.model_fields},
}


@pytest.mark.parametrize("function", SETTINGS, ids=lambda function: function.__name__)
def test_every_setting_is_an_argument_with_the_default_of_the_settings(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    own = {"stack", "x", "y", "clean", "layers", "validation", "callback"}
    data = parameters.keys() & stackae.DataConfig.model_fields.keys()
    assert parameters.keys() - own - data == SETTINGS[function]
    assert all(parameters[name].default == stackae.DataConfig.model_fields[name].default for name in data)
    for model in (stackae.FinetuneConfig,) if function is stackae.finetune else (TrainingConfig,):
        told = {
            name: parameters[name].default
            for name in model.model_fields
            if name != "seed" or function is stackae.pretrain
        }
        assert told == {name: model.model_fields[name].default for name in told}
    layer = parameters.keys() & stackae.LayerConfig.model_fields.keys() if function is stackae.pretrain else set()
    assert all(parameters[name].default is None for name in layer)


SNIPPET = """import stackae
x = [[0.0, 1.0]] * 9
stack = stackae.pretrain(x, (6, 4), activation=("relu", "tanh"), tied=False, sparsity="l1:0.1", patience="auto")
model = stackae.finetune(stack, x, ["a"] * 9, head="classifier", validation=(x, ["a"] * 9))
print(stackae.evaluate(model, x, ["a"] * 9).accuracy, stackae.evaluate(stack, x)[0].explained, model.predict(x).classes)
print(stackae.load("a", "classifier").names, stackae.load_run("a").config.data.scale)
stackae.pretrain(x, (6, 4), activation="sigmod")
stackae.pretrain(x, (6, 4), activation=("relu", "sigmod"))
stackae.finetune(stack, x, head="clasifier")
stackae.LayerConfig(n_hidden=3, loss="mae")
"""
LIBRARIES = "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in ("torch", "numpy", "safetensors"))


def test_type_checkers_see_names_that_are_none(tmp_path: Path) -> None:
    """mypy --strict refuses the last four lines; libraries are skipped, which takes most of its time."""
    (tmp_path / "snippet.py").write_text(SNIPPET)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = True\nfollow_imports = silent\n{LIBRARIES}")
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "snippet.py"]
    place = os.environ | {"MYPYPATH": str(Path(stackae.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=place, capture_output=True, text=True, check=False)
    found = re.findall(r"snippet\.py:(\d+): error: .*\[(.*)\]", done.stdout)
    assert found == [(str(line), "arg-type") for line in range(7, 11)], done.stdout


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


FUNCTIONS = (*SETTINGS, stackae.evaluate, stackae.load, stackae.load_run, stackae.PretrainedStack.encode)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_argument_is_told(function: Any) -> None:
    text = function.__doc__
    missing = [name for name in inspect.signature(function).parameters if not re.search(rf"\b{name}\b", text)]
    assert missing == ["self"][: "self" in inspect.signature(function).parameters]
    says(text, "Args:", "Raises:")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"activation": "sigmod"}, "layer 1: activation: expected one of .*mean 'sigmoid'"),
        ({"loss": ("mse",) * 3}, "loss: expected one value, or 2 .one per layer., got 3 in"),
        ({"layers": ()}, "layers: expected the input width and at least one code width"),
        ({"layers": None}, "layers: expected whole numbers such as .*, got 'None'"),
        ({"layers": (6, 0)}, "layers: expected widths of at least 1, got 0"),
        ({"layers": ("conv3",)}, "layers: expected an image below conv3, got a flat row of numbers"),
        ({"scale": "unity"}, "scale: expected one of .*, got 'unity'; did you mean 'unit'"),
        ({"x": 3 * X, "scale": "none", "loss": "bce"}, "use output_activation='linear' with loss='mse'"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_names(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        stackae.pretrain(**{"x": X, "layers": (6, 4), **settings})
    assert "--" not in str(caught.value)


def test_settings_that_are_made_by_name_are_refused_alike() -> None:
    for settings in ({"n_hidden": 3, "loss": "mae"}, {"n_hidden": 0}):
        with pytest.raises(ConfigError, match=r"loss: expected one of auto, mse, bce, got 'mae'|n_hidden: .* 1, got 0"):
            stackae.LayerConfig(**settings)


def test_what_is_no_stack_or_model_is_refused() -> None:
    model = stackae.finetune(trained_stack(), X, Y, **QUICK)
    for call, name, got in (
        (lambda: stackae.finetune(X, X, Y), "stack: expected a PretrainedStack", "ndarray"),
        (lambda: stackae.finetune(model, X, Y), "stack: expected a PretrainedStack", "FinetunedModel"),
        (lambda: stackae.evaluate(X, X), "model: expected a PretrainedStack or FinetunedModel", "ndarray"),
    ):
        with pytest.raises(ConfigError, match=f"{name}, got {got}; give what stackae.pretrain or stackae.load gives"):
            call()


def test_messages_name_arguments_and_on_the_command_line_options() -> None:
    assert (argument("batch_size"), argument("scale", "none")) == ("batch_size", "scale='none'")
    with naming_options():
        assert (argument("batch_size"), argument("scale", "a", "b")) == ("--batch-size", "--scale a or b")
    assert argument("seed", 1) == "seed=1"
