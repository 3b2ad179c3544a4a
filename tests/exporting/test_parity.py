"""Exported files give what stackae gives, in batches of any size, in a process that cannot import it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from heads_cases import HELD_OUT, KINDS, TRAIN, stack_of

import stackae
from stackae.analysis.anomaly import ReconstructionError
from stackae.analysis.calibration import CalibratedScore
from stackae.analysis.combined import CombinedScore
from stackae.data.given_rows import UNKNOWN
from stackae.data.loading import part_of_rows
from stackae.data.scaling import Scaling
from stackae.exporting import onnx_files, parts, programs
from stackae.exporting.described import described
from stackae.exporting.parts import Part
from stackae.exporting.verified import compared

SCALING = Scaling.fit("robust", TRAIN.x, gaps=True)
FORMATS: dict[str, Any] = {"onnx": onnx_files, "pt2": programs}
BATCHES = (1, 7, 1000)


def rows(count: int) -> np.ndarray:
    """Real rows over and over, the last of them moved a little; some cells of the second are missing."""
    x = TRAIN.x[torch.arange(count) % len(TRAIN.x)].numpy().copy()
    x += 0.01 * np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    x[1:2, :3] = np.nan
    return x


def head_of(head: str) -> Part:
    x, y = TRAIN.x.numpy(), TRAIN.y.numpy()
    stack = stackae.pretrain(x, (8, 5), max_epochs=2, device="cpu", scale=SCALING)
    targets = {
        "regressor": y[:, None] * [1e3, 1.0] + 5e6,
        "multilabel": np.stack([y > 0, y > 1], axis=1),
        "reconstruction": None,
    }
    model = stackae.finetune(stack, x, targets.get(head, y), head=head, max_epochs=2, device="cpu")
    return parts.head(model.network, model.names, SCALING)


def scorer_of(kind: str) -> Part:
    stack, x = stack_of("untied"), SCALING.transform(TRAIN.x)
    fitted = CombinedScore.fit(stack, x) if kind == "combined" else ReconstructionError(stack, 1)
    validation = fitted(SCALING.transform(HELD_OUT.x)).detach().sort().values
    layer = None if kind == "combined" else 1
    return parts.scorer({kind: CalibratedScore(fitted, validation)}, SCALING, 0.1, layer, masked=kind != "combined")


def made(name: str) -> Part:
    """Parts by name: KIND of an encoder, KIND and decoder or autoencoder, head NAME, score NAME."""
    if name.startswith("head "):
        return head_of(name.removeprefix("head "))
    if name.startswith("score "):
        return scorer_of(name.removeprefix("score "))
    kind, _, part = name.partition(" as ")
    return getattr(parts, part or "encoder")(stack_of(kind), SCALING)


NAMES = [*KINDS, *(f"head {head}" for head in ("classifier", "regressor", "multilabel", "reconstruction"))]
NAMES += ["score combined", "score autoencoder", "marginalised as autoencoder", "convolutional as decoder"]

OPENER = """
import sys
sys.modules["stackae"] = None  # the process was started with -I -S: nothing of this folder or installation is there
sys.path += sys.argv[1:]
import json, numpy as np, onnxruntime, torch
worst = {}
for name, (file, names) in json.load(open("files.json")).items():
    wanted = np.load(f"{file}.npz")
    session = onnxruntime.InferenceSession(f"{file}.onnx", providers=["CPUExecutionProvider"])
    module = torch.export.load(f"{file}.pt2").module()
    for size in (1, 7, 1000):
        x = wanted["x"][:size]
        with torch.no_grad():
            answers = {"pt2": [each.numpy() for each in module(torch.from_numpy(x))]}
        answers["onnx"] = session.run(names, {session.get_inputs()[0].name: x})
        for form, given in answers.items():
            for output, mine in zip(names, given, strict=True):
                theirs = wanted[f"{output} {size}"]
                assert mine.shape == theirs.shape, (name, form, output, mine.shape, theirs.shape)
                if mine.dtype == object or theirs.dtype == np.int64:
                    same = wanted[f"{output} {form} {size}"]
                    assert [*map(str, mine.ravel())] == [*map(str, same.ravel())], (name, form, output)
                    continue
                known = ~np.isnan(theirs)
                assert (np.isnan(mine) == ~known).all(), (name, form, output)
                apart = np.abs(mine - theirs)[known].max() / max(wanted["unit " + output], 1e-30)
                worst[f"{name} {form}"] = max(worst.get(f"{name} {form}", 0.0), float(apart))
print(json.dumps(worst))
"""


def test_every_part_opens_without_stackae_and_agrees(tmp_path: Path) -> None:
    files = {}
    for place, name in enumerate(NAMES):
        part = made(name)
        one = described(part, UNKNOWN, {}, texts=True)
        x = (
            rows(max(BATCHES))
            if part.reads == "rows"
            else part.coded(SCALING.transform(rows(max(BATCHES)))).detach().numpy()
        )
        kept = {"x": x}
        with torch.no_grad():
            for size in BATCHES:
                scaled = (
                    part_of_rows(x[:size], None, np.arange(size), SCALING, x[:size]).x
                    if part.name == "scorer" and "auto" in name
                    else None
                )
                read = torch.from_numpy(x[:size]) if part.reads == "codes" else SCALING.transform(x[:size])
                for output, answer in zip(part.outputs, part.original(read if scaled is None else scaled), strict=True):
                    kept[f"{output.name} {size}"] = answer.numpy()
                    for form in FORMATS if output.decides else ():
                        named = output.choice and form == "onnx"
                        kept[f"{output.name} {form} {size}"] = (
                            np.array(output.names)[answer.numpy()] if named else answer.numpy()
                        )
                    kept[f"unit {output.name}"] = np.nanmax(np.abs(answer.numpy().astype(float)))
        np.savez(tmp_path / f"{place}.npz", **kept)
        for form, module in FORMATS.items():
            (tmp_path / f"{place}.{form}").write_bytes(module.pack(one))
        files[name] = (str(place), [output.name for output in part.outputs])
    (tmp_path / "files.json").write_text(json.dumps(files))
    places = [path for path in sys.path if path.endswith("site-packages")]
    command = [sys.executable, "-I", "-S", "-c", OPENER, *places]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    worst = json.loads(done.stdout)
    assert worst.keys() == {f"{name} {form}" for name in NAMES for form in FORMATS}
    assert max(worst.values()) <= 1e-5, worst


@pytest.mark.parametrize("part", ["encoder", "decoder", "autoencoder"])
@pytest.mark.parametrize("kind", KINDS)
def test_programs_of_every_part_agree(kind: str, part: str) -> None:
    exported = made(f"{kind} as {part}")
    one = described(exported, UNKNOWN, {}, texts=False)
    x = TRAIN.x.numpy() if exported.coded is None else exported.coded(SCALING.transform(TRAIN.x)).detach().numpy()
    read = SCALING.transform(x) if exported.coded is None else torch.from_numpy(x)
    found = compared(one, programs.opened(programs.pack(one), one), x, read)
    assert found.largest <= 1e-5 and found.rows == len(x) and found.ties == 0


def test_units_on_a_tie_are_told_apart_from_errors() -> None:
    """Two equal units, of which one is kept: stackae itself keeps either when the row moves by rounding."""
    stack = stack_of("top-k")
    first = stack.autoencoders[0].encoder
    with torch.no_grad():
        first.weight[1], first.bias[1] = first.weight[0], first.bias[0]
        first.weight[1, :2] += torch.tensor([1.0, -1.0])
        first.bias[:2] += 5.0
        stack.autoencoders[0].keeps = 1
    x = TRAIN.x.clone()
    x[:, :2] = 0.5  # where the two units are equal
    identity = Scaling("none", torch.zeros(12), torch.ones(12))
    part = parts.encoder(stack, identity, 1)
    one = described(part, UNKNOWN, {}, texts=False)

    def swapped(x: np.ndarray) -> list[np.ndarray]:
        codes = stack.encode(torch.from_numpy(x), 1).detach().numpy()
        codes[:, [0, 1]] = codes[:, [1, 0]]
        return [codes]

    found = compared(one, swapped, x.numpy(), x)
    assert found.ties == 264 and found.largest <= 1e-5
    for scale, units, sentence in ((1.0001, 8, "codes differs from stackae's by at most 1e-05"), (1, 7, "got inf")):
        with pytest.raises(stackae.VerificationError, match=sentence):
            compared(one, lambda x, s=scale, n=units: [s * swapped(x)[0][:, :n]], x.numpy(), x)
