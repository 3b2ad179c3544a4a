"""The house plan: imports run downward, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "stackae").rglob("*.py"))
CLI = sorted((ROOT / "cli").rglob("*.py"))

FLOORS = (
    ("apart", "documents", "errors", "lazy", "random", "system", "threads", "config.documented"),
    ("ranks",),
    ("config.activations", "config.kinds", "config.heads"),
    ("config", "metrics", "ops", "pages", "plots"),
    ("data",),
    ("autoencoders",),
    ("models",),
    ("objectives",),
    ("models.files", "models.heads"),
    ("training",),
    ("analysis.anomaly", "analysis.calibration", "analysis.detector", "semisupervised"),
    ("pretraining", "finetuning", "runs"),
    ("analysis",),
    ("verification", "exporting"),
    ("workflows",),
    ("api",),
    ("sklearn",),
    ("__main__",),
)
"""From the ground up: a module imports from lower floors, or from its own package, never from above or beside."""

OUTSIDE = {
    "config.dialect": {"pydantic"},
    "config.layer": {"pydantic"},
    "config.recipe": {"pydantic"},
    "config.run": {"pydantic", "tomli_w"},
    "config.stack": {"pydantic"},
    "config.template": {"tomli_w"},
    "config.notation": {"pydantic"},
    "config.training": {"pydantic"},
    "config.values": {"pydantic", "pydantic_core"},
    "models.files": {"safetensors"},
    "runs.records": {"pydantic"},
    "runs.state": {"pydantic"},
    "runs.differences": {"pydantic"},
    "runs.kept_data": {"pydantic"},
    "sklearn.arrays": {"sklearn"},
    "sklearn.base": {"sklearn"},
    "sklearn.classifier": {"sklearn", "scipy"},
    "sklearn.detector": {"sklearn"},
    "sklearn.encoder": {"sklearn"},
    "sklearn.labels": {"sklearn"},
    "sklearn.regressor": {"sklearn"},
    "sklearn.settings": {"sklearn"},
}
"""Beyond torch, numpy and the standard library, what a module may import at its top."""

TABLES = ("stackae.config.documented", "stackae.config.activations", "stackae.config.kinds", "stackae.config.heads")
RANKS = ("stackae.ranks", "stackae.ranks.following", "stackae.ranks.launch")
LIGHT = ("stackae", "stackae.data.formats", "stackae.errors", "stackae.threads", "stackae.workflows.callbacks", *TABLES)
LIGHT = (*LIGHT, *RANKS)
DOOR = ("console", "progress")
FRAME = ("main", "start", "console", "progress", "screen", "signals", "options")
SHARED = ("printing.figures", "printing.reports")
"""What the command line may load of the library; its modules that all text passes, those that every command stands in,
and those that print for several commands."""

COMMANDS = [path for path in CLI if path.parent.name == "cli" and path.stem not in (*FRAME, "__init__")]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "stackae").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def floor_of(module: str) -> int:
    rooms = [(room, number) for number, floor in enumerate(FLOORS) for room in floor]
    fitting = [(len(room), number) for room, number in rooms if module == room or module.startswith(room + ".")]
    assert fitting, f"{module} has no floor in the house plan: give it one in FLOORS"
    return max(fitting)[1]


def imports(tree: ast.AST, top_only: bool) -> Iterator[str]:
    """Every module that is imported: everywhere, or only where the module is loaded (not for types alone)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif top_only and (
            isinstance(node, (ast.FunctionDef, ast.Lambda))
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
        ):
            continue
        else:
            yield from imports(node, top_only)


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_imports_run_downward(path):
    own = name_of(path)
    for imported in imports(ast.parse(path.read_text()), top_only=False):
        root, _, target = imported.partition(".")
        assert root not in ("cli", "tests", "benchmarks") and not imported.startswith("stackae.cli")
        if root != "stackae" or not target or not own:
            continue
        same_package = "." in own + "." and own.split(".")[0] == target.split(".")[0]
        assert same_package or floor_of(target) < floor_of(own), f"{own} imports {target}, which is not below it"


@pytest.mark.parametrize("path", LIBRARY, ids=name_of)
def test_the_library_loads_torch_numpy_and_the_standard_library_alone(path):
    allowed = {"torch", "numpy", "stackae"} | OUTSIDE.get(name_of(path), set()) | set(sys.stdlib_module_names)
    if name_of(path) in ("", "errors", "training.callbacks") or "config" in name_of(path):
        allowed -= {"torch", "numpy"}
    assert {name.split(".")[0] for name in imports(ast.parse(path.read_text()), top_only=True)} <= allowed


@pytest.mark.parametrize("path", CLI, ids=lambda path: path.stem)
def test_the_command_line_loads_nothing_heavier_than_typer_and_rich(path):
    for name in imports(ast.parse(path.read_text()), top_only=True):
        light = name.split(".")[0] in {"typer", "rich", *sys.stdlib_module_names} or name in LIGHT
        assert light or name.startswith("."), f"{path.name} loads {name}"


@pytest.mark.parametrize("path", [path for path in CLI if path.stem not in DOOR], ids=lambda path: path.stem)
def test_all_text_takes_the_door_of_the_console(path):
    """Where names of files, columns and classes become legible: `say`, `note`, `table` and their like."""
    tree = ast.parse(path.read_text())
    for name in imports(tree, top_only=False):
        assert name.split(".")[0] != "rich", f"{path.name} imports {name}: give console.py plain text"
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "console":
            assert not {alias.name for alias in node.names} & {"stdout", "stderr"}, f"{path.name}: use say or note"
        if isinstance(node, (ast.Name, ast.Attribute)):
            word = ast.unparse(node)
            door = word in ("print", "typer.echo", "typer.secho") or (
                re.fullmatch(r"sys\.(__)?std(out|err)(__)?", word) and path.stem != "screen"
            )
            assert not door, f"{path.name}:{node.lineno} writes by {word}: use say or note"


def functions_of(path: Path) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def printing(functions: dict[str, ast.FunctionDef], doors: set[str]) -> set[str]:
    """The functions that print through these doors, or through one another, and the doors."""
    called = {
        name: {ast.unparse(node.func) for node in ast.walk(each) if isinstance(node, ast.Call)}
        for name, each in functions.items()
    }
    found, before = set(doors), set[str]()
    while found != before:
        before, found = found, found | {name for name, calls in called.items() if calls & found}
    return found


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_a_command_is_its_signature_one_call_and_its_output(path):
    """What it does is library: each function declares options or prints, and imports one thing of the library."""
    functions, doors = functions_of(path), {"emit_json", "say", "tell", "table", "in_columns"}
    for shared in ("console", *SHARED):
        doors = printing(functions_of((ROOT / "cli" / shared.replace(".", "/")).with_suffix(".py")), doors)
    prints = printing(functions, doors)
    for name, function in functions.items():
        options = re.search(r"\bo\.[A-Z]|\boption\(|\btyper\.", ast.unparse(function.args))
        assert options or name in prints, f"{path.name}: {name} declares no option and prints nothing; is it library?"
        loaded = [node for node in ast.walk(function) if isinstance(node, (ast.Import, ast.ImportFrom))]
        assert len(loaded) <= 1, f"{path.name}: {name} imports {len(loaded)} times"
    siblings = {name.lstrip(".") for name in imports(ast.parse(path.read_text()), top_only=False) if name[0] == "."}
    assert siblings <= {*FRAME, *SHARED, ""}, f"{path.name} imports another command"


def test_the_command_line_has_a_file_per_command_and_few_more():
    assert len(CLI) - len(COMMANDS) <= 14


def test_only_ops_and_what_loads_it_name_the_extension():
    naming = [name_of(path) for path in LIBRARY if "_C" in re.findall(r"\b_C\b", path.read_text())]
    assert naming == ["ops.extension"]


@pytest.mark.parametrize("here", ["cpu", "cuda"])
def test_cpu_and_cuda_sources_never_include_each_other(here):
    other = {"cpu": "cuda", "cuda": "cpu"}[here]
    for path in (path for path in (ROOT / "csrc" / here).rglob("*") if path.is_file()):
        assert not re.search(rf'#include "[./]*{other}/', path.read_text()), path.name


def test_every_op_has_one_stem_everywhere():
    schemas = re.findall(r'm\.def\("(\w+)\(', (ROOT / "csrc" / "bindings.cpp").read_text())
    stems = {re.sub(r"_(forward|backward)$", "", name) for name in schemas}
    for folder in ("cpu", "cuda"):
        sources = [path for path in (ROOT / "csrc" / folder).glob("*.c*") if path.suffix in (".cpp", ".cu")]
        assert stems == {path.stem for path in sources if "TORCH_LIBRARY_IMPL" in path.read_text()}
    for module in ("compiled", "reference"):
        defined = {
            node.name
            for node in ast.parse((ROOT / "stackae" / "ops" / f"{module}.py").read_text()).body
            if isinstance(node, ast.FunctionDef)
        }
        assert stems <= defined
    for place in ("benchmarks/ops.py", "tests/ops/test_ops.py"):
        assert all(stem in (ROOT / place).read_text() for stem in stems)


def test_the_root_of_the_library_is_seen_at_a_glance():
    loose = [path.name for path in (ROOT / "stackae").iterdir() if path.is_file() and not path.name.startswith("_C.")]
    assert len(loose) <= 12, loose


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in [*LIBRARY, *CLI]}), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_package_has_few_files(folder):
    assert len(list(folder.glob("*.py"))) <= 27


def test_an_installed_package_has_every_folder_of_code():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in LIBRARY}
    assert set(told) == {*folders, "stackae.cli", "stackae.cli.printing"}


def test_no_modules_import_each_other_in_a_circle():
    """Where a module is loaded; what a function imports late, or a type checker alone, ties nothing."""
    names = {f"stackae.{name_of(path)}".removesuffix("."): path for path in LIBRARY}
    graph = {
        own: {name for name in imports(ast.parse(path.read_text()), top_only=True) if name in names}
        - {own, own.rpartition(".")[0]}  # its package, which has a file of its own
        for own, path in names.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", [*LIBRARY, *CLI], ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_stay_small(path):
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("here", ["cpu", "cuda"])
def test_each_backend_has_a_namespace_of_its_own(here):
    """The two are linked into one library, where functions of one name would silently be taken for one function."""
    for path in (path for path in (ROOT / "csrc" / here).rglob("*") if path.is_file()):
        opened = set(re.findall(r"^namespace (stackae[\w:]*) \{", path.read_text(), re.MULTILINE))
        assert all(name.startswith(f"stackae::{here}") for name in opened), path.name
