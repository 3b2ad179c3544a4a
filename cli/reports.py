"""What `stackae pretrain` says: its plan beforehand, and what became of it, for one stack or several."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from stackae.errors import DivergedError

if TYPE_CHECKING:
    from pathlib import Path

    from stackae.config import LayerConfig, PretrainConfig
    from stackae.data import Dataset
    from stackae.pretrain import PretrainResult
    from stackae.runs import Run

MANY_DEAD = 0.1  # share of units that is worth a word


def summary(configs: list[PretrainConfig], dataset: Dataset) -> list[str]:
    from stackae.data.advice import notes_of
    from stackae.engine import choose_device, choose_step

    config = configs[0]
    device = choose_device(config.device)
    step = choose_step(config.engine, device, config.precision)
    together = [f"seeds    {config.seed} to {configs[-1].seed}, trained together"] if len(configs) > 1 else []
    trained = {number: layer for number, layer in enumerate(config.layers, start=1) if not layer.row.solved}
    eager = [
        f"layer {number} eager{' in fp32' if config.precision != 'fp32' else ''}: {layer.steps_eagerly}"
        for number, layer in trained.items()
        if step.fused and layer.steps_eagerly
    ]
    fused = step.fused and len(eager) < max(1, len(trained))
    return [
        f"data     {dataset.name}: {len(dataset.train.x):,} training, {len(dataset.validation.x):,} validation, "
        f"{len(dataset.test.x):,} test rows of {config.n_visible}, scaled by {dataset.scaling.kind}",
        f"step     {'fused' if fused else 'eager'} on {device} ({'; '.join([step.reason, *eager])})",
        *together,
        *(f"note     {sentence}" for sentence in notes_of(dataset)),
    ]


def _asked(layer: LayerConfig) -> list[str]:
    """What a layer is trained for, in the words of the options: what is not as ever, and its noise."""
    given, fields = layer.model_dump(), type(layer).model_fields
    alone = [given[name] for name in ("corruption", "sparsity", "loss") if given[name] not in ("none", "mse")]
    untied = ["untied"] if "tied" in layer.row.settings and not layer.tied else []
    options = ("emphasis", "dropout", "revive", "contraction", "weight_decay", "weight_l1", "max_norm", "init", "ridge")
    others = [name for name in (*options, "hidden", "beta", "kernel") if getattr(layer, name) != fields[name].default]
    return alone + untied + [f"{name.replace('_', ' ')} {given[name]}" for name in others]


def show_plan(configs: list[PretrainConfig], dataset: Dataset, as_json: bool) -> None:
    """Sizes are those of one stack, but for the input: the data are shared, codes are each stack's own."""
    from stackae.autoencoders.building import numbers_of

    from .console import emit_json, table

    config = configs[0]
    layers: list[dict[str, Any]] = []
    for number, (n, layer) in enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1):
        m, codes = layer.n_hidden, len(dataset.train.x) * n * 4 * len(configs)
        layers.append(
            {
                "layer": number,
                "sizes": f"{n}-{m}-{n}",
                "kind": layer.kind,
                "activations": f"{layer.activation} / {layer.output_activation}",
                "corruption": layer.corruption.model_dump(),
                "sparsity": layer.sparsity.model_dump(),
                "settings": _asked(layer),
                "parameters": numbers_of(n, layer),
                "input_bytes": dataset.train.x.nbytes if number == 1 else codes,
                "steps": -(-len(dataset.train.x) // layer.batch_size) * int(layer.max_epochs),
            }
        )
    if as_json:
        emit_json({"data": dataset.name, "seeds": [each.seed for each in configs], "layers": layers})
        return
    rows = [
        [
            f"layer {plan['layer']}  {plan['sizes']}",
            plan["kind"],
            plan["activations"],
            ", ".join(plan["settings"]),
            f"{plan['parameters']:,}",
            f"{plan['input_bytes'] / 2**20:,.1f} MiB",
            f"{plan['steps']:,}",
        ]
        for plan in layers
    ]
    title = "Plan" if len(configs) == 1 else f"Plan of {len(configs)} stacks, trained together"
    table(title, ["", "kind", "activations", "trained with", "parameters", "input", "steps"], rows)


def report_run(run: Run, result: PretrainResult, as_json: bool) -> None:
    from .console import closing, emit_json, run_option, say, table

    layers = _layers(result)
    if as_json:
        emit_json({"run": str(run.path), "layers": layers})
        return
    noisy = any(entry["corrupted_validation_loss"] is not None for entry in layers)
    rows = [
        [
            _name(entry),
            f"{entry['kept_epoch']} of {entry['epochs']}",
            f"{entry['loss']:.4g}",
            _number(entry["validation_loss"]),
            *([_number(entry["corrupted_validation_loss"])] if noisy else []),
            f"{entry['seconds']:.1f}",
        ]
        for entry in layers
    ]
    under_noise = ["under noise"] if noisy else []
    table("Pretrained", ["", "kept epoch", "loss", "validation loss", *under_noise, "seconds"], rows)
    for entry, layer in zip(layers, result.config.layers, strict=True):
        if (entry["dead"] or 0) >= MANY_DEAD:
            say(_of_the_dead(entry, layer))
    pictures = ["curves.png", "filters.png", "reconstructions.png"]
    following = f"stackae finetune --head classifier{run_option(run.path)}"
    closing(run.path, [*pictures, "metrics.jsonl", "config.toml"], following)


def report_seeds(
    folder: Path,
    runs: list[Run],
    configs: list[PretrainConfig],
    results: list[PretrainResult | DivergedError],
    as_json: bool,
) -> None:
    """Each layer's loss over the seeds that stayed finite: of validation, or of training where nothing is held out."""
    from .console import closing, emit_json, note, say, table

    finite = [run for run, result in zip(runs, results, strict=True) if not isinstance(result, DivergedError)]
    seeds = [_seed(*each) for each in zip(runs, configs, results, strict=True)]
    summary = [_over_seeds(entries) for entries in zip(*(x["layers"] for x in seeds if "layers" in x), strict=True)]
    if as_json:
        emit_json({"run": str(folder), "layers": summary, "seeds": seeds})
        return
    for seed in seeds:
        if "diverged" in seed:
            note(f"seed {seed['seed']} diverged: {seed['diverged']}")
    rows = [
        [
            _name(entry),
            *(_number(entry[name]) for name in ("mean", "sd", "lowest", "highest")),
            f"{min(entry['kept_epochs'])} to {max(entry['kept_epochs'])}",
            f"{entry['seconds']:.1f}",
        ]
        for entry in summary
    ]
    title = f"Pretrained, {len(finite)} of {len(runs)} seeds: {summary[0]['measure'].replace('_', ' ')}"
    table(title, ["", "mean", "sd", "lowest", "highest", "kept epochs", "seconds"], rows)
    noisy = [entry for entry in summary if entry["corrupted_mean"] is not None]
    if noisy:
        means = (f"layer {entry['layer']} {entry['corrupted_mean']:.4g}" for entry in noisy)
        say(f"under noise {', '.join(means)} (means of the kept epochs' validation loss)")
    names = [run.path.name for run in runs]
    say(f"latest      runs/latest is {finite[0].path.name}")
    shown = names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
    closing(folder, ["curves.png", *shown], "stackae finetune --head classifier")


def _layers(result: PretrainResult) -> list[dict[str, Any]]:
    """Of each layer: its sizes, its epochs, and what was recorded of the one that is kept."""
    layers = []
    config = result.config
    for number, (n, layer) in enumerate(zip(config.layer_sizes, config.layers, strict=False), start=1):
        records = [record for record in result.history if record.stage == f"layer{number}"]
        kept = [record for record in records if record.best][-1]
        layers.append(
            {
                "layer": number,
                "n_visible": n,
                "n_hidden": layer.n_hidden,
                "epochs": len(records),
                "kept_epoch": kept.epoch,
                "loss": kept.loss,
                "validation_loss": kept.validation_loss,
                "corrupted_validation_loss": kept.corrupted_validation_loss,
                "dead": kept.dead,
                "seconds": sum(record.seconds for record in records),
            }
        )
    return layers


def _of_the_dead(entry: dict[str, Any], layer: LayerConfig) -> str:
    """What could be done about units that say the same of every row."""
    remedy = "a lower --learning-rate or fewer units" if layer.revive == "resample" else "--revive resample"
    share = f"{100 * entry['dead']:.1f} % of its units say the same of every row"
    return f"dead        layer {entry['layer']}: {share}; try {remedy}"


def _over_seeds(entries: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    """One layer of several stacks: the losses of their kept epochs, and the seconds of all, which passed together.

    ``corrupted_mean`` is that of their validation losses under noise, where they are trained under noise.
    """
    first = entries[0]
    measure = "loss" if first["validation_loss"] is None else "validation_loss"
    losses = [entry[measure] for entry in entries]
    corrupted = [each for entry in entries if (each := entry["corrupted_validation_loss"]) is not None]
    return {
        **{name: first[name] for name in ("layer", "n_visible", "n_hidden")},
        "measure": measure,
        "mean": fmean(losses),
        "sd": stdev(losses) if len(losses) > 1 else None,
        "lowest": min(losses),
        "highest": max(losses),
        "corrupted_mean": fmean(corrupted) if corrupted else None,
        "kept_epochs": [entry["kept_epoch"] for entry in entries],
        "seconds": max(entry["seconds"] for entry in entries),
    }


def _seed(run: Run, config: PretrainConfig, result: PretrainResult | DivergedError) -> dict[str, Any]:
    document = {"seed": config.seed, "run": str(run.path)}
    if isinstance(result, DivergedError):
        return document | {"diverged": str(result)}
    return document | {"layers": _layers(result)}


def _name(entry: dict[str, Any]) -> str:
    return f"layer {entry['layer']}  {entry['n_visible']}-{entry['n_hidden']}-{entry['n_visible']}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
