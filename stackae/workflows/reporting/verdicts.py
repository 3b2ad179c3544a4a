"""Did it work? A verdict per layer and on the head: a state, a sentence with numbers, and what to do if it is bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from stackae.analysis.explained import Explained
from stackae.analysis.units import LayerUnits
from stackae.config import LayerConfig
from stackae.config.heads import HEADS
from stackae.errors import argument, legible, shown, suggested
from stackae.metrics import wilson
from stackae.pages.scales import number, percent
from stackae.runs.kept_data import labelled_with
from stackae.runs.records import LayerExplained
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.stacks import following
from stackae.workflows.summary import below_pca

MANY_DEAD, MOST_DEAD = 0.1, 0.5  # shares of units from which on it is said, and bad
FAR = 2.0  # times its target that a mean activation may lie from it
COLLAPSED = 1.5  # effective rank below which codes of several units are a line
GOOD, FAIR, BAD, OPEN = "good", "fair", "bad", "open"
WORDS = {GOOD: "good", FAIR: "fair", BAD: "bad", OPEN: "not measured"}
HEADLINES = {
    GOOD: "It worked.",
    FAIR: "It worked, with reservations.",
    BAD: "It did not work yet.",
    OPEN: "It is not measured yet.",
}


class Verdict(NamedTuple):
    """A state (good, fair, bad or open), a sentence that says by what numbers, and what to do, if anything."""

    state: str
    sentence: str
    remedy: str = ""


class LayerFound(NamedTuple):
    """What is known of a layer: its settings, what it explains, its units, the share that is dead, and the verdict."""

    number: int
    n_visible: int
    config: LayerConfig
    share: LayerExplained | None
    units: LayerUnits | None
    dead: float | None
    verdict: Verdict


def layers_of(facts: Facts) -> list[LayerFound]:
    """Return what is known of each layer, bottom first."""
    shares = {each.layer: each for each in facts.explained.layers} if facts.explained else {}
    units = {each.layer: each for each in facts.measured.units}
    pretrain, found = facts.config.pretrain, []
    for number_, (n, layer) in enumerate(zip(pretrain.layer_sizes, pretrain.layers, strict=False), start=1):
        share, own = shares.get(number_), units.get(number_)
        dead = _dead(facts, number_, own)
        verdict = _of_layer(facts, number_, layer, share, own, dead)
        found.append(LayerFound(number_, n, layer, share, own, dead, verdict))
    return found


def _dead(facts: Facts, number_: int, units: LayerUnits | None) -> float | None:
    """Return the share of dead units: as the training counted them, else as they are on the rows measured."""
    best = [record for record in facts.epochs_of(f"layer{number_}") if record["best"]]
    if best and best[-1].get("dead") is not None:
        return float(best[-1]["dead"])
    return None if units is None else float(units.dead.float().mean())


def _of_layer(
    facts: Facts,
    number_: int,
    layer: LayerConfig,
    share: LayerExplained | None,
    units: LayerUnits | None,
    dead: float | None,
) -> Verdict:
    """Judge a layer by the worst that is known of it.

    Units that hardly vary are dead where a training counts them; saturating units without a sparsity are idle instead:
    the input has fewer directions than there are units, which costs nothing but time.
    """
    found = []
    if share is not None:
        found.append(_by_share(facts, layer, share))
    counted = any(record.get("dead") is not None for record in facts.epochs_of(f"layer{number_}"))
    if dead is not None and dead >= MANY_DEAD and not counted:
        told = f"{percent(dead)} of its units hardly vary: fewer would do."
        found.append(Verdict(GOOD, told))
    elif dead is not None and dead >= MANY_DEAD:
        state = BAD if dead >= MOST_DEAD else FAIR
        found.append(
            Verdict(state, f"{percent(dead)} of its units say the same of every row.", _try(dead_remedy(layer)))
        )
    if units is not None and (off := _off_target(layer, units)):
        found.append(off)
    if units is not None and units.n_hidden > 2 and units.effective_rank < COLLAPSED and units.rows > 2:
        rank = number(units.effective_rank, 2)
        told = f"Its codes vary in {rank} of {units.n_hidden:,} directions: they have collapsed."
        found.append(Verdict(BAD, told, f"Try fewer units, less {argument('sparsity')} or more {argument('epochs')}."))
    if not found:
        trained = bool(facts.epochs_of(f"layer{number_}"))
        told = "What it explains was not measured." if trained else "It is not trained yet."
        return Verdict(OPEN, told, "" if trained else f"Go on with `{suggested('resume', shown(facts.run.path))}`.")
    worst = max(found, key=lambda each: (FAIR, BAD).index(each.state) + 1 if each.state in (FAIR, BAD) else 0)
    remedies = " ".join(dict.fromkeys(each.remedy for each in found if each.remedy))
    return Verdict(worst.state, " ".join(each.sentence for each in found), remedies)


def _off_target(layer: LayerConfig, units: LayerUnits) -> Verdict | None:
    """Say that the mean activation is far from the target of the penalty that draws it there; None elsewhere."""
    sparsity = layer.sparsity
    mean = float(units.mean.mean())
    if sparsity.kind != "kl" or sparsity.target / FAR <= mean <= sparsity.target * FAR:
        return None
    told = f"Its units are active by {number(mean, 2)} on average, and the target is {number(sparsity.target, 2)}."
    more = f"kl:{sparsity.target:g}:{10 * sparsity.weight:g}"
    return Verdict(
        FAIR,
        told,
        f"Try {argument('sparsity', more)}." if mean > sparsity.target else _try(f"more {argument('epochs')}"),
    )


def _by_share(facts: Facts, layer: LayerConfig, share: LayerExplained) -> Verdict:
    through = f"Through its {share.n_hidden:,} unit{'s' * (share.n_hidden > 1)}"
    own = f"{through} {percent(share.explained)} of the variance comes back"
    if share.explained <= 0:
        rate, epochs = argument("learning_rate"), argument("epochs")
        remedy = f"Try a lower {rate} or more {epochs}, and look at the data: {_check(facts)}."
        told = f"What comes back through its {share.n_hidden:,} units is no nearer to the rows than their mean row is"
        return Verdict(BAD, f"{told}: {percent(share.explained)} of the variance is explained.", remedy)
    if share.pca_explained is None:
        return Verdict(GOOD, f"{own}; PCA was not measured on these rows.")
    beside = f"{own}; as many principal components give {percent(share.pca_explained)}"
    explained = Explained(share.layer, share.n_hidden, share.explained, share.pca_explained)
    if not explained.below:
        return Verdict(GOOD, f"{beside}.")
    advice = below_pca(facts.config.pretrain, [explained]).partition("; ")[2]
    return Verdict(FAIR, f"{beside}.", f"{advice[:1].upper()}{advice[1:]}.")


def _check(facts: Facts) -> str:
    return f"`{suggested('data', 'check', facts.config.data.data)}`"


def _try(remedy: str) -> str:
    return f"Try {remedy}."


def dead_remedy(layer: LayerConfig) -> str:
    """Say what to try where units of a layer are dead."""
    if layer.revive:
        return f"a lower {argument('learning_rate')} or fewer units"
    if layer.kind == "variational":
        return f"a lower {argument('beta')}: its prior keeps units that are not needed silent"
    return argument("revive", "resample") if layer.row.fused else f"a lower {argument('learning_rate')} or fewer units"


def comparing(facts: Facts) -> str:
    """Return the command that compares a run's network with others on its data."""
    return suggested("compare", "--config", shown(facts.run.path / "config.toml"))


def head_verdict(facts: Facts) -> Verdict:
    """Judge the head that was trained last by its test rows; open where there is none, or no figures."""
    head, figures = facts.head, facts.figures
    if head is None:
        return Verdict(OPEN, _without_head(facts), f"Next: `{following(facts.run)}`." if facts.finished else "")
    if not figures:
        return Verdict(OPEN, f"The {head} has not been measured on test rows.", "Next: `stackae evaluate`.")
    if HEADS[head].targets is None:
        return _of_reconstruction(figures)
    compare = comparing(facts)
    if HEADS[head].targets == "classes":
        return _of_classifier(figures, compare)
    return _of_labels(figures, compare) if "labels" in figures else _of_regressor(figures, compare)


def _without_head(facts: Facts) -> str:
    what = {"classes": "Its classes", "numbers": "Its targets"}.get(labelled_with(facts.run) or "", "")
    return (
        f"{what} have not been learned from yet: this is pretraining alone." if what else "This is pretraining alone."
    )


def _of_classifier(figures: Mapping[str, Any], compare: str) -> Verdict:
    right, rows = figures.get("accuracy"), figures.get("labelled_rows") or 0
    interval = wilson(right, rows)
    if right is None or interval is None:
        return Verdict(OPEN, "No test row has a class that the classifier knows.")
    told = (
        f"The classifier is right on {percent(right)} of {rows:,} test rows (95 % interval {100 * interval.low:.1f} to "
        f"{percent(interval.high)})"
    )
    name, share = majority_of(figures)
    usual = f"always answering {legible(name)} would be right on {percent(share)}"
    never = figures.get("never_predicted") or []
    if interval.low <= share:
        weight = argument("class_weight", "balanced")
        remedy = f"Try {weight}, more labels, or other layers; see what others reach by `{compare}`."
        return Verdict(
            BAD, f"{told}; that is not clearly more than {usual.replace('would be right on', 'gives:')}.", remedy
        )
    if never:
        names = ", ".join(legible(each) for each in never[:5])
        return Verdict(
            FAIR, f"{told}, but never answers {names}; {usual}.", f"Try {argument('class_weight', 'balanced')}."
        )
    return Verdict(GOOD, f"{told}; {usual}.")


def majority_of(figures: Mapping[str, Any]) -> tuple[str, float]:
    """Return the most frequent class of the rows measured, and its share: what answering it always would reach."""
    each = figures["per_class"]
    most = max(each, key=lambda one: one["rows"])
    return str(most["class"]), most["rows"] / max(1, sum(one["rows"] for one in each))


def _of_regressor(figures: Mapping[str, Any], compare: str) -> Verdict:
    known = [each for each in figures["targets"] if each.get("r2") is not None]
    if not known:
        return Verdict(OPEN, "No test row has a target that varies.")
    low, high = min(known, key=lambda each: each["r2"]), max(known, key=lambda each: each["r2"])
    if len(known) == 1:
        what = f"the variance of {legible(low['target'])} in {low['rows']:,} test rows"
        told = f"The regressor explains {percent(low['r2'])} of {what}"
    else:
        told = (
            f"Of {len(known)} targets the regressor explains {percent(low['r2'])} ({legible(low['target'])}) to "
            f"{percent(high['r2'])} ({legible(high['target'])}) of the variance in {low['rows']:,} test rows"
        )
    mean = "always answering the mean would explain 0 %"
    remedy = f"Try more labels, {argument('scale', 'robust')} or other layers; see what others reach by `{compare}`."
    if high["r2"] <= 0:
        return Verdict(BAD, f"{told}; {mean}.", remedy)
    return Verdict(FAIR if low["r2"] <= 0 else GOOD, f"{told}; {mean}.", remedy if low["r2"] <= 0 else "")


def _of_labels(figures: Mapping[str, Any], compare: str) -> Verdict:
    areas = [each["auroc"] for each in figures["labels"] if each.get("auroc") is not None]
    told = f"All labels are right on {percent(figures['subset_accuracy'])} of {figures['labelled_rows']:,} test rows"
    if not areas:
        return Verdict(OPEN, f"{told}; no label has both answers among them.")
    mean = sum(areas) / len(areas)
    state = GOOD if min(areas) > 0.5 else BAD if mean <= 0.5 else FAIR
    remedy = "" if state == GOOD else f"Try more labels, or other layers; see what others reach by `{compare}`."
    return Verdict(state, f"{told}; the mean area under the ROC curve is {mean:.3f}, where chance gives 0.5.", remedy)


def _of_reconstruction(figures: Mapping[str, Any]) -> Verdict:
    after, before = figures["explained"], figures["explained_before"]
    what = f"the variance of {figures['rows']:,} test rows"
    told = f"Fine-tuned as one network the stack explains {percent(after)} of {what}, {percent(before)} before"
    if after < before:
        return Verdict(
            FAIR,
            f"{told}: fine-tuning did not help.",
            f"Try more {argument('epochs')} or a lower {argument('learning_rate')}.",
        )
    return Verdict(GOOD, f"{told}.")


def overall(facts: Facts, layers: Sequence[LayerFound], head: Verdict) -> Verdict:
    """Say in a headline whether it worked, by what the run was for: its head, or else its layers."""
    if not facts.finished:
        where = facts.summary.detail
        return Verdict(
            OPEN,
            f"Not finished: {where}.",
            f"Go on with `{suggested('resume', shown(facts.run.path))}`; it continues bit-identically.",
        )
    states = [each.verdict.state for each in layers]
    of_layers = BAD if BAD in states else FAIR if FAIR in states else GOOD if GOOD in states else OPEN
    if head.state == OPEN:
        return Verdict(of_layers, HEADLINES[of_layers])
    state = FAIR if (head.state, of_layers) == (GOOD, BAD) else head.state
    return Verdict(state, HEADLINES[state])
