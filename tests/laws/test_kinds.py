"""Every kind of layer, from the command line to the classifier: trained, kept, resumed, stacked, and refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_cases import a_step_a_call, result, stopped_at
from shell import Shell
from step_cases import HALF

from stackae.config import PretrainConfig, parse_layers
from stackae.config.values import validated
from stackae.errors import ConfigError
from stackae.runs import Run
from stackae.training import fused, head

KINDS = {
    "convolutions": ("2x4x1,conv3,pool,conv2,4", "--corruption", "masking:0.2"),
    "dropout in convolutions": ("2x4x1,conv3,3", "--dropout", "0.2:0.3", "--max-norm", "1"),
    "a variational top": ("8,6,3", "--kind", "dense,variational", "--hidden", "0,5"),
    "variational alone": ("8,2", "--kind", "variational", "--hidden", "6", "--loss", "bce", "--scale", "minmax"),
    "marginalised": ("8,8,4", "--kind", "marginalized", "--activation", "tanh,linear"),
    "principal components": ("8,5,2", "--kind", "pca"),
    "starts in closed form": ("8,6,3", "--init", "pca,marginalized", "--weights", "tied,untied"),
    "kept units": ("8,12,6", "--activation", "relu", "--sparsity", "top-k:4,batch-top-k:2", "--revive", "resample"),
    "units that learn what is left": (
        "8,12,6", "--activation", "relu", "--sparsity", "top-k:3,batch-top-k:2", "--revive", "auxiliary:4:20,auxiliary",
    ),
    "whole batches": ("8,6,4", "--optimizer", "lbfgs", "--corruption", "none", "--patience", "2:2:0.9"),
    "a ramp, drawn in a range": (
        "8,6,4", "--optimizer", "sgd", "--momentum", "0", "--momentum-ramp", "0.9:2", "--rate-decay", "1.1",
        "--initial-weights", "uniform:0.2,normal:0.1", "--learning-rate", "0.1,0.05",
    ),
    "winners": ("8,12,4", "--activation", "relu", "--sparsity", "lifetime:0.2,none", "--corruption", "none"),
    "units that are revived": ("8,12,6", "--activation", "relu", "--revive", "resample", "--dropout", "0.1:0.3"),
    "contraction": ("8,6", "--contraction", "0.1", "--weight-l1", "0.001"),
    "emphasis": ("8,6", "--emphasis", "1:0.5", "--corruption", "salt-and-pepper:0.3"),
    "of each something": (
        "8,8,12,3", "--kind", "marginalized,dense,variational", "--activation", "tanh,relu,tanh", "--sparsity",
        "none,top-k:3,none", "--corruption", "masking:0.2,gaussian:0.1,none",
    ),
}  # fmt: skip
SHORT = ("--data", "labelled.npz", "--run", "runs/it", "--epochs", "3", "--batch-size", "16", "--checkpoint-every", "0")


def pretraining(kind: str) -> tuple[str, ...]:
    layers, *options = KINDS[kind]
    return ("pretrain", "--layers", layers, *options, *SHORT)


@pytest.mark.parametrize("kind", KINDS)
def test_where_codes_lie_changes_no_bit(fresh: Shell, kind: str) -> None:
    found = []
    for where in ("memory", "disk", "recompute"):
        fresh.does(*pretraining(kind), "--codes", where, "--force")
        run = fresh.folder / "runs" / "it"
        found.append({path.name: path.read_bytes() for path in run.glob("*.safetensors")})
    assert "layer1.safetensors" in found[0] and found[0] == found[1] == found[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_summary_of_a_fine_tuning_names_the_step_that_is_taken(
    fresh: Shell, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[object] = []
    monkeypatch.setattr(head, "fused_replicas", lambda *given: taken.append(given) or fused.fused_replicas(*given))
    fresh.does(*pretraining(kind))
    for options in (("--train", "head"), ("--train", "all"), ("--head", "reconstruction")):
        taken.clear()
        result = fresh("finetune", "--epochs", "1", "--checkpoint-every", "0", *options)
        assert result.code == 0 and f"step     {'fused' if taken else 'eager'} on cpu" in result.err, options


@HALF
def test_a_precision_is_refused_where_no_step_has_it(fresh: Shell) -> None:
    fresh.does(*pretraining("convolutions"))
    error = fresh.refuses(2, "finetune", "--precision", "bf16")
    assert "precision bf16: expected a training that the fused step has, got layer 1 of kind convolutional" in error


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_any_kind_is_trained_kept_and_used(fresh: Shell, kind: str) -> None:
    fresh.does(*pretraining(kind))
    fresh.does("runs", "verify")
    stack, again = Run(fresh.run).load_stack(), Run(fresh.run).load_stack("eager")
    x = torch.from_numpy(np.load(fresh.folder / "labelled.npz")["x"])
    codes = stack.encode(x)
    assert codes.shape == (60, stack.layer_sizes[-1]) and bool(codes.isfinite().all())
    assert torch.allclose(codes, again.encode(x), atol=1e-5)
    for layer in range(1, len(stack.autoencoders) + 1):
        assert stack.reconstruct(x, layer).shape == x.shape and bool(stack.reconstruct(x, layer).isfinite().all())
    if "--scale" not in KINDS[kind]:
        fresh.does("encode", "--out", "codes.npy")
        assert np.allclose(np.load(fresh.folder / "codes.npy"), codes.detach(), atol=1e-6)
    for options in (("--train", "head"), ("--train", "all"), ("--init", "random")):
        fresh.does("finetune", "--epochs", "2", "--checkpoint-every", "0", *options)
    fresh.does("evaluate")
    fresh.does("encode", "--weights", "finetuned", "--out", "tuned.npy")
    assert np.load(fresh.folder / "tuned.npy").shape == (60, stack.layer_sizes[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_codes_that_the_head_reads_are_those_of_the_stack(fresh: Shell, kind: str) -> None:
    fresh.does(*pretraining(kind))
    fresh.does("finetune", "--epochs", "1", "--train", "head", "--checkpoint-every", "0")
    run = Run(fresh.run)
    x = torch.from_numpy(np.load(fresh.folder / "labelled.npz")["x"])
    tuned, _ = run.load_head("classifier")
    assert torch.allclose(tuned.encode(x), run.load_stack().encode(x), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_of_any_kind_goes_on_to_the_same_bytes(fresh: Shell, kind: str) -> None:
    command, run = pretraining(kind), fresh.folder / "runs" / "it"
    with a_step_a_call(), stopped_at(0, lambda requests: None) as count:
        fresh.does(*command)
    wanted = result(run)
    for stop in range(1, count[0] + 1, 11):
        shutil.rmtree(run)
        with a_step_a_call(), stopped_at(stop, lambda requests: setattr(requests, "stop", 2)):
            assert fresh(*command).code == 130
        with a_step_a_call():
            fresh.does("resume", "runs/it", "--checkpoint-every", "0")
        assert result(run) == wanted, f"stopped at {stop}"


@pytest.mark.parametrize("kind", ["a variational top", "kept units", "convolutions", "marginalised"])
def test_seeds_of_any_kind_train_together_as_alone(fresh: Shell, kind: str) -> None:
    layers, *options = KINDS[kind]
    fresh.does("pretrain", "--layers", layers, *options, *SHORT[:2], *SHORT[4:], "--run", "runs/both", "--seeds", "2")
    fresh.does(*pretraining(kind), "--seed", "1")
    for path in (fresh.folder / "runs" / "it").glob("layer*.safetensors"):
        assert path.read_bytes() == (fresh.folder / "runs" / "both" / "seed-1" / path.name).read_bytes()


def test_samples_are_drawn_from_the_prior(fresh: Shell) -> None:
    fresh.draws = True
    fresh.does(*pretraining("variational alone"))
    out = fresh.does("sample", "--count", "50", "--out", "drawn.npy")
    assert "samples.png" in out and "latent-grid.png" in out and (fresh.run / "latent-grid.png").exists()
    assert (fresh.run / "codes.png").exists()
    drawn = np.load(fresh.folder / "drawn.npy")
    assert drawn.shape == (50, 8) and np.isfinite(drawn).all() and len(np.unique(drawn, axis=0)) == 50
    fresh.does("sample", "--count", "50", "--out", "again.npy")
    assert np.array_equal(np.load(fresh.folder / "again.npy"), drawn)
    fresh.does("sample", "--count", "50", "--seed", "1", "--out", "other.npy")
    assert not np.array_equal(np.load(fresh.folder / "other.npy"), drawn)
    assert "expected a new file" in fresh.refuses(2, "sample", "--out", "drawn.npy")


def test_a_stack_without_a_prior_is_not_sampled(first_run: Shell, tmp_path: Path) -> None:
    sentence = first_run.refuses(4, "sample")
    assert "expected a run whose top layer is variational, got kind dense" in sentence


# ---- layers as they are written


def test_layers_of_images() -> None:
    width, layers = parse_layers("5x4x3, conv16 ,pool,conv8,7")
    assert width == 60 and [layer["n_hidden"] for layer in layers] == [3 * 2 * 16, 3 * 2 * 8, 7]
    assert [layer.get("shape") for layer in layers] == [(5, 4, 3), (3, 2, 16), None]
    assert [layer.get("pool") for layer in layers] == [True, False, None]
    assert parse_layers("784,300") == (784, [{"n_hidden": 300}])
    assert parse_layers(" auto , 300") == (0, [{"n_hidden": 300}])


def test_a_width_that_is_not_known_yet_is_written_as_it_is_read() -> None:
    config = PretrainConfig.from_options("auto,8,4")
    assert config.model_dump()["n_visible"] == config.model_dump(mode="json")["n_visible"] == "auto"
    assert PretrainConfig.model_validate(config.model_dump()) == config != PretrainConfig.from_options("9,8,4")
    assert PretrainConfig.from_options(None, base=config.model_dump(mode="json")).of_width(9) == config.of_width(9)
    with pytest.raises(ConfigError, match="n_visible: expected a whole number of at least 1, or auto, got 'wide'"):
        validated(PretrainConfig, {**config.model_dump(), "n_visible": "wide"})


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ("784,conv16", "expected an image below conv16, got a flat row of numbers"),
        ("4x4x1,8,conv16", "expected an image below conv16, got a flat row of numbers"),
        ("4x4x1,pool", "expected pool after a convolution"),
        ("4x4x1,conv2,pool,pool", "expected pool after a convolution"),
        ("4x4x1,conv", "expected conv and a number of channels, such as conv16, got 'conv'"),
        ("4x4x1,conv0", "expected conv and a number of channels"),
        ("4x0x1,conv2", "expected an image of at least 1x1x1, got '4x0x1'"),
        ("4x4x1", "expected the input width and at least one code width"),
        ("4x4,conv2", "such as 784,300,150, or auto,300,150, or 28x28x1,conv16,pool,64, got '4x4'"),
        ("784,auto", "expected auto in the first place alone, the width of the rows, got '784,auto'; give each code"),
        ("auto", "expected the input width and at least one code width, such as auto,300"),
        ("auto,conv4", "expected an image below conv4, got a flat row of numbers"),
    ],
)
def test_layers_that_are_none_are_refused(layers: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_layers(layers)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "options", "sentence"),
    [
        ("8,6,4", {"kind": "variational"}, "expected at the top of the stack, got in layer 1 of 2"),
        ("8,12", {"kind": "pca"}, "pca: expected a code of at most the 8 inputs of layer 1, got 12"),
        ("8,12", {"init": "marginalized"}, "init marginalized: expected a code of at most the 8 inputs of layer 1"),
        ("8,6", {"kind": "pca", "activation": "relu"}, "activation relu: expected linear for kind pca"),
        ("8,6", {"kind": "marginalized", "activation": "sigmoid"}, "expected tanh or linear for kind marginalized"),
        ("8,6", {"kind": "marginalized", "output_activation": "sigmoid"}, "expected linear for kind marginalized"),
        ("8,6", {"kind": "variational", "sparsity": "l1:0.1"}, "sparsity l1:0.1: expected a layer of kind dense or"),
        ("8,6", {"kind": "variational", "contraction": "1"}, "contraction 1.0: expected a layer of kind dense, got"),
        ("8,6", {"kind": "variational", "tied": "true"}, "tied True: expected a layer of kind dense, got kind var"),
        ("8,6", {"hidden": "4"}, "hidden 4: expected a layer of kind variational, got kind dense; leave it out"),
        ("8,6", {"beta": "2"}, "beta 2.0: expected a layer of kind variational, got kind dense; leave it out"),
        ("2x4x1,conv2", {"contraction": "1"}, "expected a layer of kind dense, got kind convolutional"),
        ("2x4x1,conv2", {"sparsity": "top-k:2"}, "expected a layer of kind dense, got kind convolutional; use l1"),
        ("8,6", {"kind": "convolutional"}, "write the layers as 28x28x1,conv16,pool,300"),
        ("8,6", {"kind": "boltzmann"}, "expected one of dense, convolutional, variational, marginalized, pca"),
        ("8,6", {"init": "pca", "activation": "relu", "sparsity": "top-k:2"}, "expected a code of which all units"),
    ],
)
def test_kinds_that_do_not_fit_are_refused(layers: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PretrainConfig.from_options(layers, **options)
    assert sentence in str(caught.value), str(caught.value)


def test_what_a_run_keeps_reads_back(fresh: Shell) -> None:
    for kind in KINDS:
        layers, *options = KINDS[kind]
        fresh.does("pretrain", "--layers", layers, *options, "--data", "labelled.npz", "--dry-run")
        named = dict(zip([option.removeprefix("--").replace("-", "_") for option in options[::2]], options[1::2],
                         strict=True))  # fmt: skip
        named.pop("scale", None)
        if "weights" in named:
            named["tied"] = named.pop("weights").replace("untied", "false").replace("tied", "true")
        config = PretrainConfig.from_options(layers, **named)
        assert PretrainConfig.model_validate(config.model_dump()) == config
