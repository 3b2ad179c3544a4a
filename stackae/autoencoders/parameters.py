"""Fill a network's parameters with given tensors, only where every one of them fits."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into the parameters of the same names.

    Raises:
        ValueError: a name, a shape or a type differs; nothing is copied then.
    """
    wanted, found = forms(module.state_dict()), forms(tensors)
    if wanted != found:
        raise ValueError(f"tensors {found} instead of {wanted}")
    module.load_state_dict(dict(tensors))


def forms(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Map each name to the type and the shape of its tensor."""
    return {name: (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)) for name, tensor in tensors.items()}
