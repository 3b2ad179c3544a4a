"""Laws of the stackae command where something is wrong: one sentence, the right exit code, every file as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from cli_cases import PRETRAIN, READERS, says
from shell import LAYERS, Shell

# ---- usage (2)


@pytest.mark.parametrize(
    ("layers", "parts"),
    [
        ("9,6,4", ("expected 8 as the first width", "got 9", "use --layers 8,6,4")),
        ("8", ("at least one code width", "such as 8,300", "got '8'")),
        ("8,0", ("widths of at least 1", "got 0 in '8,0'")),
        ("8,-3", ("widths of at least 1", "got -3 in '8,-3'")),
        ("8,3.5", ("whole numbers such as 784,300,150", "got '3.5' in '8,3.5'")),
        ("8,six", ("whole numbers such as 784,300,150", "got 'six' in '8,six'")),
        ("8,,4", ("whole numbers such as 784,300,150", "got '' in '8,,4'")),
        ("8,+-4", ("whole numbers such as 784,300,150", "got '+-4' in '8,+-4'")),
        ("8," + "9" * 5000, ("--layers: expected",)),
    ],
)
def test_layers_that_cannot_be(fresh: Shell, layers: str, parts: tuple[str, ...]) -> None:
    says(fresh.refuses(2, "pretrain", "--data", "labelled.npz", "--layers", layers), "--layers", *parts)


def test_layers_that_no_memory_holds(fresh: Shell) -> None:
    sentence = fresh.refuses(2, "pretrain", "--layers", "8,900000000,4", "--data", "labelled.npz")
    says(sentence, "--layers: expected a training that fits into the memory", "bytes available", "narrower")


def test_layers_must_be_given(fresh: Shell) -> None:
    sentence = fresh.refuses(2, "pretrain", "--data", "labelled.npz")
    says(sentence, "--layers: expected the widths of the stack", "such as --layers 784,300,150", "got none")


@pytest.mark.parametrize(
    ("option", "word", "meant"),
    [
        ("activation", "sigmod", "sigmoid"),
        ("output-activation", "linera", "linear"),
        ("loss", "msee", "mse"),
        ("optimizer", "adamm", "adam"),
        ("schedule", "cosin", "cosine"),
        ("scale", "minmx", "minmax"),
        ("engine", "fusd", "fused"),
        ("corruption", "maskin:0.3", "masking"),
    ],
)
def test_an_unknown_word_of_pretraining(fresh: Shell, option: str, word: str, meant: str) -> None:
    sentence = fresh.refuses(2, *PRETRAIN, f"--{option}", word)
    says(sentence, option.replace("-", "_"), "expected", f"got '{word.split(':')[0]}'; did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("option", "word", "meant"),
    [("head", "classifer", "classifier"), ("init", "pretraind", "pretrained"), ("train", "al", "all")],
)
def test_an_unknown_word_of_finetuning(trained: Shell, option: str, word: str, meant: str) -> None:
    says(trained.refuses(2, "finetune", f"--{option}", word), option, f"got '{word}'; did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--device", "gpu"), ("device: expected auto, cpu, cuda or cuda:N", "got 'gpu'")),
        (("--activation", "tanh,tanh,tanh"), ("--activation: expected one value, or 2", "got 3 in 'tanh,tanh,tanh'")),
        (("--learning-rate", "1,1,1"), ("--learning-rate: expected one value, or 2 (one per layer), got 3",)),
        (("--sparsity", "kl:0.05"), ("kl:RHO:WEIGHT, such as kl:0.05:0.1", "got 'kl:0.05'")),
        (("--sparsity", "kl:0.05:x"), ("kl:RHO:WEIGHT, such as kl:0.05:0.1", "got 'kl:0.05:x'")),
        (("--sparsity", "kl:2:0.1"), ("sparsity.target: expected a number less than 1", "got 2.0")),
        (("--sparsity", "l1:1:1"), ("expected l1:WEIGHT, such as l1:0.001", "got 'l1:1:1'")),
        (("--sparsity", "l0:1"), ("expected one of none, kl, l1", "got 'l0'")),
        (("--sparsity", "none,kl:0.1:1", "--activation", "sigmoid,relu"), ("layer 2", "got activation relu", "use")),
        (("--sparsity", "kl:0.1:1", "--activation", "linear"), ("layer 1", "got activation linear", "use")),
        (("--loss", "bce", "--output-activation", "linear"), ("output_activation sigmoid, got linear", "use")),
        (
            ("--loss", "bce", "--scale", "standard"),
            ("targets in [0, 1]", "values beyond in the data", "--scale minmax"),
        ),
        (("--loss", "mse,bce", "--activation", "tanh"), ("loss bce", "activation tanh", "use loss mse")),
        (("--corruption", "masking"), ("masking:LEVEL, such as masking:0.2", "got 'masking'")),
        (("--corruption", "masking:x"), ("masking:LEVEL, such as masking:0.2", "got 'masking:x'")),
        (("--corruption", "masking:0.1:2"), ("got 'masking:0.1:2'",)),
        (("--corruption", "masking:1.5"), ("between 0 and 1", "got masking:1.5")),
        (("--corruption", "masking:-0.1"), ("corruption.level", "greater than or equal to 0", "got -0.1")),
        (("--corruption", "gaussian:nan"), ("corruption.level: expected a finite number, got nan",)),
        (("--corruption", "pepper:0.1"), ("expected one of none, gaussian, masking", "got 'pepper'")),
        (("--batch-size", "0"), ("batch_size", "greater than or equal to 1", "got 0")),
        (("--epochs", "0"), ("whole number of at least 1, or auto", "got '0'")),
        (("--epochs", "1.5"), ("whole number of at least 1, or auto", "got '1.5'")),
        (("--learning-rate", "0"), ("learning_rate", "greater than 0", "got 0")),
        (("--learning-rate", "fast"), ("learning_rate: expected a number", "got 'fast'")),
        (("--weight-decay", "-1"), ("weight_decay", "greater than or equal to 0", "got -1")),
        (("--momentum", "1"), ("momentum", "less than 1", "got 1")),
        (
            ("--patience", "-1"),
            ("patience", "expected a whole number of at least 0, EPOCHS:INCREASE:THRESHOLD", "or auto, got '-1'"),
        ),
        (("--seed", "-1"), ("seed", "greater than or equal to 0", "got -1")),
        (("--validation-fraction", "1"), ("validation_fraction", "less than 1", "got 1")),
        (("--test-fraction", "-0.1"), ("test_fraction", "greater than or equal to 0", "got -0.1")),
        (("--data", "digits", "--target", "kind"), ("target", "its columns have no names, as those of a .csv")),
    ],
)
def test_settings_that_cannot_work(fresh: Shell, options: tuple[str, ...], parts: tuple[str, ...]) -> None:
    says(fresh.refuses(2, *PRETRAIN, *options), *parts)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("pretrian",), ("pretrian", "pretrain")),
        (("pretrain", "--layer", "8,4"), ("--layer", "--layers")),
        (("pretrain", "--layers"), ("--layers",)),
        (("pretrain", "--layers", "8,6", "--batch-size", "many"), ("batch_size: expected a whole number, got 'many'",)),
        (("evaluate", "here"), ("here",)),
    ],
)
def test_a_command_line_that_cannot_be_read(fresh: Shell, arguments: tuple[str, ...], parts: tuple[str, ...]) -> None:
    says(fresh.refuses(2, *arguments), *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ("my.toml: expected a TOML configuration, got no such file",)),
        ("[pretrain\n", ("my.toml: expected a TOML configuration", "line 1")),
        ("\udcff", ("my.toml: expected a TOML configuration",)),
        ("[trainig]\n", ("expected the tables data", "got 'trainig'")),
        ("[data]\nflavour = 1\n", ("data.flavour", "unknown name")),
        ("[data]\nscale = 'minmx'\n", ("data.scale", "did you mean 'minmax'?")),
    ],
)
def test_a_configuration_file_that_cannot_be(fresh: Shell, content: str | None, parts: tuple[str, ...]) -> None:
    if content is not None:
        (fresh.folder / "my.toml").write_text(content, errors="surrogateescape")
    says(fresh.refuses(2, *PRETRAIN, "--config", "my.toml"), *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("data = 'digits'\n", ("data", "got 'digits'")),
        ("[data]\ndata_root = 5\n", ("data.data_root", "expected text, got 5")),
        ("[pretrain]\nn_visible = 8\nlayers = 3\n", ("layers", "got 3")),
        (
            "[pretrain]\nlayers = [{tied = 'no way'}, {tied = true}]\n",
            ("layer 1: tied: expected true, false or auto, got 'no way'",),
        ),
    ],
)
def test_what_is_no_number_is_not_asked_to_be_one(fresh: Shell, content: str, parts: tuple[str, ...]) -> None:
    (fresh.folder / "my.toml").write_text(content)
    sentence = fresh.refuses(2, *PRETRAIN, "--config", "my.toml")
    says(sentence, *parts)
    assert "expected a number" not in sentence


# ---- data (3)


def cell(place: tuple[int, int], value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        x = np.zeros((5, 8), np.float32)
        x[place] = value
        np.save(path, x)

    return write


@pytest.mark.parametrize(
    ("name", "write", "parts"),
    [
        ("digts", None, ("expected digits, mnist", "got 'digts'; did you mean 'digits'?")),
        ("absent.csv", None, ("absent.csv", "no such file", "check the path")),
        ("folder.npy", Path.mkdir, ("folder.npy", "a directory")),
        ("nan.npy --missing refuse", cell((2, 3), np.nan), ("nan.npy: expected finite", "got nan at row 2, column 3")),
        (
            "inf.npy --missing refuse",
            cell((4, 0), -np.inf),
            ("inf.npy: expected finite", "got -inf at row 4, column 0"),
        ),
        ("none.npy", lambda path: np.save(path, np.zeros((0, 8))), ("none.npy", "at least one element", "(0, 8)")),
        ("flat.npy", lambda path: np.save(path, np.zeros(8)), ("flat.npy", "expected shape (n, d)", "got (8,)")),
        ("text.npy", lambda path: path.write_text("hello"), ("text.npy", "as numpy.save writes it", "save it again")),
        ("zip.npz", lambda path: path.write_bytes(b"PK"), ("zip.npz: expected a .npz archive", "save it again")),
        ("empty.csv", Path.touch, ("empty.csv", "a header line", "got an empty file")),
        (
            "head.csv",
            lambda path: path.write_text("a,b\n"),
            ("head.csv: expected rows below the header line", "got none"),
        ),
        (
            "word.csv",
            lambda path: path.write_text("a,b\n1,x\n1,2\n1,3\n"),
            ("word.csv:2: column 'b' (2): 'x' is not a number",),
        ),
        ("cut.csv", lambda path: path.write_text("a,b\n1,2\n1"), ("cut.csv:3: expected 2 cells", "got 1")),
    ],
)
def test_bad_data(fresh: Shell, name: str, write: Callable[[Path], object] | None, parts: tuple[str, ...]) -> None:
    name, *options = name.split()
    if write:
        write(fresh.folder / name)
    says(fresh.refuses(3, "pretrain", "--layers", LAYERS, "--data", name, *options), *parts)


@pytest.mark.parametrize("name", ["unlabelled.npy", "labelled.npz"])
def test_a_truncated_file(fresh: Shell, name: str) -> None:
    path = fresh.folder / name
    path.write_bytes(path.read_bytes()[:-100])
    says(fresh.refuses(3, "pretrain", "--layers", LAYERS, "--data", name), f"{name}: expected", "got")


@pytest.mark.parametrize("cut", [None, 0, 3, 20])
def test_missing_and_truncated_image_sets(fresh: Shell, cut: int | None) -> None:
    raw = fresh.folder / "sets" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    if cut is not None:
        content = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4, *range(32)])
        for part in ("train-images-idx3", "train-labels-idx1"):
            (raw / f"{part}-ubyte").write_bytes(content[:cut])
    sentence = fresh.refuses(3, "pretrain", "--layers", "16,4", "--data", "mnist", "--data-root", "sets")
    remedy = "--data-root" if cut is None else "give the original file" if cut < 4 else "fetch it again"
    says(sentence, "train-images-idx3-ubyte: expected", "got", remedy)


def test_an_unknown_target_column(fresh: Shell) -> None:
    sentence = fresh.refuses(3, "pretrain", "--layers", LAYERS, "--data", "labelled.csv", "--target", "kin")
    says(sentence, "expected a column named 'kin'", "did you mean 'kind'?")


def test_a_classifier_needs_labels_of_two_classes(trained: Shell) -> None:
    x = np.load(trained.folder / "unlabelled.npy")
    for name, y in (("single", np.zeros(60, np.int64)), ("unknown", np.full(60, -1))):
        np.savez(trained.folder / f"{name}.npz", x=x, y=y)
    for data, got in (("unlabelled.npy", "got none"), ("unknown.npz", "got none"), ("single.npz", "got one alone")):
        says(trained.refuses(3, "finetune", "--data", data), "labels: expected", got)


def test_labels_that_the_classifier_does_not_know(trained: Shell) -> None:
    result = trained("evaluate", "--data", "labelled.csv", "--target", "kind")
    says(result.err, "labels      none of a, b, c is a class of the classifier: 0, 1, 2; name their column by --target")
    assert result.code == 0 and "accuracy    - of 0" in result.out


@pytest.mark.parametrize("scale", ["none", "unit", "minmax"])
@pytest.mark.parametrize("command", READERS)
def test_data_of_another_width(fresh: Shell, command: str, scale: str) -> None:
    x = np.load(fresh.folder / "unlabelled.npy")
    np.savez(fresh.folder / "wide.npz", x=np.hstack([x, x]), y=np.arange(60) % 3)
    fresh.does(*PRETRAIN, "--scale", scale)
    says(fresh.refuses(3, command, "--data", "wide.npz"), "expected", "8", "got", "16")


@pytest.mark.parametrize("command", ["evaluate", "reconstruct", "score"])
def test_a_part_of_no_rows(fresh: Shell, command: str) -> None:
    fresh.does(*PRETRAIN, "--test-fraction", 0)
    sentence = fresh.refuses(3, command, "--part", "test")
    says(sentence, "--part: expected rows in the test part", "got none", "choose another part")
    says(fresh.refuses(2, command, "--part", "tset"), "--part: expected", "got 'tset'; did you mean 'test'?")
