"""`stackae report`: pages of every sort of run, true and whole, and what the command refuses."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from cli_cases import COMPARE, PRETRAIN, stop
from shell import LAYERS, Shell

from stackae.runs import Run

MOST_BYTES = 2 << 20
VOID = {"meta", "link", "img", "br", "input"}
TABLE = ("pretrain", "--layers", LAYERS, "--data", "labelled.csv", "--target", "kind")


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects headings, texts and images."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.content = path.read_text()
        self.open, self.headings, self.texts, self.ids = list[str](), list[str](), list[str](), list[str]()
        self.links, self.figures = list[str](), 0
        self.feed(self.content)
        self.close()
        assert not self.open, self.open
        assert len(self.content.encode()) < MOST_BYTES

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        for name in ("src", "href"):
            self.links += [given[name] or ""] if name in given else []
        assert not any(name.startswith("on") for name in given), given
        self.figures += tag == "figure"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def page_of(shell: Shell, *arguments: object) -> Page:
    """The page that the command writes: nothing in it leads elsewhere, and every link within it leads somewhere."""
    told = shell.does("report", *arguments)
    found = re.search(r"page +(.*)\n", told)
    assert found is not None, told
    page = Page(shell.folder / found[1])
    for link in page.links:
        assert link.startswith("data:") or link[1:] in page.ids, link[:80]
    assert page.content.count("<svg ") == page.content.count("<desc>")
    assert page.content.count("<figure") == page.content.count("<summary>Numbers</summary>")
    return page


def test_the_page_of_a_classifier_says_what_the_run_reached(trained: Shell) -> None:
    accuracy = json.loads(trained.does("evaluate", "--json"))
    page = page_of(trained)
    share = f"{100 * accuracy['accuracy']:.1f} %"
    assert f"The classifier is right on {share} of {accuracy['labelled_rows']} test rows" in page.text
    wanted = ["Layers", "Was the label worth it?", "Classifier on test rows", "Training", "What was learned", "Timings"]
    assert [each for each in wanted if each not in page.headings] == []
    assert "Anomaly scores" not in page.headings and "Sparsity" not in page.headings
    run = Run.open(trained.run)
    assert run.holds("report.html") and run.read("report.html").decode() == page.content
    for each in run.explained():
        assert f"{100 * each.explained:.2f} %" in page.text.replace("−", "-")
    assert "stackae pretrain --layers 8,6,4 --data labelled.npz" in page.text
    assert trained.does("runs", "verify")


def test_the_document_has_what_the_page_says(trained: Shell) -> None:
    document = json.loads(trained.does("report", "--json"))
    assert Path(document["report"]).name == "report.html" and document["head"]["kind"] == "classifier"
    assert [each["layer"] for each in document["layers"]] == [1, 2]
    states = {document["verdict"]["state"], document["head"]["state"], *(each["state"] for each in document["layers"])}
    assert states <= {"good", "fair", "bad", "open"} and document["not_measured"] is None


def test_pretraining_alone_has_no_head_and_says_what_is_next(fresh: Shell) -> None:
    fresh.does(*TABLE)
    page = page_of(fresh)
    assert "this is pretraining alone" in page.text and "stackae finetune --head classifier" in page.text
    assert not {"Was the label worth it?", "Classifier on test rows"} & {*page.headings}
    assert "f0" in page.text  # the weights of a table are named by its columns


def test_an_interrupted_run_says_where_and_how_to_go_on(fresh: Shell) -> None:
    stop(fresh, *PRETRAIN, "--run", "runs/stopped", at=4)
    page = page_of(fresh, "runs/stopped")
    assert "Not finished: layer" in page.text and "stackae resume runs/stopped" in page.text
    assert "What was learned" in page.headings or "not trained yet" in page.text
    fresh.does("resume", "runs/stopped")
    assert "Not finished" not in page_of(fresh, "runs/stopped").text


def test_a_regressor_is_measured_beside_the_mean(fresh: Shell) -> None:
    target = ("--target", "f0,f1", "--target-kind", "numbers")
    fresh.does("pretrain", "--layers", "auto,4", "--data", "labelled.csv", "--drop", "kind", *target)
    fresh.does("finetune", "--head", "regressor")
    page = page_of(fresh)
    assert "Regressor on test rows" in page.headings and "f0: predicted over true" in page.text
    assert "always answering the mean would explain 0 %" in page.text


def test_labels_and_a_reconstruction_head_are_measured(fresh: Shell) -> None:
    x, y = np.load(fresh.folder / "unlabelled.npy"), np.arange(60)[:, None] // [1, 3] % 2
    np.savez(fresh.folder / "labels.npz", x=x, y=y.astype(float))
    fresh.does("pretrain", "--layers", LAYERS, "--data", "labels.npz", "--target-kind", "numbers")
    fresh.does("finetune", "--head", "multilabel")
    page = page_of(fresh)
    assert "Labels on test rows" in page.headings and "area under the ROC curve" in page.text
    fresh.does("finetune", "--head", "reconstruction")
    assert "Fine-tuned as one network the stack explains" in page_of(fresh).text


def test_scores_are_drawn_with_their_anomalies(trained: Shell) -> None:
    trained.does("score", "--anomalies", "2")
    page = page_of(trained)
    assert "Anomaly scores" in page.headings and "area under the ROC curve" in page.text


def test_a_comparison_of_the_same_data_is_quoted(fresh: Shell) -> None:
    fresh.does(*PRETRAIN)
    fresh.does("finetune")
    verdicts = json.loads(fresh.does(*COMPARE, "--json"))["verdicts"]
    page = page_of(fresh)
    assert verdicts[-1] in page.text and "compare: random" in page.text


KINDS = {
    "kl": ("--activation", "sigmoid", "--sparsity", "kl:0.05:0.1"),
    "top-k": ("--activation", "relu", "--sparsity", "top-k:2"),
    "variational": ("--kind", "dense,variational"),
    "marginalized": ("--kind", "marginalized"),
    "pca": ("--kind", "pca"),
    "seedless validation": ("--validation-fraction", "0"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_layer_has_a_page(fresh: Shell, kind: str) -> None:
    fresh.does("pretrain", "--layers", LAYERS, "--data", "unlabelled.npy", *KINDS[kind])
    page = page_of(fresh)
    assert ("Sparsity" in page.headings) == (kind in ("kl", "top-k"))
    assert "target" in page.text if kind in ("kl", "top-k") else True
    assert "Layer 2: 6 → 4" in page.text and "stackae score" in page.text


def test_images_are_drawn_as_images_and_windows_as_curves(fresh: Shell) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 6, 6), dtype=np.uint8)
    np.save(fresh.folder / "images.npy", images)
    fresh.does("pretrain", "--layers", "6x6x1,conv2,4", "--data", "images.npy", "--corruption", "masking:0.2,none")
    page = page_of(fresh)
    assert page.content.count("<image ") >= 3 and "Filters of layer 1" in page.text
    np.save(fresh.folder / "signal.npy", np.sin(np.arange(400) / 5)[:, None])
    fresh.does("pretrain", "--layers", "auto,3", "--data", "signal.npy", "--window", "20")
    page = page_of(fresh)
    assert "<image " not in page.content and "mean squared error" in page.text


def test_rows_that_are_gone_leave_a_page_that_says_so(fresh: Shell) -> None:
    for command in (PRETRAIN, ("finetune",), ("evaluate",)):
        fresh.does(*command)
    (fresh.folder / "labelled.npz").unlink()
    result = fresh("report")
    assert result.code == 0 and "not measured on its rows: " in result.err
    page = Page(fresh.run / "report.html")
    assert "The classifier is right on" in page.text  # by the evaluation that was written
    assert "Filters" not in page.headings and "Weights of layer 1" in page.text


def test_runs_are_laid_side_by_side(trained: Shell) -> None:
    trained.does(*PRETRAIN, "--learning-rate", "0.01", "--run", "runs/second")
    page = page_of(trained, "runs/first", "runs/second")
    assert page.headings[1:] == [
        "Metrics",
        "Variance explained",
        "Curves",
        "Settings that differ",
        "How they were made",
    ]
    assert "pretrain.layer1.learning_rate" in page.text and "pretrain.layer1.n_hidden" not in page.text
    assert (trained.folder / "runs" / "report.html").exists()
    assert "runs/report-2.html" in trained.does("report", "runs/first", "runs/second")


HOSTILE = "<script>alert(1)</script>\"&'<img src=x onerror=y>`"


def test_names_of_users_are_text_everywhere(fresh: Shell) -> None:
    x = np.load(fresh.folder / "unlabelled.npy")
    lines = [",".join([*(f'"{HOSTILE.replace(chr(34), chr(34) * 2)}{place}"' for place in range(8)), "kind"])]
    quoted = HOSTILE.replace('"', '""')
    lines += [",".join([*map(str, row), f'"{quoted}{place % 3}"']) for place, row in enumerate(x.tolist())]
    (fresh.folder / "hostile & <b>.csv").write_text("\n".join(lines) + "\n")
    run = "runs/<i>run"
    fresh.does("pretrain", "--layers", LAYERS, "--data", "hostile & <b>.csv", "--target", "kind", "--run", run)
    fresh.does("finetune")
    page = page_of(fresh)
    assert page.content.count("<script") == 1 and "onerror=y>" not in page.content and "<b>" not in page.content
    assert "<i>run" in page.text and HOSTILE in page.text
    fresh.does("pretrain", "--layers", LAYERS, "--data", "hostile & <b>.csv", "--target", "kind", "--run", f"{run}2")
    assert page_of(fresh, run, f"{run}2").content.count("<script") == 1


def test_what_cannot_be_reported_is_refused(trained: Shell) -> None:
    (trained.folder / "there.html").write_text("mine")
    told = trained.refuses(2, "report", "--out", "there.html")
    assert "--out: expected a new file, got there.html, which exists; choose another name, or add --force" in told
    assert "expected a name that ends in" in trained.refuses(2, "report", "--out", "page.pdf")
    told = trained.refuses(2, "report", "runs/first", "runs/latest")
    assert told == "error: runs: expected different ones, got runs/first more than once; name it once"
    told = trained.refuses(2, "report", *["runs/first"] * 7)
    assert told == "error: runs: expected at most 6 to lay side by side, got 7; name fewer"
    assert "expected a run folder, got no such folder" in trained.refuses(4, "report", "runs/none")
    trained.does("pretrain", "--layers", LAYERS, "--data", "unlabelled.npy", "--seeds", "2", "--run", "runs/seeds")
    assert "got a folder of 2 runs; name one" in trained.refuses(4, "report", "runs/seeds")


def test_a_damaged_run_is_refused_with_its_remedy(trained: Shell) -> None:
    (trained.run / "metrics.jsonl").write_bytes(b"{}")
    assert "stackae resume" in trained.refuses(4, "report")
