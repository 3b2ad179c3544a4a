"""The page of one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stackae.errors import legible
from stackae.pages.page import Section, page
from stackae.workflows.reporting.curves import curves_section, timings_section
from stackae.workflows.reporting.facts import Facts
from stackae.workflows.reporting.looks import learned_section, units_section
from stackae.workflows.reporting.results import head_section, scores_section
from stackae.workflows.reporting.settings import environment_section, reproduce_section, settings_section
from stackae.workflows.reporting.tiles import first_screen, layers_section, worth_section
from stackae.workflows.reporting.verdicts import head_verdict, layers_of, overall


def single_page(facts: Facts) -> tuple[bytes, dict[str, Any]]:
    """Make the page of a run, and its verdicts as JSON data."""
    layers, head = layers_of(facts), head_verdict(facts)
    whole = overall(facts, layers, head)
    made: list[Callable[[], Section | None]] = [
        lambda: layers_section(facts, layers),
        lambda: worth_section(facts),
        lambda: head_section(facts),
        lambda: scores_section(facts),
        lambda: curves_section(facts),
        lambda: units_section(layers),
        lambda: learned_section(facts),
        lambda: timings_section(facts),
        lambda: settings_section(facts),
        lambda: environment_section(facts),
        lambda: reproduce_section(facts),
    ]
    sections = [section for make in made if (section := make()) is not None]
    document = {
        "verdict": whole._asdict(),
        "layers": [
            {
                "layer": each.number,
                "explained": None if each.share is None else each.share.explained,
                "pca_explained": None if each.share is None else each.share.pca_explained,
                "dead": each.dead,
                "effective_rank": None if each.units is None else each.units.effective_rank,
                **each.verdict._asdict(),
            }
            for each in layers
        ],
        "head": {"kind": facts.head, **head._asdict()},
        "not_measured": facts.measured.why_not or None,
    }
    return page(facts.name, about(facts), first_screen(facts, layers, head, whole), sections), document


def about(facts: Facts) -> str:
    """Say in a line what the run is."""
    sizes = "-".join(map(str, facts.config.pretrain.layer_sizes))
    kinds = ", ".join(dict.fromkeys(layer.kind for layer in facts.config.pretrain.layers))
    begun = f", {facts.commands[0].begun:%-d %B %Y}" if facts.commands else ""
    head = f", with a {facts.head} head" if facts.head else ""
    return f"A stack of {sizes} ({kinds}){head}, on {legible(facts.config.data.data, 120)}{begun}"
