"""Laws of a damaged metrics.jsonl or manifest.json: what can be read is kept, and nothing is lost unsaid."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from cli_cases import says
from shell import Shell, write_data

from stackae.runs import Run
from stackae.runs.records import read_line, read_records, sealed, unsealed
from stackae.runs.salvage import mended

PRETRAIN = ("pretrain", "--layers", "8,6,4", "--data", "labelled.npz", "--run", "runs/it")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A run that was fine-tuned and evaluated five times; not to be changed."""
    shell = Shell(tmp_path_factory.mktemp("evaluated"))
    write_data(shell.folder)
    shell.does(*PRETRAIN)
    shell.does("finetune")
    for part in ("test", "train", "validation", "test", "train"):
        shell.does("evaluate", "--part", part)
    return shell


@pytest.fixture
def copy(evaluated: Shell, tmp_path: Path) -> Shell:
    shutil.copytree(evaluated.folder, tmp_path, symlinks=True, dirs_exist_ok=True)
    return Shell(tmp_path)


def evaluations(shell: Shell) -> list[dict[str, Any]]:
    return [each for each in Run(shell.run).metrics() if each["event"] == "evaluation"]


def damage(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def places_of(content: bytes, event: str) -> list[int]:
    """A place in the middle of each line of that kind."""
    places, start = [], 0
    for line in content.split(b"\n"):
        if f'"event": "{event}"'.encode() in line:
            places.append(start + len(line) // 2)
        start += len(line) + 1
    return places


# ---- a damaged byte


@pytest.mark.parametrize("number", [0, 3, 5])
def test_a_damaged_epoch_costs_nothing(copy: Shell, number: int) -> None:
    path = copy.run / "metrics.jsonl"
    whole, before = path.read_bytes(), evaluations(copy)
    damage(path, places_of(whole, "epoch")[number])
    ended = copy("resume", "runs/it")
    assert ended.code == 0 and path.read_bytes() == whole and evaluations(copy) == before and len(before) == 5
    assert "is damaged" not in ended.err


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_damaged_evaluation_is_named_and_the_others_stay(copy: Shell, number: int) -> None:
    path = copy.run / "metrics.jsonl"
    whole, before = path.read_bytes(), evaluations(copy)
    damage(path, places_of(whole, "evaluation")[number])
    ended = copy("resume", "runs/it")
    assert ended.code == 0
    assert evaluations(copy) == before[:number] + before[number + 1 :]
    says(ended.err, f"metrics.jsonl: line {7 + number}: '", "is damaged; an epoch is made again, an evaluation is lost")
    assert [each for each in Run(copy.run).metrics() if each["event"] == "epoch"] == [
        each for each in read_records(whole) if each["event"] == "epoch"
    ]


def test_a_damaged_end_of_a_line_costs_nothing(copy: Shell) -> None:
    path = copy.run / "metrics.jsonl"
    whole, before = path.read_bytes(), evaluations(copy)
    for place in [place for place, byte in enumerate(whole) if byte == ord("\n")][-3:-1]:
        damage(path, place)
    assert copy("resume", "runs/it").code == 0
    assert path.read_bytes() == whole and evaluations(copy) == before


def test_a_cut_file_says_that_evaluations_are_lost(copy: Shell) -> None:
    path = copy.run / "metrics.jsonl"
    whole, before = path.read_bytes(), evaluations(copy)
    path.write_bytes(whole[: places_of(whole, "evaluation")[2]])
    ended = copy("resume", "runs/it")
    assert ended.code == 0 and evaluations(copy) == before[:2]
    says(ended.err, f"metrics.jsonl: held {len(whole):,} bytes, and holds ", "evaluations in the rest are lost")


def test_any_damaged_byte_of_the_manifest_costs_no_evaluation(copy: Shell) -> None:
    manifest, metrics = copy.run / "manifest.json", copy.run / "metrics.jsonl"
    content, whole, before = manifest.read_bytes(), metrics.read_bytes(), evaluations(copy)
    digest = content.index(b'"sha256"', content.index(b'"metrics.jsonl"')) + 20
    for place in (digest, content.index(b"metrics.jsonl") + 2, 0, random.Random(0).randrange(len(content))):
        manifest.write_bytes(content)
        damage(manifest, place)
        assert copy("resume", "runs/it").code == 0
        assert evaluations(copy) == before and metrics.read_bytes() == whole
        assert Run(copy.run).manifest.files.keys() == json.loads(content)["files"].keys()


def test_both_damaged_cost_no_more_than_the_damaged_line(copy: Shell) -> None:
    before, path = evaluations(copy), copy.run / "metrics.jsonl"
    damage(copy.run / "manifest.json", 5)
    damage(path, places_of(path.read_bytes(), "evaluation")[1])
    ended = copy("resume", "runs/it")
    assert ended.code == 0 and evaluations(copy) == before[:1] + before[2:]
    says(ended.err, "metrics.jsonl: line 8: '", "an evaluation is lost")


# ---- lines


RECORD = {"event": "evaluation", "accuracy": 0.5, "name": 'a "digest": "0123456789abcdef"}'}
EPOCH = {"event": "epoch", "stage": "layer1", "epoch": 1, "loss": 0.5, "validation_loss": None,
         "validation_error": None, "learning_rate": 0.1, "best": True}  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, EPOCH])
def test_a_line_is_read_with_its_digest_and_no_bit_of_it_changes_unseen(record: dict[str, Any]) -> None:
    line = sealed(record)
    assert json.loads(unsealed(line)) == record
    assert read_line(line).model_dump(exclude_unset=True) == record
    for place in range(len(line)):
        for bit in range(8):
            changed = line[:place] + bytes([line[place] ^ 1 << bit]) + line[place + 1 :]
            found = mended(changed, [])
            assert line not in found.lines and (found.lines == [] or found.lost), changed


def test_lines_of_an_older_version_are_read_and_kept_with_a_word(tmp_path: Path) -> None:
    old = [json.dumps(EPOCH).encode(), json.dumps({**RECORD, "name": "old"}).encode()]
    assert [each["event"] for each in read_records(b"\n".join(old))] == ["epoch", "evaluation"]
    found = mended(b"\n".join([*old, b"damaged" * 9]), [[sealed(EPOCH)]])
    assert found.lines == [sealed(EPOCH), old[1]]
    assert found.lost[0].startswith("line 3: 'damageddamaged") and "line 2: kept, but it has no digest" in found.lost[1]


def test_epochs_that_nothing_makes_again_are_left_out_by_name() -> None:
    epochs = [sealed({**EPOCH, "stage": "classifier", "epoch": number}) for number in (1, 2, 3)]
    found = mended(b"\n".join([epochs[0], b"x" * 40, epochs[2]]), [])
    assert found.lines == [epochs[0]] and len(found.lost) == 2
    assert "line 3: epoch 3 of classifier without the one before" in found.lost[1]


def test_a_file_of_beginnings_without_ends_is_read_once() -> None:
    line = b'{"event": ' * 200_000
    found = mended(line + b"\n" + sealed(RECORD), [])
    assert found.lines == [sealed(RECORD)] and len(found.lost) == 1


def test_of_many_damaged_lines_some_are_told() -> None:
    found = mended(b"\n".join([b"damaged" * 9] * 1000), [])
    assert len(found.lost) == 21 and found.lost[-1] == "and 980 more lines"
