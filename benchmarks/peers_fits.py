"""How stackae and each of its peers train one autoencoder: what benchmarks.peers_contenders runs, each in its process.

z = V sigmoid(W x + b) + c by Adam at one rate, squared error, untied weights, no penalty and no noise; each draws its
first weights and the order of the rows in its own way. A library is imported where it trains, for most run in an
environment that lacks another's.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from benchmarks.usual_script import Autoencoder, Batches


class Setting(NamedTuple):
    """What is trained: x (n, n_visible) in [0, 1] to n_hidden units and back; ``folder`` has the rows as images too."""

    x: np.ndarray
    folder: Path
    n_hidden: int
    batch_size: int
    rate: float
    seed: int


class Trained(NamedTuple):
    """Seconds of the passes over the rows and of the whole call, and what reconstructs rows by the trained weights."""

    training: float
    call: float
    reconstruct: Callable[[np.ndarray], np.ndarray]


Fit = Callable[[int, int], Trained]
"""Trains from new weights on the first so many rows, for so many epochs."""


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def by_stackae(setting: Setting) -> Fit:
    """Its training passes are timed by its own history: the call also looks at the rows, scales and hashes them."""
    import stackae

    def fit(rows: int, epochs: int) -> Trained:
        started = time.perf_counter()
        stack = stackae.pretrain(
            setting.x[:rows],
            layers=setting.n_hidden,
            validation=None,
            activation="sigmoid",
            output_activation="linear",
            loss="mse",
            tied=False,
            init="random",
            corruption="none",
            contraction=0.0,
            weight_decay=0.0,
            learning_rate=setting.rate,
            schedule="constant",
            batch_size=setting.batch_size,
            max_epochs=epochs,
            patience=0,
            seed=setting.seed,
            device="cpu",
        )
        call = time.perf_counter() - started
        training = sum(epoch.seconds for epoch in stack.history)
        return Trained(training, call, lambda x: stack.reconstruct(x).numpy())

    return fit


def of_modules(network: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    """Reconstructions by a torch module."""
    import torch

    def reconstruct(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return network(torch.from_numpy(x)).numpy()

    return reconstruct


def by_loop(setting: Setting, batches: Callable[[int], Batches], *, fused: bool) -> Fit:
    """The loop of usual_script over batches of the first so many rows."""
    import torch

    from benchmarks.usual_script import Autoencoder, train_epoch

    torch.manual_seed(setting.seed)

    def fit(rows: int, epochs: int) -> Trained:
        autoencoder: Autoencoder = Autoencoder(setting.x.shape[1], setting.n_hidden, torch.nn.Identity)
        optimizer = torch.optim.Adam(autoencoder.parameters(), lr=setting.rate, fused=fused or None)
        over = batches(rows)
        spent = seconds(lambda: [train_epoch(autoencoder, over, optimizer) for _ in range(epochs)])
        return Trained(spent, spent, of_modules(autoencoder))

    return fit


def in_memory(setting: Setting) -> Fit:
    import torch

    from benchmarks.usual_script import InMemory

    x = torch.from_numpy(setting.x)
    return by_loop(setting, lambda rows: InMemory(x[:rows], setting.batch_size, shuffle=True), fused=True)


def by_data_loader(setting: Setting) -> Fit:
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    images = datasets.MNIST(setting.folder, train=True, transform=transforms.ToTensor())

    def batches(rows: int) -> Batches:
        return DataLoader(Subset(images, range(rows)), batch_size=setting.batch_size, shuffle=True)

    return by_loop(setting, batches, fused=False)


def by_scikit_learn(setting: Setting) -> Fit:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    def fit(rows: int, epochs: int) -> Trained:
        x = setting.x[:rows]
        regressor = MLPRegressor(
            hidden_layer_sizes=(setting.n_hidden,),
            activation="logistic",
            solver="adam",
            alpha=0.0,
            learning_rate_init=setting.rate,
            batch_size=setting.batch_size,
            max_iter=epochs,
            n_iter_no_change=epochs + 1,
            random_state=setting.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # that epochs are over
            spent = seconds(lambda: regressor.fit(x, x))
        return Trained(spent, spent, regressor.predict)

    return fit


def by_keras(setting: Setting, backend: str) -> Fit:
    """One network, whose state is set back before each fit: a new one would be compiled anew."""
    os.environ["KERAS_BACKEND"] = backend
    import keras

    keras.utils.set_random_seed(setting.seed)
    width = setting.x.shape[1]
    dense = keras.layers.Dense
    network = keras.Sequential([keras.Input((width,)), dense(setting.n_hidden, activation="sigmoid"), dense(width)])
    network.compile(optimizer=keras.optimizers.Adam(setting.rate, epsilon=1e-8), loss="mse")
    network.optimizer.build(network.trainable_variables)
    begun = network.get_state_tree(value_format="numpy_array")

    def fit(rows: int, epochs: int) -> Trained:
        network.set_state_tree(begun)
        x = setting.x[:rows]
        spent = seconds(lambda: network.fit(x, x, batch_size=setting.batch_size, epochs=epochs, verbose=0))
        return Trained(spent, spent, lambda held: network.predict(held, verbose=0))

    return fit


def by_clustpy(setting: Setting) -> Fit:
    from clustpy.deep.neural_networks import FeedforwardAutoencoder

    def fit(rows: int, epochs: int) -> Trained:
        sizes = [setting.x.shape[1], setting.n_hidden]
        autoencoder = FeedforwardAutoencoder(sizes, random_state=setting.seed)
        settings = {"n_epochs": epochs, "batch_size": setting.batch_size, "optimizer_params": {"lr": setting.rate}}
        spent = seconds(lambda: autoencoder.fit(data=setting.x[:rows], **settings))
        return Trained(spent, spent, of_modules(autoencoder))

    return fit


def by_pyod(setting: Setting) -> Fit:
    """Its fit scores all rows when it has trained, so the training is timed within it."""
    from pyod.models.auto_encoder import AutoEncoder

    class Timed(AutoEncoder):  # type: ignore[misc]  # PyOD has no types
        training = 0.0

        def train(self, train_loader: object) -> None:
            self.training = seconds(lambda: super(Timed, self).train(train_loader))

    def fit(rows: int, epochs: int) -> Trained:
        detector = Timed(
            preprocessing=False,
            lr=setting.rate,
            epoch_num=epochs,
            batch_size=setting.batch_size,
            device="cpu",
            random_state=setting.seed,
            verbose=0,
            optimizer_params={"weight_decay": 0.0},
            hidden_neuron_list=[setting.n_hidden],
            hidden_activation_name="sigmoid",
            batch_norm=False,
            dropout_rate=0.0,
        )
        call = seconds(lambda: detector.fit(setting.x[:rows]))
        return Trained(detector.training, call, of_modules(detector.model))

    return fit
