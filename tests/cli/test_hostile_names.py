"""Laws of hostile names: of files, folders, columns, classes, settings and options, through every command."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from shell import Result, Shell

HOSTILE = "[red]h[x]:fire:\x1b[31m\x9b1m\u202e\u2066\u200b\nerror: forged $\\frac{1}{"
CLOSED = f"[/x]{HOSTILE}"  # no name of a file, but of a class: a closing tag without an opening one
TABLE, ARRAYS, TARGET, RUN = f"d{HOSTILE}.csv", f"d{HOSTILE}.npz", f"t{CLOSED}", f"runs/r{HOSTILE}"


def is_plain(result: Result, *arguments: str) -> None:
    """What is printed is seen as it is; no line is another's."""
    told = result.out + result.err
    assert all(each.isprintable() for each in told.replace("\n", "")), arguments
    assert not [line for line in told.splitlines() if line.startswith("error: forged")], told
    assert "this is a bug" not in told and "Traceback" not in told, told


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Data and runs with such names everywhere."""
    shell = Shell(tmp_path_factory.mktemp("hostile"))
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.clip(0.1 * generator.standard_normal((60, 4)) + generator.random((3, 4))[y], 0, 1).astype(np.float32)
    classes = np.array([f"{CLOSED}{number}" for number in range(3)])
    np.savez(shell.folder / ARRAYS, x=x, y=classes[y])
    with (shell.folder / TABLE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(f"[/c]{HOSTILE}{number}" for number in range(4)), TARGET])
        writer.writerows([*row, classes[label]] for row, label in zip(x.tolist(), y, strict=True))
    return shell


def test_through_every_command(named: Shell) -> None:
    settings = ("--layers", "4,3", "--data", TABLE, "--target", TARGET)
    lines: list[tuple[str, ...]] = [
        ("data", "check", TABLE, "--target", TARGET),
        ("data", "check", ARRAYS),
        ("pretrain", *settings, "--run", f"{RUN}2"),
        ("pretrain", *settings, "--run", RUN),
        ("pretrain", *settings, "--run", f"{RUN}3", "--dry-run"),
        ("finetune",),
        ("evaluate",),
        ("evaluate", "--data", ARRAYS),
        ("encode",),
        ("encode", "--out", f"o{HOSTILE}.csv"),
        ("reconstruct", "--out", f"o{HOSTILE}.png"),
        ("score",),
        ("score", "--data", TABLE, "--target", TARGET, "--anomalies", f"{CLOSED}0"),
        ("score", "--against", ARRAYS),
        ("predict", "--out", f"p{HOSTILE}.csv"),
        ("sweep", "--widths", "2", "--data", TABLE, "--target", TARGET, "--out", f"w{HOSTILE}"),
        ("resume", RUN),
        ("runs", "list"),
        ("runs", "show"),
        ("runs", "verify", "--all"),
        ("runs", "compare", RUN, f"{RUN}2", "--out", f"c{HOSTILE}.png"),
    ]
    for line in lines:
        for more in ((), ("--json",)):
            if more and (line[0] in ("pretrain", "sweep") or "--out" in line):
                continue
            result = named(*line, *more, COLUMNS="100")
            assert result.code == 0, (line, result.err)
            is_plain(result, *line)


WORD = HOSTILE.replace(":fire:", "")  # some options have parts with colons between them
OF_LAYERS = "kind,activation,corruption,sparsity,dropout,emphasis,weights,init,epochs,patience"
WORDS = {
    "pretrain": (
        *OF_LAYERS.split(","),
        *("layers", "data", "engine", "device", "scale", "seeds", "config", "checkpoint-every", "schedule", WORD),
    ),
    "finetune": ("head", "init", "train", "target", "layer-decay", "class-weight", "data"),
    "evaluate": ("part", "run", "data"),
    "score": ("anomalies", "part", "count", "false-alarm-rate", "layer", "against"),
    "encode": ("weights", "layer", "out"),
    "sweep": ("widths", "scatter", "below"),
    "verify": ("only",),
    "predict": ("data", "out"),
}


@pytest.mark.parametrize("command", WORDS)
def test_a_word_that_is_refused_is_shown_as_an_escape(command: str, trained: Shell) -> None:
    for option in WORDS[command]:
        layers = ("--layers", "8,6") if command == "pretrain" and option != "layers" else ()
        result = trained(command, *layers, f"--{option}", WORD)
        assert result.code in (2, 3, 4), (option, result)
        assert r"\x1b[31m\x9b1m\u202e\u2066\u200b" in result.err, result.err
        is_plain(result, command, option)
    for line in (
        (HOSTILE,),
        ("runs", HOSTILE),
        ("runs", "show", HOSTILE),
        ("resume", HOSTILE),
        ("data", "check", HOSTILE),
    ):
        is_plain(trained(*line), *line)
    is_plain(trained("pretrain", "--layers", "8,6", STACKAE_EPOCHS=HOSTILE))


@pytest.mark.parametrize(
    "content",
    [
        "[QUOTED]\nx = 1",
        "[data]\nQUOTED = 1",
        "[data]\ndata = QUOTED",
        "[pretrain]\nQUOTED = 1",
        "[pretrain]\nlayers = QUOTED",
        "[pretrain]\nn_visible = 8\n[[pretrain.layers]]\nn_hidden = QUOTED",
        "[pretrain]\nn_visible = 8\n[[pretrain.layers]]\nQUOTED = 1\nn_hidden = 2",
        "data = QUOTED",
        "x = [\x1b",
    ],
)
def test_keys_and_values_of_a_configuration(content: str, fresh: Shell) -> None:
    (fresh.folder / f"c{HOSTILE}.toml").write_text(
        content.replace("QUOTED", r'"\u001b[31m\u202e[/red]\nerror: forged"')
    )
    result = fresh("pretrain", "--config", f"c{HOSTILE}.toml")
    assert result.code in (2, 3)
    is_plain(result)


def test_cells_of_a_table(fresh: Shell) -> None:
    Path(fresh.folder / TABLE).write_text("a,b\n1,2\n\x1b[31mx\u202e,3\n4,5\n6,7\n")
    for line in (("pretrain", "--layers", "2,1", "--data", TABLE), ("data", "check", TABLE)):
        result = fresh(*line)
        assert result.code == 3 and r"'\x1b[31mx\u202e' is not a number" in result.err
        is_plain(result)


def test_brackets_in_the_name_of_a_run_are_shown_as_they_are(fresh: Shell) -> None:
    fresh.does("pretrain", "--layers", "8,6", "--data", "labelled.npz", "--run", "runs/exp[lr=0.1]")
    fresh.does("pretrain", "--layers", "8,6", "--data", "labelled.npz", "--run", "runs/x[red]:fire:")
    for line in (("runs", "list"), ("runs", "compare", "runs/exp[lr=0.1]", "runs/x[red]:fire:")):
        printed = fresh.does(*line, COLUMNS="120")
        assert "runs/exp[lr=0.1] " in printed and "x[red]:fire:" in printed
