"""``stackae.compare``: what pretraining is worth on given rows, beside other ways to learn from their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from stackae.analysis.comparison.planning import plan_of, task_of, usual_layers
from stackae.analysis.comparison.verdict import Comparison, comparison_of
from stackae.api.rows import widths_of
from stackae.config import DataConfig, PretrainConfig
from stackae.config.values import Scale, validated
from stackae.data.arraylike import ArrayLike
from stackae.data.division import Division, divided, sums_of
from stackae.data.given_rows import Given, rows_known, rows_to_train_on
from stackae.data.loading import dataset_of
from stackae.data.provenance import FROM_ARRAY, Known, KnownData
from stackae.data.source import checked
from stackae.errors import DataError
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.comparing import fitted


def compare(
    x: ArrayLike,
    y: ArrayLike | str,
    layers: Sequence[int | str] | int | str | None = None,
    *,
    head: Literal["classifier", "regressor"] = "classifier",
    test: tuple[ArrayLike, ArrayLike | str] | float = 0.2,
    validation: float = 0.1,
    labels: Sequence[int | str] | str | None = None,
    seeds: int = 3,
    contenders: Sequence[str] | str | None = None,
    budget: Literal["epochs", "seconds"] = "epochs",
    scale: Scale = "auto",
    settings: Mapping[str, Any] | None = None,
    finetuning: Mapping[str, Any] | None = None,
    callbacks: Callbacks | None = None,
) -> Comparison:
    """Compare a pretrained network with random weights, other starts and models of scikit-learn on the same rows.

    All learn from the same labels; test rows choose nothing. The intervals of differences are paired bootstrap
    intervals of 95 % over test rows and draws of labels. `stackae compare` is the same, with a folder and a picture.

    Args:
        x: (n, n_visible) rows, as ``pretrain`` takes them.
        y: labels (n,) of a classifier, or numbers (n,) or (n, targets) of a regressor, as ``finetune`` takes them, or
            the name of their column; rows without any serve unsupervised training alone.
        layers: widths of the codes, as ``pretrain`` takes them; None is two codes as wide as the rows, 16 to 256.
        head: classifier, whose error is the share of wrong classes, or regressor, whose error is 1 − R².
        test: the share of the rows that measure, or other rows and their labels.
        validation: the share of the training rows that choose the best epoch of unsupervised training.
        labels: numbers of labels to learn from, in all, and "all"; None is 10, 100, 1000, up to half of all, and all.
        seeds: how many draws of the labels, each with weights of its own.
        contenders: names, such as ("pretrained", "random", "svm"), or "all"; None is all but pca-start, joint and
            unlabelled, for their time.
        budget: what is equal for all networks: epochs of fine-tuning, or seconds of training, pretraining included.
        scale: how the features are scaled (``DataConfig.scale``).
        settings: settings of layers and their training, by name, as ``pretrain`` takes them.
        finetuning: settings of every network's fine-tuning, by name (``FinetuneConfig``).
        callbacks: told of progress.

    Raises:
        DataError: x or y is nothing to learn from. ConfigError: settings that cannot work.
        DivergedError: a network left the finite numbers.
    """
    kind = "classes" if head == "classifier" else "numbers"
    source = rows_to_train_on(Given(x, y, kind), DataConfig(data=FROM_ARRAY))
    if isinstance(test, tuple):
        known = KnownData(DataConfig(data=FROM_ARRAY), source.column_names, encoding=source.encoding)
        given = Given(*test, kind, names=("test[0]", "test[1]", ""))
        other = rows_known(given, Known("x", source.x.shape[1], known), source.gaps, leaves_out=True)
        if (other.classes, other.targets) != (source.classes, source.targets):
            raise DataError(
                f"test[1]: expected the classes or targets of y, got others ({len(other.classes or other.targets)} "
                f"instead of {len(source.classes or source.targets)}); give test rows of the same ones"
            )
        source = checked(source._replace(x_test=other.x, y_test=other.y))
    config = validated(
        DataConfig,
        {"scale": scale, "validation_fraction": 0.0, "test_fraction": 0.0 if isinstance(test, tuple) else test},
        "data",
    )
    dataset = dataset_of(source, config, Division(sums_of(source), divided(source, config)), None)
    width = dataset.train.x.shape[1]
    words = usual_layers(width) if layers is None else widths_of(x, layers, width)
    task = task_of(
        dataset, PretrainConfig.from_options(words, **(settings or {})), finetuning or {}, validation, budget
    )
    plan = plan_of(task, contenders, labels, seeds)
    fits = fitted(task, plan, callbacks or Callbacks())
    return comparison_of(plan.contenders, plan.total, bool(task.classes), fits)
