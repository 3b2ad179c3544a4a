"""Recipes: published results with the settings that reproduce them, one TOML file each in stackae/recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from stackae.config.run import DataConfig
from stackae.config.stack import PretrainConfig
from stackae.config.training import FinetuneConfig
from stackae.config.values import Count, Model, parse_toml, validated
from stackae.errors import ConfigError, nearest

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
FigureName = Literal[
    "loss", "reconstruction", "squared_error", "error", "mean_code", "clusters", "svm", "dead", "seconds"
]


class CheckConfig(Model):
    """A figure of a recipe, what it was elsewhere, and the band in which ours counts as reproduced."""

    name: str
    """The figure in a few words, with its unit."""
    figure: FigureName
    """What is computed: see ``stackae.workflows.recipes.figures``."""
    after: Annotated[int, Field(ge=0)] = 0
    """Number of the fine-tuning after which it is computed; 0 is after pretraining."""
    part: Literal["train", "validation", "test"] = "test"
    """Rows on which it is computed."""
    layer: Annotated[int, Field(ge=0)] = 0
    """Layer from 1 at the bottom; 0 is the top, or the fine-tuned network."""
    rows: Annotated[int, Field(ge=0)] = 0
    """How many of the first rows of the part are used; 0 is all."""
    corrupted: bool = False
    """Whether a loss is that of rows corrupted as in training."""
    epoch: Annotated[int, Field(ge=0)] = 0
    """Epoch of which a validation error is taken; 0 is the one whose weights were kept."""
    unit: Literal["row", "feature", "half"] = "row"
    """Scale of a loss: summed over the features of a row, its mean per feature, or half the sum."""
    published: float | None = None
    """The figure in the source."""
    measured: float | None = None
    """The figure of an independent program on the same data."""
    low: float | None = None
    """Least value in the band."""
    high: float | None = None
    """Largest value in the band."""

    @model_validator(mode="after")
    def _has_a_band(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError(f"check {self.name}: expected a band, low or high or both, got none; give one")
        return self

    def within(self, value: float) -> bool:
        """Whether the value lies in the band; NaN does not."""
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    @property
    def band(self) -> str:
        if self.low is None:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"


class RecipeConfig(Model):
    """A published result: its source, settings that are complete whatever the defaults are, and what it must show."""

    title: str
    """What is trained, in a line."""
    paper: str
    """Where it was published."""
    notes: str = ""
    """How the settings follow from the source: scales of losses, and what differs."""
    minutes: Annotated[float, Field(gt=0)]
    """About how long one seed takes on 2 CPU cores."""
    quick: bool = False
    """Whether `make recipes` runs it."""
    seeds: Count = 1
    """Seeds whose mean is compared."""
    data: DataConfig
    """Data, as in config.toml."""
    pretrain: PretrainConfig
    """Layers and their training, as in config.toml."""
    finetune: tuple[FinetuneConfig, ...] = ()
    """Fine-tunings, one after the other, each on the pretrained stack."""
    checks: Annotated[tuple[CheckConfig, ...], Field(min_length=1)]
    """What it must show."""

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON data."""
        return self.model_dump(exclude_none=True)

    def of_the_layers(self, name: str) -> Self:
        """The recipe without fine-tuning. Raises ConfigError where nothing would be left to compare."""
        checks = tuple(check for check in self.checks if check.after == 0)
        if not checks:
            raise ConfigError(f"{name}: expected a figure of its layers, got none before fine-tuning; run it whole")
        return self.model_copy(update={"finetune": (), "checks": checks})

    @model_validator(mode="after")
    def _checks_fit(self) -> Self:
        for check in self.checks:
            if check.after > len(self.finetune) or check.layer > len(self.pretrain.layers):
                raise ValueError(
                    f"check {check.name}: expected one of {len(self.finetune)} fine-tunings and of "
                    f"{len(self.pretrain.layers)} layers, got {check.after} and {check.layer}"
                )
        return self


def recipe_names() -> list[str]:
    """The names of all recipes, by alphabet."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> RecipeConfig:
    """The recipe of that name. Raises ConfigError where there is none."""
    names = recipe_names()
    if name not in names:
        raise ConfigError(f"recipe: expected one of {', '.join(names)}, got '{name}'{nearest(name, names)}")
    path = FOLDER / f"{name}.toml"
    tables: dict[str, Any] = parse_toml(path.read_bytes(), path)
    return validated(RecipeConfig, tables, name)
