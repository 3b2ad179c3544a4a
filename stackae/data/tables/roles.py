"""Which columns of a table the settings name, and for what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from stackae.config import DataConfig
from stackae.data.text.cells import number_of
from stackae.errors import ConfigError, DataError, argument, legible, nearest

SHOWN_COLUMNS = 20


class Roles(NamedTuple):
    """Places of columns: of targets, of those left out, each with the reason, of ids, and of those whose kind is asked
    for, with their order where they are ordinal."""

    targets: tuple[int, ...]
    left_out: dict[int, str]
    ids: tuple[int, ...]
    categorical: frozenset[int]
    ordinal: dict[int, tuple[str, ...]]


def roles_of(name: str, header: Sequence[str], config: DataConfig) -> Roles:
    """The roles of the columns of the table called ``name``.

    Raises DataError for a column that is not there, and for a target that is left out too; ConfigError for an order
    that is none.
    """
    numbers = config.target_kind == "numbers"
    targets = () if config.target is None else target_places(name, header, config.target, numbers)
    left_out = dict.fromkeys(_places(name, header, config.drop, "to be left out"), "as asked for")
    ids = (*_places(name, header, config.ids, "with ids"), *((0,) if config.transpose else ()))
    if both := [header[place] for place in targets if place in left_out]:
        raise DataError(f"{name}: expected a target that is not left out, got '{legible(both[0])}'; leave out others")
    for column, what in ((config.group, "groups of rows"), (config.time, "the time of rows")):
        left_out |= dict.fromkeys(_places(name, header, column, f"for {what}"), f"as asked for: {what}")
    if config.columns is not None:
        features = {*_places(name, header, config.columns, "for a feature")}
        others = (place for place in range(len(header)) if place not in {*features, *targets, *ids, *left_out})
        left_out |= dict.fromkeys(others, f"not among {argument('columns')}")
    elif unnamed_first(header) and 0 not in {*targets, *left_out, *ids}:
        left_out[0] = "without a name: an index"
    categorical = frozenset(_places(name, header, config.categorical, "with categories"))
    ordinal = {}
    for column, order in orders_of(config.ordinal).items():
        ordinal[_place(name, header, column, "with ordered categories")] = order
    return Roles(targets, left_out, ids, categorical, ordinal)


def orders_of(text: str | None) -> dict[str, tuple[str, ...]]:
    """The ordered categories by column, of "size:small<medium<large,grade:c<b<a". Raises ConfigError for others."""
    found = {}
    for each in [] if text is None else text.split(","):
        column, colon, order = each.rpartition(":")
        categories = tuple(category.strip() for category in order.split("<"))
        if not colon or len(categories) < 2 or len({*categories}) < len(categories) or "" in categories:
            raise ConfigError(
                f"{argument('ordinal')}: expected COLUMN:LOW<MIDDLE<HIGH, with commas between columns, got "
                f"'{legible(each, 200)}'; write each category once, the lowest first"
            )
        found[column.strip()] = categories
    return found


def names_of(text: str, header: Collection[str]) -> list[str]:
    """The names between the commas of a text; one that has commas in its name is itself. No errors."""
    return [text] if text in header else [name.strip() for name in text.split(",")]


def unnamed_first(header: Sequence[str]) -> bool:
    """Whether the first column alone has no name, as the index of a table that a program wrote."""
    return len(header) > 1 and not header[0]


def target_places(name: str, header: Sequence[str], target: str, numbers: bool) -> tuple[int, ...]:
    """Which column holds the labels, or which hold the numbers that are wanted; DataError when none has that name."""
    names = target_names(header, target, numbers)
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None:
        raise DataError(f"{name}: expected each target once, got '{legible(twice)}' twice; name it once")
    return tuple(_place(name, header, each, "for the target") for each in names)


def target_names(header: Collection[str], target: str, numbers: bool) -> list[str]:
    """One target, or of numbers several with commas between them."""
    return names_of(target, header) if numbers else [target]


def _places(name: str, header: Sequence[str], text: str | None, wanted: str) -> tuple[int, ...]:
    return () if text is None else tuple(_place(name, header, each, wanted) for each in names_of(text, header))


def _place(name: str, header: Sequence[str], column: str, wanted: str) -> int:
    if column not in header:
        numbers = sum(number_of(each) is not None for each in header)
        without = "; where these are data, put a line of names above them" if 2 * numbers > len(header) else ""
        raise DataError(
            f"{name}: expected a column named '{legible(column)}' {wanted}, got columns {listed(header)}"
            f"{without or nearest(column, header) or '; name one of them'}"
        )
    return list(header).index(column)


def listed(names: Sequence[str], most: int = SHOWN_COLUMNS) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(legible(each) for each in names[:most]) + more
