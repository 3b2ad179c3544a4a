"""What reads runs and data, from Python: it gives what the command line says, writes its files, and tells its notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from shell import Shell

from stackae import workflows
from stackae.documents import to_json
from stackae.errors import ConfigError, DataError, RunError, naming_options
from stackae.workflows import Callbacks, DataRequest

DOCUMENTS: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "score": (("--count", "3"), lambda: workflows.score(count=3).to_dict()),
    "score other": (
        ("--data", "labelled.csv", "--target", "kind", "--anomalies", "a", "--out", "found.csv", "--force"),
        lambda: workflows.score(
            data=DataRequest("labelled.csv", target="kind"), anomalies="a", out="found.csv", force=True
        ).to_dict(),
    ),
    "evaluate": (("--part", "validation"), lambda: workflows.evaluate_run(part="validation").metrics),
    "encode": (("--layer", "1"), lambda: workflows.encode_run("runs/first", layer=1)._asdict()),
    "predict": ((), lambda: workflows.predict_run().to_dict()),
    "reconstruct": (("--count", "2"), lambda: workflows.reconstruct_run(count=2).to_dict()),
    "reconstruct table": (
        ("--out", "restored.csv", "--force"),
        lambda: workflows.reconstruct_run(out=Path("restored.csv"), force=True).to_dict(),
    ),
    "runs list": ((), lambda: {"runs": [each.to_dict() for each in workflows.list_runs()]}),
    "runs show": (("runs/first",), lambda: workflows.show_run("runs/first").to_dict()),
    "runs verify": ((), lambda: {"runs": [each.to_dict() for each in workflows.verify_runs()]}),
    "runs compare": (
        ("runs/first", "runs/first", "--out", "both.png", "--force"),
        lambda: workflows.compare_runs("runs/first", "runs/first", out="both.png", force=True).to_dict(),
    ),
    "data check": (
        ("labelled.csv", "--target", "kind"),
        lambda: workflows.check_data({"data": "labelled.csv", "target": "kind"}).to_dict(),
    ),
    "doctor": ((), lambda: dict(zip(("report", "problem"), workflows.examine_installation(), strict=True))),
}


@pytest.fixture
def here(trained: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A run, in the working folder."""
    monkeypatch.chdir(trained.folder)
    return trained


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", DOCUMENTS)
def test_python_gives_what_the_command_says_and_writes_its_files(here: Shell, name: str) -> None:
    options, call = DOCUMENTS[name]
    words = name.removesuffix(" other").removesuffix(" table").split()
    command = json.loads(here.does(*words, *options, "--json"))
    files = here.files()
    document = json.loads(to_json(call()))
    assert (document if name != "doctor" else document["report"] | {"problem": document["problem"]}) == command
    changed = {path for path, content in here.files().items() if files[path] != content}
    assert changed <= {"runs/first/metrics.jsonl", "runs/first/manifest.json"} and (not changed or name == "evaluate")


@pytest.mark.usefixtures("undrawn")
def test_sweep_from_python_is_the_sweep_of_the_command(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--widths", "2,4", "--data", "labelled.npz", "--epochs", "2", "--device", "cpu")
    document = json.loads(fresh.does("sweep", *options, "--out", "one", "--json"))
    monkeypatch.chdir(fresh.folder)
    settings = {"data": "labelled.npz", "epochs": "2", "device": "cpu"}
    result = workflows.sweep(settings, widths=(2, 4), out="two")
    assert json.loads(to_json(result.to_dict())) == document | {"sweep": "two"}
    for name in result.files:
        assert (result.path / name).read_bytes() == (fresh.folder / "one" / name).read_bytes()
    assert [each.width for each in result.measured.swept] == [2, 4]


@pytest.mark.usefixtures("undrawn")
def test_samples_from_python_are_those_of_the_command(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--layers", "8,2", "--kind", "variational", "--data", "labelled.npz", "--epochs", "2")
    fresh.does("pretrain", *options)
    fresh.does("sample", "--count", "3", "--seed", "5", "--out", "drawn.csv")
    monkeypatch.chdir(fresh.folder)
    result = workflows.sample_run(count=3, seed=5, out="again.csv")
    assert (result.rows, result.out) == (3, Path("again.csv"))
    assert Path("again.csv").read_bytes() == Path("drawn.csv").read_bytes()


class Heard(Callbacks):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.steps: list[str] = []
        self.shares: list[float] = []

    def note(self, *lines: str) -> None:
        self.notes += lines

    def busy(self, step: str) -> None:
        self.steps.append(step)

    @contextmanager
    def progress(self, step: str) -> Iterator[Callable[[float], None]]:
        self.steps.append(step)
        yield self.shares.append


@pytest.mark.usefixtures("undrawn")
def test_callbacks_hear_notes_steps_and_shares_and_nothing_is_printed(
    here: Shell, capfd: pytest.CaptureFixture[str]
) -> None:
    heard = Heard()
    with naming_options():
        workflows.score(callbacks=heard)
    assert heard.steps[0].startswith("reading ") and heard.shares[-1] == 1
    assert heard.steps[1:] == ["scoring", "writing scores.csv", "writing scores-features.csv", "drawing a picture"]
    assert heard.shares == sorted(heard.shares)
    told = here("score").err.splitlines()
    assert heard.notes and set(heard.notes) == set(told)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda: workflows.score(layer=9), ConfigError, "layer: expected 1 to 2, got 9"),
        (lambda: workflows.score(false_alarm_rate=2.0), ConfigError, "false_alarm_rate: expected a number between 0"),
        (
            lambda: workflows.score(anomalies="0", against="x.npy"),
            ConfigError,
            "anomalies: expected none beside against",
        ),
        (lambda: workflows.score("runs/none"), RunError, "runs/none: expected a run folder, got no such folder"),
        (lambda: workflows.encode_run(weights="best"), ConfigError, "weights: expected pretrained or finetuned"),
        (lambda: workflows.predict_run(out="a.txt.zip"), ConfigError, "out: expected a name that ends in"),
        (lambda: workflows.evaluate_run(part="tests"), ConfigError, "part: expected test, validation, train, all"),
        (lambda: workflows.reconstruct_run(count=0), ConfigError, "count: expected 1 to 100, got 0"),
        (lambda: workflows.sample_run(), RunError, "expected a run whose top layer is variational, got kind dense"),
        (lambda: workflows.sweep(widths=(2, 2)), ConfigError, "widths: expected each width once, got '2,2'"),
        (lambda: workflows.show_run("runs"), RunError, "runs: expected a run folder, got something else"),
        (lambda: workflows.check_data({"data": "no.npy"}).raise_refusal(), DataError, "no.npy"),
        (lambda: workflows.verify_installation("nothing"), ConfigError, "only: expected names out of"),
    ],
)
def test_bad_arguments_get_the_sentences_of_the_command_with_names_of_arguments(
    here: Shell, call: Callable[[], object], error: type[Exception], sentence: str
) -> None:
    before = here.files()
    with pytest.raises(error) as caught:
        call()
    assert sentence in str(caught.value) and "--" not in str(caught.value).split("`")[0]
    assert here.files() == before


def test_checks_of_the_installation_are_run_as_they_are_asked_for() -> None:
    checks = workflows.verify_installation("tied")
    first = next(iter(checks))
    assert (first.check.group, first.state) == ("tied", "passed") and checks.outcomes == [first]
    checks.raise_failures()
