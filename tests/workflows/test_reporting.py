"""What a report reads beside the run's own records: its log, a comparison; and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shell import Shell

from stackae.errors import ConfigError
from stackae.runs import Run
from stackae.workflows import report_runs
from stackae.workflows.reporting.diary import StageTook, commands_of
from stackae.workflows.reporting.facts import comparison_of, scores_of

LOG = """2026-01-02 03:04:05+0000  $ stackae pretrain --layers 8,6
2026-01-02 03:04:05+0000  stackae 0.1.0, torch 2.11.0, Python 3.11.7, box, threads 1, process 12
2026-01-02 03:04:09+0000  layer 1/1 8-6-8  epoch 1/2  loss 1  10 rows/s
not a line of stackae
2026-13-41 03:04:09+0000  layer 1/1 8-6-8  took 9 epochs, 9.9 s
2026-01-02 03:04:10+0000  layer 1/1 8-6-8  took 2 epochs, 4.5 s
2026-01-02 03:04:15+0000  done
2026-01-02 04:00:00+0000  $ finetune_run (Python)
2026-01-02 04:00:03+0000  Traceback (most recent call last):
"""


def test_the_log_says_what_was_done_and_how_long_it_took(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(LOG)
    first, second = commands_of(tmp_path)
    assert first.line == "stackae pretrain --layers 8,6" and first.typed and first.done and first.seconds == 10
    assert first.versions == "stackae 0.1.0, torch 2.11.0, Python 3.11.7, box, threads 1"
    assert first.stages == (StageTook("layer 1/1 8-6-8", 2, 4.5),)
    assert not second.typed and not second.done and second.seconds == 3


def test_what_is_no_log_tells_nothing(tmp_path: Path) -> None:
    assert commands_of(tmp_path) == []
    (tmp_path / "log.txt").write_bytes(b"\xff\x00" * 1000)
    assert commands_of(tmp_path) == []
    (tmp_path / "log.txt").unlink()
    (tmp_path / "log.txt").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text(LOG)
    assert commands_of(tmp_path) == []


def test_a_training_writes_how_long_its_stages_took(first_run: Shell) -> None:
    pretrained, finetuned = commands_of(first_run.run)
    assert [stage.epochs for stage in pretrained.stages] == [2, 2] and pretrained.done and finetuned.done
    assert pretrained.stages[0].title.startswith("layer 1/2 8-6-8") and len(finetuned.stages) >= 1


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'{"settings": 1}', b'{"settings": {"data": {"data": "DATA", "target": null}}, "contenders": []}'],
)
def test_what_is_no_comparison_of_the_data_is_skipped(trained: Shell, content: bytes) -> None:
    folder = trained.folder / "compare" / "other"
    folder.mkdir(parents=True)
    run = Run.open(trained.run)
    (folder / "compare.json").write_bytes(content.replace(b"DATA", run.config.data.data.encode()))
    assert comparison_of(run, run.config) is None


def test_scores_that_are_no_numbers_are_left_out(trained: Shell) -> None:
    run = Run.open(trained.run)
    assert scores_of(run) is None
    run.publish({"scores.csv": b"row,score,flagged\n0,0.5,0\n1,2.5,1\n2,,0\n"})
    found = scores_of(run)
    assert found is not None and (found.scores, found.flagged, found.anomalous) == ([0.5, 2.5], [False, True], None)
    run.publish({"scores.csv": b"row,score\n0,many\n"})
    assert scores_of(run) is None


def test_python_writes_the_same_page(trained: Shell, tmp_path: Path) -> None:
    found = report_runs([trained.run], out=tmp_path / "page.html")
    assert found.runs == [trained.run] and found.file.read_bytes().startswith(b"<!doctype html>")
    assert json.dumps(found.found["layers"]) and found.found["head"]["kind"] == "classifier"
    with pytest.raises(ConfigError, match=r"out: expected a new file, got .*; choose another name, or add force"):
        report_runs([trained.run], out=tmp_path / "page.html")
