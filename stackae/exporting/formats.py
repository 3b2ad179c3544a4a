"""The formats of exported files, by suffix."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from stackae.errors import SetupError
from stackae.exporting.described import Described
from stackae.exporting.programs import Runs


class Format(NamedTuple):
    """A format: its name, the module of ``stackae.exporting`` that packs and opens it, with what its functions end in,
    the packages that it needs, whether texts are inputs, and whether weights of 8 bits can be asked for."""

    name: str
    module: str
    ending: str = ""
    needs: tuple[str, ...] = ()
    texts: bool = False
    int8: bool = False

    def check(self) -> None:
        """Raise SetupError where a package is missing."""
        missing = [name for name in self.needs if find_spec(name) is None]
        if missing:
            raise SetupError(
                f"export: expected {', '.join(self.needs)} for {self.name}, got an installation without "
                f"{', '.join(missing)}; install stackae[export]"
            )

    def pack(self, one: Described, int8: bool = False) -> bytes:
        content: bytes = self._module("pack")(one, int8)
        return content

    def opened(self, content: bytes, one: Described) -> Runs:
        found: Runs = self._module("opened")(content, one)
        return found

    def _module(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(import_module(f"stackae.exporting.{self.module}"), name + self.ending)
        return found


FORMATS = {
    ".onnx": Format("ONNX", "onnx_files", needs=("onnx", "onnxscript", "onnxruntime"), texts=True, int8=True),
    ".pt2": Format("torch.export", "programs"),
    ".safetensors": Format("safetensors", "arrays", "_safetensors"),
    ".npz": Format("numpy", "arrays", "_npz"),
}
