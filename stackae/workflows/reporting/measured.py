"""What a report measures anew, where the run's rows can be read: units, examples, codes, and the head on test rows.

Nothing is trained, and of many rows some are taken; where the rows cannot be read, the report says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stackae.analysis.sweep import plane_of
from stackae.analysis.units import LayerUnits, units_of
from stackae.config import RunConfig
from stackae.config.heads import HEADS
from stackae.data import Dataset, Part
from stackae.data.rows import evenly
from stackae.data.run_rows import read_dataset
from stackae.errors import DataError, SetupError
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.stack import StackedAutoencoder, in_batches
from stackae.pretraining import reasons
from stackae.runs.kept_data import known_of
from stackae.runs.run import Run, layer_file
from stackae.workflows.callbacks import Callbacks
from stackae.workflows.evaluate import classifier_figures, target_figures
from stackae.workflows.inputs import DataRequest, dataset_of, part_of
from stackae.workflows.pictures import example_rows

MOST_CODES, EXAMPLES, MOST_TEST, MOST_TARGETS = 1500, 10, 1 << 16, 6


class Filters(NamedTuple):
    """The weights of the first layer's units (m, d), how many units it has, and their image shape, if they have one."""

    weights: np.ndarray
    units: int
    shape: tuple[int, ...] | None


class Plane(NamedTuple):
    """The codes of rows in a plane (n, 2), the class of each (−1 for none), and what the two axes are."""

    xy: np.ndarray
    y: np.ndarray | None
    axes: tuple[str, str]
    of: str


class Measured(NamedTuple):
    """What was measured; ``why_not`` says why nothing could be of the rows. ``part`` names the rows of examples.

    ``rows`` are those that the run trained, validated and tested on; ``examples`` named rows, in the units of the data;
    ``figures`` those of the head on its test part, and ``predicted`` the true and predicted values (n, 2) of a
    regressor's first targets there.
    """

    why_not: str = ""
    filters: Filters | None = None
    dataset: Dataset | None = None
    reasons: tuple[str, ...] = ()
    units: tuple[LayerUnits, ...] = ()
    examples: tuple[tuple[str, np.ndarray], ...] = ()
    example_classes: tuple[str, ...] = ()
    plane: Plane | None = None
    figures: Mapping[str, Any] = MappingProxyType({})
    predicted: tuple[tuple[str, np.ndarray], ...] = ()

    @property
    def rows(self) -> tuple[int, int, int] | None:
        """Return how many rows there are to train, validate and test on."""
        found = self.dataset
        return None if found is None else (len(found.train.x), len(found.validation.x), len(found.test.x))


def measured(run: Run, config: RunConfig, finished: bool, callbacks: Callbacks) -> Measured:
    """Measure the layers that are trained, and the head of a finished run. Raises RunError for damaged files."""
    stack = _trained_part(run, config)
    if stack is None:
        return Measured("No layer is trained yet.")
    found = Measured(filters=_filters(stack))
    try:
        dataset = _own_rows(run, config, callbacks)
    except (DataError, SetupError) as error:
        return found._replace(why_not=str(error))
    callbacks.busy("measuring the layers")
    found = found._replace(dataset=dataset, reasons=_reasons(config, dataset))
    held_out = dataset.validation.x if len(dataset.validation.x) else dataset.train.x
    found = found._replace(units=tuple(units_of(stack, held_out)))
    if not finished:
        return found
    part = _some(part_of(dataset), MOST_CODES)
    named = example_rows(run, stack, part.x, part.y, EXAMPLES)
    examples = tuple((name, values.detach().cpu().double().numpy()) for name, values in named)
    encode = run.load_encoders().encode if _supervised(run, config) else stack.encode
    found = found._replace(examples=examples, plane=_plane(in_batches(encode, part.x), part.y, dataset))
    with_head = run.config.finetune
    if with_head is None or not run.has_head(with_head.head):
        return found
    callbacks.busy(f"measuring the {with_head.head}")
    try:
        test = _test_rows(run, dataset, callbacks)
        found = found._replace(figures=_figures(run, with_head.head, stack, test))
        return found._replace(predicted=_predicted(run, test.test) if with_head.head == "regressor" else ())
    except (DataError, SetupError) as error:
        return found._replace(why_not=str(error))


def _trained_part(run: Run, config: RunConfig) -> StackedAutoencoder | None:
    """Load the layers that the run has trained so far; None where it has none."""
    layers = range(1, len(config.pretrain.layers) + 1)
    found = [run.load_layer(number) for number in layers if all(run.holds(layer_file(n)) for n in range(1, number + 1))]
    return StackedAutoencoder(found) if found else None


def _filters(stack: StackedAutoencoder) -> Filters:
    weight, shape = stack.autoencoders[0].filters
    return Filters(weight.detach().cpu().double().numpy(), len(weight), shape)


def _own_rows(run: Run, config: RunConfig, callbacks: Callbacks) -> Dataset:
    """Read the rows that the stack was trained on, divided as they were then."""
    if config.finetune_data in (None, config.data):
        return dataset_of(run, DataRequest.of(None), callbacks)
    with callbacks.progress(f"reading {config.data.data}") as tell:
        return read_dataset(config.data, known_of(run), run.load_scaling(), tell=tell)


def _reasons(config: RunConfig, dataset: Dataset) -> tuple[str, ...]:
    """Say by what of the rows each layer was settled."""
    lines = reasons(config.pretrain, dataset.train.x, dataset.config.leave_out is not None)
    return tuple(line.rpartition(": ")[2] for line in lines)


def _supervised(run: Run, config: RunConfig) -> bool:
    return config.finetune is not None and run.has_head(config.finetune.head)


def _some(part: Part, most: int) -> Part:
    """Return at most so many rows of a part, at even distances."""
    index = torch.arange(min(most, len(part.x))) * len(part.x) // max(1, min(most, len(part.x)))
    return Part(evenly(part.x, most), None if part.y is None else part.y[index])


def _plane(codes: Tensor, y: Tensor | None, dataset: Dataset) -> Plane | None:
    """Return the codes in a plane: two units are one, and of more it is that of their principal components."""
    width = codes.shape[1]
    labels = y.numpy() if y is not None and y.dim() == 1 and dataset.classes else None
    told = f"{len(codes):,} rows, {width} unit{'s' * (width > 1)}"
    if width == 2:
        return Plane(codes.double().numpy(), labels, ("unit 1", "unit 2"), told)
    try:
        found = plane_of(codes, "pca")
    except DataError:  # codes too wide for the memory, or beyond the numbers
        return None
    return Plane(found.double().numpy(), labels, ("first principal component", "second principal component"), told)


def _test_rows(run: Run, dataset: Dataset, callbacks: Callbacks) -> Dataset:
    """Return the data that the head was trained on, of whose test part at most MOST_TEST rows."""
    if run.config.finetune_data not in (None, run.config.data):
        dataset = dataset_of(run, DataRequest.of(None), callbacks)
    return dataset._replace(test=_some(dataset.test, MOST_TEST))


def _predicted(run: Run, rows: Part) -> tuple[tuple[str, np.ndarray], ...]:
    """Return what a regressor predicts for test rows that have the target, beside what it is."""
    model, names = run.load_head("regressor")
    some = _some(rows, MOST_CODES)
    if not len(some.x) or some.y is None or some.y.dim() != 2 or some.y.shape[1] != len(names):
        return ()
    made, found = in_batches(model.predict, some.x).double(), some.y.double()
    both = torch.stack([found, made], dim=2)
    return tuple(
        (name, both[~found[:, place].isnan(), place].numpy()) for place, name in enumerate(names[:MOST_TARGETS])
    )


def _figures(run: Run, head: str, stack: StackedAutoencoder, dataset: Dataset) -> Mapping[str, Any]:
    """Measure the head on test rows."""
    rows = dataset.test
    if not len(rows.x):
        return {}
    learns = HEADS[head].targets
    if learns == "classes":
        return classifier_figures(run, rows, dataset.classes)
    if learns == "numbers":
        found: dict[str, dict[str, Any]] = target_figures(run, rows, dataset.targets)
        return found.get(head, {})
    deep = run.load_head(head)[0].report(rows.x)
    before = evaluate_reconstruction(stack, rows.x)[-1]
    return {"explained": deep.explained, "explained_before": before.explained, "rows": len(rows.x)}
