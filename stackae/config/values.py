"""The kinds of value that settings are made of, and how a value that does not fit is told to a person.

Needs pydantic and the standard library alone.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    field_validator,
)
from pydantic_core import CoreSchema

from stackae.config.activations import ACTIVATIONS, ActivationName
from stackae.config.documented import settings_of
from stackae.errors import ConfigError, argument, legible, nearest

CorruptionName = Literal["none", "gaussian", "masking", "salt-and-pepper"]
SparsityName = Literal["none", "kl", "l1", "top-k", "batch-top-k", "lifetime"]
Scale = Literal["auto", "none", "unit", "minmax", "standard", "robust"]
UnlabelledName = Literal["auto", "none", "pseudo-label", "adversarial", "ladder"]
CORRUPTIONS: tuple[CorruptionName, ...] = get_args(CorruptionName)
SCALES: tuple[Scale, ...] = get_args(Scale)
METHODS: tuple[UnlabelledName, ...] = get_args(UnlabelledName)
MOST_CHARACTERS, LONGEST_LINE, MOST_DOTS = 1 << 18, 1 << 11, 10_000  # of a configuration file
MOST_EPOCHS = 10**9


def is_text(value: str) -> bool:
    """Whether it can be written as UTF-8; a byte of a file's name that cannot is half of a character in Python."""
    return not any("\ud800" <= c <= "\udfff" for c in value)


def _device(value: object) -> object:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", str(value)):
        raise ValueError(f"expected auto, cpu, cuda or cuda:N, got '{value}'")
    return value


def _epochs(value: object) -> object:
    if value == "auto" or (_is_number(value) and 1 <= int(str(value)) <= MOST_EPOCHS):
        return value if value == "auto" else int(str(value))
    most = "" if not _is_digits(value) or value in (0, "0") else f", and at most {MOST_EPOCHS:,}"
    raise ValueError(f"expected a whole number of at least 1{most}, or auto, got '{legible(str(value))}'")


def _patience(value: object) -> object:
    if value == "auto" or _is_number(value):
        return value if value == "auto" else int(str(value))
    if re.fullmatch(r"[1-9][0-9]{0,8}:[1-9][0-9]{0,2}(\.[0-9]{1,9})?:(0\.[0-9]{1,9}|1(\.0)?)", str(value)):
        return value
    raise ValueError(
        "expected a whole number of at least 0, EPOCHS:INCREASE:THRESHOLD such as 10:2:0.995, or auto, got "
        f"'{legible(str(value))}'"
    )


def _number_or_auto(zero: bool) -> Callable[[object], object]:
    """A check of numbers from 0, with 0 or without it, and auto."""
    wanted = "of at least 0" if zero else "greater than 0"

    def check(value: object) -> object:
        if value == "auto":
            return value
        try:
            number = float(str(value))
        except ValueError:
            number = -1.0
        if 0 < number < float("inf") or (zero and number == 0):
            return number
        given = str(value) if re.fullmatch(r"[-+.0-9e]+", str(value)) else f"'{legible(str(value))}'"
        raise ValueError(f"expected a number {wanted}, or auto, got {given}")

    return check


def _width(value: object) -> object:
    """The number 0 stands for auto."""
    if value in ("auto", 0) or (_is_digits(value) and 1 <= int(str(value)[:10]) < 10**9):
        return 0 if value == "auto" else int(str(value))
    raise ValueError(f"expected a whole number of at least 1, or auto, got '{legible(str(value))}'")


def _tied(value: object) -> object:
    word = str(value).lower()
    if word in ("auto", "true", "false", "1", "0"):
        return word if word == "auto" else word in ("true", "1")
    raise ValueError(f"expected true, false or auto, got '{legible(str(value))}'")


def _labels(value: object) -> object:
    text = str(value)
    if text != "all" and not re.fullmatch(r"[1-9][0-9]{0,11}(-per-class)?", text):
        raise ValueError(
            f"expected a whole number, such as 100, that number of each class, as 10-per-class, or all, got "
            f"'{legible(text)}'"
        )
    return text


def _unlabelled(value: object) -> object:
    """Refuse what is no method; the option of this name was once that of background classes."""
    text = legible(str(value))
    if value in METHODS:
        return value
    other = nearest(text, METHODS) or f"; name classes whose rows have no label by {argument('background', text)}"
    raise ValueError(f"expected one of {', '.join(METHODS)}, got '{text}'{other}")


def labels_asked(labels: str) -> tuple[int | None, bool]:
    """How many labels are to be kept, None for all of them, and whether of each class, by a value of ``Labels``."""
    count, _, per_class = labels.partition("-")
    return (None, False) if labels == "all" else (int(count), bool(per_class))


def _size(value: object, channels: str = "", wanted: str = "HEIGHTxWIDTH, such as 32x32") -> object:
    if value is not None and not re.fullmatch(rf"[1-9]\d{{0,4}}x[1-9]\d{{0,4}}{channels}", str(value)):
        raise ValueError(f"expected {wanted}, got '{legible(str(value), 100)}'")
    return value


def _image_shape(value: object) -> object:
    wanted = "HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS of 1, 3 or 4 channels, such as 28x28 or 32x32x3"
    return _size(value, "(x[134])?", wanted)


def _is_digits(value: object) -> bool:
    return str(value).isascii() and str(value).isdigit()


def _is_number(value: object) -> bool:
    """Of digits that Python reads without end in sight."""
    return _is_digits(value) and len(str(value)) < 1000


def _places(value: object) -> object:
    kind, _, count = str(value).partition(":")
    if value is not None and (kind not in ("first", "last") or not re.fullmatch(r"[1-9][0-9]{0,11}", count)):
        raise ValueError(f"expected first:N or last:N, such as last:10000, got '{legible(str(value))}'")
    return value


_DASHED = BeforeValidator(lambda value: next((name for name in ACTIVATIONS if name.replace("_", "-") == value), value))
Activation = Annotated[Literal["auto", ActivationName], _DASHED]
Loss = Literal["auto", "mse", "bce"]
Init = Literal["auto", "random", "pca", "marginalized"]
Tied = Annotated[bool | Literal["auto"], BeforeValidator(_tied)]
Optimizer = Literal["adam", "adamw", "sgd", "lbfgs"]
Schedule = Literal["constant", "linear", "cosine"]
EngineName = Literal["auto", "fused", "eager"]
Precision = Literal["fp32", "tf32", "bf16"]
Device = Annotated[str, BeforeValidator(_device)]
Epochs = Annotated[int | Literal["auto"], BeforeValidator(_epochs)]
Patience = Annotated[int | str, BeforeValidator(_patience)]
Rate = Annotated[float | Literal["auto"], BeforeValidator(_number_or_auto(zero=False))]
Penalty = Annotated[float | Literal["auto"], BeforeValidator(_number_or_auto(zero=True))]
Labels = Annotated[str, BeforeValidator(_labels)]
Comparison = Literal["auto", "values", "gradients"]
Unlabelled = Annotated[UnlabelledName, BeforeValidator(_unlabelled)]
ImageShape = Annotated[str | None, BeforeValidator(_image_shape)]
Size = Annotated[str | None, BeforeValidator(lambda value: _size(value))]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Width = Annotated[int, BeforeValidator(_width), PlainSerializer(lambda width: width or "auto", return_type=int | str)]
BatchSize = Annotated[int, Field(ge=1, le=10**12)]
Places = Annotated[str | None, BeforeValidator(_places)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


if TYPE_CHECKING:
    Base = BaseModel
else:

    class _Sentences(type(BaseModel)):
        """Of models that are made by name: what does not fit is a ConfigError with the sentence of ``validated``."""

        def __call__(cls, *arguments: Any, **values: Any) -> Any:
            try:
                return super().__call__(*arguments, **values)
            except ValidationError as error:
                raise ConfigError(_sentence(error.errors()[0], "")) from None

    class Base(BaseModel, metaclass=_Sentences):
        pass


class Model(Base):
    """Settings, checked and frozen; their JSON schema says what ``stackae.config.documented`` reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        """Settings are kept in files of UTF-8, which names of files need not be."""
        if isinstance(value, str) and not is_text(value):
            raise ValueError(f"expected a name in UTF-8, got '{legible(value, 100)}'; rename it")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(core)
        fields = handler.resolve_ref_schema(found).get("properties", {})
        for name, setting in settings_of(cls.__name__).items():
            fields[name]["description"] = setting.text
        return found


ModelT = TypeVar("ModelT", bound=Model)


def validated(model: type[ModelT], values: dict[str, Any], table: str = "") -> ModelT:
    """The model of these values, or a ConfigError that says in one sentence what does not fit, and in which table."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], table)) from None


_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "tuple": "a list of tables",
    "model": "a table",
}


def _sentence(detail: Any, table: str) -> str:
    layers = [f"layer {part + 1}" for part in detail["loc"] if isinstance(part, int)]
    names = [part for part in detail["loc"] if isinstance(part, str) and not (layers and part == "layers")]
    names = [table, *names] if table else names
    kind, given = detail["type"].split("_")[0], detail["input"]
    given = given if isinstance(given, str) and re.fullmatch(r"[-+.0-9]+", given) else repr(given)
    given = legible(given, 200)
    wording = detail["msg"].removeprefix("Input should be ").removeprefix("a ")
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
    elif detail["type"] == "literal_error":
        choices = re.findall("'([^']*)'", detail["ctx"]["expected"])
        word = str(detail["input"])
        message = f"expected one of {', '.join(choices)}, got '{word}'{nearest(word, choices)}"
    elif detail["type"] == "extra_forbidden":
        message = "expected a setting of stackae, got an unknown name; remove or correct it"
    elif detail["type"] == "missing":
        message = "expected a value, got none"
    elif kind in _KINDS:
        message = f"expected {_KINDS[kind]}, got {given}"
    else:
        message = f"expected a {'' if 'number' in wording else 'number '}{wording}, got {given}"
    return ": ".join([*layers, *([".".join(names)] if names else []), message])


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, or a ConfigError that names the file; pipes and devices are not opened."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path}: expected a TOML configuration, got something that is no regular file")
    try:
        with path.open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)
    except FileNotFoundError:
        raise ConfigError(f"{path}: expected a TOML configuration, got no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: expected a TOML configuration, got {error}") from None
    return parse_toml(content, path)


def parse_toml(content: bytes, path: Path) -> dict[str, Any]:
    """The tables of a file's content, or a ConfigError that names the file.

    The time and memory of parsing grow with the square of the dots in a key, and nothing in a configuration is long:
    what is beyond the limits above is refused before it is parsed.
    """
    try:
        text = content.decode().replace("\r\n", "\n")
        longest = max(map(len, text.split("\n")))
        if len(text) > MOST_CHARACTERS or longest > LONGEST_LINE or text.count(".") > MOST_DOTS:
            limits = f"{MOST_CHARACTERS:,} characters, {LONGEST_LINE:,} a line, and {MOST_DOTS:,} dots"
            raise ConfigError(f"{path}: expected a TOML configuration of at most {limits}, got more")
        return tomllib.loads(text)
    except ConfigError:
        raise
    except RecursionError:
        raise ConfigError(f"{path}: expected a TOML configuration, got lists or tables nested too deeply") from None
    except ValueError as error:  # of TOML, of UTF-8, of a number of thousands of digits
        raise ConfigError(f"{path}: expected a TOML configuration, got {legible(str(error), 200)}") from None
