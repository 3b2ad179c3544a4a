"""Laws of the pool of threads: which threads compute a pass changes no bit of it."""

from __future__ import annotations

import threading

import pytest
import torch
from step_cases import DEVICE_STEP, fused_step, objective, rows_of

from stackae.config import TrainingConfig

pytestmark = pytest.mark.skipif(DEVICE_STEP, reason="the step is CUDA's here, on a GPU or emulated: it has no pool")
SIZE = 256


def weights(seed: int, threads: int) -> list[torch.Tensor]:
    torch.set_num_threads(threads)
    one = objective(rows_of(SIZE, 200, torch.float32), 300, torch.float32, tied=False, seed=seed)
    step = fused_step(one, TrainingConfig(), 0.0)
    for epoch in range(3):
        step.advance(torch.arange(SIZE), 64, 4 * epoch, [0.01] * 4)
    return [each.detach().clone() for each in one.parameters]


def test_steps_of_several_threads_of_a_process_at_once_have_the_bits_of_one_after_another():
    before = torch.get_num_threads()
    found: dict[int, list[torch.Tensor]] = {}
    try:
        wanted = [weights(seed, 1) for seed in range(4)]
        threads = [
            threading.Thread(target=lambda seed=seed: found.update({seed: weights(seed, 3)})) for seed in range(4)
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        torch.set_num_threads(before)
    for seed, parameters in enumerate(wanted):
        assert all(map(torch.equal, found[seed], parameters))
