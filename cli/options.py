"""Options that several subcommands share, each defined once; help of settings is the docstring of the setting.

The default of every option is None, which means "not given": the value then comes from --config, or else from the
defaults of stackae.config. STACKAE_<NAME> in the environment stands for --<name>.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from stackae.config.documented import settings_of
from stackae.data.formats import FORMATS, NAMES, SETS, WRITTEN, WRITTEN_TABLES, listed

Complete = Callable[[str], list[str]]
"""What the shell offers for a value that is being typed (`stackae --install-completion`); for nothing, files."""
DATA = "Data"
LAYERS = "Layers (one value for all, or a comma list with one per layer)"
TRAINING = "Training"
SCORES = "Scores"
OUTPUT = "Run and output"
REST = "Layers that are not trained yet"
RENAMED = {"max_epochs": "epochs", "tied": "weights", "header": "header/--no-header"}
"""Options whose name is not that of the setting."""


def of_names(names: Collection[str]) -> Complete:
    """Complete the last of the names that commas separate."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + name for name in names if name.startswith(last)]

    return complete


def runs_named(incomplete: str) -> list[str]:
    """Complete a run of ./runs, the newest first."""
    found = [each for each in Path("runs").glob("*") if each.is_dir()]
    found.sort(key=lambda each: each.lstat().st_mtime, reverse=True)
    return [name for each in found if (name := str(each)).startswith(incomplete)]


def option(name: str, help_text: str, panel: str, default: str | None = None, **more: Any) -> Any:
    """Make a typer option whose environment variable follows from its name."""
    return typer.Option(
        name,
        *more.pop("short", ()),
        help=f"{help_text} [dim]\\[default: {default}][/dim]" if default else help_text,
        rich_help_panel=panel,
        show_default=False,
        envvar="STACKAE_" + name.split("/")[0].lstrip("-").replace("-", "_").upper(),
        show_envvar=False,
        **more,
    )


def setting(model: str, panel: str, name: str, default: str = "", **more: Any) -> Any:
    """Make the option of a setting, with the setting's help, default (unless ``default`` is given) and metavar."""
    own = settings_of(model)[name]
    flag = "--" + RENAMED.get(name, name).replace("_", "-")
    text, metavar = more.pop("text", own.help), more.pop("metavar", own.metavar)
    more.setdefault("autocompletion", of_names(own.choices or own.begun))
    return option(flag, text, panel, default or own.default, metavar=metavar, **more)


def of_the_rest(name: str) -> Any:
    """Make an option of layers for the rest of a training that is resumed.

    It has no environment variable, which may be meant for another run.
    """
    own = settings_of("LayerConfig")[name]
    flag, text = "--" + name.replace("_", "-"), f"{own.help} [dim]\\[default: the run's own][/dim]"
    return typer.Option(flag, help=text, rich_help_panel=REST, show_default=False, metavar=own.metavar)


data = partial(setting, "DataConfig", DATA)
layer = partial(setting, "LayerConfig", LAYERS)
training = partial(setting, "TrainingConfig", TRAINING)
head = partial(setting, "FinetuneConfig", TRAINING)

Text = str | None
FILES = (
    f"Data to read: {SETS}, a folder of pictures, or a path: {', '.join(FORMATS)}; FILE:NAME is an array of a file "
    "that has several."
)
OUT = listed(WRITTEN)
OUT_TABLES = listed(WRITTEN_TABLES)
OWN = "the run's own"
TIED = "Weights of the decoder: tied (the encoder's, transposed) or untied (its own)."
PARTS = "Part of the data to read: test, validation, train or all."
SETS_NAMED = of_names(NAMES)
TRAININGS = of_names(("pretrained", "finetuned"))
TRAINED = "Weights to use: pretrained, or finetuned (those of the head that was trained last)."

Data = Annotated[Text, data("data", text=FILES, metavar="<name|file>", autocompletion=SETS_NAMED)]
DataOfRun = Annotated[Text, data("data", OWN, text=FILES, metavar="<name|file>", autocompletion=SETS_NAMED)]
DataRoot = Annotated[Text, data("data_root", metavar="<dir>")]
DataRootOfRun = Annotated[Text, data("data_root", OWN, metavar="<dir>")]
Storage = Annotated[Text, data("storage")]
Delimiter = Annotated[Text, data("delimiter", metavar="<name>")]
Decimal = Annotated[Text, data("decimal", metavar="<name>")]
Encoding = Annotated[Text, data("encoding", metavar="<name>")]
Header = Annotated[bool | None, data("header", metavar=None)]
MissingValuesOfRun = Annotated[Text, data("missing_values", OWN, metavar="<a,b>")]
MissingValues = Annotated[Text, data("missing_values", metavar="<a,b>")]
Target = Annotated[Text, data("target", metavar="<column>")]
TargetOfRun = Annotated[Text, data("target", OWN, metavar="<column>")]
TargetKind = Annotated[Text, data("target_kind")]
TargetKindOfRun = Annotated[Text, data("target_kind", OWN)]
Part = Annotated[Text, option("--part", PARTS, DATA, "test; all of other --data", metavar="<name>")]
Columns = Annotated[Text, data("columns", metavar="<a,b>")]
Drop = Annotated[Text, data("drop", metavar="<a,b>")]
Ids = Annotated[Text, data("ids", metavar="<a,b>")]
Categorical = Annotated[Text, data("categorical", metavar="<a,b>")]
Ordinal = Annotated[Text, data("ordinal", metavar="<a:b<c<d>")]
Missing = Annotated[Text, data("missing")]
Transpose = Annotated[bool | None, data("transpose", text="The rows of a table are its columns.", metavar=None)]
Background = Annotated[Text, data("background", OWN, metavar="<a,b>")]
LeaveOut = Annotated[Text, data("leave_out", metavar="<a,b>")]
Size = Annotated[Text, data("size")]
Colour = Annotated[Text, data("colour")]
Pixels = Annotated[bool | None, data("pixels", metavar=None)]
ImageShape = Annotated[Text, data("image_shape", metavar="<HxW>")]
Scale = Annotated[Text, data("scale")]
ScaleFactor = Annotated[Text, data("scale_factor")]
Window = Annotated[Text, data("window")]
Stride = Annotated[Text, data("stride")]
Group = Annotated[Text, data("group", metavar="<column>")]
Time = Annotated[Text, data("time", metavar="<column>")]
Split = Annotated[Text, data("split")]
ValidationFraction = Annotated[Text, data("validation_fraction")]
ValidationRows = Annotated[Text, data("validation_rows")]
TestFraction = Annotated[Text, data("test_fraction")]
Kind = Annotated[Text, layer("kind")]
Activation = Annotated[Text, layer("activation")]
OutputActivation = Annotated[Text, layer("output_activation")]
Loss = Annotated[Text, layer("loss")]
LayerWeights = Annotated[
    Text, layer("tied", "tied", text=TIED, metavar="<name>", autocompletion=of_names(("tied", "untied")))
]
Corruption = Annotated[Text, layer("corruption")]
Emphasis = Annotated[Text, layer("emphasis")]
Dropout = Annotated[Text, layer("dropout", "0")]
Sparsity = Annotated[Text, layer("sparsity")]
Revive = Annotated[Text, layer("revive")]
Contraction = Annotated[Text, layer("contraction")]
WeightDecay = Annotated[Text, layer("weight_decay")]
WeightL1 = Annotated[Text, layer("weight_l1")]
MaxNorm = Annotated[Text, layer("max_norm")]
Init = Annotated[Text, layer("init")]
InitialWeights = Annotated[Text, layer("initial_weights")]
Ridge = Annotated[Text, layer("ridge")]
Hidden = Annotated[Text, layer("hidden")]
Beta = Annotated[Text, layer("beta")]
LearningRate = Annotated[Text, layer("learning_rate")]
Epochs = Annotated[Text, layer("max_epochs")]
LayerBatchSize = Annotated[Text, layer("batch_size")]
LayerPatience = Annotated[Text, layer("patience")]
RateOfTheRest = Annotated[Text, of_the_rest("learning_rate")]
DecayOfTheRest = Annotated[Text, of_the_rest("weight_decay")]
CorruptionOfTheRest = Annotated[Text, of_the_rest("corruption")]
SparsityOfTheRest = Annotated[Text, of_the_rest("sparsity")]
ContractionOfTheRest = Annotated[Text, of_the_rest("contraction")]
WeightL1OfTheRest = Annotated[Text, of_the_rest("weight_l1")]
BetaOfTheRest = Annotated[Text, of_the_rest("beta")]
BatchSize = Annotated[Text, head("batch_size")]
Patience = Annotated[Text, head("patience")]
Optimizer = Annotated[Text, training("optimizer")]
Momentum = Annotated[Text, training("momentum")]
MomentumRamp = Annotated[Text, training("momentum_ramp")]
Schedule = Annotated[Text, training("schedule")]
RateDecay = Annotated[Text, training("rate_decay")]
Shuffle = Annotated[Text, training("shuffle")]
Seed = Annotated[Text, training("seed")]
SeedOfRun = Annotated[Text, training("seed", OWN)]
Engine = Annotated[Text, training("engine")]
EngineOfRun = Annotated[Text, training("engine", OWN)]
Precision = Annotated[Text, training("precision")]
Device = Annotated[Text, training("device")]
DeviceOfRun = Annotated[Text, training("device", OWN)]
Codes = Annotated[Text, setting("PretrainConfig", TRAINING, "codes")]
CodesOfRun = Annotated[Text, setting("PretrainConfig", TRAINING, "codes", OWN)]
Weights = Annotated[
    str,
    option("--weights", TRAINED, LAYERS, "pretrained", metavar="<name>", autocompletion=TRAININGS),
]
RunFolder = Annotated[
    Path | None,
    option("--run", "Run folder to read.", OUTPUT, "runs/latest", metavar="<dir>", autocompletion=runs_named),
]
CheckpointEvery = Annotated[
    Text,
    option("--checkpoint-every", "Maximum seconds between checkpoints in an epoch.", OUTPUT, "30", metavar="<float>"),
]
Config = Annotated[
    Path | None,
    option("--config", "TOML file to start from; other options override it.", OUTPUT, metavar="<file>"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files of that name.", rich_help_panel=OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=OUTPUT)]
