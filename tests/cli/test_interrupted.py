"""Laws of signals in the first second, while modules load: every command says that it was interrupted, and ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import os, signal, sys

class Interrupting:
    '''A signal comes as soon as a module is asked for.'''
    def __init__(self, module, number):
        self.module, self.number = module, number
    def find_spec(self, name, path=None, target=None):
        if name in self.module.split():
            sys.meta_path.remove(self)
            os.kill(os.getpid(), self.number)

def begun(module, number, *arguments):
    sys.argv = ["stackae", *arguments]
    sys.meta_path.insert(0, Interrupting(module, number))
    from stackae.cli.start import main
    main()
"""
MANY = """
import json, typer, rich.console, rich.table, rich.progress
import stackae.cli.main, stackae.config
for case in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        begun(*case)
    print(json.dumps([case, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]), flush=True)
"""
COMMANDS = {
    "pretrain": ["pretrain", "--layers", "64,8"],
    "finetune": ["finetune"],
    "resume": ["resume", "x"],
    "evaluate": ["evaluate"],
    "encode": ["encode"],
    "reconstruct": ["reconstruct"],
    "sample": ["sample"],
    "score": ["score"],
    "predict": ["predict"],
    "sweep": ["sweep"],
    "compare": ["compare"],
    "doctor": ["doctor"],
    "verify": ["verify"],
    "runs list": ["runs", "list"],
    "runs show": ["runs", "show"],
    "runs verify": ["runs", "verify"],
    "runs compare": ["runs", "compare", "a", "b"],
    "recipes run": ["recipes", "run", "keras-simple"],
    "data check": ["data", "check", "digits"],
    "export": ["export", "encoder"],
    "report": ["report"],
    "config init": ["config", "init"],
    "config show": ["config", "show", "pretrain"],
    "config check": ["config", "check", "a.toml"],
    "config diff": ["config", "diff", "a", "b"],
}


LIGHT = {"recipes list", "recipes show", "config schema"}
"""Commands that load no library that takes long."""


def run(code: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", BEGIN + code, *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_in_every_command_a_signal_while_the_library_loads_ends_it_in_a_sentence(tmp_path: Path) -> None:
    cases = [["torch numpy", 2, *line] for line in COMMANDS.values()] + [["torch", 15, *COMMANDS["pretrain"]]]
    done = run(MANY, tmp_path, json.dumps(cases))
    ended = [json.loads(line) for line in done.stdout.splitlines()]
    assert [code for _, code in ended] == [130] * len(COMMANDS) + [143]
    assert done.stderr.splitlines() == ["error: interrupted"] * len(cases)


def test_every_command_is_tried() -> None:
    from typer.main import get_command

    from stackae.cli.main import app

    def names(group: object, above: str = "") -> set[str]:
        inside = getattr(group, "commands", None)
        if inside is None:
            return {above.strip()}
        return {name for word, each in inside.items() for name in names(each, f"{above} {word}")}

    assert names(get_command(app)) == COMMANDS.keys() | LIGHT


@pytest.mark.parametrize("module", ["typer", "rich.console", "stackae.errors", "numpy._core.multiarray", "torch.fx"])
def test_a_signal_is_heard_from_the_first_import_on(module: str, tmp_path: Path) -> None:
    done = run(f"begun({module!r}, signal.SIGINT, 'doctor', '--json')", tmp_path)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
    assert json.loads(done.stdout) == {"error": {"code": "interrupted", "exit_code": 130, "message": "interrupted"}}


def test_a_signal_that_a_library_swallows_or_renames_ends_the_program_all_the_same(tmp_path: Path) -> None:
    code = """
from stackae.cli import signals
from stackae.workflows import doctor
def renamed():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        raise ImportError("numpy could not be initialised") from error
doctor.examine_installation = renamed
begun("nothing", 0, "doctor")
"""
    done = run(code, tmp_path)
    assert (done.returncode, done.stderr) == (143, "error: interrupted\n")
    deleted = """
from stackae.workflows import doctor
class Held:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
def examine():
    Held()
    return {}, ""
doctor.examine_installation = examine
begun("nothing", 0, "doctor")
"""
    done = run(deleted, tmp_path)
    assert (done.returncode, done.stderr) == (130, "error: interrupted\n")
