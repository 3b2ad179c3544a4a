"""What a stranger may do to a run folder, with manifests that agree with it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from stackae.runs.manifest import Entry, Manifest, read_manifest

HUGE = 1 << 40
HOLE = 1 << 29  # the largest file that is compared with its digest within the seconds of a test


def agreed(folder: Path) -> None:
    """The manifest lists what is there."""
    old = read_manifest(folder)
    names = [name for name in old.files if (folder / name).is_file()]
    files = {name: (Entry.of((folder / name).read_bytes()),) for name in names}
    (folder / "manifest.json").write_bytes(Manifest(files, old.made_from).pack())


def newest(run: Path) -> Path:
    return max(path for path in (run / "checkpoints").iterdir() if path.is_dir())


def put(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    agreed(folder)


def listed(folder: Path, name: str, size: int = 3) -> None:
    """A manifest with one more name."""
    old = read_manifest(folder)
    body = {**old.files, name: (Entry(size, "0" * 64),)}
    (folder / "manifest.json").write_bytes(Manifest(body, old.made_from).pack())


def replaced(path: Path, by: Callable[[Path], object]) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    by(path)


def linked(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def sparse(folder: Path, name: str) -> None:
    """A file and a manifest that agree on a size: a hole."""
    with (folder / name).open("wb") as file:
        file.truncate(HOLE)
    old = read_manifest(folder)
    body = {**old.files, name: (Entry(HOLE, "0" * 64),)}
    (folder / "manifest.json").write_bytes(Manifest(body, old.made_from).pack())


def stated(checkpoint: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """The state says something else."""
    state = json.loads((checkpoint / "state.json").read_bytes())
    change(state)
    put(checkpoint, "state.json", json.dumps(state).encode())


def tensors(folder: Path, name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """The tensors are others, the description stays."""
    content = (folder / name).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    put(folder, name, save(change(load(content)), header["__metadata__"]))


def each(change: Callable[[torch.Tensor], torch.Tensor], of: str = "") -> Callable[..., dict[str, torch.Tensor]]:
    return lambda found: {name: change(tensor) if name.startswith(of) else tensor for name, tensor in found.items()}


class Code:
    """Its pickle makes a file."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("pickle-ran",)


def settings(run: Path, old: str, new: str) -> None:
    content = (run / "config.toml").read_text()
    assert old in content, content
    put(run, "config.toml", content.replace(old, new).encode())


def of_work(**changed: Any) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["work"].update(changed)


def of_pretrain(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["work"]["settings"][0]["pretrain"].update({name: value})


def widest(state: dict[str, Any]) -> None:
    state["work"]["settings"][0]["pretrain"]["layers"][1]["n_hidden"] = 10**12


def member(**changed: Any) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["stage"]["members"]["0"].update(changed)


def ending(**changed: Any) -> Callable[[dict[str, Any]], object]:
    return lambda state: state["ended"]["layer1"]["0"].update(changed)


WEIGHTS, LAYER2, CALIBRATION = "0.safetensors", "layer2.safetensors", "calibration.safetensors"
HEADER = (1 << 62).to_bytes(8, "little")
CLAIM = (
    b'{"__metadata__":{"stackae":"{}"},"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'
)
DEEP = b"[" * 200_000
RECORD = b'{"format": 1, "rows": 60, "columns": ["a", "b"], "targets": [], "classes": [], "ignored": [], "labels": ""}'

HOSTILE = "[red]h[x]:fire:\x1b[31m\x9b1m\u202e\u2066\u200b\nerror: forged $\\frac{1}{"


def strange(value: Any) -> Any:
    """Every text of a document says something else."""
    if isinstance(value, dict):
        return {name: strange(each) for name, each in value.items()}
    if isinstance(value, list):
        return [strange(each) for each in value]
    return HOSTILE if isinstance(value, str) else value


def strays(run: Path) -> None:
    (run / f"stray{HOSTILE}").write_text("")
    (run / "checkpoints" / f"000099-{HOSTILE}").mkdir()
    listed(run, HOSTILE)


def document(run: Path, name: str, change: Callable[[Any], Any]) -> None:
    put(run, name, json.dumps(change(json.loads((run / name).read_bytes()))).encode())


def record(**fields: Any) -> bytes:
    return json.dumps({"event": "epoch", "stage": "layer1", "epoch": 1, "loss": 1, "best": True, **fields}).encode()


RUN_CASES: dict[str, Callable[[Path], object]] = {
    "a name above": lambda run: listed(run, "../outside"),
    "an absolute name": lambda run: listed(run, "/etc/passwd"),
    "a name in a folder": lambda run: listed(run, "checkpoints/x"),
    "a listed size beyond everything": lambda run: listed(run, "metrics.jsonl", HUGE),
    "a manifest that is nested deeply": lambda run: (run / "manifest.json").write_bytes(DEEP),
    "a manifest of a gigabyte": lambda run: os.truncate(run / "manifest.json", 1 << 30),
    "a manifest that is a pipe": lambda run: replaced(run / "manifest.json", os.mkfifo),
    "a manifest that is a link": lambda run: replaced(run / "manifest.json", linked),
    "a layer that is a link": lambda run: replaced(run / LAYER2, linked),
    "a layer that is a link to a device": lambda run: replaced(run / LAYER2, lambda path: path.symlink_to("/dev/zero")),
    "a layer that is a pipe": lambda run: replaced(run / LAYER2, os.mkfifo),
    "a layer that is a folder": lambda run: replaced(run / LAYER2, Path.mkdir),
    "settings that are a pipe": lambda run: replaced(run / "config.toml", os.mkfifo),
    "a layer that is a hole": lambda run: sparse(run, LAYER2),
    "records that are a hole": lambda run: sparse(run, "metrics.jsonl"),
    "settings that are a hole": lambda run: sparse(run, "config.toml"),
    "a classifier that is a hole": lambda run: sparse(run, "classifier.safetensors"),
    "a header beyond everything": lambda run: put(run, LAYER2, HEADER + b"{}"),
    "a tensor that claims more than there is": lambda run: put(run, LAYER2, len(CLAIM).to_bytes(8, "little") + CLAIM),
    "other types": lambda run: tensors(run, LAYER2, each(torch.Tensor.double)),
    "whole numbers": lambda run: tensors(run, LAYER2, each(torch.Tensor.long)),
    "other shapes": lambda run: tensors(run, LAYER2, each(lambda tensor: tensor.flatten()[:1])),
    "another name": lambda run: tensors(run, LAYER2, lambda found: {f"_{name}": each for name, each in found.items()}),
    "one tensor more": lambda run: tensors(run, LAYER2, lambda found: {**found, "more": torch.zeros(1)}),
    "NaN in weights": lambda run: tensors(run, LAYER2, each(lambda tensor: tensor * float("nan"))),
    "NaN in the scaling": lambda run: tensors(run, "scaling.safetensors", each(lambda tensor: tensor * float("nan"))),
    "a calibration that is a hole": lambda run: sparse(run, CALIBRATION),
    "a calibration that is a pipe": lambda run: replaced(run / CALIBRATION, os.mkfifo),
    "NaN in the calibration": lambda run: tensors(run, CALIBRATION, each(lambda tensor: tensor * float("nan"))),
    "scores out of order": lambda run: tensors(run, CALIBRATION, each(lambda tensor: tensor.flip(-1), "layers")),
    "scores of no row": lambda run: tensors(run, CALIBRATION, each(lambda tensor: tensor[:, :0], "layers")),
    "components of other features": lambda run: tensors(
        run, CALIBRATION, each(lambda tensor: tensor[:, 1:].contiguous(), "components")
    ),
    "Inf in the classifier": lambda run: tensors(run, "classifier.safetensors", each(lambda tensor: tensor / 0)),
    "a pickle with another name": lambda run: put(run, LAYER2, pickle.dumps(Code())),
    "a pickle of torch": lambda run: (torch.save({"w": Code()}, run / LAYER2), agreed(run)),
    "records that are nested deeply": lambda run: put(run, "metrics.jsonl", DEEP),
    "records that are no records": lambda run: put(run, "metrics.jsonl", b"1\n[]\n{}\n"),
    "records of other types": lambda run: put(
        run, "metrics.jsonl", b'{"event": "epoch", "stage": [], "epoch": "x", "loss": {}, "best": 1}\n'
    ),
    "records without a best epoch": lambda run: put(
        run, "metrics.jsonl", b'{"event": "epoch", "stage": "layer1", "epoch": 1, "loss": 1, "best": false}\n'
    ),
    "a record of data that is a hole": lambda run: sparse(run, "data.json"),
    "a record of data that is nested deeply": lambda run: put(run, "data.json", DEEP),
    "a record of other columns": lambda run: put(run, "data.json", RECORD),
    "a division that is a hole": lambda run: sparse(run, "division.safetensors"),
    "a division of other types": lambda run: tensors(run, "division.safetensors", each(torch.Tensor.double)),
    "a division of fewer rows": lambda run: tensors(run, "division.safetensors", each(lambda tensor: tensor[:1])),
    "a part that there is not": lambda run: tensors(
        run, "division.safetensors", each(lambda tensor: tensor + 9, "parts")
    ),
    "another activation": lambda run: settings(run, '"sigmoid"', '"tanh"'),
    "a width beyond everything": lambda run: settings(run, "n_hidden = 4", "n_hidden = 1000000000000"),
    "a width beyond the first": lambda run: settings(run, "n_visible = 8", "n_visible = 1000000000000"),
    "settings that are nested deeply": lambda run: put(run, "config.toml", b"x = " + DEEP),
    "data that are elsewhere": lambda run: settings(run, "labelled.npz", "../../../../../../etc/passwd"),
    "names that forge lines": strays,
    "a lock that forges lines": lambda run: (run / "lock").write_text(HOSTILE),
    "settings that forge lines": lambda run: settings(run, '"sigmoid"', json.dumps(HOSTILE)),
    "a setting whose name forges lines": lambda run: settings(run, "n_hidden = 6", f"{json.dumps(HOSTILE)} = 6"),
    "data whose name forges lines": lambda run: put(run, "config.toml", _data(run, json.dumps(HOSTILE)[1:-1])),
    "records of an event that forges lines": lambda run: put(run, "metrics.jsonl", record(event=HOSTILE)),
    "records of a stage that forges lines": lambda run: put(run, "metrics.jsonl", record(stage=HOSTILE)),
    "what is kept of the data forges lines": lambda run: document(run, "data.json", strange),
    "what is kept of the data has a name that forges lines": lambda run: document(
        run, "data.json", lambda found: {**found, HOSTILE: HOSTILE}
    ),
    "data that are a device": lambda run: put(run, "config.toml", _data(run, "/dev/zero")),
}  # fmt: skip


def _data(run: Path, path: str) -> bytes:
    lines = (run / "config.toml").read_text().splitlines()
    return "\n".join(f'data = "{path}"' if line.startswith("data = ") else line for line in lines).encode()


CHECKPOINT_CASES: dict[str, Callable[[Path], object]] = {
    "a name above": lambda at: listed(at, "../../config.toml"),
    "a file that is a link": lambda at: replaced(at / WEIGHTS, linked),
    "a file that is a pipe": lambda at: replaced(at / WEIGHTS, os.mkfifo),
    "a state that is a pipe": lambda at: replaced(at / "state.json", os.mkfifo),
    "a checkpoint that is a link": lambda at: replaced(at, lambda path: path.symlink_to("/etc")),
    "a checkpoint that is a pipe": lambda at: replaced(at, os.mkfifo),
    "weights that are a hole": lambda at: sparse(at, WEIGHTS),
    "a state that is a hole": lambda at: sparse(at, "state.json"),
    "a state that is nested deeply": lambda at: put(at, "state.json", DEEP),
    "a state that is empty": lambda at: put(at, "state.json", b"{}"),
    "rows below nothing": lambda at: stated(at, lambda state: state["stage"].update(rows=-16)),
    "rows beyond the data": lambda at: stated(at, lambda state: state["stage"].update(rows=10**9)),
    "rows that end no batch": lambda at: stated(at, lambda state: state["stage"].update(rows=7)),
    "an epoch beyond the last": lambda at: stated(at, lambda state: state["stage"].update(epoch=10**9)),
    "an epoch beyond all numbers": lambda at: stated(at, lambda state: state["stage"].update(epoch=10**30)),
    "no epoch": lambda at: stated(at, lambda state: state["stage"].update(epoch=0)),
    "a stage that there is not": lambda at: stated(at, lambda state: state["stage"].update(name="layer9")),
    "a stage with a path": lambda at: stated(at, lambda state: state["stage"].update(name="../x")),
    "no members": lambda at: stated(at, lambda state: state["stage"].update(members={})),
    "a member that there is not": lambda at: stated(
        at, lambda state: state["stage"].update(members={"7": state["stage"]["members"]["0"]})
    ),
    "a member below nothing": lambda at: stated(
        at, lambda state: state["stage"].update(members={"-1": state["stage"]["members"]["0"]})
    ),
    "an ended stage of nobody": lambda at: stated(at, lambda state: state.update(ended={"layer1": {}})),
    "an ended stage of another place": lambda at: stated(
        at, lambda state: state.update(ended={"layer1": {"-1": state["ended"]["layer1"]["0"]}})
    ),
    "an end of a terabyte": lambda at: stated(at, ending(size=HUGE)),
    "an end in a checkpoint that there is not": lambda at: stated(at, ending(checkpoint=10**11)),
    "an end that diverged and lies about it": lambda at: stated(at, ending(diverged="\x1b[31mno")),
    "an end without a history": lambda at: stated(at, ending(history=[])),
    "a member without a history": lambda at: stated(at, member(history=[])),
    "a member with another score": lambda at: stated(at, member(score=[1.0, 2.0, 3.0])),
    "a member without a score": lambda at: stated(at, member(score=None)),
    "a member that waited for ages": lambda at: stated(at, member(waited=10**30)),
    "a loss beyond everything": lambda at: stated(at, member(total=1e308)),
    "a run above": lambda at: stated(at, of_work(runs=["../x"])),
    "a run of a seed beyond all numbers": lambda at: stated(at, of_work(runs=["seed-" + "9" * 20])),
    "a machine that forges lines": lambda at: stated(at, lambda state: state.update(machine={"torch": HOSTILE})),
    "stages that forge lines": lambda at: stated(at, lambda state: state["ended"].update({HOSTILE: {}})),
    "two runs with the settings of one": lambda at: stated(at, of_work(runs=["seed-0", "seed-1"])),
    "no runs": lambda at: stated(at, of_work(runs=[], settings=[])),
    "no settings": lambda at: stated(at, of_work(settings=[])),
    "other data": lambda at: stated(at, of_work(data="0" * 64)),
    "another command": lambda at: stated(at, of_work(command="finetune")),
    "a layer that is too wide": lambda at: stated(at, widest),
    "a batch beyond everything": lambda at: stated(at, of_pretrain("batch_size", 10**15)),
    "a beginning beyond all numbers": lambda at: stated(at, lambda state: state.update(begun=10**30)),
    "another optimiser": lambda at: stated(at, of_pretrain("optimizer", "sgd")),
    "automatic epochs": lambda at: stated(at, of_pretrain("max_epochs", "auto")),
    "moments of other shapes": lambda at: tensors(at, WEIGHTS, each(lambda tensor: tensor[:1], "moments")),
    "no moments": lambda at: tensors(
        at, WEIGHTS, lambda found: {name: each for name, each in found.items() if "moments" not in name}
    ),
    "best weights of other shapes": lambda at: tensors(at, WEIGHTS, each(lambda tensor: tensor[:1], "best")),
    "no best weights": lambda at: tensors(
        at, WEIGHTS, lambda found: {name: each for name, each in found.items() if "best" not in name}
    ),
    "moments without a number": lambda at: tensors(at, WEIGHTS, lambda found: {**found, "moments.x": torch.ones(1)}),
    "moments of another type": lambda at: tensors(at, WEIGHTS, each(torch.Tensor.double, "moments")),
    "NaN in moments": lambda at: tensors(at, WEIGHTS, each(lambda tensor: tensor * float("nan"), "moments")),
    "weights of other shapes": lambda at: tensors(at, WEIGHTS, each(lambda tensor: tensor[:1], "weights")),
    "a pickle": lambda at: put(at, WEIGHTS, pickle.dumps(Code())),
    "a number beyond all numbers": lambda at: at.rename(at.with_name("999999999999-layer2-epoch1")),
}  # fmt: skip


def beside(path: Path, *names: str) -> Path:
    """What is a file of another user, to be left as it is."""
    (path.parents[1] / "theirs").mkdir(exist_ok=True)
    for name in names:
        (path.parents[1] / "theirs" / name).write_text("theirs")
    return path.parents[1] / "theirs"


def elsewhere(run: Path) -> None:
    """The checkpoints lie in a folder of someone else's."""
    theirs = beside(run, ".x.tmp")
    shutil.copytree(run / "checkpoints", theirs, dirs_exist_ok=True)
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").symlink_to(theirs)


def links_to_be_written(run: Path) -> None:
    """Wherever a file is made ready, and the log and the lock, are links to someone else's."""
    theirs = beside(run, "file")
    for name in ("manifest.json", "config.toml", "metrics.jsonl", "curves.png", LAYER2, "classifier.safetensors"):
        (run / f".{name}.tmp").symlink_to(theirs / "file")
    replaced(run / "log.txt", lambda path: path.symlink_to(theirs / "file"))
    for number in range(50):
        (run / "checkpoints" / f".{number:06d}-layer2-epoch4.tmp").symlink_to(theirs)


def pipes_to_be_written(run: Path) -> None:
    for name in ("manifest.json", "config.toml", "metrics.jsonl", "curves.png", LAYER2, "classifier.safetensors"):
        os.mkfifo(run / f".{name}.tmp")
    replaced(run / "log.txt", os.mkfifo)
    replaced(run / "lock", os.mkfifo)
