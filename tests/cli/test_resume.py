"""Laws of `stackae resume`, `pretrain --resume` and `stackae runs`, beyond those of tests/faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_cases import PNG, PRETRAIN, says, stop
from shell import Shell

from stackae.runs.ownership import asides

LONG = (*PRETRAIN, "--run", "runs/long", "--epochs", "6", "--batch-size", "16")


# ---- what is gone on with


def test_resume_takes_the_newest_unfinished_run(fresh: Shell) -> None:
    fresh.does(*PRETRAIN, "--run", "runs/done")
    stop(fresh, *LONG)
    said = fresh("resume", "--json")
    assert said.code == 0 and json.loads(said.out)["run"] == str(fresh.folder / "runs" / "long")
    says(said.err, "resumes from runs/long/checkpoints/", "layer 1/2 8-6-8  resumes in epoch 2/6, after 0 rows of it")
    assert fresh.run.name == "long"


def test_there_is_nothing_to_resume(fresh: Shell, tmp_path: Path) -> None:
    says(fresh.refuses(4, "resume"), "runs: expected an unfinished run, got none", "stackae runs list")
    says(fresh.refuses(4, "resume", "nowhere"), "nowhere: expected an unfinished run, got no such folder")
    says(fresh.refuses(4, "resume", "labelled.csv"), "labelled.csv: expected an unfinished run, got something else")


def test_a_complete_run_is_left_as_it_is(trained: Shell) -> None:
    before = trained.files()
    says(trained.does("resume", "runs/first"), "complete    runs/first: nothing is left to do")
    assert json.loads(trained.does("resume", "runs/first", "--json")) == {"run": str(trained.run), "complete": True}
    trained.does(*PRETRAIN, "--run", "runs/first", "--resume")
    assert trained.files() == before


def test_pretrain_resume_begins_what_was_not_begun(fresh: Shell) -> None:
    fresh.does(*LONG, "--resume")
    assert fresh.run.name == "long"
    fresh.does(*PRETRAIN, "--resume")
    assert len(list((fresh.folder / "runs").iterdir())) == 3


def test_pretrain_resume_goes_on_with_the_same_settings_alone(fresh: Shell) -> None:
    stop(fresh, *LONG)
    sentence = fresh.refuses(2, *LONG, "--resume", "--learning-rate", "0.5,0.1", "--seed", "3", "--layers", "8,5,4")
    says(sentence, "runs/long: expected the settings that this run began with, got others", "without --resume")
    says(sentence, "pretrain.layer1.learning_rate: 0.003 there, 0.5 here", "pretrain.seed: 0 there, 3 here")
    says(sentence, "pretrain.layer2.learning_rate: 0.003 there, 0.1 here", "pretrain.layer1.n_hidden: 6 there, 5 here")
    says(fresh.refuses(2, *LONG, "--resume", "--seeds", "2"), "seeds:")
    fresh.does(*LONG, "--resume", "--engine", "eager")


def test_other_rows_in_the_same_file_are_other_data(fresh: Shell) -> None:
    stop(fresh, *LONG)
    content = (fresh.folder / "labelled.npz").read_bytes()
    import numpy as np

    with np.load(fresh.folder / "labelled.npz") as arrays:
        np.savez(fresh.folder / "labelled.npz", x=arrays["x"][:, ::-1], y=arrays["y"])
    for command in (("resume",), (*LONG, "--resume")):
        code = 3 if command[0] == "resume" else 2
        says(fresh.refuses(code, *command), "rows and labels")
    (fresh.folder / "labelled.npz").write_bytes(content)
    fresh.does("resume")


def test_a_stopped_run_says_how_it_goes_on_wherever_it_is_asked(fresh: Shell) -> None:
    said = stop(fresh, *LONG)
    says(said, "kept        runs/long; resume it by:  stackae resume runs/long", "error: interrupted")
    says(fresh.refuses(2, *LONG), "got an existing run; resume it by `stackae resume runs/long`")
    for command in ("finetune", "encode", "evaluate"):
        sentence = fresh.refuses(4, command, "--run", "runs/long")
        says(
            sentence, "layer1.safetensors: expected layer 1 of 2, got a run that did not train it yet", "stackae resume"
        )


def test_a_replaced_run_comes_back_or_goes_when_the_new_one_is_done(fresh: Shell) -> None:
    fresh.does(*LONG)
    first = (fresh.folder / "runs" / "long" / "layer1.safetensors").read_bytes()
    stop(fresh, *LONG, "--force", "--seed", "4")
    (aside,) = asides(fresh.folder / "runs" / "long")
    assert (aside / "layer1.safetensors").read_bytes() == first
    fresh.does("resume")
    assert not aside.exists() and (fresh.run / "layer1.safetensors").read_bytes() != first


def test_finetuning_goes_on_with_the_same_settings_and_begins_with_others(trained: Shell) -> None:
    stop(trained, "finetune", "--epochs", "8", at=4)
    says(trained("finetune", "--epochs", "8").err, "resumes from", "classifier 8-6-4-3  resumes in epoch 5/8")
    stop(trained, "finetune", "--epochs", "9", at=4)
    again = trained("finetune", "--epochs", "7")
    assert again.code == 0 and "resumes" not in again.err
    says(trained.does("resume", "runs/first"), "nothing is left to do")


def test_seeds_go_on_together(fresh: Shell) -> None:
    seeds = (*LONG, "--seeds", "2")
    stop(fresh, *seeds, at=8)
    document = json.loads(fresh.does("resume", "--json"))
    other = json.loads(fresh.does(*seeds[:-2], "--seeds", "2", "--run", "runs/other", "--json"))
    for one, same in zip(document["layers"], other["layers"], strict=True):
        assert {name: one[name] for name in ("mean", "sd")} == {name: same[name] for name in ("mean", "sd")}


@pytest.mark.parametrize("text", ["-1", "soon", "inf", "nan"])
def test_the_time_between_checkpoints_is_a_number(trained: Shell, text: str) -> None:
    for command in (PRETRAIN, ("finetune",), ("resume", "runs/first")):
        sentence = trained.refuses(2, *command, "--checkpoint-every", text)
        says(sentence, f"--checkpoint-every: expected a number of seconds of at least 0, got {text}")


# ---- runs


def test_runs_are_listed_with_what_they_are(trained: Shell) -> None:
    stop(trained, *LONG)
    trained.does(*PRETRAIN, "--seeds", "2", "--run", "runs/many")
    (trained.folder / "runs" / "first" / "config.toml").write_text("")
    found = {Path(each["run"]).name: each for each in json.loads(trained.does("runs", "list", "--json"))["runs"]}
    assert {name: each["status"] for name, each in found.items()} == {
        "long": "unfinished",
        "many": "complete",
        "first": "damaged",
    }
    assert found["long"]["detail"] == "layer1, epoch 2" and found["many"]["seeds"] == 2
    assert [stage["stage"] for stage in found["many"]["stages"]] == ["layer1", "layer2"]
    text = trained.does("runs", "list")
    says(text, "unfinished", "complete", "damaged", "next        stackae resume runs/long")


def test_the_name_of_a_run_stands_on_one_line_in_any_terminal(trained: Shell) -> None:
    path = Path("runs") / f"first-{'n' * 50}"
    (trained.folder / "runs" / "first").rename(trained.folder / path)
    narrow, wide = (trained.does("runs", "list", COLUMNS=columns).splitlines() for columns in ("80", "160"))
    place = narrow.index(str(path))
    says(narrow[place + 1], "status complete, layers 8-", "validation loss ", " MiB")
    assert [line for line in wide if f"│ {path} │ complete │" in line]


def test_no_runs_are_listed_where_there_are_none(fresh: Shell) -> None:
    says(fresh.does("runs", "list"), "runs: no runs", "next        stackae pretrain")
    assert json.loads(fresh.does("runs", "list", "--json")) == {"runs": []}


def test_a_run_is_shown_with_its_stages_settings_and_checkpoints(trained: Shell) -> None:
    trained.does("evaluate")
    document = json.loads(trained.does("runs", "show", "--json"))
    assert document["status"] == "complete" and document["layer_sizes"] == [8, 6, 4]
    assert [stage["stage"] for stage in document["stages"]] == ["layer1", "layer2", "classifier"]
    assert document["settings"]["finetune"]["head"] == "classifier" and 0 <= document["accuracy"] <= 1
    assert [name.partition("-")[2] for name in document["checkpoints"]] == [
        "pretrain-begin",
        "layer1-end",
        "layer2-end",
        "finetune-begin",
        "classifier-end",
    ]
    says(trained.does("runs", "show", "runs/first"), "run         runs/first: complete", "[[pretrain.layers]]", "next")
    says(trained.refuses(4, "runs", "show", "nowhere"), "nowhere: expected a run folder, got no such folder")


def test_verify_finds_what_was_changed_and_resume_mends_it(trained: Shell) -> None:
    says(trained.does("runs", "verify"), "runs/first: every file is as it was written")
    whole = trained.files()
    path = trained.run / "layer1.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    for command in (("runs", "verify"), ("runs", "verify", "--all"), ("runs", "verify", "runs/first")):
        result = trained(*command)
        assert result.code == 4
        says(result.out, "layer1.safetensors: expected the", "a damaged file")
        says(result.err, "expected files as they were written, got 1 damaged", "stackae resume")
    (document,) = json.loads(trained("runs", "verify", "--json").out)["runs"]
    assert len(document["damaged"]) == 1
    says(trained("resume", "runs/first").err, "to be made again", "layer1.safetensors")
    assert trained.files() == whole


def test_what_is_made_again_in_two_trainings_is_one_document(trained: Shell) -> None:
    whole = trained.files()
    for name in ("layer1", "classifier"):
        (trained.run / f"{name}.safetensors").unlink()
    assert json.loads(trained.does("resume", "runs/first", "--json"))["head"] == "classifier"
    assert trained.files() == whole


def test_two_runs_are_compared_in_figures_and_a_picture(trained: Shell) -> None:
    trained.draws = True
    trained.does(*PRETRAIN, "--run", "runs/other", "--learning-rate", "0.1,0.2", "--seed", "4")
    document = json.loads(trained.does("runs", "compare", "runs/first", "runs/other", "--json"))
    names = {each["name"]: (each["first"], each["second"]) for each in document["settings"]}
    assert names["pretrain.seed"] == (0, 4) and names["pretrain.layer2.learning_rate"] == (0.003, 0.2)
    assert Path(trained.folder / document["picture"]).read_bytes().startswith(PNG)
    text = trained.does("runs", "compare", "runs/first", "runs/other", "--out", "both.png")
    says(text, "pretrain.layer1.learning_rate", "layer1, validation loss", "picture     both.png")
    says(trained.refuses(4, "runs", "compare", "runs/first", "nowhere"), "nowhere: expected a run folder")
    stop(trained, *LONG)
    says(
        trained.refuses(4, "runs", "compare", "runs/first", "runs/long"), "expected a complete run, got one that is unf"
    )


# ---- errors as documents


@pytest.mark.parametrize(
    ("code", "name", "arguments"),
    [
        (2, "config", ("pretrain", "--layers", "8,0")),
        (2, "config", ("pretrain", "--unknown")),
        (3, "data", ("pretrain", "--layers", "8,4", "--data", "nowhere.npz")),
        (4, "run", ("evaluate", "--run", "nowhere")),
    ],
)
def test_an_error_is_one_document_too(fresh: Shell, code: int, name: str, arguments: tuple[str, ...]) -> None:
    result = fresh(*arguments, "--json")
    assert result.code == code
    error = json.loads(result.out)["error"]
    assert (error["code"], error["exit_code"]) == (name, code) and f"error: {error['message']}" in result.err


def test_a_divergence_is_told_in_full(fresh: Shell) -> None:
    linear = ("--scale", "none", "--activation", "linear", "--output-activation", "linear", "--optimizer", "sgd")
    result = fresh(
        *PRETRAIN, *linear, "--learning-rate", "1e30", "--schedule", "constant", "--batch-size", 16, "--json"
    )
    error = json.loads(result.out)["error"]
    assert result.code == 5 and error["code"] == "diverged"
    details = error["details"]
    assert details["stage"] == "layer1" and details["learning_rate"] == 1e30 and len(details["rows"]) in (10, 16)
    says(error["message"], f"at step {details['step']} in epoch 1", "--learning-rate", "on training rows")


def test_the_vectors_of_full_batch_training_are_gone_on_with(fresh: Shell) -> None:
    """L-BFGS keeps 42 vectors as long as the weights: much more than Adam's two."""
    work = ("pretrain", "--layers", "8,500", "--data", "labelled.npz", "--optimizer", "lbfgs", "--epochs", "8")
    fresh.does(*work, "--run", "runs/straight")
    stop(fresh, *work, "--run", "runs/stopped", at=5)
    says(fresh("resume", "runs/stopped").err, "resumes from runs/stopped/checkpoints/")
    found, wanted = (fresh.folder / "runs" / name / "layer1.safetensors" for name in ("stopped", "straight"))
    assert found.read_bytes() == wanted.read_bytes()
