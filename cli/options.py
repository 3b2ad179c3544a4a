"""Options that several subcommands share, each spelled once.

Every option's default is None, which means "not given": what is not given is filled from --config, then from the
defaults of stackae.config. STACKAE_<NAME> in the environment stands for --<name>.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stackae.config.activations import ACTIVATIONS
from stackae.data.formats import FORMATS, SETS, TABLES, WRITTEN, WRITTEN_TABLES, listed

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = "Data"
LAYERS = "Layers (one value for all, or a comma list with one a layer)"
TRAINING = "Training"
SCORES = "Scores"
OUTPUT = "Run and output"
PATIENCE = "auto: a third of the epochs, at least 10"
REST = "Layers that are not trained yet"


def option(name: str, help_text: str, panel: str, default: str | None = None, **more: Any) -> Any:
    """A typer option whose environment variable follows from its name."""
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


def any_of(names: Iterable[str]) -> str:
    """The names as "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}"


def of_the_rest(name: str, help_text: str) -> Any:
    """An option of layers for a training that is gone on with. The environment does not speak of it: it may be meant
    for another run."""
    help_text = f"{help_text} [dim]\\[default: the run's own][/dim]"
    return typer.Option(name, help=help_text, rich_help_panel=REST, show_default=False)


Text = str | None
FILES = f"{SETS}, or a path: {', '.join(FORMATS)}."
TARGET = f"Column of a {listed(TABLES)} that holds the labels; of numbers also A,B,C."
OUT = listed(WRITTEN)
OUT_TABLES = listed(WRITTEN_TABLES)
OWN = "the run's own"

Data = Annotated[
    Text,
    option("--data", FILES, DATA, "digits"),
]
DataRoot = Annotated[Text, option("--data-root", "Folder of the named image sets.", DATA, "data", metavar="DIR")]
Target = Annotated[
    Text,
    option("--target", TARGET, DATA, metavar="COLUMN"),
]
TargetKind = Annotated[
    Text, option("--target-kind", "classes, or numbers (for a regressor or several labels).", DATA, "classes")
]
DataOfRun = Annotated[Text, option("--data", FILES, DATA, OWN)]
Part = Annotated[Text, option("--part", "test, validation, train or all.", DATA, "test; all of other --data")]
DataRootOfRun = Annotated[Text, option("--data-root", "Folder of the named image sets.", DATA, OWN, metavar="DIR")]
TargetOfRun = Annotated[
    Text,
    option("--target", TARGET, DATA, OWN, metavar="COLUMN"),
]
TargetKindOfRun = Annotated[
    Text, option("--target-kind", "classes, or numbers (for a regressor or several labels).", DATA, OWN)
]
Ignore = Annotated[
    Text,
    option("--ignore", f"Columns of a {listed(TABLES)} that are no features, such as an index.", DATA, metavar="A,B"),
]
Unlabelled = Annotated[
    Text, option("--unlabelled", "Classes of background, whose rows count as unlabelled.", DATA, OWN, metavar="A,B")
]
LeaveOut = Annotated[
    Text,
    option("--leave-out", "Classes that are neither trained nor validated on, but tested.", DATA, metavar="A,B"),
]
Scale = Annotated[
    Text,
    option(
        "--scale",
        "none, unit, minmax, standard or robust, fitted on the training part.",
        DATA,
        "auto: unit for byte images",
    ),
]
ValidationFraction = Annotated[
    Text, option("--validation-fraction", "Share of the training rows held out.", DATA, "0.1")
]
TestFraction = Annotated[
    Text, option("--test-fraction", "Share held out for testing, where the data name none.", DATA, "0.2")
]
Kind = Annotated[
    Text,
    option("--kind", "dense, variational (on top), marginalized or pca (both in closed form).", LAYERS, "dense"),
]
ACTIVATION_HELP = f"{any_of(ACTIVATIONS)}."
Activation = Annotated[Text, option("--activation", ACTIVATION_HELP, LAYERS, "sigmoid")]
OutputActivation = Annotated[
    Text, option("--output-activation", "Of the decoder.", LAYERS, "auto: sigmoid for data in [0, 1]")
]
Loss = Annotated[Text, option("--loss", "mse or bce.", LAYERS, "mse")]
LayerWeights = Annotated[
    Text, option("--weights", "Of the decoder: tied (the encoder's, transposed) or untied.", LAYERS, "tied")
]
CORRUPTIONS = "none, gaussian:SD, masking:P or salt-and-pepper:P, on the input."
Corruption = Annotated[Text, option("--corruption", CORRUPTIONS, LAYERS, "masking:0.3")]
Emphasis = Annotated[
    Text,
    option("--emphasis", "ALPHA:BETA, what errors of corrupted inputs and of others count.", LAYERS, "none"),
]
Dropout = Annotated[Text, option("--dropout", "P or P:Q, shares of inputs and of code units left out.", LAYERS, "0")]
Sparsity = Annotated[
    Text,
    option("--sparsity", "none, kl:RHO:WEIGHT, l1:WEIGHT, top-k:K or batch-top-k:K, on the code.", LAYERS, "none"),
]
Revive = Annotated[Text, option("--revive", "none, or resample: give dead units something to do.", LAYERS, "none")]
Contraction = Annotated[Text, option("--contraction", "Weight of the encoder's squared Jacobian.", LAYERS, "0")]
WeightDecay = Annotated[Text, option("--weight-decay", "L2 penalty of the weights.", LAYERS, "1e-5")]
WeightL1 = Annotated[Text, option("--weight-l1", "L1 penalty of the weights.", LAYERS, "0")]
MaxNorm = Annotated[Text, option("--max-norm", "Longest that a unit's incoming weights may be; 0: any.", LAYERS, "0")]
INITS = "Weights to begin with: random, pca or marginalized."
Init = Annotated[Text, option("--init", INITS, LAYERS, "random")]
Ridge = Annotated[Text, option("--ridge", "Of closed forms, in mean variances.", LAYERS, "1e-5")]
Hidden = Annotated[Text, option("--hidden", "Units between input and code of a variational layer.", LAYERS, "0: none")]
Beta = Annotated[Text, option("--beta", "Weight of a variational layer's KL.", LAYERS, "1")]
LearningRate = Annotated[Text, option("--learning-rate", "First learning rate.", LAYERS, "0.003")]
RateOfTheRest = Annotated[Text, of_the_rest("--learning-rate", "First learning rate.")]
DecayOfTheRest = Annotated[Text, of_the_rest("--weight-decay", "L2 penalty of the weights.")]
CorruptionOfTheRest = Annotated[Text, of_the_rest("--corruption", CORRUPTIONS)]
SparsityOfTheRest = Annotated[Text, of_the_rest("--sparsity", "none, kl:RHO:WEIGHT or l1:WEIGHT, on the code.")]
ContractionOfTheRest = Annotated[Text, of_the_rest("--contraction", "Weight of the encoder's squared Jacobian.")]
WeightL1OfTheRest = Annotated[Text, of_the_rest("--weight-l1", "L1 penalty of the weights.")]
BetaOfTheRest = Annotated[Text, of_the_rest("--beta", "Weight of the KL divergence.")]
Epochs = Annotated[Text, option("--epochs", "Epochs a layer.", LAYERS, "auto: 16, more for few rows")]
LayerBatchSize = Annotated[Text, option("--batch-size", "Rows a step.", LAYERS, "64")]
LayerPatience = Annotated[
    Text,
    option("--patience", "Stop after this many epochs without a better one; 0 never stops.", LAYERS, PATIENCE),
]
BatchSize = Annotated[Text, option("--batch-size", "Rows a step.", TRAINING, "128")]
Optimizer = Annotated[Text, option("--optimizer", "adam, adamw or sgd.", TRAINING, "adam")]
Momentum = Annotated[Text, option("--momentum", "Momentum of sgd; beta 1 of adam and adamw.", TRAINING, "0.9")]
Schedule = Annotated[Text, option("--schedule", "Learning rate: constant, linear or cosine.", TRAINING, "cosine")]
Patience = Annotated[
    Text,
    option("--patience", "Stop after this many epochs without a better one; 0 never stops.", TRAINING, PATIENCE),
]
Seed = Annotated[Text, option("--seed", "Of weights, order and noise.", TRAINING, "0")]
SeedOfRun = Annotated[Text, option("--seed", "Of weights, order and noise.", TRAINING, OWN)]
Engine = Annotated[
    Text,
    option("--engine", "fused (compiled step and ops), eager (plain torch) or auto.", TRAINING, "auto: fused if built"),
]
Precision = Annotated[
    Text, option("--precision", "Of products: fp32, tf32 (CUDA) or bf16; weights are fp32.", TRAINING, "fp32")
]
EngineOfRun = Annotated[
    Text, option("--engine", "fused (compiled step and ops), eager (plain torch) or auto.", TRAINING, OWN)
]
DeviceOfRun = Annotated[Text, option("--device", "auto, cpu, cuda or cuda:N.", TRAINING, OWN)]
Device = Annotated[Text, option("--device", "auto, cpu, cuda or cuda:N.", TRAINING, "auto: a GPU if there is one")]
Weights = Annotated[str, option("--weights", "pretrained, or finetuned: those of the last head.", LAYERS, "pretrained")]
RunFolder = Annotated[
    Path | None,
    option("--run", "Run folder to read.", OUTPUT, "runs/latest", metavar="DIR"),
]
CheckpointEvery = Annotated[
    Text,
    option("--checkpoint-every", "Seconds between checkpoints within an epoch, at the most.", OUTPUT, "30"),
]
Config = Annotated[
    Path | None,
    option("--config", "TOML file to start from; other options override it.", OUTPUT, metavar="FILE"),
]
Force = Annotated[bool, typer.Option("--force", help="Replace existing files of that name.", rich_help_panel=OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.", rich_help_panel=OUTPUT)]
