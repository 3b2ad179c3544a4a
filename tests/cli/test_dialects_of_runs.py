"""How a new file for a run is written: recognised for itself, said by an option, or as the run was told."""

from __future__ import annotations

import numpy as np
import pytest
from shell import Shell

from stackae.cli.main import app

ON_RUNS = ("predict", "score", "evaluate", "encode", "reconstruct", "sample", "finetune")
DIALECT = {"--delimiter", "--decimal", "--encoding", "--header", "--missing-values"}
OUT = ("--out", "codes.npy", "--force")


@pytest.fixture
def commas(fresh: Shell) -> Shell:
    """A folder with a run that was told that decimals have commas, and what a missing cell is."""
    rows = np.random.default_rng(0).integers(1000, 9000, (60, 3)) / 1000
    lines = [";".join(f"{cell:.3f}".replace(".", ",") for cell in row) for row in rows]
    lines[7] = "-999;" + lines[7].split(";", 1)[1]
    (fresh.folder / "told.csv").write_text("a;b;c\n" + "\n".join(lines) + "\n")
    told = ("--decimal", "comma", "--delimiter", "semicolon", "--missing-values", "-999")
    fresh.does("pretrain", "--data", "told.csv", *told, "--layers", "auto,2", "--epochs", "1")
    return fresh


def codes(shell: Shell, content: str, *options: str) -> np.ndarray:
    (shell.folder / "new.csv").write_text(content)
    shell.does("encode", "--data", "new.csv", *options, *OUT)
    found: np.ndarray = np.load(shell.folder / "codes.npy")
    return found


def test_every_command_on_runs_takes_the_options_of_files() -> None:
    import typer.main

    commands = typer.main.get_command(app).commands
    for name in ON_RUNS:
        assert {option for each in commands[name].params for option in each.opts} >= DIALECT, name


def test_a_new_file_is_recognised_for_itself(commas: Shell) -> None:
    expected = codes(commas, "a,b,c\n1.5,2.25,3.5\n4.5,2.5,1.5\n")
    assert np.array_equal(codes(commas, "a;b;c\n1,5;2,25;3,5\n4,5;2,5;1,5\n"), expected)
    assert np.array_equal(codes(commas, "a\tb\tc\n1,5\t2,25\t3,5\n4,5\t2,5\t1,5\n"), expected)


def test_what_a_file_leaves_open_is_as_the_run_was_told_or_as_an_option_says(commas: Shell) -> None:
    open_one, thousands = "a;b;c\n1,234;5,678;2,345\n", "a,b,c\n1234,5678,2345\n"
    expected = codes(commas, "a,b,c\n1.234,5.678,2.345\n")
    assert np.array_equal(codes(commas, open_one), expected)
    assert np.array_equal(codes(commas, open_one, "--decimal", "comma"), expected)
    assert not np.array_equal(codes(commas, thousands), expected)
    (commas.folder / "new.csv").write_text("1,2,3\n2,4,9\n")
    told = ("--header", "--delimiter", "comma")
    assert "got none named a, b, c" in commas.refuses(3, "encode", "--data", "new.csv", *told, *OUT)


def test_words_for_missing_cells_hold_for_every_file(commas: Shell) -> None:
    empty = codes(commas, "a,b,c\n,2.25,3.5\n")
    assert np.array_equal(codes(commas, "a,b,c\n-999,2.25,3.5\n"), empty)
    assert np.array_equal(codes(commas, "a,b,c\nnone,2.25,3.5\n", "--missing-values", "none"), empty)
    assert not np.array_equal(codes(commas, "a,b,c\n-999,2.25,3.5\n", "--missing-values", "none"), empty)
    told = commas("encode", *OUT)
    assert told.code == 0 and "left out" not in told.err  # the run's own file, as it was told


def test_a_run_without_a_header_reads_files_with_one_and_without(fresh: Shell) -> None:
    words = [("red", "blue")[k] + ";" + ("s", "m", "l")[k + k % 2] for k in np.random.default_rng(0).integers(0, 2, 60)]
    (fresh.folder / "told.csv").write_text("\n".join(words) + "\n")
    fresh.does("pretrain", "--data", "told.csv", "--no-header", "--layers", "auto,2", "--epochs", "1")
    one = codes(fresh, "red;s\n")
    assert np.array_equal(codes(fresh, "x0;x1\nred;s\n", "--header"), one) and len(one) == 1
