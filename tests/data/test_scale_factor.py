"""A factor after the scaling: features are that much larger, and come back in their own units."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stackae.data.scaling import Scaling
from stackae.errors import ConfigError

X = np.random.default_rng(0).integers(0, 256, (50, 4)).astype(np.uint8)


@pytest.mark.parametrize("kind", ["none", "unit", "minmax", "standard", "robust"])
def test_a_factor_multiplies_what_was_scaled(kind: str) -> None:
    plain = Scaling.fit(kind, X)
    larger = plain.times(0.02)
    torch.testing.assert_close(larger.transform(X), 0.02 * plain.transform(X))
    torch.testing.assert_close(larger.inverse_transform(larger.transform(X)), torch.from_numpy(X).to(larger.offset))
    assert larger.kind == kind and plain.times(1.0) is plain
    again = Scaling.from_tensors(kind, larger.to_tensors())
    assert torch.equal(again.transform(X), larger.transform(X))


def test_a_factor_that_no_scale_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError, match="scale_factor: expected a factor that 32-bit scales can hold, got 1e\\+60"):
        Scaling.fit("none", X).times(1e60)
