"""A stacked denoising autoencoder as notebooks and lecture notes write it: what benchmarks.end_to_end measures against.

    python usual_script.py --data-root DIR --held-out FILE --metrics FILE [--in-memory]

It imports nothing of stackae. The usual way: torchvision's dataset, ToTensor image by image, a DataLoader,
nn.Sequential, autograd, Adam as it comes; layer 2 reads its codes through the frozen layer 1 in every batch.
--in-memory is the careful way: the images are one tensor from the start, each layer's codes are computed once, Adam is
fused. benchmarks.peers_fits trains by both.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

CPU = torch.device("cpu")


class Autoencoder(nn.Module):
    def __init__(self, n_visible: int, n_hidden: int, output: type[nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        encoding, decoding = nn.Linear(n_visible, n_hidden), nn.Linear(n_hidden, n_visible)
        for layer in (encoding, decoding):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.encoder = nn.Sequential(encoding, nn.Sigmoid())
        self.decoder = nn.Sequential(decoding, output())

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.decoder(self.encoder(x))
        return z


class InMemory:
    """What a DataLoader yields, from one tensor; the labels, which nobody reads, are the row numbers."""

    def __init__(self, x: Tensor, batch_size: int, shuffle: bool) -> None:
        self.x, self.batch_size, self.shuffle = x, batch_size, shuffle

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = (torch.randperm if self.shuffle else torch.arange)(len(self.x), device=self.x.device)
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield self.x[rows], rows

    def __len__(self) -> int:
        return math.ceil(len(self.x) / self.batch_size)

    def encoded(self, encoder: nn.Module) -> InMemory:
        with torch.no_grad():
            return InMemory(encoder(self.x), self.batch_size, self.shuffle)


Batches = InMemory | DataLoader[tuple[Tensor, Tensor]]


def codes(images: Tensor, encoders: Sequence[nn.Module], device: torch.device) -> Tensor:
    x = images.view(len(images), -1).to(device)
    with torch.no_grad():
        for encoder in encoders:
            x = encoder(x)
    return x


def train_epoch(
    autoencoder: Autoencoder,
    training: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
    frozen: Sequence[nn.Module] = (),
    masking: float = 0.0,
    device: torch.device = CPU,
) -> float:
    """One pass over the rows; returns the mean of their losses."""
    criterion = nn.MSELoss(reduction="sum")
    autoencoder.train()
    total, seen = 0.0, 0
    for images, _ in training:
        x = codes(images, frozen, device)
        noisy = x * (torch.rand_like(x) >= masking) if masking else x
        loss = criterion(autoencoder(noisy), x) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(x)
        seen += len(x)
    return total / seen


def train_layer(
    number: int,
    autoencoder: Autoencoder,
    frozen: list[nn.Module],
    training: Batches,
    validation: Batches,
    asked: argparse.Namespace,
) -> list[dict[str, object]]:
    optimizer = torch.optim.Adam(
        autoencoder.parameters(), lr=asked.learning_rate, fused=True if asked.in_memory else None
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=asked.epochs * len(training))
    criterion = nn.MSELoss(reduction="sum")
    history: list[dict[str, object]] = []
    for epoch in range(1, asked.epochs + 1):
        started = time.perf_counter()
        loss = train_epoch(
            autoencoder,
            training,
            optimizer,
            scheduler=scheduler,
            frozen=frozen,
            masking=asked.masking,
            device=asked.device,
        )
        trained = time.perf_counter()
        autoencoder.eval()
        held_total, held_seen = 0.0, 0
        with torch.no_grad():
            for images, _ in validation:
                x = codes(images, frozen, asked.device)
                held_total += criterion(autoencoder(x), x).item()
                held_seen += len(x)
        record = {"epoch": epoch, "loss": loss, "validation_loss": held_total / held_seen}
        times = {"seconds": trained - started, "validation_seconds": time.perf_counter() - trained}
        print(f"layer {number} epoch {epoch}: loss {loss:.4f} validation {held_total / held_seen:.4f}")
        history.append({"stage": f"layer{number}", **record, **times})
    return history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True, help="the numbers of the validation rows, one a line")
    parser.add_argument("--metrics", type=Path, required=True, help="where to write one JSON line an epoch")
    parser.add_argument("--layers", default="784,300,150")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--masking", type=float, default=0.3)
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--in-memory", action="store_true")
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)

    dataset = datasets.MNIST(asked.data_root, train=True, transform=transforms.ToTensor())
    held_out = [int(line) for line in asked.held_out.read_text().split()]
    kept = sorted(set(range(len(dataset))) - set(held_out))
    training: Batches
    validation: Batches
    if asked.in_memory:
        images = (dataset.data.float() / 255).view(len(dataset), -1).to(asked.device)
        training = InMemory(images[kept], asked.batch_size, shuffle=True)
        validation = InMemory(images[held_out], 4096, shuffle=False)
    else:
        options = {"batch_size": asked.batch_size, "num_workers": asked.workers}
        training = DataLoader(Subset(dataset, kept), shuffle=True, **options)
        validation = DataLoader(Subset(dataset, held_out), shuffle=False, **options)

    sizes = [int(size) for size in asked.layers.split(",")]
    encoders: list[nn.Module] = []
    history = []
    for number, (n_visible, n_hidden) in enumerate(pairwise(sizes), start=1):
        autoencoder = Autoencoder(n_visible, n_hidden).to(asked.device)
        history += train_layer(number, autoencoder, encoders, training, validation, asked)
        if isinstance(training, InMemory) and isinstance(validation, InMemory):
            training, validation = training.encoded(autoencoder.encoder), validation.encoded(autoencoder.encoder)
        else:
            encoders.append(autoencoder.encoder)
        torch.save(autoencoder.state_dict(), asked.metrics.with_name(f"layer{number}.pt"))
    asked.metrics.write_text("".join(json.dumps(record) + "\n" for record in history))


if __name__ == "__main__":
    main()
