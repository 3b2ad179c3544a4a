"""Laws of `stackae compare`: what it writes and prints, that it goes on where it was, and what it refuses."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import COMPARE, PNG, says
from shell import Shell

from stackae.analysis.comparison import networks, running
from stackae.cli import compare, pretrain

LABELS = (*COMPARE, "--labels", "6,all")


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    rows = [{name: row[name] for name in row if name not in ("seconds", "before")} for row in document["contenders"]]
    return {**document, "contenders": rows}


def test_a_comparison_tells_and_keeps_what_it_found(fresh: Shell) -> None:
    fresh.draws = True
    printed = fresh.does(*LABELS, "--seeds", "2")
    folder = fresh.folder / "compare" / "labelled.npz"
    stacks = {"stack0.safetensors", "stack1.safetensors"}
    files = {"compare.json", "compare.png", "config.toml", "cells.safetensors", "lock", *stacks}
    assert {path.name for path in folder.iterdir()} == files
    assert (folder / "compare.png").read_bytes().startswith(PNG)
    document = json.loads((folder / "compare.json").read_text())
    assert [row["labels"] for row in document["contenders"]] == [6] * 3 + [48] * 3
    for row in document["contenders"]:
        assert f"{100 * row['error']:.2f} % ±" in printed
    assert document["chance"] == pytest.approx(2 / 3) and "chance      66.67 %" in printed
    for sentence in document["verdicts"]:
        assert sentence in printed
    assert document["verdicts"][0].startswith("with 6 labels") and document["verdicts"][1].startswith("with all labels")
    assert "add it to this folder by --contenders pretrained,random,logistic,unlabelled" in printed
    assert "left out" not in fresh.does(*LABELS[:-1], "all")
    words = printed.strip().splitlines()[-1].split()
    assert words[1:] == ["stackae", "pretrain", "--config", "compare/labelled.npz/config.toml"]
    fresh.does(*words[2:])


def test_the_same_command_again_fits_nothing_and_more_of_it_only_the_rest(
    fresh: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(fresh.does(*LABELS, "--seeds", "2", "--json", "--out", "whole"))
    first = json.loads(fresh.does(*COMPARE, "--labels", "6", "--json", "--out", "parts"))
    fitted: list[running.Cell] = []
    real = running.Runner.fit

    def counted(runner: running.Runner, cell: running.Cell, known: Any) -> Any:
        fitted.append(cell)
        return real(runner, cell, known)

    monkeypatch.setattr(running.Runner, "fit", counted)
    again = json.loads(fresh.does(*COMPARE, "--labels", "6", "--json", "--out", "parts"))
    assert again == first and not fitted
    more = json.loads(fresh.does(*LABELS, "--seeds", "2", "--json", "--out", "parts"))
    assert len(fitted) == 8 and without_times({**more, "compare": "whole"}) == without_times(whole)


def test_a_comparison_that_was_stopped_goes_on(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(fresh.does(*LABELS, "--json", "--out", "whole"))
    real, done = networks.finetune_stack, []

    def stopping(*arguments: Any, **named: Any) -> Any:
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(networks, "finetune_stack", stopping)
        stopped = fresh(*LABELS, "--out", "stopped")
        assert stopped.code == 130
        kept = r"kept     [23] finished fits, 1 pretrained stacks; the same command goes on from them"
        assert re.search(kept, stopped.err)  # side by side, the third may still be unfinished
    result = fresh(*LABELS, "--json", "--out", "stopped")
    says(result.err, "fits     6: 3 contenders, 6, 48 labels, 1 draw; ", " already")
    assert without_times({**json.loads(result.out), "compare": "whole"}) == without_times(whole)


def test_one_that_was_stopped_before_the_first_fit_begins_again(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(networks, "pretrain_together", stopping)
        assert fresh(*COMPARE, "--labels", "6").code == 130
    fresh.does(*COMPARE, "--labels", "6")


def test_a_pretrained_stack_is_read_back_and_not_trained_again(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = json.loads(fresh.does(*COMPARE, "--labels", "6,all", "--json", "--out", "whole"))

    def stopping(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(networks, "finetune_stack", stopping)
        stopped = fresh(*LABELS, "--out", "stopped")
        says(stopped.err, "kept     0 finished fits, 1 pretrained stacks; the same command goes on from them")
    stack = fresh.folder / "stopped" / "stack0.safetensors"
    assert stack.read_bytes() == (fresh.folder / "whole" / "stack0.safetensors").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(networks, "pretrain_together", stopping)
        result = json.loads(fresh.does(*LABELS, "--json", "--out", "stopped"))
    assert without_times({**result, "compare": "whole"}) == without_times(whole)
    stack.write_bytes(stack.read_bytes()[:-1] + b"\x00")
    fresh.does(*LABELS, "--out", "stopped")  # needs no stack
    sentence = fresh.refuses(4, *LABELS, "--out", "stopped", "--contenders", "all")
    says(sentence, "stack0.safetensors: expected the pretrained stack of this comparison, got a changed file; remove")
    says(sentence, " it, and it is trained again")
    stack.unlink()
    fresh.does(*COMPARE, "--labels", "6", "--out", "stopped", "--contenders", "pretrained,random,spread-codes")
    assert stack.read_bytes() == (fresh.folder / "whole" / "stack0.safetensors").read_bytes()


def test_other_test_rows_are_another_comparison(fresh: Shell) -> None:
    fresh.does(*COMPARE, "--labels", "6", "--out", "first")
    with np.load(fresh.folder / "labelled.npz") as found:
        x, y = found["x"], found["y"]
    x[::7] = 1 - x[::7]
    np.savez(fresh.folder / "labelled.npz", x=x, y=y)
    says(fresh.refuses(2, *COMPARE, "--labels", "6", "--out", "first"), "got one of others (rows: ", "choose another")


def test_every_option_of_layers_and_data_is_that_of_pretraining() -> None:
    own, other = (inspect.signature(module.command, eval_str=True).parameters for module in (compare, pretrain))
    own_of_runs = {"run", "force", "dry_run", "resume", "checkpoint_every", "validation_rows", "loss_unit"}
    assert other.keys() - own.keys() == own_of_runs
    assert own.keys() - other.keys() == {"contenders", "labels", "budget", "out"}
    differing = {name for name in own.keys() & other.keys() if own[name].annotation != other[name].annotation}
    assert differing == {"layers", "seeds"}


@pytest.mark.parametrize(
    ("code", "options", "wanted"),
    [
        (2, ("--budget", "second"), ("--budget: expected epochs or seconds, got 'second'; did you mean 'seconds'?",)),
        (2, ("--contenders", "pretraned"), ("--contenders: expected pretrained, random", "mean 'pretrained'?")),
        (2, ("--labels", "2"), ("--labels: expected whole numbers from 3, one label per class, to 48", "got '2'")),
        (2, ("--seeds", "x"), ("--seeds: expected 1 to 100, got x",)),
        (2, ("--out", "new.png"), ("--out: expected a folder, got new.png, the name of a file; leave out .png",)),
        (2, ("--out", "labelled.npz"), ("--out: expected a folder, got the file labelled.npz; choose",)),
        (2, ("--out", "others"), ("others: expected a new folder or an earlier comparison, got other files; choose",)),
        (3, ("--data", "unlabelled.npy"), ("expected training rows with labels to compare by, got none; name their",)),
        (2, ("--layers", "9,4"), ("--layers: expected 8 as the first width",)),
    ],
)
def test_what_cannot_be_compared(fresh: Shell, code: int, options: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    (fresh.folder / "others").mkdir()
    (fresh.folder / "others" / "own.txt").write_text("mine")
    says(fresh.refuses(code, *COMPARE, *options), *wanted)


def test_a_folder_of_another_comparison_is_kept(fresh: Shell) -> None:
    fresh.does(*COMPARE, "--labels", "6", "--out", "first")
    sentence = fresh.refuses(2, *COMPARE, "--labels", "6", "--out", "first", "--activation", "relu")
    says(
        sentence, "first: expected a new folder or a comparison of the same settings, got one of others (", "activation"
    )
    says(sentence, "; choose another --out")
    (fresh.folder / "first" / "cells.safetensors").write_bytes(b"damaged")
    sentence = fresh.refuses(4, *COMPARE, "--labels", "6", "--out", "first")
    says(sentence, "cells.safetensors: expected the finished fits of a comparison, got a damaged file; remove it, or")


def test_the_usual_layers_and_folder(fresh: Shell) -> None:
    command = ("compare", "--data", "labelled.csv", "--target", "kind", "--seeds", "1", "--contenders", "logistic,svm")
    document = json.loads(fresh.does(*command, "--labels", "6", "--json"))
    assert document["settings"]["pretrain"]["n_visible"] == 8
    assert [layer["n_hidden"] for layer in document["settings"]["pretrain"]["layers"]] == [16, 16]
    assert Path(document["compare"]) == Path("compare/labelled.csv")
