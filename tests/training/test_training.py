"""Pretraining and fine-tuning: the laws of the greedy procedure, and the mistakes of others that must not be ours."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from heads_cases import HELD_OUT, TRAIN, blobs
from torch import Tensor

from stackae.autoencoders.dense import Autoencoder
from stackae.config import FinetuneConfig, PretrainConfig, TrainingConfig
from stackae.data import Part, epoch_order
from stackae.errors import ConfigError, DataError, DivergedError
from stackae.finetuning import finetune_stack
from stackae.models.evaluation import evaluate_reconstruction
from stackae.models.heads.classifier import Classifier
from stackae.models.stack import StackedAutoencoder
from stackae.pretraining import pretrain_stack, reasons, settle
from stackae.training.early_stopping import BestWeights, Patience
from stackae.training.optimizers import make_optimizer, scheduled
from stackae.training.stage import MOST_EPOCHS, settled_epochs

NOISY = {"activation": "sigmoid", "loss": "mse", "corruption": "masking:0.3"}


def config(layers: str = "12,8,5", **options) -> PretrainConfig:
    given = {"max_epochs": 4, "batch_size": 16, "device": "cpu", **NOISY, **options}
    return PretrainConfig.from_options(layers, **given)


def weights(stack: StackedAutoencoder, number: int = 1) -> Tensor:
    return stack.autoencoders[number - 1].encoder.weight


def test_pretraining_lowers_the_loss_of_every_layer():
    result = pretrain_stack(TRAIN.x, config(max_epochs=30), validation=HELD_OUT.x)
    for layer in ("layer1", "layer2"):
        records = [record for record in result.history if record.stage == layer]
        assert records[-1].loss < 0.9 * records[0].loss
        assert records[-1].validation_loss < 0.9 * records[0].validation_loss


def test_each_layer_learns_from_the_codes_of_the_layer_below():
    whole = pretrain_stack(TRAIN.x, config())
    codes = whole.stack.encode(TRAIN.x, layer=1).detach()
    alone = Autoencoder(8, 5, output_activation="sigmoid", tied=whole.stack.autoencoders[1].tied, layer=2)
    assert not torch.equal(weights(whole.stack, 2), alone.encoder.weight)
    error = {
        "trained": (whole.stack.autoencoders[1].reconstruct(codes) - codes).square().sum().item(),
        "untrained": (alone.reconstruct(codes) - codes).square().sum().item(),
    }
    assert error["trained"] < error["untrained"]


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
def test_the_greedy_stage_uses_the_activation(activation):
    sigmoid, other = (
        pretrain_stack(TRAIN.x, config("12,8", activation=name)).stack for name in ("sigmoid", activation)
    )
    assert not torch.allclose(weights(sigmoid), weights(other))
    assert other.autoencoders[0].encoder.activation == activation


def test_the_same_configuration_gives_the_same_bits_and_another_seed_others():
    torch.manual_seed(1)
    first = pretrain_stack(TRAIN.x, config(corruption="masking:0.3"))
    torch.manual_seed(2)
    second = pretrain_stack(TRAIN.x, config(corruption="masking:0.3"))
    assert all(torch.equal(a, b) for a, b in zip(first.stack.parameters(), second.stack.parameters(), strict=True))
    other = pretrain_stack(TRAIN.x, config(corruption="masking:0.3", seed=1))
    assert not torch.equal(weights(first.stack), weights(other.stack))


@pytest.mark.parametrize("option", [{"corruption": "masking:0.5"}, {"sparsity": "kl:0.1:5"}, {"weight_decay": "0.1"}])
def test_every_part_of_the_objective_changes_what_is_learned(option):
    plain = {"corruption": "none", "sparsity": "none", "weight_decay": "0"}
    without = pretrain_stack(TRAIN.x, config("12,8", **plain)).stack
    with_it = pretrain_stack(TRAIN.x, config("12,8", **(plain | option))).stack
    assert not torch.equal(weights(without), weights(with_it))


def test_the_target_is_the_clean_input_not_the_corrupted_one():
    """Masked wholly, the input tells nothing: the best reconstruction is the mean of the clean rows."""
    options = {"corruption": "masking:1.0", "max_epochs": 150, "learning_rate": 0.05, "output_activation": "linear"}
    stack = pretrain_stack(TRAIN.x, config("12,4", **options)).stack
    answer = stack.reconstruct(torch.zeros(1, 12))[0]
    torch.testing.assert_close(answer, TRAIN.x.mean(0), atol=0.03, rtol=0)


def test_sparsity_brings_the_mean_activation_to_its_target():
    options = {"sparsity": "kl:0.1:20", "max_epochs": 100, "learning_rate": 0.02, "corruption": "none"}
    stack = pretrain_stack(TRAIN.x, config("12,8", batch_size=90, **options)).stack
    assert stack.encode(TRAIN.x).mean(0).tolist() == pytest.approx([0.1] * 8, abs=0.03)


def test_the_best_epoch_is_kept():
    options = {"max_epochs": 8, "learning_rate": 0.3, "corruption": "none"}
    result = pretrain_stack(TRAIN.x, config("12,8", **options), validation=HELD_OUT.x)
    kept = min(record.validation_loss for record in result.history)
    autoencoder = result.stack.autoencoders[0]
    found = (autoencoder.reconstruct(HELD_OUT.x) - HELD_OUT.x).square().sum().item() / 30
    assert found == pytest.approx(kept, rel=1e-5)
    assert [record.validation_loss for record in result.history if record.best][-1] == kept


def test_patience_stops_a_stage_that_no_longer_improves():
    options = {"max_epochs": 200, "learning_rate": 0.5, "schedule": "constant", "patience": 3}
    history = pretrain_stack(TRAIN.x, config("12,8", **options), validation=HELD_OUT.x).history
    best = [record.epoch for record in history if record.best][-1]
    assert len(history) == best + 3 < 200


@pytest.mark.parametrize(("epochs", "patience"), [(1, 10), (30, 10), (31, 11), (82, 28), (300, 100)])
def test_patience_is_a_third_of_the_epochs_and_at_least_ten(epochs, patience):
    assert Patience.of("auto", epochs) == Patience(patience)
    assert [Patience.of(wish, epochs) for wish in (0, 3)] == [Patience(0), Patience(3)]
    assert settle(config(max_epochs=epochs), TRAIN.x).layers[0].patience == patience


OTHERS = Part(1 - HELD_OUT.x, (HELD_OUT.y + 1) % 3)  # the better the training, the worse on these
LONG = {"max_epochs": 120, "learning_rate": 0.03, "schedule": "constant"}


def test_without_being_asked_a_stage_stops_where_the_best_epoch_is_kept_anyway():
    """By patience 40 here; where nothing is held out there is no best epoch to wait for, and 0 waits for ever."""
    stopped = pretrain_stack(TRAIN.x, config("12,8", **LONG), validation=OTHERS.x).history
    best = [record.epoch for record in stopped if record.best][-1]
    assert len(stopped) == best + 40 < 120
    assert len(pretrain_stack(TRAIN.x, config("12,8", **LONG)).history) == 120
    endless = config("12,8", patience=0, **LONG)
    assert len(pretrain_stack(TRAIN.x, endless, validation=OTHERS.x).history) == 120


def test_a_fine_tuning_stops_likewise():
    stack = pretrain_stack(TRAIN.x, config()).stack
    lengths = {}
    for patience in ("auto", 0):
        settings = FinetuneConfig(**LONG, batch_size=16, device="cpu", patience=patience)
        history = finetune_stack(stack, TRAIN, settings, n_classes=3, validation=OTHERS).history
        lengths[patience] = len(history), [record.epoch for record in history if record.best][-1]
    assert lengths["auto"][0] == lengths["auto"][1] + 40 < 120 == lengths[0][0]


def test_best_weights_compare_scores_left_to_right_and_keep_the_last_without_any():
    module = torch.nn.Linear(1, 1, bias=False)
    best = BestWeights(module)
    for value, score in [(1.0, (0.1, 5.0)), (2.0, (0.1, 4.0)), (3.0, (0.2, 1.0)), (4.0, (0.1, 4.0))]:
        module.weight.data.fill_(value)
        best.update(score)
    assert best.waited == 2
    best.restore()
    assert module.weight.item() == 2.0
    last = BestWeights(module)
    for value in (1.0, 2.0):
        module.weight.data.fill_(value)
        assert last.update(None)
    last.restore()
    assert module.weight.item() == 2.0


@pytest.mark.parametrize(("rows", "batch"), [(5, 16), (17, 16), (1, 1), (16, 16)])
def test_any_number_of_rows_and_any_batch_size_train(rows, batch):
    result = pretrain_stack(TRAIN.x[:rows], config(batch_size=batch))
    assert all(math.isfinite(record.loss) for record in result.history)


def test_every_row_is_seen_once_an_epoch_in_an_order_that_changes():
    orders = [epoch_order(50, seed=0, layer=1, epoch=epoch) for epoch in (1, 2)]
    assert all(torch.equal(order.sort().values, torch.arange(50)) for order in orders)
    assert not torch.equal(*orders)


def test_the_reported_loss_is_the_mean_over_all_rows_of_the_epoch():
    """With a learning rate too small to matter, the loss of an epoch is that of the initial weights on every row."""
    options = {"learning_rate": 1e-12, "corruption": "none", "max_epochs": 1, "batch_size": 37, "weight_decay": "0"}
    result = pretrain_stack(TRAIN.x, config("12,8", **options))
    error = evaluate_reconstruction(result.stack, TRAIN.x)[0].squared_error
    assert result.history[0].loss == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weight_decay_shrinks_matrices_and_leaves_biases(optimizer):
    module = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(module.weight), torch.nn.init.ones_(module.bias)
    made = make_optimizer(module, TrainingConfig(optimizer=optimizer), 0.1, 0.5)
    (0.0 * module(torch.ones(1, 3)).sum()).backward()
    made.step()
    assert bool((module.weight < 1).all())
    assert torch.equal(module.bias, torch.ones(2))


def test_schedules_start_at_the_learning_rate_and_cosine_and_linear_end_at_zero():
    for schedule in ("constant", "linear", "cosine"):
        values = [scheduled(schedule, 0.1, step, 100) for step in range(101)]
        assert values[0] == 0.1
        assert all(a >= b for a, b in itertools.pairwise(values))
        assert values[-1] == pytest.approx(0.1 if schedule == "constant" else 0.0)
        assert values[50] == pytest.approx(0.1 if schedule == "constant" else 0.05)


def test_few_rows_are_passed_more_often_up_to_a_bound():
    assert settled_epochs(7, 10, 10, 2000) == 7
    epochs = [settled_epochs("auto", rows, 128, 2000) for rows in (1, 1000, 10_000, 10**6)]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] == MOST_EPOCHS


def test_a_loss_that_is_not_finite_stops_and_names_layer_epoch_and_learning_rate():
    options = {"activation": "linear", "output_activation": "linear", "optimizer": "sgd", "learning_rate": 1e30}
    with pytest.raises(DivergedError, match=r"layer 1/1 12-8-12: expected a finite loss and finite updates") as caught:
        pretrain_stack(TRAIN.x, config("12,8", **options))
    details = caught.value.details
    assert details["stage"] == "layer1" and details["epoch"] == 1 and details["step"] <= 2
    assert details["largest_weight"] < float("inf") and set(details["rows"]) <= set(range(len(TRAIN.x)))


def test_a_divergence_blames_inputs_that_are_large_and_else_the_learning_rate():
    options = {"activation": "linear", "output_activation": "linear", "optimizer": "sgd", "corruption": "none"}
    options["init"] = "random"
    for scale, first in ((1e25, "scale the data"), (1.0, "lower learning_rate")):
        with pytest.raises(DivergedError, match=f"the largest weight was [^:]*: {first}"):
            pretrain_stack(TRAIN.x * scale, config("12,8", learning_rate=1e30, **options))


def test_settling_names_a_width_that_is_not_the_datas():
    with pytest.raises(
        ConfigError, match=r"expected 12 as the first width.*got 784; use layers='12,300', or auto in its place"
    ):
        settle(config("784,300"), TRAIN.x)


def test_settling_takes_the_width_of_the_rows_for_auto():
    for settled in (settle(config("auto,8,4"), TRAIN.x), settle(config("12,8,4"), TRAIN.x)):
        assert settled == settle(config("12,8,4"), TRAIN.x) and settled.layer_sizes == (12, 8, 4)
    assert reasons(config("auto,8"), TRAIN.x) == reasons(config("12,8"), TRAIN.x)
    with pytest.raises(ConfigError, match="expected a code of at most the 12 inputs of layer 1, got 20"):
        settle(config("auto,20", init="pca"), TRAIN.x)


def test_settling_chooses_an_output_that_can_reach_its_targets():
    inside, outside = settle(config(activation="relu"), TRAIN.x), settle(config(), TRAIN.x * 3)
    assert [layer.output_activation for layer in inside.layers] == ["sigmoid", "linear"]
    assert [layer.output_activation for layer in outside.layers] == ["linear", "sigmoid"]
    for options in ({"output_activation": "sigmoid"}, {"loss": "bce"}):
        with pytest.raises(ConfigError, match=r"output_activation sigmoid.*expected targets in \[0, 1\]"):
            settle(config("12,8", **options), TRAIN.x * 3)


def test_training_on_no_rows_is_refused():
    with pytest.raises(DataError, match="expected at least one training row, got none"):
        pretrain_stack(TRAIN.x[:0], config())


# ---- fine-tuning

STACK = pretrain_stack(TRAIN.x, config(max_epochs=60)).stack


def tune(**options):
    given = {"max_epochs": 60, "batch_size": 16, "learning_rate": 0.05, "device": "cpu", "weight_decay": 0.0, **options}
    settings = FinetuneConfig(**given)
    return finetune_stack(STACK, TRAIN, settings, n_classes=3, validation=HELD_OUT)


@pytest.mark.parametrize("train", ["head", "all"])
def test_fine_tuning_learns_separable_classes(train):
    result = tune(train=train)
    test = blobs(60, seed=2)
    assert result.model.report(*test).accuracy >= 0.95
    assert result.history[-1].loss < result.history[0].loss


def test_training_the_head_leaves_the_encoders_and_training_all_moves_them_and_the_stack_stays():
    before = [parameter.clone() for parameter in STACK.parameters()]
    head, everything = tune(train="head", max_epochs=2).model, tune(train="all", max_epochs=2).model
    for number, autoencoder in enumerate(STACK.autoencoders):
        assert torch.equal(head.encoders[number].weight, autoencoder.encoder.weight)
        assert not torch.equal(everything.encoders[number].weight, autoencoder.encoder.weight)
    assert all(torch.equal(a, b) for a, b in zip(before, STACK.parameters(), strict=True))


def test_the_head_learns_the_same_from_stored_codes_as_through_the_frozen_encoders():
    result = tune(train="head", max_epochs=3)
    codes = STACK.encode(TRAIN.x).detach()
    logits = result.model.head(codes)
    torch.testing.assert_close(result.model(TRAIN.x), logits)


def test_random_initialisation_has_the_shape_and_activation_but_not_the_weights():
    model = tune(init="random", max_epochs=1, learning_rate=1e-12).model
    assert model.layer_sizes == (12, 8, 5, 3)
    assert not torch.allclose(model.encoders[0].weight, weights(STACK))
    assert model.encoders[0].activation == "sigmoid"


def test_unlabelled_rows_are_passed_over():
    y = TRAIN.y.clone()
    y[::2] = -1
    settings = FinetuneConfig(max_epochs=2, device="cpu")
    partly = finetune_stack(STACK, Part(TRAIN.x, y), settings, n_classes=3).model
    kept = finetune_stack(STACK, Part(TRAIN.x[1::2], TRAIN.y[1::2]), settings, n_classes=3).model
    assert all(torch.equal(a, b) for a, b in zip(partly.parameters(), kept.parameters(), strict=True))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "expected labels to train a classifier, got none"),
        (torch.full((90,), -1), "expected labels to train a classifier, got none"),
        (torch.zeros(90, dtype=torch.int64), "expected at least two classes, got one alone"),
    ],
)
def test_missing_or_single_labels_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        finetune_stack(STACK, Part(TRAIN.x, y), FinetuneConfig(device="cpu"), n_classes=3)


def test_probabilities_sum_to_one_and_their_largest_is_the_prediction():
    model = tune(max_epochs=1).model
    probabilities = model.predict_proba(HELD_OUT.x)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(30))
    assert torch.equal(probabilities.argmax(1), model.predict(HELD_OUT.x))


# ---- evaluation


def test_confusion_counts_every_labelled_row_once_and_its_diagonal_is_the_accuracy():
    model = tune(max_epochs=3).model
    y = HELD_OUT.y.clone()
    y[0] = -1
    report = model.report(HELD_OUT.x, y)
    assert report.rows == 29 == int(report.confusion.sum())
    assert report.accuracy == pytest.approx(report.confusion.diagonal().sum().item() / 29)
    assert torch.equal(report.confusion.sum(1), torch.bincount(y[1:], minlength=3))


def test_predicting_the_mean_explains_nothing_and_the_input_itself_everything():
    class Fixed(Autoencoder):
        answer: Tensor | None = None

        def decode(self, h: Tensor) -> Tensor:
            return HELD_OUT.x if self.answer is None else self.answer.expand(len(h), -1)

    network = Fixed(12, 8)
    assert evaluate_reconstruction(StackedAutoencoder([network]), HELD_OUT.x)[0].explained == pytest.approx(1.0)
    network.answer = HELD_OUT.x.mean(0)
    assert evaluate_reconstruction(StackedAutoencoder([network]), HELD_OUT.x)[0].explained == pytest.approx(0, abs=1e-6)


def test_evaluation_without_rows_or_labels_is_refused():
    model = Classifier([], tune(max_epochs=1).model.head)
    for y in (None, torch.full((2,), -1)):
        with pytest.raises(DataError, match="expected labelled rows to evaluate a classifier on, got none"):
            model.report(torch.zeros(2, 5), y)
    with pytest.raises(DataError, match="expected rows to reconstruct, got none"):
        evaluate_reconstruction(STACK, TRAIN.x[:0])


@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-7, 0.12345678901234567])
def test_noise_and_penalties_are_written_with_every_digit(number):
    for options in ({"corruption": f"gaussian:{number!r}"}, {"sparsity": f"kl:{number!r}:{number!r}"}):
        settings = config("8,4", **options).model_dump()["layers"][0]
        again = config("8,4", **{name: settings[name] for name in options})
        assert again == config("8,4", **options)
        assert repr(number) in str(settings)
