"""Fine-tune a model on labelled and unlabelled rows together, by the method that the settings name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from stackae.autoencoders.dense import Dense
from stackae.config import FinetuneConfig
from stackae.config.values import Comparison
from stackae.data.labelled import SCARCE
from stackae.data.rows import Rows, subset
from stackae.errors import ConfigError, argument
from stackae.models.heads.base import HEAD_NUMBER, Prepared
from stackae.models.heads.classifier import Classifier
from stackae.models.stack import StackedAutoencoder
from stackae.random import Purpose, permutation
from stackae.semisupervised.answers import Answers, Classes, Numbers
from stackae.semisupervised.comparable import comparable, settled_comparison
from stackae.semisupervised.graph import Neighbours, Spread, graph_rows, nearest, on_graph, typical_distance
from stackae.semisupervised.ladder import LadderNetwork, LadderObjective
from stackae.semisupervised.network import NormalizedNetwork
from stackae.semisupervised.objective import AdversarialObjective, PseudoLabelObjective, UnlabelledTask
from stackae.training.callbacks import Callback, EpochRecord
from stackae.training.candidates import MOST_SOLVED, USUAL_DECAY
from stackae.training.checkpointing import Checkpointer
from stackae.training.early_stopping import Patience
from stackae.training.optimizers import make_optimizer
from stackae.training.rates import ramp_of
from stackae.training.replicas import alone
from stackae.training.solved_head import solve
from stackae.training.stage import Replica, Stage, Validation, settled_epochs
from stackae.training.step import EagerStep, OneByOne
from stackae.training.trainer import Trainer

FEWEST_STEPS = 16_000  # for automatic epochs
SAMPLE = 16_384  # rows whose statistics replace those of the batch in the final network
RADIUS = 0.35  # of the adversarial perturbation, in typical distances to the nearest row
FEWEST_UNLABELLED = 100
TRUST = 0.85  # share of withheld labels that spreading finds where classes are clusters
MARGIN = 0.5  # standard errors


METHODS: dict[str, type[PseudoLabelObjective]] = {
    "pseudo-label": PseudoLabelObjective,
    "adversarial": AdversarialObjective,
    "ladder": LadderObjective,
}


class Method(NamedTuple):
    """The method of learning from rows without labels, and the reason for it."""

    name: str
    reason: str


def settled_method(config: FinetuneConfig, stack: StackedAutoencoder, labelled: int, rows: int) -> Method:
    """Settle ``auto``: adversarial for a classifier on dense layers where most of many rows have no label.

    Raises:
        ConfigError: a method was requested for a stack with other than dense layers.
    """
    kinds = (each.not_dense(decoding=False) for each in stack.autoencoders)
    other = next((f"layer {number} of {kind}" for number, kind in enumerate(kinds, start=1) if kind), "")
    if config.learns_unlabelled and other:
        raise ConfigError(
            f"unlabelled {config.unlabelled}: expected dense layers that keep all units, got {other}; use "
            f"{argument('unlabelled', 'none')}"
        )
    if config.unlabelled != "auto":
        return Method(config.unlabelled, "requested")
    sentence = f"{labelled:,} of {rows:,} training rows are labelled"
    few = config.head == "classifier" and rows - labelled >= max(labelled, FEWEST_UNLABELLED)
    against = config.needs_labels or other or ("" if few else sentence)
    return (
        Method("none", against) if against else Method("adversarial", f"{sentence}, if spreading finds withheld ones")
    )


@dataclass(frozen=True, kw_only=True)
class UnlabelledReplica(Replica):
    """A normalized copy of a model; ``validate`` folds it back into the model first."""

    network: NormalizedNetwork
    head: Prepared[Any]
    sample: Rows

    def fold(self) -> None:
        """Give the model the weights of the network, by the statistics of the sample."""
        self.network.fold(dense_parts(self.head), self.sample)

    def validate(self) -> Validation | None:
        head = self.head
        if head.held_out is None:
            return None
        self.fold()
        return Validation(*head.validate(head.model, head.held_out, head.held_out))


class Spreading(NamedTuple):
    """What spreading makes of the labels.

    Attributes:
        task: what a network learns from.
        right: the share of withheld labels that spreading finds; None of numbers, and where every row has a label.
        comparison: what says which rows are alike.
        epochs: of the training.
    """

    task: UnlabelledTask
    right: float | None
    comparison: Comparison
    epochs: int

    def decided(self, method: Method, doubting: bool, head: float | None) -> Method:
        """Settle the method by ``right``; where it was not requested (``doubting``), it may be a weaker one, or none.

        It is pseudo-label where spreading finds less than TRUST of the withheld labels: classes then are no clusters,
        and decided answers would only be wrong ones. It is none where spreading does not find more than ``head``, the
        share that a head on the codes finds without the other rows, by MARGIN standard errors of that share: where
        classes are clusters, spreading is far ahead, and where few labels cannot tell both apart, the simpler one is
        safer.
        """
        if self.right is None:
            return Method(method.name, "requested")
        reason = f"spreading finds {self.right:.0%} of withheld labels by {self.comparison}"
        if not doubting:
            return Method(method.name, reason)
        ahead = True
        if head is not None:
            reason += f", a head on the codes {head:.0%}"
            ahead = self.right > head + MARGIN * math.sqrt(head * (1 - head) / len(self.task.labelled))
        return Method("none" if not ahead else method.name if self.right >= TRUST else "pseudo-label", reason)


def spread_labels(
    head: Prepared[Any],
    x: Rows,
    known: Tensor,
    config: FinetuneConfig,
    callback: Callback,
    image_shape: tuple[int, ...] | None = None,
) -> Spreading:
    """Spread the labels of ``head`` over all training rows.

    Args:
        head: its model, and its labelled rows.
        x: (n, n_visible) all training rows.
        known: (n,) bool, which of them have labels: the rows of ``head``, in their order.
        image_shape: (h, w) or (h, w, channels) of rows that are images.
    """
    epochs = settled_epochs(config.max_epochs, len(x), config.batch_size, FEWEST_STEPS)
    rows = graph_rows(known, config.seed)
    by = settled_comparison(x, config.neighbours, image_shape)
    neighbours = nearest(comparable(on_graph(x, rows), by, image_shape), callback)
    steps = epochs * math.ceil(len(x) / config.batch_size)
    task, right = make_task(head, x, known, rows, neighbours, config.seed, steps)
    return Spreading(task, right, by, epochs)


def fit_unlabelled(
    head: Prepared[Any],
    start: StackedAutoencoder,
    x: Rows,
    spreading: Spreading,
    config: FinetuneConfig,
    callback: Callback,
    checkpointer: Checkpointer,
) -> list[EpochRecord]:
    """Train the whole model in place, by ``config.unlabelled``. Returns one record per epoch.

    Args:
        head: its model, of dense layers alone, and its labelled rows.
        start: the stack whose encoders the model has.
        x: (n, n_visible) all training rows.
        spreading: of the labels over them.
    """
    order = permutation(len(x), seed=config.seed, purpose=Purpose.LABELLED_BATCH, counter=1 << 62)
    sample = subset(x, order[:SAMPLE].sort().values)
    if SCARCE * head.model.layer_sizes[-1] <= len(head.x) <= MOST_SOLVED:
        solve(head, config, USUAL_DECAY)  # by fewer labels it would be sure of what is wrong
    network = make_network(head, start, config, sample)
    objective = METHODS[config.unlabelled](network, x, task=spreading.task, seed=config.seed, max_norm=config.max_norm)
    replica = UnlabelledReplica(
        network=network,
        x=x,
        held_out=head.held_out,
        seed=config.seed,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        head=head,
        sample=sample,
    )
    optimizer = make_optimizer(network, config, config.learning_rate, config.weight_decay)
    patience = 0 if config.patience == "auto" else config.patience  # the last epochs gain most
    stage = Stage(
        name=config.head,
        title=f"{config.head} {'-'.join(map(str, head.model.layer_sizes))}, {config.unlabelled}",
        number=HEAD_NUMBER,
        replicas=[replica],
        step=OneByOne([EagerStep(objective, optimizer, ramp=ramp_of(config, len(x), config.batch_size))]),
        max_epochs=spreading.epochs,
        batch_size=config.batch_size,
        patience=Patience.of(patience, spreading.epochs),
        schedule=config.schedule,
        rate_decay=config.rate_decay,
        block=config.block,
    )
    history = alone(Trainer(stage, callback, checkpointer).fit())
    replica.fold()
    return history


def make_network(
    head: Prepared[Any], start: StackedAutoencoder, config: FinetuneConfig, sample: Rows
) -> NormalizedNetwork:
    """Make the network of the method; a ladder has the decoders of the stack."""
    if config.unlabelled == "ladder":
        decoders = [each.decoder_alone(config.engine) for each in start.autoencoders]
        return LadderNetwork(dense_parts(head), [each for each in decoders if isinstance(each, Dense)], sample)
    return NormalizedNetwork(dense_parts(head), sample)


def make_task(
    head: Prepared[Any], x: Rows, known: Tensor, rows: Tensor, neighbours: Neighbours, seed: int, steps: int
) -> tuple[UnlabelledTask, float | None]:
    """Spread the labels over the graph of ``rows``, and set the radius by the distance of neighbours.

    Returns:
        The task, and the ``agreement`` of classes; None where every row has a label, and of numbers.
    """
    answers, found, right = answers_of(head), None, None
    if not bool(known.all()):
        found = _spread(answers, neighbours, rows, known)
        right = answers.agreement(neighbours, known[rows], seed)
    radius = RADIUS * typical_distance(on_graph(x, rows), neighbours)
    return UnlabelledTask(head.x, answers, found, radius, steps), right


def answers_of(head: Prepared[Any]) -> Answers:
    """Return the losses of the head; the expected shares of the classes are those of the labels, plus one row each."""
    assert head.y is not None  # both kinds of heads below learn targets
    if not isinstance(head.model, Classifier):
        return Numbers(head.y)
    rows = head.y.bincount(minlength=head.model.layer_sizes[-1]).float() + 1
    return Classes(head.y, head.weight, rows / rows.sum())


def _spread(answers: Answers, neighbours: Neighbours, rows: Tensor, known: Tensor) -> Spread:
    """Spread the labels over the graph; rows beside it have a confidence of 0."""
    found = answers.spread(neighbours, known[rows])
    if len(rows) == len(known):
        return found
    values = found.values.new_zeros(len(known), found.values.shape[1])
    confidence = found.confidence.new_zeros(len(known))
    values[rows], confidence[rows] = found
    return Spread(values, confidence)


def dense_parts(head: Prepared[Any]) -> list[Dense]:
    """Return the layers of the model, which are dense."""
    return [part for part in head.model.parts if isinstance(part, Dense)]
