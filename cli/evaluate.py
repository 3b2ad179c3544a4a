"""stackae evaluate: how each head does that was trained, and the reconstruction error of every layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import options as o

if TYPE_CHECKING:
    from stackae.data.for_run import RowsRead
    from stackae.evaluate import ReconstructionReport
    from stackae.runs import Run

SHOWN = 20
EXAMPLES = """[bold]Examples[/bold]

stackae evaluate

stackae evaluate --json --run runs/seeds

stackae evaluate --data new.csv --target species --part test
"""


def command(
    part: o.Part = None,
    data: o.DataOfRun = None,
    data_root: o.DataRootOfRun = None,
    target: o.TargetOfRun = None,
    target_kind: o.TargetKindOfRun = None,
    engine: o.Engine = None,
    run: o.RunFolder = None,
    json: o.Json = False,
) -> None:
    """Evaluate the newest run: accuracy and confusion of its classifier, reconstruction error of each layer, and of all
    layers fine-tuned as one network."""
    from stackae.evaluate import evaluate_reconstruction, evaluate_unrolled
    from stackae.runs import open_run
    from stackae.workflows.assessment import assess_classifier
    from stackae.workflows.inputs import DataRequest, rows_of

    from .console import closing, emit_json, note, run_option
    from .figures import show_targets
    from .progress import Shown

    opened = open_run(run)
    stack = opened.load_stack(engine or "auto")
    read = rows_of(opened, DataRequest(data, data_root, target, target_kind), part, Shown())
    name, rows = read.part, read.xy
    layers = evaluate_reconstruction(stack, rows.x)
    document: dict[str, Any] = {"run": str(opened.path), "data": read.name, "part": name, "rows": len(rows.x)}
    document |= {"which": read.which, "left_out_rows": read.bad_rows}
    pictures: dict[str, bytes] = {}
    if opened.has_classifier and rows.y is not None and rows.y.dim() == 1 and bool((rows.y >= 0).any()):
        model, classes = opened.load_classifier(engine or "auto")
        figures, pictures = assess_classifier(model, classes, rows, name, read.classes, left_out(opened, classes))
        document |= figures
        if not figures["labelled_rows"]:
            note(_strangers(figures))
    targets = _of_targets(opened, engine or "auto", read)
    document |= targets
    document["reconstruction"] = [layer._asdict() for layer in layers]
    deep = None
    if opened.has_head("reconstruction"):
        deep = evaluate_unrolled(opened.load_reconstruction(engine or "auto"), rows.x)
        document["finetuned_reconstruction"] = deep._asdict()
    opened.publish({"metrics.jsonl": opened.metrics_with([{"event": "evaluation", **document}])} | pictures)
    if json:
        emit_json(document)
        return
    for figures in targets.values():
        show_targets(figures, name)
    settings = opened.config.finetune
    _show(document, layers, deep, settings is not None and settings.class_weight == "balanced")
    following = "stackae encode" if "accuracy" in document or targets else "stackae finetune --head classifier"
    closing(opened.path, [*pictures, "metrics.jsonl"], following + run_option(opened))


def _strangers(figures: dict[str, Any]) -> str:
    """What to say where no row is of a class that the classifier knows."""
    from stackae.errors import legible

    theirs, own = [each["class"] for each in figures["unseen_classes"]], figures["classes"]
    listed = (", ".join(map(legible, names[:SHOWN])) for names in (theirs, own))
    return "labels      none of {} is a class of the classifier: {}; name their column by --target".format(*listed)


def left_out(run: Run, classes: tuple[str, ...]) -> set[str]:
    """Classes of a classifier that its training left out: runs of earlier versions have a place for them."""
    from stackae.data.labels import named

    text = (run.config.finetune_data or run.config.data).leave_out
    return set() if text is None else set(named(text, classes))


def _of_targets(run: Run, engine: str, read: RowsRead) -> dict[str, Any]:
    """The figures of the run's regressor and of its multilabel classifier, where the rows have their targets."""
    from stackae.errors import DataError, legible
    from stackae.workflows.assessment import target_figures

    loads: dict[str, Any] = {"regressor": run.load_regressor, "multilabel": run.load_multilabel}
    rows, found = read.xy, {}
    for head, load in loads.items():
        if not run.has_head(head) or rows.y is None or rows.y.dim() == 1 or bool(rows.y.isnan().all()):
            continue
        model, names = load(engine)
        if names == read.targets:
            found[head] = target_figures(model, names, rows)
        elif run.config.finetune is not None and run.config.finetune.head == head:
            wanted, got = (", ".join(map(legible, each[:20])) for each in (names, read.targets))
            raise DataError(f"targets: expected {wanted}, got {got}; name them by --target, in this order")
    return found


def _show(
    document: dict[str, Any], layers: list[ReconstructionReport], deep: ReconstructionReport | None, balanced: bool
) -> None:
    from .console import percent, say, table
    from .figures import show_classes

    if "accuracy" in document:
        strangers = sum(one["rows"] for one in document["unseen_classes"])
        apart = f"; {strangers:,} of classes that were not trained stand apart" if strangers else ""
        say(
            f"accuracy    {percent(document['accuracy'])} of {document['labelled_rows']:,} labelled rows: "
            f"{document['which']}{apart}",
            f"balanced    {percent(document['balanced_accuracy'])}, the mean recall of its classes; mean precision "
            f"{percent(document['macro_precision'])}",
        )
        show_classes(document, document["part"], balanced)
    rows = [
        [
            f"{'fine-tuned' if layer is deep else 'layer'} {layer.layer} ({layer.n_hidden})",
            f"{layer.squared_error:.4g}",
            f"{layer.mean_squared_error:.4g}",
            f"{100 * layer.explained:.1f} %",
        ]
        for layer in [*layers, *([] if deep is None else [deep])]
    ]
    title = f"Reconstruction of {document['which']}"
    table(title, ["up to", "squared error a row", "a feature", "variance explained"], rows)
