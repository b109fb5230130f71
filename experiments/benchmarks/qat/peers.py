"""The same steps in PyTorch: plain, with LSQ written out, and in Brevitas."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np


RATE = 1e-3
COLLECT = 300
"""Steps in which Brevitas collects statistics, with another and slower program."""


def pytorch(x: np.ndarray, labels: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    """Steps of the plain model and of LSQ by automatic differentiation (Esser et al., ICLR 2020, its pseudocode).

    Raises:
      ImportError: where torch is missing.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    nn, functional = torch.nn, torch.nn.functional

    class Lsq(nn.Module):
        def __init__(self, low: int, high: int):
            super().__init__()
            self.low, self.high = low, high
            self.step: Any = nn.Parameter(torch.tensor(0.0))
            self.started = False

        def forward(self, v: Any) -> Any:
            if not self.started:
                self.step.data = 2 * v.detach().abs().mean() / self.high**0.5
                self.started = True
            pace = (self.high * v.numel()) ** -0.5
            step = (self.step - self.step * pace).detach() + self.step * pace
            units = torch.clamp(v / step, self.low, self.high)
            return ((units.round() - units).detach() + units) * step

    class Layer(nn.Module):
        def __init__(self, inner: Any, inputs: Any):
            super().__init__()
            self.inner, self.weights, self.inputs = inner, Lsq(-8, 7), inputs

        def forward(self, v: Any) -> Any:
            w = self.weights(self.inner.weight)
            if isinstance(self.inner, nn.Conv2d):
                return functional.conv2d(self.inputs(v), w, self.inner.bias)
            return functional.linear(self.inputs(v), w, self.inner.bias)

    def quantized(inner: Any, place: int) -> Any:
        return Layer(inner, Lsq(0, 15) if place else Lsq(0, 255))

    def fixed(inner: Any, place: int) -> Any:
        made = quantized(inner, place)
        made.inputs.step.requires_grad_(place > 0)
        return made

    return {
        "float": step(torch, lenet(torch, lambda inner, _: inner), x, labels),
        "quantized": step(torch, lenet(torch, fixed), x, labels),
        "quantized, image step learned": step(torch, lenet(torch, quantized), x, labels),
    }


def lenet(torch: Any, wrap: Callable[[Any, int], Any]) -> Any:
    """LeNet-5 32C5-MP2-64C5-MP2-512-10 without padding, each layer wrapped."""
    nn = torch.nn
    return nn.Sequential(
        *(wrap(nn.Conv2d(1, 32, 5), 0), nn.ReLU(), nn.MaxPool2d(2)),
        *(wrap(nn.Conv2d(32, 64, 5), 1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(wrap(nn.Linear(1024, 512), 2), nn.ReLU(), wrap(nn.Linear(512, 10), 3)),
    )


def brevitas(x: np.ndarray, labels: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    """The quantized step alone: 4-bit weights and inputs, 8-bit images, past the collection of statistics; scales are learned.

    Raises:
      ImportError: where torch or brevitas is missing.
    """
    torch = importlib.import_module("torch")
    qnn: Any = importlib.import_module("brevitas.nn")
    torch.set_num_threads(threads)
    nn = torch.nn
    # Where imcjax has its input formats: after pooling. (Pooling first and ReLU then is the same function.)
    model = nn.Sequential(
        *(qnn.QuantIdentity(bit_width=8), qnn.QuantConv2d(1, 32, 5, weight_bit_width=4), nn.MaxPool2d(2)),
        *(qnn.QuantReLU(bit_width=4), qnn.QuantConv2d(32, 64, 5, weight_bit_width=4), nn.MaxPool2d(2)),
        *(qnn.QuantReLU(bit_width=4), nn.Flatten(), qnn.QuantLinear(1024, 512, bias=True, weight_bit_width=4)),
        *(qnn.QuantReLU(bit_width=4), qnn.QuantLinear(512, 10, bias=True, weight_bit_width=4)),
    )
    run = step(torch, model, x, labels)
    for _ in range(COLLECT + 10):
        run()
    return {"quantized, image step learned": run}


def step(torch: Any, model: Any, x: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    """A step of stochastic gradient descent; images arrive channels last and are put first here."""
    images, classes = torch.tensor(np.moveaxis(x, -1, 1)), torch.tensor(labels, dtype=torch.long)
    model(images)  # formats start from a batch, and their parameters exist from here on
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def run() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run
