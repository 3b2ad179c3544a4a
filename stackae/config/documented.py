"""What each setting is: the docstrings under the fields, read from the source.

Help, docs/config.md (`python -m stackae.config.documented`) and the JSON schema are made of them. Needs the standard
library alone, and loads none of the models.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

METAVARS = {
    **dict.fromkeys(("Positive", "NonNegative", "Fraction", "float"), "<float>"),
    **dict.fromkeys(("Count", "BatchSize", "int"), "<int>"),
    **dict.fromkeys(("Epochs", "Patience", "Width"), "<int|auto>"),
    "Rate": "<float|auto>",
    "Penalty": "<float|auto>",
    "Tied": "<bool|auto>",
    "bool": "<bool>",
    "Device": "<device>",
    "ImageShape": "<HxW>",
    "Size": "<HxW>",
    "Places": "<place:int>",
    "Labels": "<int|int-per-class|all>",
    "CorruptionConfig": "<kind:level>",
    "SparsityConfig": "<kind:...>",
    "ReviveConfig": "<kind:...>",
    "EmphasisConfig": "<float:float>",
    "DropoutConfig": "<float>",
    "InitialConfig": "<kind:level>",
    "RampConfig": "<float:int>",
}
"""How the values of a type are called."""
TABLES = {
    "data": "DataConfig",
    "pretrain": "PretrainConfig",
    "pretrain.layers": "LayerConfig",
    "finetune": "FinetuneConfig",
}
"""The models of a configuration file, by their tables."""


@dataclass(frozen=True)
class Setting:
    """One field: its docstring in a line, how its values are called, the names that it takes or that its values begin
    with, and its default.

    ``begun`` are kinds of noise, of sparsity and the like, which a level follows. The default is spelled as on a
    command line; "" where there is none.
    """

    text: str
    metavar: str
    choices: tuple[str, ...]
    begun: tuple[str, ...]
    default: str

    @property
    def help(self) -> str:
        """The text, with the names where it does not say them all."""
        if all(name in self.text for name in self.choices):
            return self.text
        *most, last = self.choices
        return f"{self.text} One of {', '.join(most)} or {last}."


@cache
def settings_of(model: str) -> dict[str, Setting]:
    """The fields of a model of ``stackae.config`` by their names, those that it inherits first."""
    nodes = _nodes()
    node = nodes[model]
    assert isinstance(node, ast.ClassDef)
    inherited = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in nodes]
    found = {name: setting for base in inherited for name, setting in settings_of(base).items()}
    for field, after in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant), f"{model}.{field.target.id}"
            text = " ".join(str(after.value.value).split())
            choices, kind = _names_in(field.annotation), _type_of(field.annotation)
            metavar = "<name>" if choices else METAVARS.get(kind, "<text>")
            found[field.target.id] = Setting(text, metavar, choices, _begun(kind), _spelled(field.value))
    return found


@cache
def _nodes() -> dict[str, ast.expr | ast.ClassDef]:
    """The models of this package, and what its names stand for."""
    found: dict[str, ast.expr | ast.ClassDef] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name != "Model":
                found[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[node.targets[0].id] = node.value
    return found


def _names_in(annotation: ast.expr) -> tuple[str, ...]:
    """The names that a Literal has, through what stands for it; of numbers beside a name, none."""
    if isinstance(annotation, ast.Name):
        meant = _nodes().get(annotation.id)
        return _names_in(meant) if isinstance(meant, (ast.Subscript, ast.Name)) else ()
    if not isinstance(annotation, ast.Subscript) or not isinstance(annotation.value, ast.Name):
        return ()
    inside = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
    if annotation.value.id == "Annotated":
        return _names_in(inside[0])
    if annotation.value.id != "Literal":
        return ()
    return tuple(
        name for each in inside for name in ((str(each.value),) if isinstance(each, ast.Constant) else _names_in(each))
    )


def _type_of(annotation: ast.expr) -> str:
    """The first name in it that says a type."""
    names = [node.id for node in ast.walk(annotation) if isinstance(node, ast.Name) and node.id in METAVARS]
    return names[0] if names else ""


def _begun(kind: str) -> tuple[str, ...]:
    """The names in the field ``kind`` of the model that a setting is of, where that has one."""
    own = settings_of(kind).get("kind") if isinstance(_nodes().get(kind), ast.ClassDef) else None
    return own.choices if own else ()


def _spelled(value: ast.expr | None) -> str:
    if value is None or (isinstance(value, ast.Constant) and value.value is None):
        return ""
    if isinstance(value, ast.Call):
        return ":".join(_spelled(each.value) for each in value.keywords) or "none"
    if isinstance(value, ast.Constant) and isinstance(value.value, float):
        return f"{value.value:g}".replace("e-0", "e-")
    return str(ast.literal_eval(value)).lower() if isinstance(value, ast.Constant) else ast.unparse(value)


def page() -> str:
    """docs/config.md."""
    lines = ["# Settings", "", INTRODUCTION, ""]
    for table, model in TABLES.items():
        brackets = f"[[{table}]]" if model == "LayerConfig" else f"[{table}]"
        lines += [f"## `{brackets}`: `stackae.{model}`", "", "| setting | values | default | what it is |"]
        lines += ["|---|---|---|---|"]
        for name, setting in settings_of(model).items():
            values = ", ".join(setting.choices) or setting.metavar.strip("<>").replace("|", ", ")
            lines.append(f"| `{name}` | {values} | {setting.default or 'none'} | {setting.text} |")
        lines.append("")
    return "\n".join(lines)


INTRODUCTION = """What a configuration file (`--config`) and config.toml of a run folder hold, and what the settings of
`stackae.pretrain` and `stackae.finetune` are. Options of the command line have the same names, with dashes; `--epochs`
is `max_epochs`, and `--weights tied` or `untied` is `tied`. `python -m stackae.config.documented` writes this page."""

if __name__ == "__main__":
    print(page(), end="")
