"""Laws of `stackae sweep`: what it writes, says and refuses."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import PNG, SWEEP, says
from shell import Shell

from stackae.cli import pretrain, sweep
from stackae.errors import DivergedError

FILES = {"sweep.json", "config.toml", "sweep.png", "codes.png"}


def folders(shell: Shell) -> list[Path]:
    return sorted((shell.folder / "runs").glob("*-sweep"))


def test_a_sweep_leaves_a_folder_of_three_files(fresh: Shell) -> None:
    fresh.draws = True
    printed = fresh.does(*SWEEP)
    (folder,) = folders(fresh)
    assert {path.name for path in folder.iterdir()} == FILES and all(name in printed for name in FILES)
    assert all((folder / name).read_bytes().startswith(PNG) for name in ("sweep.png", "codes.png"))
    assert folder.name.endswith("-labelled-sweep")


def test_the_figures_are_those_of_pretraining_and_evaluating(fresh: Shell) -> None:
    options = ("--data", "labelled.npz", "--activation", "tanh", "--corruption", "none", "--seed", "3")
    document = json.loads(fresh.does("sweep", "--widths", "4,2", "--below", "6", *options, "--json"))
    assert [point["width"] for point in document["widths"]] == [2, 4] and document["below"] == [6]
    for point in document["widths"]:
        fresh.does("pretrain", "--layers", f"8,6,{point['width']}", *options)
        report = json.loads(fresh.does("evaluate", "--part", "validation", "--json"))
        assert point["squared_error"] == pytest.approx(report["reconstruction"][-1]["squared_error"], rel=1e-6)
        assert report["rows"] == document["rows"] and document["measured_on"] == "validation"


def test_the_document_is_the_file_and_says_all_again(fresh: Shell) -> None:
    document = json.loads(fresh.does(*SWEEP, "--out", "swept", "--json"))
    written = (fresh.folder / "swept" / "sweep.json").read_bytes()
    assert document == {"sweep": "swept", **json.loads(written)}
    assert all(point["pca_error"] >= 0 and point["kept_epoch"] <= point["epochs"] == 2 for point in document["widths"])
    assert document["enough"] in (2, 4)
    fresh.does(*SWEEP, "--out", "again")
    assert (fresh.folder / "again" / "sweep.json").read_bytes() == written


def test_pca_leaves_nothing_of_codes_as_wide_as_the_rows(fresh: Shell) -> None:
    document = json.loads(fresh.does("sweep", "--widths", "8,20", "--data", "labelled.npz", "--json"))
    assert [point["pca_error"] for point in document["widths"]] == [0, 0]
    assert [point["pca_explained"] for point in document["widths"]] == [1, 1]


def test_where_pca_is_better_a_remedy_is_named(fresh: Shell) -> None:
    held_back = ("--activation", "sigmoid")
    says(
        fresh.does(*SWEEP, *held_back), "PCA         is better at widths 2, 4", "--activation linear --corruption none"
    )


def test_where_nothing_is_said_of_layers_the_code_is_linear_and_begins_at_pca(fresh: Shell) -> None:
    """So it is no worse than PCA of its width, as far as two epochs lead away from it."""
    wide = json.loads(fresh.does(*SWEEP, "--below", "6", "--json", "--epochs", "1"))
    below, top = wide["settings"]["pretrain"]["layers"]
    assert [below[name] for name in ("activation", "corruption", "init")] == ["tanh", "none", "pca"]
    assert [top[name] for name in ("activation", "corruption", "init")] == ["linear", "none", "pca"]
    plain = {"--output-activation": "linear", "--activation": "linear", "--corruption": "none", "--init": "pca"}
    said = [word for pair in plain.items() for word in pair]
    for point in json.loads(fresh.does(*SWEEP, *said, "--learning-rate", "1e-9", "--json"))["widths"]:
        assert point["squared_error"] == pytest.approx(point["pca_error"], rel=1e-3)
    said_of = {("--widths", "2,9"): "linear", ("--init", "random"): "tanh", ("--activation", "relu"): "relu"}
    for words, activation in said_of.items():
        top = json.loads(fresh.does(*SWEEP, *words, "--json"))["settings"]["pretrain"]["layers"][-1]
        assert (top["init"], top["activation"]) == ("random", activation), words


def test_the_next_command_trains_the_width_that_is_enough(fresh: Shell) -> None:
    data = ("--data", "labelled.csv", "--target", "kind")
    layers = ("--activation", "tanh", "--weights", "untied", "--seed", "3")
    printed = fresh.does("sweep", "--widths", "3,4", "--below", "6", *data, *layers)
    (point,) = [line for line in printed.splitlines() if line.startswith("enough")]
    width = int(point.split()[1])
    words = printed.strip().splitlines()[-1].removeprefix("next").split()
    assert words[:3] == ["stackae", "pretrain", "--config"]
    fresh.does(*words[1:], "--run", "runs/next")
    fresh.does("pretrain", "--layers", f"8,6,{width}", *data, *layers, "--run", "runs/said")
    configs = [(fresh.folder / "runs" / name / "config.toml").read_bytes() for name in ("next", "said")]
    assert configs[0] == configs[1]


def test_a_configuration_of_a_run_serves_a_sweep(trained: Shell) -> None:
    document = json.loads(trained.does("sweep", "--widths", "2", "--config", "runs/first/config.toml", "--json"))
    assert document["data"].endswith("labelled.npz")


@pytest.mark.parametrize("data", ["labelled.npz", "unlabelled.npy"])
@pytest.mark.parametrize(
    "options", [(), ("--widths", "1"), ("--widths", "3,5"), ("--scatter", "pca"), ("--scatter", "tsne")]
)
def test_codes_are_drawn_however_wide_they_are(fresh: Shell, options: tuple[str, ...], data: str) -> None:
    fresh.draws = True
    fresh.does("sweep", "--widths", "2,3", "--data", data, "--validation-fraction", "0.3", *options, "--out", "swept")
    assert (fresh.folder / "swept" / "codes.png").read_bytes().startswith(PNG)


def test_without_validation_rows_the_training_rows_are_measured(fresh: Shell) -> None:
    document = json.loads(fresh.does(*SWEEP, "--validation-fraction", 0, "--json"))
    assert document["measured_on"] == "train" and document["rows"] == 48


def test_every_option_of_layers_and_data_is_that_of_pretraining() -> None:
    own, other = (inspect.signature(module.command, eval_str=True).parameters for module in (sweep, pretrain))
    of_runs = {"layers", "seeds", "run", "force", "dry_run", "resume", "checkpoint_every", "loss_unit"}
    assert other.keys() - own.keys() == of_runs
    assert own.keys() - other.keys() == {"widths", "below", "scatter", "out"}
    differing = {name for name in own.keys() & other.keys() if own[name].annotation != other[name].annotation}
    assert differing == {"activation", "corruption", "init"}  # whose defaults are others


# ---- where something is wrong


@pytest.mark.parametrize(
    ("code", "options", "wanted"),
    [
        (2, ("--widths", "2,,4"), ("--widths: expected whole numbers of at least 1, such as 8,32, got '' in '2,,4'",)),
        (2, ("--widths", "0"), ("--widths: expected whole numbers", "got '0' in '0'")),
        (2, ("--widths", "2,two"), ("--widths: expected whole numbers", "got 'two' in '2,two'")),
        (2, ("--widths", "2,4,2"), ("--widths: expected each width once, got '2,4,2'; leave out",)),
        (2, ("--widths", ",".join(map(str, range(1, 102)))), ("--widths: expected at most 100 widths, got 101",)),
        (2, ("--widths", "900000000"), ("expected a training that fits into the memory", "narrower")),
        (2, ("--below", "-3"), ("--below: expected whole numbers", "got '-3' in '-3'")),
        (2, ("--scatter", "tsn"), ("--scatter: expected auto, pca, tsne, got 'tsn'; did you mean 'tsne'?",)),
        (2, ("--scatter", "tsne", "--validation-fraction", "0.02"), ("expected at least 5 rows for tsne", "use pca")),
        (2, ("--out", "labelled.npz"), ("--out: expected a new folder, got labelled.npz, which exists; choose",)),
        (2, ("--activation", "sigmod"), ("activation", "did you mean 'sigmoid'?")),
        (2, ("--weights", "ties"), ("--weights: expected tied or untied",)),
        (2, ("--engine", "fusd"), ("engine", "did you mean 'fused'?")),
        (2, ("--config", "absent.toml"), ("absent.toml: expected a TOML configuration, got no such file",)),
        (3, ("--data", "digts"), ("expected digits, mnist", "did you mean 'digits'?")),
    ],
)
def test_what_cannot_be_swept(fresh: Shell, code: int, options: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    says(fresh.refuses(code, *SWEEP, *options), *wanted)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_sweep_that_is_stopped_leaves_nothing(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    fresh.draws = True

    def fail(*arguments: object) -> bytes:
        raise error

    before = fresh.files()
    for place in ("plots.sweep.error_by_width", "runs.durable._move"):
        monkeypatch.setattr(f"stackae.{place}", fail)
        assert fresh(*SWEEP).code in (7, 130) and fresh.files() == before


def test_widths_that_diverge_are_named(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from stackae.analysis import sweep as library

    real = library.pretrain_together

    def trained(x: object, configs: list[Any], **others: Any) -> list[Any]:
        failed = configs[0].layer_sizes[-1] in diverging
        return [DivergedError("left the finite numbers")] if failed else real(x, configs, **others)

    monkeypatch.setattr(library, "pretrain_together", trained)
    diverging = {2}
    result = fresh(*SWEEP, "--json")
    points = json.loads(result.out)["widths"]
    assert "width 2 diverged: left the finite numbers" in result.err
    assert "diverged" in points[0] and np.isfinite(points[1]["squared_error"])
    says(fresh.does(*SWEEP), "diverged")
    diverging = {2, 4}
    says(fresh.refuses(5, *SWEEP, "--out", "none"), "left the finite numbers")
