"""Laws of sweeps over widths: each width is trained as it would be alone, and measured beside PCA on the same rows."""

from __future__ import annotations

import pytest
import torch

from stackae.analysis import sweep
from stackae.analysis.sweep import MOST_EMBEDDED, SharedBelow, plane_of, sweep_widths
from stackae.config import PretrainConfig
from stackae.errors import ConfigError, DivergedError
from stackae.models.evaluation import evaluate_reconstruction
from stackae.pretraining import pretrain_stack
from stackae.training.callbacks import NoCallback


def rows(count, width=9, seed=0):
    return torch.rand(count, width, generator=torch.Generator().manual_seed(seed))


def config(layers, **options):
    return PretrainConfig.from_options(layers, max_epochs="3", device="cpu", **options)


class Heard(NoCallback):
    """The titles of the stages that are trained."""

    def __init__(self):
        self.stages = []

    def start_stage(self, stage, title, replicas, rows, epochs, passed):
        self.stages.append(stage)


@pytest.mark.parametrize("below", ["", "6,", "7,5,"])
def test_each_width_is_what_pretraining_gives_it_alone(below):
    x, held_out = rows(70), rows(30, seed=1)
    configs = [config(f"9,{below}{width}") for width in (1, 2, 4)]
    for each, own in zip(sweep_widths(x, configs, validation=held_out), configs, strict=True):
        alone = pretrain_stack(x, own, validation=held_out)
        assert each.width == own.layer_sizes[-1]
        for found, expected in zip(each.result.stack.parameters(), alone.stack.parameters(), strict=True):
            assert torch.equal(found, expected)
        report = evaluate_reconstruction(alone.stack, held_out)[-1]
        assert each.report == report and [record.loss for record in each.result.history] == [
            record.loss for record in alone.history
        ]


def test_the_layers_below_are_trained_once():
    heard = Heard()
    configs = [config(f"9,6,5,{width}") for width in (1, 2, 4)]
    list(sweep_widths(rows(50), configs, callback=heard))
    assert heard.stages == ["layer1", "layer2", "layer3", "layer3", "layer3"]


def test_a_sweep_leaves_the_layers_below_to_each_stack_alone():
    configs = [config(f"9,6,{width}") for width in (1, 2)]
    first, second = (each.result.stack for each in sweep_widths(rows(50), configs))
    with torch.no_grad():
        first.autoencoders[0].encoder.weight.zero_()
    assert bool(second.autoencoders[0].encoder.weight.any())
    assert SharedBelow(0).begin("layer1", {}) is None


def test_without_validation_rows_the_training_rows_are_measured():
    x = rows(50)
    for validation in (None, x[:0]):
        (each,) = sweep_widths(x, [config("9,3")], validation=validation)
        assert each.report == evaluate_reconstruction(each.result.stack, x)[-1]


def test_a_width_that_diverges_is_named_and_the_others_go_on(monkeypatch):
    def trained(x, configs, **others):
        failed = configs[0].layer_sizes[-1] == 2
        return [DivergedError("too far")] if failed else real(x, configs, **others)

    real = sweep.pretrain_together
    monkeypatch.setattr(sweep, "pretrain_together", trained)
    found = list(sweep_widths(rows(50), [config(f"9,{width}") for width in (1, 2, 3)]))
    assert [isinstance(each.result, DivergedError) for each in found] == [False, True, False]
    assert [each.report is None for each in found] == [False, True, False]


@pytest.mark.parametrize("layers", [(), ("9,3", "9,4,3"), ("9,6,3", "9,5,3")])
def test_configurations_differ_in_the_top_width_alone(layers):
    with pytest.raises(ConfigError, match="configs: expected at least one, and no difference but the width"):
        list(sweep_widths(rows(20), [config(each) for each in layers]))
    with pytest.raises(ConfigError, match="make them from the same options"):
        list(sweep_widths(rows(20), [config("9,3"), config("9,4", loss="bce")]))


# ---- the plane


def test_the_plane_of_two_units_turns_them_and_no_more():
    codes = rows(30, width=2)
    plane = plane_of(codes, "pca")
    torch.testing.assert_close(torch.cdist(plane, plane), torch.cdist(codes.double(), codes.double()))


def test_the_plane_of_one_unit_is_a_line():
    codes = rows(10, width=1)
    plane = plane_of(codes, "pca")
    assert plane.shape == (10, 2) and bool((plane[:, 1] == 0).all())
    torch.testing.assert_close(plane[:, 0].sort().values.diff(), codes[:, 0].double().sort().values.diff())


@pytest.mark.parametrize("count", [5, 6, 40])
@pytest.mark.parametrize("equal", [False, True])
def test_tsne_places_any_codes_the_same_way_again(count, equal):
    codes = torch.ones(count, 3) if equal else rows(count, width=3)
    plane = plane_of(codes, "tsne", seed=2**40)
    assert plane.shape == (count, 2) and bool(plane.isfinite().all())
    assert torch.equal(plane, plane_of(codes, "tsne", seed=2**40))


def test_what_no_plane_is_found_for():
    with pytest.raises(ConfigError, match="scatter: expected pca or tsne, got 'umap'"):
        plane_of(rows(9), "umap")
    with pytest.raises(ConfigError, match=r"scatter: expected at least 5 rows for tsne, got 4; use pca, or hold out"):
        plane_of(rows(4), "tsne")
    with pytest.raises(ValueError, match=r"codes: expected at most 2,000 rows for tsne, got 2,001; choose some"):
        plane_of(rows(MOST_EMBEDDED + 1), "tsne")


@pytest.mark.parametrize("count", [1, 2, 9])
def test_the_plane_of_fewer_codes_than_units_has_two_coordinates(count):
    codes = rows(count, width=30)
    plane = plane_of(codes, "pca")
    assert plane.shape == (count, 2)
    spread = torch.linalg.svdvals((codes - codes.mean(dim=0)).double())[:2]
    torch.testing.assert_close(plane.square().sum(dim=0).sqrt()[: len(spread)], spread, atol=1e-6, rtol=1e-5)
