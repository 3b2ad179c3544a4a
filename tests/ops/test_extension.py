"""The compiled extension: how it was built; where it is absent, or does not load, the true cause is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from shell import Shell

from stackae.errors import BrokenExtensionError, ConfigError, SetupError
from stackae.ops import compiled as ops
from stackae.ops import engine, extension, stamp
from stackae.ops.library import LIBRARY
from stackae.verification import CHECKS
from stackae.verification.check import SKIPPED, run

CAUSE = "/site/stackae/_C.so: undefined symbol: _ZN3c104\x1b[31mWarn"
TOLD = "/site/stackae/_C.so: undefined symbol: _ZN3c104\\x1b[31mWarn"
REMEDY = "build it again by `pip install --no-build-isolation -e .` in stackae's source folder, or use engine eager"
SENTENCE = f"stackae's compiled extension: expected one that loads, got one that does not ({TOLD}); {REMEDY}"
PACKAGE = Path(engine.__file__).parents[1]
OWN = Path(str(LIBRARY.__file__))


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the loader finds a symbol missing."""
    found = engine.importlib.import_module

    def loads(name: str, package: str | None = None) -> object:
        if name == "stackae.ops.compiled":
            raise extension.broken(CAUSE, PACKAGE)
        return found(name, package)

    monkeypatch.setattr(engine.importlib, "import_module", loads)


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stackae.ops.compiled", None)


def test_what_is_there_loads() -> None:
    found = engine.find_extension()
    assert (found.state, found.problem, found.cause) == ("loaded", "", "")
    assert engine.choose_engine().name == "fused"


def test_the_cause_is_the_loaders_own_legible_and_bounded(broken: None) -> None:
    found = engine.find_extension()
    assert (found.state, found.problem, found.cause) == ("broken", SENTENCE, TOLD)
    assert len(extension.broken("x" * 10**6, PACKAGE).cause) == extension.LONGEST_CAUSE + 3


def test_from_python_too_nothing_is_eager_without_a_word(broken: None) -> None:
    with pytest.warns(RuntimeWarning, match="undefined symbol.*slower"):
        assert engine.choose_engine().name == "eager"
    with pytest.raises(SetupError, match="undefined symbol"):
        engine.choose_engine("fused")
    assert engine.choose_engine("eager").reason == "requested"


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_the_summary_says_that_the_slower_step_is_taken_and_why(command: str, trained: Shell, broken: None) -> None:
    arguments = ("pretrain", "--layers", "8,6", "--data", "unlabelled.npy") if command == "pretrain" else ("finetune",)
    told = trained(*arguments)
    (line,) = (line for line in told.err.splitlines() if line.startswith("step  "))
    assert told.code == 0 and "RuntimeWarning" not in told.err
    why = f"engine eager, slower than fused: the extension is there, but does not load: {TOLD}"
    assert line == f"step     eager on cpu ({why}; `stackae doctor` says how to build it)"
    assert trained.refuses(6, *arguments, "--engine", "fused") == f"error: {SENTENCE}"


def test_the_summary_says_that_the_slower_step_is_taken_where_nothing_is_built(fresh: Shell, missing: None) -> None:
    told = fresh("pretrain", "--layers", "8,6", "--data", "unlabelled.npy").err
    assert "step     eager on cpu (engine eager, slower than fused: the extension is not built; `stackae" in told


def test_doctor_shows_it(fresh: Shell, broken: None) -> None:
    told = fresh("doctor")
    assert told.code == 6 and f"there, but does not load: {TOLD}" in told.out and told.err == f"error: {SENTENCE}\n"
    assert json.loads(fresh("doctor", "--json").out)["problem"] == SENTENCE


def test_verify_fails_for_one_that_does_not_load(fresh: Shell, broken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    few = [check for check in CHECKS if check.group == "tied"]
    monkeypatch.setattr("stackae.verification.CHECKS", few)
    told = fresh("verify", COLUMNS="300")
    assert told.code == 1 and told.err == f"error: {SENTENCE}\n"
    assert "left out    1 check of what is compiled, as the extension does not load: tied: fused step" in told.out
    document = json.loads(fresh("verify", "--json").out)
    assert document["failed"] == 0 and document["skipped"] == 1 and document["machine"]["problem"] == SENTENCE


def test_every_check_of_what_is_compiled_is_left_out_for_one_reason(broken: None) -> None:
    for check in CHECKS:
        if check.group == "fused":
            assert run(check).state == SKIPPED and "the extension does not load" in run(check).reason


def folder_of(tmp_path: Path, *files: tuple[str, bytes]) -> Path:
    (tmp_path / "package").mkdir()
    for name, content in files:
        (tmp_path / "package" / name).write_bytes(content)
    return tmp_path / "package"


def test_one_that_is_cut_short_is_told_before_it_could_end_the_process(tmp_path: Path) -> None:
    whole = OWN.read_bytes()
    folder = folder_of(tmp_path, (f"_C{EXTENSION_SUFFIXES[0]}", whole[: len(whole) // 2]))
    with pytest.raises(BrokenExtensionError, match=f"is cut short, .* bytes expected, got {len(whole) // 2:,}"):
        extension.load(folder)
    extension.check_whole(OWN)


def test_one_of_another_python_is_no_absent_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stackae._C", None)
    with pytest.raises(ImportError, match="expected the compiled extension, got none") as absent:
        extension.load(folder_of(tmp_path, ("_C.pyi", b"")))
    assert not isinstance(absent.value, BrokenExtensionError)
    (tmp_path / "package" / "_C.cpython-27-x86_64-linux-gnu.so").write_bytes(b"")
    with pytest.raises(BrokenExtensionError, match=r"_C\.cpython-27-x86_64-linux-gnu\.so is of another Python"):
        extension.load(tmp_path / "package")


def installed(tmp_path: Path, **facts: str) -> Path:
    """A package with a library of this stamp, which the loader would refuse, beside the sources of this one."""
    shutil.copytree(PACKAGE.parent / "csrc", tmp_path / "csrc")
    return folder_of(tmp_path, (f"_C{EXTENSION_SUFFIXES[0]}", b"." * 70 + stamp.line_of(facts).encode() + b"\0end"))


FITTING = {
    "torch": torch.__version__,
    "cuda_version": "none",
    "interface": stamp.digest_of_interface(PACKAGE.parent / "csrc"),
}
LOADED = SimpleNamespace(build_info=lambda: {"interface": "0"})
CUDA_TORCH = "it was built with CUDA 13.0, and this torch .* is without CUDA"


@pytest.mark.parametrize(
    ("facts", "cause", "remedy"),
    [
        ({"torch": "1.13.1+cu117"}, "it was built for torch 1.13.1.cu117, and this is torch", "'torch==1.13.*'"),
        ({"cuda_version": "13.0"}, CUDA_TORCH, "install a torch with CUDA 13.0, or build it again by"),
        ({"interface": "0"}, "it was built from another version of csrc/bindings.cpp than the one beside it", REMEDY),
        (None, "it was built from an older version of stackae", REMEDY),
    ],
)
def test_one_that_does_not_fit_is_not_even_loaded(
    facts: dict[str, str] | None, cause: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setitem(sys.modules, "stackae._C", SimpleNamespace())
    with pytest.raises(BrokenExtensionError, match=cause) as found:
        extension.load(installed(tmp_path, **(FITTING | facts if facts else {})))
    assert remedy in str(found.value)


def test_one_that_fits_is_left_to_the_loader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stackae._C", LOADED)
    assert extension.load(installed(tmp_path, **FITTING)) is LOADED
    monkeypatch.setattr("torch.version.cuda", "13.2")
    shutil.rmtree(tmp_path / "csrc")  # as where a wheel was installed: there is no source to differ from
    shutil.rmtree(tmp_path / "package")
    files = (f"_C{EXTENSION_SUFFIXES[0]}", stamp.line_of(FITTING | {"cuda_version": "13.0", "interface": "0"}).encode())
    assert extension.load(folder_of(tmp_path, files)) is LOADED


def test_where_there_is_no_source_the_remedy_is_a_wheel(tmp_path: Path) -> None:
    told = str(extension.broken("x", tmp_path / "stackae"))
    assert told.endswith(f"(x); {extension.FROM_FILE}, or use engine eager")


def test_the_stamp_of_this_library_is_that_of_these_sources() -> None:
    told, info = stamp.read(OWN), ops.build_info()
    assert told == {name: info[name] for name in ("torch", "interface", "sources")} | {"cuda_version": info["cuda"]}
    assert extension.release(told["torch"]) == extension.release(torch.__version__)
    assert told["interface"] == stamp.digest_of_interface(PACKAGE.parent / "csrc")


@pytest.mark.parametrize("content", [b"", b"no stamp", stamp.MARK, stamp.MARK + b"\xff;;", None])
def test_a_file_without_a_stamp_has_no_facts(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    assert stamp.read(tmp_path / "file") == {}


@pytest.mark.parametrize(
    ("edit", "interface", "sources"),
    [
        (("bindings.cpp", "// a comment\n"), False, True),
        (("bindings.cpp", "int more;\n"), True, True),
        (("step.h", "// a comment\n"), False, True),
        (("cpu/pool.cpp", "int more;\n"), False, True),
        (("cuda/plan.cuh", "int more;\n"), False, False),
    ],
)
def test_what_a_change_of_a_source_changes(
    edit: tuple[str, str], interface: bool, sources: bool, tmp_path: Path
) -> None:
    """Of the digests: signatures are told apart from what else is compiled, and CUDA code from a build without it."""
    csrc = tmp_path / "csrc"
    shutil.copytree(PACKAGE.parent / "csrc", csrc)
    before = stamp.digest_of_interface(csrc), stamp.digest_of_sources(csrc, False), stamp.digest_of_sources(csrc, True)
    with (csrc / edit[0]).open("a") as file:
        file.write(edit[1])
    after = stamp.digest_of_interface(csrc), stamp.digest_of_sources(csrc, False), stamp.digest_of_sources(csrc, True)
    assert [old != new for old, new in zip(before, after, strict=True)] == [interface, sources, True]


@pytest.mark.parametrize(("built", "told"), [("own", "as in csrc"), ("0", "not as csrc is now: build it again")])
def test_doctor_tells_whether_the_sources_are_newer(
    built: str, told: str, fresh: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = stamp.digest_of_sources(PACKAGE.parent / "csrc", ops.build_info()["cuda"] != "none")
    info = ops.build_info() | {"sources": own if built == "own" else built}
    monkeypatch.setattr("stackae.ops.library.LIBRARY", SimpleNamespace(build_info=lambda: info))
    assert json.loads(fresh("doctor", "--json").out)["extension_sources"] == told
    monkeypatch.setattr("stackae.ops.library.PACKAGE", tmp_path / "stackae")
    assert json.loads(fresh("doctor", "--json").out)["extension_sources"] == info["sources"]


def test_a_process_with_a_damaged_file_trains_eagerly_and_says_so(tmp_path: Path) -> None:
    package = tmp_path / "stackae"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("_C*", "__pycache__", "*.pyi"))
    (package / OWN.name).write_bytes(b"\x7fELF" + b"\0" * 5000)
    code = (
        "import torch\nfrom stackae.ops.engine import choose_engine, choose_step\n"
        "print(choose_engine().name, choose_step('auto', torch.device('cpu')).reason)"
    )
    own = "sys.meta_path[:] = [each for each in sys.meta_path if 'editable' not in str(each).lower()]"
    begin = f"import sys; {own}; sys.path.insert(0, {str(tmp_path)!r})\n"
    done = subprocess.run([sys.executable, "-c", begin + code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("eager engine eager, slower than fused: the extension is there, but does not load")
    assert str(package / OWN.name) in done.stdout and "RuntimeWarning: stackae's compiled extension" in done.stderr


def test_without_the_extension_one_sentence_names_the_build_and_eager_still_works() -> None:
    code = (
        "import sys; sys.modules['stackae._C'] = None\n"
        "import torch, stackae\n"
        "print(stackae.Autoencoder(6, 3, engine='eager').encode(torch.rand(2, 6)).shape)\n"
        "import stackae.ops; stackae.ops.dense_act"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "torch.Size([2, 3])" in done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: stackae._C: expected the compiled extension")
    assert "pip install --no-build-isolation -e ." in last


def test_build_info_tells_how_the_extension_was_built() -> None:
    info = ops.build_info()
    assert {
        "compiler",
        "flags",
        "cpu_levels",
        "cpu_level_in_use",
        "cpu_products",
        "cuda_products",
        "cuda",
        "cuda_architectures",
        "git_revision",
    } <= set(info)
    assert "-fopenmp" in info["flags"]
    assert info["cpu_level_in_use"] in info["cpu_levels"]


def test_a_level_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACKAE_CPU_LEVEL", "v5")
    with pytest.raises(ConfigError, match="STACKAE_CPU_LEVEL: expected default, v3 or v4, got 'v5'; unset it"):
        extension.load(OWN.parent)
