"""Every file of a run folder, random, mutated, or changed where it can be read: sound, or an error of its own kind."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import run_files
from data_files import laws, mutated
from hypothesis import given, settings
from hypothesis import strategies as st

from stackae.errors import RunError
from stackae.runs.kept_data import DataRecord
from stackae.runs.manifest import Manifest
from stackae.runs.records import read_records
from stackae.runs.state import State

READERS = {
    "manifest": (run_files.read_manifest, run_files.manifest_seeds()),
    "manifest-repaired": (run_files.read_repaired_manifest, run_files.manifest_seeds()),
    "state": (run_files.read_state, run_files.state_seeds()),
    "record": (run_files.read_record, run_files.record_seeds()),
    "division": (run_files.read_division_file, run_files.division_seeds()),
    "metrics": (run_files.read_metrics, run_files.metrics_seeds()),
    "layer": (run_files.read_layer_file, run_files.layer_seeds()),
    "scaling": (run_files.read_scaling_file, run_files.scaling_seeds()),
    "calibration": (run_files.read_calibration_file, run_files.calibration_seeds()),
    "classifier": (run_files.read_classifier_file, run_files.classifier_seeds()),
    "other-layer": (run_files.read_other_layer_file, run_files.other_layer_seeds()),
    "head": (run_files.read_head_file, run_files.head_seeds()),
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([10**30, "layer1", "seed-0", "../x", "0" * 64, "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def edited(draw: st.DrawFn, document: Any) -> Any:
    """The document after one to three of its values, anywhere in it, are replaced, left out, doubled or exchanged."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        places = [(owner, key) for owner in nodes(document) for key in keys(owner)]
        if not places:
            return document
        owner, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(["replace", "remove", "double", "exchange"]))
        if kind == "replace":
            owner[key] = draw(VALUES)
        elif kind == "remove":
            del owner[key]
        elif kind == "double" and isinstance(owner, list):
            owner.append(json.loads(json.dumps(owner[key])))
        elif kind == "exchange":
            other, place = draw(st.sampled_from(places))
            owner[key] = json.loads(json.dumps(other[place]))
    return document


def nodes(document: Any) -> list[Any]:
    inside = [document[key] for key in keys(document)]
    return [document, *(node for each in inside for node in nodes(each))]


def keys(node: Any) -> list[Any]:
    return list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []


def of_state(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    return json.loads(content), lambda document: json.dumps(document).encode()


def of_manifest(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    return {key: value for key, value in json.loads(content).items() if key != "sha256"}, signed


def signed(document: Any) -> bytes:
    def spelled(each: Any) -> str:
        return json.dumps(each, indent=1, sort_keys=True) + "\n"

    digest = hashlib.sha256(spelled(document).encode()).hexdigest()
    return spelled({**document, "sha256": digest} if isinstance(document, dict) else document).encode()


def of_lines(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    def joined(document: Any) -> bytes:
        lines = document if isinstance(document, list) else [document]
        return b"".join(json.dumps(line).encode() + b"\n" for line in lines)

    return [json.loads(line) for line in content.splitlines()], joined


def of_tensors(content: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """The header of a safetensors file, with the description that is JSON within JSON."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"]["stackae"] = json.loads(header["__metadata__"]["stackae"])

    def packed(document: Any) -> bytes:
        with contextlib.suppress(TypeError, KeyError):
            document["__metadata__"]["stackae"] = json.dumps(document["__metadata__"]["stackae"])
        new = json.dumps(document).encode()
        return len(new).to_bytes(8, "little") + new + content[end:]

    return header, packed


FORMS = {
    "manifest": of_manifest, "state": of_state, "record": of_state, "division": of_tensors, "metrics": of_lines,
    "layer": of_tensors, "scaling": of_tensors, "calibration": of_tensors, "classifier": of_tensors,
}  # fmt: skip


def sound(reader: str, content: bytes) -> None:
    try:
        READERS[reader][0](content)
    except RunError as error:
        assert str(error).startswith("file: expected a stage of this run, got a damaged file (")


@pytest.mark.parametrize("reader", READERS)
def test_mutated_and_random_files(reader: str) -> None:
    @settings(laws, max_examples=400)
    @given(mutated(READERS[reader][1]) | st.binary(max_size=300))
    def law(content: bytes) -> None:
        sound(reader, content)

    law()


@pytest.mark.parametrize("reader", FORMS)
def test_files_that_can_be_read_but_say_something_else(reader: str) -> None:
    document, packed = FORMS[reader](READERS[reader][1][-1 if reader in ("manifest", "metrics") else 0])
    sound(reader, packed(document))

    @settings(laws, max_examples=400)
    @given(edited(document))
    def law(changed: Any) -> None:
        sound(reader, packed(changed))

    law()


@pytest.mark.parametrize("reader", FORMS)
def test_the_files_to_start_from_are_valid(reader: str) -> None:
    """What is taken apart and put together again is read as the original is: without an error of any kind."""
    for content in READERS[reader][1]:
        document, packed = FORMS[reader](content)
        for each in (content, packed(document)):
            strictly(reader, each)


def strictly(reader: str, content: bytes) -> None:
    strict = {"manifest": Manifest.unpack, "state": State.unpack, "record": DataRecord.unpack, "metrics": read_records}
    strict.get(reader, READERS[reader][0])(content)
