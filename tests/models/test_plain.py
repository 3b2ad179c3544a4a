"""Stacks as modules of torch alone, and stacks of such: the same numbers, without stackae, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from heads_cases import KINDS, TRAIN, stack_of
from torch import nn

import stackae
from stackae.autoencoders.conv import ConvolutionalAutoencoder
from stackae.autoencoders.dense import Autoencoder
from stackae.config.activations import ACTIVATIONS
from stackae.errors import ConfigError
from stackae.models.stack import StackedAutoencoder
from stackae.ops.reference import MODULES

PLAIN = [kind for kind in KINDS if kind not in ("top-k", "marginalised")]
X = torch.rand(9, 6, generator=torch.Generator().manual_seed(0))


def close(given: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(given, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", PLAIN)
def test_modules_of_torch_compute_what_the_stack_does(kind: str) -> None:
    stack = stack_of(kind)
    state = torch.get_rng_state()
    network = stack.to_torch()
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
    assert {type(module).__module__.split(".")[0] for module in network.modules()} == {"torch"}
    for rows in (1, len(TRAIN.x)):
        h = network.encoder(TRAIN.x[:rows])
        close(h, stack.encode(TRAIN.x[:rows]))
        close(network(TRAIN.x[:rows]), stack.decode(h))


@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 4, 2), (4, 3, 1)])
def test_images_of_any_shape_pass_convolutions(shape: tuple[int, int, int], pool: bool) -> None:
    first = ConvolutionalAutoencoder(shape, 4, pool=pool, seed=1, output_activation="linear")
    second = ConvolutionalAutoencoder(first.code_shape, 2, pool=pool, seed=2)
    x = torch.rand(3, first.n_visible)
    for layers in ([first], [first, second]):
        stack = StackedAutoencoder(layers)
        network = stack.to_torch()
        close(network.encoder(x), stack.encode(x))
        close(network(x), stack(x))
    names = [type(module).__name__ for module in network.encoder]
    first_at, second_at = (place for place, name in enumerate(names) if name == "Conv2d")
    assert names[first_at:second_at] == ["Conv2d", "ReLU", *["MaxPool2d"] * pool], "between the two, images stay images"


def test_every_activation_has_a_module() -> None:
    assert list(MODULES) == list(ACTIVATIONS)
    for activation in ACTIVATIONS:
        stack = StackedAutoencoder([Autoencoder(6, 4, activation=activation, output_activation=activation)])
        close(stack.to_torch()(X), stack(X))
        close(StackedAutoencoder.from_torch(stack.to_torch())(X), stack(X))


def test_heads_and_unrolled_stacks_are_modules_too() -> None:
    x, y = TRAIN.x.numpy(), TRAIN.y
    stack = stackae.pretrain(x, (8, 5), max_epochs=1, device="cpu")
    for head, targets in (("classifier", y), ("reconstruction", None)):
        network = stackae.finetune(stack, x, targets, head=head, max_epochs=1, device="cpu").network
        close(network.to_torch()(TRAIN.x), network(TRAIN.x))
    assert [name for name, _ in network.to_torch().named_children()] == ["encoder", "decoder"]


@pytest.mark.parametrize(
    ("kind", "what"), [("top-k", "sparsity top-k:3"), ("marginalised", "decoder of a marginalized layer with tanh")]
)
def test_what_torch_has_no_module_for_is_refused(kind: str, what: str) -> None:
    with pytest.raises(ConfigError, match=f"to_torch: expected layers .* got .*{what}.* .stackae export"):
        stack_of(kind).to_torch()


OPENED = """
import sys
sys.modules["stackae"] = None  # cannot be imported
import torch
network = torch.nn.Sequential(
    torch.nn.Sequential(torch.nn.Linear(12, 8), torch.nn.Tanh(), torch.nn.Linear(8, 5), torch.nn.Tanh()),
    torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 12)),
)
state = torch.load("state.pt")
network.load_state_dict(dict(zip(network.state_dict(), state.values(), strict=True)))
wanted = torch.load("wanted.pt")
torch.testing.assert_close(network(torch.load("x.pt")), wanted)
torch.testing.assert_close(torch.load("whole.pt", weights_only=False)(torch.load("x.pt")), wanted)
"""


def test_a_process_without_stackae_opens_them(tmp_path: Path) -> None:
    network = stack_of("tied", activation="tanh", output_activation="linear,tanh").to_torch()
    torch.save(network.state_dict(), tmp_path / "state.pt")
    torch.save(network, tmp_path / "whole.pt")
    torch.save(TRAIN.x, tmp_path / "x.pt")
    torch.save(network(TRAIN.x).detach(), tmp_path / "wanted.pt")
    subprocess.run([sys.executable, "-c", OPENED], cwd=tmp_path, check=True)


@pytest.mark.parametrize("tied", [True, False])
def test_a_stack_comes_back_from_torch(tied: bool) -> None:
    layers = [Autoencoder(6, 4, activation="silu", tied=tied, seed=1), Autoencoder(4, 3, tied=tied, seed=2)]
    stack = StackedAutoencoder(layers)
    back = StackedAutoencoder.from_torch(stack.to_torch())
    names = ("tied", "activation", "output_activation", "n_visible", "n_hidden")
    for one, same in zip(stack.autoencoders, back.autoencoders, strict=True):
        assert [getattr(one, name) for name in names] == [getattr(same, name) for name in names]
        assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in one.state_dict().items())


def test_an_encoder_alone_becomes_a_tied_stack() -> None:
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 5, bias=False), nn.ReLU(inplace=True), nn.Dropout(0.5),
        nn.Sequential(nn.Linear(5, 3), nn.Softplus(), nn.Identity()),
    )  # fmt: skip
    stack = StackedAutoencoder.from_torch(encoder.double())
    close(stack.encode(X), encoder.eval()(X.double()).float())
    assert [each.output_activation for each in stack.autoencoders] == ["linear", "relu"]
    assert all(each.tied and not each.decoder_bias.any() for each in stack.autoencoders)
    assert all(each.dtype == torch.float32 for each in stack.parameters())


@pytest.mark.parametrize(
    ("network", "decoder", "sentence"),
    [
        (nn.Sequential(nn.ReLU()), None, "encoder: expected nn.Linear layers, .* got ReLU() as module 0"),
        (nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Tanh()), None, "got Tanh() as module 2"),
        (nn.Sequential(nn.Linear(6, 4), nn.ELU(alpha=2.0)), None, "got ELU(alpha=2.0) as module 1"),
        (nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), None, "got BatchNorm1d(4, .*"),
        (nn.Sequential(nn.Conv2d(1, 4, 3)), None, "got Conv2d(1, 4, .* build stackae's own layers"),
        (nn.Sequential(), None, "network: expected an nn.Linear at least, got none"),
        (nn.Linear(6, 4), None, "encoder: expected an nn.Sequential, got Linear; put its modules into one"),
        (nn.Sequential(nn.Linear(6, 4)), nn.Linear(4, 6), "decoder: expected an nn.Sequential, got Linear"),
        (nn.Sequential(nn.Linear(6, 4)), nn.Sequential(nn.Linear(4, 5)), "of 4-6, got 4-5; give one for each"),
        (nn.Sequential(nn.Linear(6, 4)), nn.Sequential(), "nn.Linear of 4-6, got none"),
    ],
)  # fmt: skip
def test_other_networks_are_refused(network: nn.Sequential, decoder: nn.Sequential | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence).replace(r"\.\*", ".*")):
        StackedAutoencoder.from_torch(network, decoder)
