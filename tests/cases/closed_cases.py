"""Noises, rows that are hard to take apart, and linear maps: what the tests of closed forms share."""

from __future__ import annotations

import torch
from moment_cases import rows

from stackae.autoencoders.corruption import Corruption

MASKING = Corruption("masking", 0.3)
NOISES = [MASKING, Corruption("gaussian", 0.5), Corruption("salt-and-pepper", 0.2, low=-1.0, high=2.0)]
NONE = Corruption()


def awkward_rows():
    """40 rows of 7: a feature that is 0, one that is 2, one that is another's double, and every row twice."""
    x = rows(20, 7) / 4
    x[:, 1], x[:, 3], x[:, 5] = 0.0, 2.0, 2 * x[:, 4]
    return x.repeat(2, 1)


def random(*shape, seed=5):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def affine(network):
    """A and b of a linear autoencoder, float64."""
    wide = {name: tensor.double() for name, tensor in network.state_dict().items()}
    decoder = wide["encoder.weight"].t() if network.tied else wide["decoder_weight"]
    return decoder @ wide["encoder.weight"], decoder @ wide["encoder.bias"] + wide["decoder_bias"]
