"""What the compiler made of the training step's CUDA kernels: their registers, their stacks, their innermost loops."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from stackae.ops.compiled import build_info

NAMES = ("forward", "output", "logits", "backward", "update")
PASSES = re.compile(rf"\d({'|'.join(NAMES)})_kernelI")

# What a kernel may keep on its stack, in bytes. Not 0: rather than give a kernel more than 128 registers, with which
# two blocks fit a multiprocessor, the compiler spills some values before its loop or after it. The update, which must
# have no more, has the parameters and moments of its tile to keep from before the loop until after it.
STACK = 64
UPDATE_STACK = 160


class Instruction(NamedTuple):
    address: int
    text: str


def tools() -> str | None:
    """cuobjdump, where its disassembler lies beside it: the toolkit's, or the one that comes with triton."""
    folders = [Path(found).parent for found in [shutil.which("cuobjdump")] if found]
    spec = importlib.util.find_spec("triton")
    folders += [Path(root) / "backends" / "nvidia" / "bin" for root in (spec and spec.submodule_search_locations) or []]
    whole = [folder for folder in folders if all((folder / name).is_file() for name in ("cuobjdump", "nvdisasm"))]
    return str(whole[0] / "cuobjdump") if whole else None


@pytest.fixture(scope="module")
def dump() -> list[str]:
    """The command that tells of the extension's code for one architecture, 9.0 where it has any."""
    tool, spec = tools(), importlib.util.find_spec("stackae._C")
    if build_info()["cuda"] == "none":
        pytest.skip("the extension has no CUDA code")
    if tool is None:
        pytest.skip("there is no cuobjdump with nvdisasm, neither of a CUDA toolkit nor of triton")
    assert spec is not None and spec.origin is not None
    listed = subprocess.run([tool, "--list-elf", spec.origin], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"\.(sm_\w+)\.cubin", listed)
    if not found:
        pytest.skip("the extension has CUDA code as PTX alone")
    return [tool, "-arch", "sm_90" if "sm_90" in found else found[0], spec.origin]


def sections(dump: list[str], what: str) -> dict[str, str]:
    """What is told of every kernel of a step, by its mangled name."""
    text = subprocess.run([*dump, what], capture_output=True, text=True, check=True).stdout
    parts = [part.partition("\n") for part in re.split(r"\bFunction\s*:?\s", text)[1:]]
    return {name.strip(" :"): told for name, _, told in parts if PASSES.search(name)}


def test_registers_suffice(dump):
    usage = sections(dump, "-res-usage")
    assert {match[1] for name in usage if (match := PASSES.search(name))} == set(NAMES)
    for name, told in usage.items():
        used = {key: int(number) for key, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", told)}
        assert used["REG"] <= 255 and used["LOCAL"] == 0, name
        if "PlainId" not in name:  # float64 is for tests
            assert used["STACK"] <= (UPDATE_STACK if "update_kernel" in name else STACK), name


def instructions(code: str) -> list[Instruction]:
    """Without the predicate that may stand before each."""
    found = re.findall(r"/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+\s+)?(\S.*?)\s*;", code)
    return [Instruction(int(address, 16), text) for address, text in found]


def loops_around(code: list[Instruction], word: str) -> list[list[Instruction]]:
    """The innermost loops with such an instruction: from the target of a branch back to the branch."""
    bounds = []
    for address, text in code:
        target = re.match(r"BRA\b.*\b0x([0-9a-f]+)", text)
        if target and int(target[1], 16) <= address:
            bounds.append((int(target[1], 16), address))
    bodies = {(first, last): [each for each in code if first <= each.address <= last] for first, last in bounds}
    with_word = {at: body for at, body in bodies.items() if any(each.text.startswith(word) for each in body)}
    return [
        body
        for (first, last), body in with_word.items()
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in with_word)
    ]


def complaints(code: list[Instruction], multiplies: str) -> list[str]:
    """What is wrong with a kernel that multiplies tiles."""
    loops = [loop for loop in loops_around(code, "LDGSTS") if any(each.text.startswith(multiplies) for each in loop)]
    found = [] if loops else [f"no loop of {multiplies} and copies"]
    for loop in loops + loops_around(code, "HMMA"):
        found += [each.text for each in loop if re.match(r"(LD|LDG|LDL|ST|STG|STL)\b", each.text)]
    return found + [each.text for each in code if re.match(r"LDGSTS\b(?!.*\.128\b)", each.text)]


def test_products_wait_for_shared_memory_alone(dump):
    """Their loops copy what comes next asynchronously, 128 bits at a time, and spill nothing."""
    code = sections(dump, "-sass")
    wrong = {}
    for arithmetic, multiplies in (("PlainIf", "FFMA"), ("Tf32", "HMMA"), ("Bf16", "HMMA")):
        tiles = [name for name in code if arithmetic in name and "Lb0E" in name]
        assert {match[1] for name in tiles if (match := PASSES.search(name))} == set(NAMES)
        wrong |= {name: found for name in tiles if (found := complaints(instructions(code[name]), multiplies))}
    assert not wrong
