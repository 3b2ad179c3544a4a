"""The shapes that are measured, said once."""

from __future__ import annotations

from typing import NamedTuple


class DenseCase(NamedTuple):
    """One dense layer: n_in -> n_out; ``input_gradient`` as in training (a stack's input never needs its gradient)."""

    name: str
    n_in: int
    n_out: int
    input_gradient: bool


DENSE = (
    DenseCase("encoder of layer 1", 784, 300, False),
    DenseCase("decoder of layer 1", 300, 784, True),
    DenseCase("encoder of layer 2", 300, 150, False),
    DenseCase("decoder of layer 2", 150, 300, True),
)
CODE_WIDTHS = (300, 150)
BATCHES = (64, 256, 1024)
"""A 784-300-150 stack, pretrained layer by layer."""


class StepCase(NamedTuple):
    """One training step of an autoencoder n_visible-n_hidden-n_visible with Adam and a KL penalty, all sigmoid."""

    name: str
    batch: int
    n_visible: int
    n_hidden: int
    corruption: str = "none"
    tied: bool = False
    bfloat16: bool = False
    contraction: float = 0.0


REFERENCE = StepCase("R: 256x784-300", 256, 784, 300)
STEPS_MEASURED = (
    REFERENCE,
    REFERENCE._replace(name="R, masking", corruption="masking"),
    REFERENCE._replace(name="R, salt-and-pepper", corruption="salt-and-pepper"),
    REFERENCE._replace(name="R, gaussian", corruption="gaussian"),
    REFERENCE._replace(name="R, tied, masking", corruption="masking", tied=True),
    REFERENCE._replace(name="R, contraction", contraction=0.1),
    REFERENCE._replace(name="R, bf16", bfloat16=True),
    StepCase("256x784-1000", 256, 784, 1000),
    StepCase("256x300-150", 256, 300, 150),
    StepCase("64x784-64", 64, 784, 64),
    StepCase("20x784-1000", 20, 784, 1000),
    StepCase("1024x784-1000", 1024, 784, 1000),
    StepCase("256x4096-4096", 256, 4096, 4096),
)

PRECISIONS = ("tf32", "bf16", "fp32")
"""On CUDA, where every case is measured in each of them."""


class PrecisionCase(NamedTuple):
    """A step in a precision of its products."""

    case: StepCase
    precision: str

    @property
    def name(self) -> str:
        return f"{self.case.name}, {self.precision}"


WIDEST = STEPS_MEASURED[-1]
FIRST = (
    PrecisionCase(REFERENCE, "tf32"),
    PrecisionCase(WIDEST, "bf16"),
    *(PrecisionCase(REFERENCE, precision) for precision in PRECISIONS[1:]),
)
"""Those with a target on CUDA."""
LATER = tuple(
    PrecisionCase(case, precision)
    for case in STEPS_MEASURED
    for precision in PRECISIONS
    if not case.bfloat16 and (case, precision) not in FIRST
)
LADDER = tuple(
    PrecisionCase(StepCase(f"{batch}x{width}-{width}", batch, width, width), precision)
    for precision in ("tf32", "bf16")
    for batch in (256, 1024)
    for width in (64, 128, 256, 512, 1024, 2048, 4096)
)
"""Square layers: at which width the library's products overtake the step's own."""
POPULATIONS = (1, 8, 64)
POPULATED = (StepCase("64x64-64", 64, 64, 64), StepCase("64x784-64", 64, 784, 64), REFERENCE)
FLOOR = "cuBLAS"
PRODUCTS = {"the step's own tiles": "tiles", "the library's products": "library"}
"""What the steps of the ladder are called, and what STACKAE_CUDA_PRODUCTS is for them."""
COMPILED = {f"torch.compile, {mode}": mode for mode in ("default", "reduce-overhead", "max-autotune")}
"""torch.compile by its modes; and with all else of the step, Adam too, in one CUDA graph."""
COMPILED_IN_GRAPH = "torch.compile in a CUDA graph"
