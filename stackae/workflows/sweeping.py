"""Sweep the width of the code, and measure the reconstruction error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stackae.analysis.principal import principal_errors
from stackae.analysis.sweep import (
    MOST_EMBEDDED,
    POINTS,
    Measured,
    Swept,
    check_neighbors,
    document_of,
    plane_of,
    sweep_widths,
)
from stackae.autoencoders.pca import principal_components_of
from stackae.config import DataConfig, LayerConfig, PretrainConfig, RunConfig, read_tables
from stackae.data import Dataset, Scaling, load_data
from stackae.data.fingerprint import fingerprint
from stackae.data.formats import FORMATS
from stackae.data.rows import subset
from stackae.documents import to_json
from stackae.errors import ConfigError, DivergedError, argument, legible, nearest
from stackae.models.stack import in_batches
from stackae.objectives.kinds import numbers_of
from stackae.ops.engine import choose_device, choose_step
from stackae.plots import latent as latent_pictures
from stackae.plots import sweep as sweep_pictures
from stackae.pretraining import settle
from stackae.ranks import alone, group, here, ready, shared
from stackae.ranks.divided import divided, watched
from stackae.runs.beginning import reserved
from stackae.runs.durable import write_folder
from stackae.runs.places import timed_path
from stackae.training.callbacks import Callback, NoCallback, Watched
from stackae.training.codes import plan_codes
from stackae.training.settling import has_room
from stackae.workflows.callbacks import Callbacks, Logged
from stackae.workflows.inputs import Tables, data_settings, pretrain_settings
from stackae.workflows.stacks import built, check_built, check_same
from stackae.workflows.summary import summary

MOST_WIDTHS = 100
OF_FILES = (*FORMATS, ".json", ".png", ".toml")
SCATTERS = ("auto", "pca", "tsne")


class SweepResult(NamedTuple):
    """The folder of a sweep, the content of its sweep.json, its files, and the stacks with their errors."""

    path: Path
    document: dict[str, Any]
    files: list[str]
    measured: Measured

    @property
    def points(self) -> int:
        """Return the percentage points of explained variance that a sufficient width may lack."""
        return POINTS

    @property
    def is_held_back(self) -> bool:
        """Return whether corruption, or saturating units, keeps the autoencoder from what PCA reaches."""
        top = self.document["settings"]["pretrain"]["layers"][-1]
        return (top["corruption"], top["activation"]) != ("none", "linear")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document of `stackae sweep`."""
        return {"sweep": str(self.path), **self.document}


def sweep(
    options: Mapping[str, Any] | None = None,
    *,
    widths: str | Sequence[int] = (2, 8, 32, 128),
    below: str | Sequence[int] | None = None,
    config: Path | None = None,
    scatter: str = "auto",
    out: Path | str | None = None,
    callbacks: Callbacks | None = None,
) -> SweepResult:
    """Train the same autoencoder with several widths of the code, and compare their reconstruction errors.

    The error is that of the validation rows, through the whole stack, beside PCA with as many components. Unless
    ``options`` or ``config`` say otherwise, the code is linear, trained without corruption, and initialized by PCA.

    Args:
        options: settings of the data and of layers by name, as ``stackae.workflows.run_settings`` takes them.
        widths: the widths to try; ``below``: those of the layers below the code, which are trained once.
        config: a TOML file to start from.
        scatter: how codes are drawn: pca or tsne, of the widest code; auto draws a code of width 2 as it is, else pca.
        out: a new folder; None is runs/<time>-<data>-sweep. It is written at the end, atomically.
        callbacks: receive notes, and each training.

    Raises:
        ConfigError: an invalid setting. DataError: data that cannot be read. DivergedError: no width stayed finite.
        DiskError: the folder could not be written.
    """
    callbacks, params = Logged(callbacks or Callbacks()), dict(options or {})
    path = None if out is None else Path(out)
    sizes = _sizes("widths", widths)
    lower = _sizes("below", below) if below is not None else []
    _check(sizes, scatter, path)
    tables = read_tables(config)
    data_config = data_settings(params, tables)
    with callbacks.progress(f"reading {data_config.data}") as tell:
        dataset = load_data(data_config, tell=tell)
    if scatter == "tsne":
        check_neighbors(len(dataset.validation.x) or len(dataset.train.x))
    configs = _configs(params, tables, dataset, lower, sorted(sizes))
    with reserved(path, timed_path(data_config.data, "sweep")) as folder:
        measured = _train(dataset, configs, callbacks)
        callbacks.busy("drawing pictures")
        document = document_of(dataset, configs, measured)
        files = files_of(dataset, measured, document, scatter, callbacks)
        write_folder(folder, files)
    return SweepResult(folder, document, list(files), measured)


def _sizes(name: str, given: str | Sequence[int]) -> list[int]:
    text = given if isinstance(given, str) else ",".join(map(str, given))
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isascii() or not part.isdigit() or not 1 <= int(part[:10]) < 10**9:
            raise ConfigError(
                f"{argument(name)}: expected whole numbers of at least 1, such as 8,32, got '{part}' in '{text}'"
            )
    sizes = [int(part) for part in parts]
    if name == "widths" and len(set(sizes)) != len(sizes):
        raise ConfigError(f"{argument(name)}: expected each width once, got '{text}'; leave out what is there twice")
    return sizes


def _check(sizes: list[int], scatter: str, out: Path | None) -> None:
    if len(sizes) > MOST_WIDTHS:
        raise ConfigError(f"{argument('widths')}: expected at most {MOST_WIDTHS} widths, got {len(sizes)}; try fewer")
    if scatter not in SCATTERS:
        raise ConfigError(
            f"{argument('scatter')}: expected {', '.join(SCATTERS)}, got '{scatter}'{nearest(scatter, SCATTERS)}"
        )
    empty = out is not None and out.is_dir() and not out.is_symlink() and not any(out.iterdir())
    if out is not None and (out.exists() or out.is_symlink()) and not empty:
        raise ConfigError(f"{argument('out')}: expected a new folder, got {out}, which exists; choose another name")
    if out is not None and out.suffix.lower() in OF_FILES:
        name = legible(out.name, 100)
        raise ConfigError(
            f"{argument('out')}: expected a folder, got {name}, the name of a file; leave out {out.suffix}"
        )


def _configs(
    params: Mapping[str, Any], tables: Tables, dataset: Dataset, lower: list[int], widths: list[int]
) -> list[PretrainConfig]:
    """Return one configuration per width; reject whatever cannot work before anything is trained."""
    sizes = [dataset.train.x.shape[1], *lower]
    params = {**params, **usual_layers(params, tables, sizes, max(widths))}
    configs: list[PretrainConfig] = []
    kept = 0
    asked = [pretrain_settings({**params, "layers": ",".join(map(str, [*sizes, width]))}, tables) for width in widths]
    for config in asked:
        plan_codes(config, 0, 0)
    settled = settle(asked[-1], dataset.train.x, dataset.row_shape)
    for width, config in zip(widths, asked, strict=True):
        top = settled.layers[-1].model_copy(update={"n_hidden": width})
        configs.append(settled.model_copy(update={"layers": (*settled.layers[:-1], top)}))
        plan_codes(configs[-1], *dataset.rows, kept=kept, paired=dataset.paired)
        kept += sum(numbers_of(n, layer) for n, layer in zip(config.layer_sizes, config.layers, strict=False))
    choose_step(configs[0].engine, choose_device(configs[0].device), configs[0].precision)
    return configs


def usual_layers(params: Mapping[str, Any], tables: Tables, sizes: list[int], widest: int) -> dict[str, str]:
    """Return default settings of layers: below, those of pretraining; on top, those that train narrow codes best."""
    of_training = {"learning_rate", "batch_size", "patience"}
    said = {name for name in {*LayerConfig.model_fields, "weights"} - of_training if params.get(name) is not None}
    if said or "pretrain" in tables:
        return {}
    below = LayerConfig(n_hidden=1).model_dump()
    init = "pca" if widest <= sizes[-1] and has_room(sizes[-1]) else "random"
    top = {"activation": "linear", "corruption": "none", "init": init}
    return {name: ",".join([below[name]] * (len(sizes) - 1) + [value]) for name, value in top.items()}


def _train(dataset: Dataset, configs: list[PretrainConfig], callbacks: Callbacks) -> Measured:
    """Train all widths. Raises DivergedError if none stays finite."""
    callbacks.note(*summary(configs[:1], dataset))
    held_out = len(dataset.validation.x) > 0
    part, rows = ("validation", dataset.validation) if held_out else ("train", dataset.train)
    principal = principal_errors(principal_components_of(dataset.train.x), rows.x).tolist()
    swept = []
    digest = fingerprint(dataset) if group().several else ""
    task = partial(follow_sweeping, dataset.config, dataset.scaling, configs, digest, built())
    with callbacks.training(1) as callback, shared(task):
        for each in _swept(dataset, configs, callback):
            swept.append(each)
            if isinstance(each.result, DivergedError):
                callbacks.note(f"width {each.width} diverged: {each.result}")
    swept.sort(key=lambda each: each.width)
    measured = Measured(swept, principal, part, rows)
    if not measured.finite and isinstance(swept[0].result, DivergedError):
        raise swept[0].result
    return measured


def _swept(dataset: Dataset, configs: list[PretrainConfig], callback: Callback) -> Iterator[Swept]:
    """Yield each width as it is trained; of several ranks, each takes some, and rank 0 yields them all."""
    own = here()
    widths = [[width] for width in sorted((each.layer_sizes[-1] for each in configs), reverse=own.several)]

    def make(taken: Iterable[int]) -> Iterator[tuple[int, Swept]]:
        x, validation = dataset.train.x, dataset.validation.x
        watching = Watched(callback, watched(own))
        for each in sweep_widths(x, configs, validation=validation, callback=watching, widths=taken):
            yield each.width, each

    with alone():
        for _, each in divided(widths, make, own):
            yield each


def follow_sweeping(
    data: DataConfig, scaling: Scaling, configs: list[PretrainConfig], digest: str, leader: dict[str, str]
) -> None:
    """Take part, as a rank that follows, in the trainings of ``sweep``; ``digest`` is that of the data of rank 0.

    Raises:
        DataError: this process reads other data than rank 0. SetupError: it would compute other bits.
    """
    check_built(leader)
    dataset = load_data(data, scaling)
    check_same(fingerprint(dataset), digest, data.data)
    ready()
    for _ in _swept(dataset, configs, NoCallback()):
        pass


def files_of(
    dataset: Dataset, measured: Measured, document: dict[str, Any], scatter: str, callbacks: Callbacks
) -> dict[str, bytes]:
    """Make sweep.json, sweep.png, codes.png, and config.toml of the sufficient width."""
    errors = {each.width: each.report.squared_error for each in measured.swept if each.report is not None}
    title = f"{len(measured.rows.x):,} {measured.part} rows of {Path(dataset.name).name}"
    above = f", above {'-'.join(map(str, document['below']))}" if document["below"] else ""
    points, labels, named, axes = _plane(measured, scatter, callbacks)
    settings = document["settings"]["pretrain"]
    top = {**settings["layers"][-1], "n_hidden": document["enough"]}
    enough = {**document["settings"], "pretrain": {**settings, "layers": [*settings["layers"][:-1], top]}}
    return {
        "sweep.json": to_json(document, indent=2).encode() + b"\n",
        "config.toml": RunConfig.model_validate(enough).to_toml().encode(),
        "sweep.png": sweep_pictures.error_by_width(
            list(errors), list(errors.values()), measured.principal, f"reconstruction of {title}{above}"
        ),
        "codes.png": latent_pictures.latent_scatter(points, labels, dataset.classes, f"{named}\n{title}", axes),
    }


def _plane(
    measured: Measured, scatter: str, callbacks: Callbacks
) -> tuple[Tensor, Tensor | None, str, tuple[str, str]]:
    """Return codes as points of a plane, their labels, a title, and the names of the axes."""
    flat = [each for each in measured.finite if each.width == 2] if scatter == "auto" else []
    chosen = (flat or measured.finite)[-1]
    assert not isinstance(chosen.result, DivergedError)  # ``finite`` has only widths that did not diverge
    rows, labels = measured.rows
    if scatter == "tsne" and len(rows) > MOST_EMBEDDED:
        some = torch.arange(MOST_EMBEDDED)
        rows, labels = subset(rows, some), None if labels is None else labels[some]
    codes = in_batches(chosen.result.stack.encode, rows)
    if flat:
        return codes, labels, "code of 2 units", ("$h_1$", "$h_2$")
    units = f"code of {chosen.width} unit{'s' if chosen.width > 1 else ''}"
    if scatter == "tsne":
        callbacks.busy(f"t-SNE of {len(rows):,} codes")
        return plane_of(codes, "tsne", chosen.result.config.seed), labels, f"{units}, placed by t-SNE", ("", "")
    names = ("first principal component", "second principal component")
    return plane_of(codes, "pca"), labels, f"{units}, by PCA", names
