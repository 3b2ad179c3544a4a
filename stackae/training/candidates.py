"""What `--train auto` trains: the head alone, solved on the codes, or all layers by steps; the better one is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stackae.config import FinetuneConfig
from stackae.models.heads.base import HeadTask
from stackae.training.callbacks import Callback, EpochRecord, NoCallback
from stackae.training.checkpointing import NoCheckpoints
from stackae.training.choice import head_step
from stackae.training.folds import Folded, can_fold, cross_validated, labels_of, repeats_of
from stackae.training.head import FEWEST_STEPS, fit_head
from stackae.training.solved_head import DECAYS, prepared_on, scores_of_decays
from stackae.training.stage import Validation, settled_epochs

MOST_SOLVED = 5000  # labelled rows; of more, all layers learn better than any head on codes that stand still
MOST_WORK = 1e12  # multiplications of a comparison by folds, under a minute or two of one core
USUAL_DECAY = 0.1


class Choice(NamedTuple):
    """How a head is trained, and why.

    Attributes:
        train: head, all or gradual.
        why: a clause for a person.
        decay: of a head that is solved; None where steps train it.
        alone: the validation score of the solved head, where it still is to be compared with all layers.
        folded: its cross-validated score, where that chose it, of ``rows`` rows.
    """

    train: str
    why: str = ""
    decay: float | None = None
    alone: Validation | None = None
    folded: Folded | None = None
    rows: int = 0

    @property
    def right(self) -> float | None:
        """The share of rows whose class a cross-validated training finds; None without one, or without classes."""
        return None if self.folded is None or self.folded.error is None else 1 - self.folded.error

    @property
    def name(self) -> str:
        """What is trained, for a person."""
        return "head alone, by L-BFGS" if self.decay is not None else self.train

    def after(self, kept: EpochRecord) -> Choice:
        """Settle a comparison by validation rows, after all layers were trained: ``kept`` is their best epoch."""
        assert self.alone is not None and kept.validation_loss is not None
        other = Validation(kept.validation_loss, kept.validation_error)
        why = f"validation {_compared(self.alone, other)}"
        if self.alone.score < other.score:
            return self._replace(train="head", why=why)
        return self._replace(train="all", why=why, decay=None)


def choose(task: HeadTask, callback: Callback, alone: Choice | None = None) -> Choice:
    """Choose what ``train="auto"`` trains; other values are their own choice.

    Rows that are held out choose; where none are, folds of the labelled rows do: ``alone`` is what they already say of
    the head, as ``head_by_folds`` returns it. All layers are trained without a comparison where they are asked for by a
    setting that a solved head does not have, where the head does not predict, where the weights below it are random,
    and where labels are many.
    """
    config, rows = task.config, labels_of(task.train)
    if config.train != "auto":
        return Choice(config.train)
    if config.by_steps or not config.row.predicts:
        return Choice("all", f"{config.by_steps} is given" if config.by_steps else "")
    if config.init == "random":
        return Choice("all", "the weights are random")
    if rows > MOST_SOLVED:
        return Choice("all", f"{rows:,} labels are many")
    if labels_of(task.validation):
        scores = scores_of_decays(task)
        best = _best(scores)
        return Choice("all", decay=DECAYS[best], alone=scores[best])
    if not can_fold(task.train.y):
        return Choice("head", f"{rows:,} labels are too few to compare by", USUAL_DECAY)
    return _by_folds(task, alone or head_by_folds(task, callback), callback)


def can_compare_head(task: HeadTask) -> bool:
    """Whether the labelled rows are enough for folds of a head alone, and few enough to solve it."""
    return can_fold(task.train.y) and labels_of(task.train) <= MOST_SOLVED


def head_by_folds(task: HeadTask, callback: Callback) -> Choice:
    """The head alone, with the decay of the lowest cross-validated loss on the labelled rows, of which folds exist."""
    sizes, rows = "-".join(map(str, task.stack.layer_sizes)), labels_of(task.train)
    scores = cross_validated(
        task, f"{sizes} head alone, decays by cross-validation", scores_of_decays, repeats_of(rows), callback
    )
    return Choice("head", "", DECAYS[_best(scores)], folded=scores[_best(scores)], rows=rows)


def _by_folds(task: HeadTask, alone: Choice, callback: Callback) -> Choice:
    sizes, rows = "-".join(map(str, task.stack.layer_sizes)), alone.rows
    if _work(task, rows) > MOST_WORK:
        return alone._replace(why=f"{rows:,} labels are few")
    (others,) = cross_validated(task, f"{sizes} all layers, by cross-validation", _all_layers, 1, callback)
    assert alone.folded is not None
    why = f"cross-validated {_compared(alone.folded, others)}"
    if _clearly_better(others, alone.folded, rows):
        return Choice("all", why, folded=others, rows=rows)
    return alone._replace(why=why)


def _all_layers(task: HeadTask) -> list[Validation]:
    """Train all layers to the end of their schedule, and score them by the validation rows."""
    config = task.config.model_copy(update={"train": "all"})
    head = prepared_on(task._replace(config=config))
    assert head.held_out is not None
    fit_head(head._replace(held_out=None), config, head_step(task.stack, config), NoCallback(), NoCheckpoints())
    return [Validation(*head.validate(head.model, head.held_out, head.held_out))]


def _clearly_better(others: Folded, alone: Folded, rows: int) -> bool:
    """Whether all layers have an error that is lower by more than the standard error of the head's, of so many rows.

    The simpler of two trainings that few rows cannot tell apart is the safer one: on 100 rows of MNIST, all layers had
    a cross-validated error of 17.0 % against 18.3 %, and a test error of 20.2 % against 19.6 %.
    """
    if others.error is None or alone.error is None:
        return others.score < alone.score
    return others.error < alone.error - math.sqrt(alone.error * (1 - alone.error) / rows)


def _best(scores: Sequence[Validation] | Sequence[Folded]) -> int:
    """The index of the lowest loss: of few rows it says more than their error, of which many are equal."""
    losses = [each.loss for each in scores]
    return losses.index(min(losses))


def _work(task: HeadTask, rows: int) -> float:
    config, stack = task.config, task.stack
    epochs = settled_epochs(config.max_epochs, rows, config.batch_size, FEWEST_STEPS)
    return 15.0 * epochs * rows * sum(each.numel() for each in stack.parameters())


def _compared(head: Validation | Folded, others: Validation | Folded) -> str:
    if head.error is None or others.error is None:
        return f"loss {head.loss:.4g} (head alone) and {others.loss:.4g} (all)"
    return f"error {100 * head.error:.1f} % (head alone) and {100 * others.error:.1f} % (all)"


def planned(config: FinetuneConfig, rows: int, held_out: int) -> str:
    """Describe what ``choose`` will train with so many labelled rows, in a few words."""
    if config.train != "auto":
        return config.train
    if config.by_steps:
        return f"all, as {config.by_steps} is given"
    if config.learns_unlabelled or not config.row.predicts or config.init == "random" or rows > MOST_SOLVED:
        return "all"
    return f"head alone or all, by {'validation rows' if held_out else 'cross-validation'}"
