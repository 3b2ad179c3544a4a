"""The table of contenders: what each is called, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from stackae.errors import ConfigError, argument, nearest

PRETRAINED, RANDOM, UNLABELLED = "pretrained", "random", "unlabelled"
ASKED_FOR = ("pca-start", "joint", UNLABELLED)  # by name or "all": so that the usual ones take minutes at most
DEFAULT_LABELS, ALL = (10, 100, 1000), "all"
MOST_SEEDS = 100


class Contender(NamedTuple):
    """One way to learn from the labels.

    Attributes:
        title: its name in a sentence.
        network: True for a network of the given layers under a head, False for a model of scikit-learn.
        trains: the unsupervised training of layers that it needs: greedy (the pretrained stack), joint, or none, which
            makes it the simpler choice.
        plural: the form of the verb that follows the title.
    """

    title: str
    network: bool = False
    trains: Literal["none", "greedy", "joint"] = "none"
    plural: bool = False

    @property
    def drawn(self) -> bool:
        """Whether its result depends on the seed even with all labels."""
        return self.network or self.trains != "none"


NETWORKS = {
    PRETRAINED: Contender("pretraining", network=True, trains="greedy"),
    RANDOM: Contender("random weights", network=True, plural=True),
    "pca-start": Contender("a start from PCA", network=True),
    "joint": Contender("a joint autoencoder", network=True, trains="joint"),
}
OF_CLASSES = {
    UNLABELLED: Contender("fine-tuning with unlabelled rows", network=True, trains="greedy"),
    "logistic": Contender("logistic regression"),
    "svm": Contender("an SVM"),
    "boosting": Contender("gradient boosting"),
    "pca-logistic": Contender("PCA + logistic regression"),
    "spread-pca": Contender("label spreading on PCA"),
    "spread-codes": Contender("label spreading on the codes", trains="greedy"),
}
OF_NUMBERS = {
    "ridge": Contender("ridge regression"),
    "svm": Contender("an SVM"),
    "boosting": Contender("gradient boosting"),
    "pca-ridge": Contender("PCA + ridge regression"),
    "neighbors-pca": Contender("nearest neighbors on PCA"),
    "neighbors-codes": Contender("nearest neighbors on the codes", trains="greedy"),
}


def contenders_for(classes: bool) -> dict[str, Contender]:
    """Return the contenders for targets that are classes, or numbers."""
    return NETWORKS | (OF_CLASSES if classes else OF_NUMBERS)


def chosen_contenders(given: str | Sequence[str] | None, classes: bool) -> dict[str, Contender]:
    """Select contenders by name, as "pretrained,random,svm", or "all".

    None selects all but those of ASKED_FOR.

    Raises:
        ConfigError: an unknown name, one given twice, or fewer than two.
    """
    known = contenders_for(classes)
    if given is None or given == ALL:
        return {name: each for name, each in known.items() if given == ALL or name not in ASKED_FOR}
    names = [name.strip() for name in (given.split(",") if isinstance(given, str) else given)]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"{argument('contenders')}: expected {', '.join(known)}, got '{name}'{nearest(name, known)}"
            )
    if len(set(names)) != len(names) or len(names) < 2:
        raise ConfigError(
            f"{argument('contenders')}: expected at least two, each once, got {','.join(names)}; "
            f"use {argument('contenders', 'pretrained,random')}"
        )
    return {name: known[name] for name in known if name in names}


def label_counts(given: str | Sequence[int | str] | None, total: int, classes: int) -> list[int]:
    """Return the numbers of labels to compare with, ascending; ``total`` stands for all.

    Args:
        given: as "10,100,all", or numbers and "all"; None is 10, 100 and 1000, of which each class has one and which
            are at most half of all, and all.
        total: the labels that there are.
        classes: how many classes have any, each of which keeps at least one; 1 for numbers.

    Raises:
        ConfigError: what is neither a number nor "all", or a number out of reach.
    """
    if given is None:
        return [*(n for n in DEFAULT_LABELS if classes <= n <= total / 2), total]
    counts = set()
    for each in given.split(",") if isinstance(given, str) else given:
        text = str(each).strip()
        count = total if text == ALL else int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not max(1, classes) <= count <= total:
            raise ConfigError(
                f"{argument('labels')}: expected whole numbers from {max(1, classes):,}, one label per class, to "
                f"{total:,}, the labels of the training rows, or all, got '{text}'; leave it out"
            )
        counts.add(count)
    return sorted(counts)


def seed_count(given: str | int) -> int:
    """Parse the number of seeds. Raises ConfigError unless it is 1 to MOST_SEEDS."""
    text = str(given)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MOST_SEEDS:
        raise ConfigError(f"{argument('seeds')}: expected 1 to {MOST_SEEDS}, got {text}")
    return int(text)
