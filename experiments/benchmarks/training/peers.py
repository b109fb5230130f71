"""The same training steps in PyTorch: plain, with the noise and converters of aihwkit and its lightning, and in Brevitas."""

import importlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np


LIGHTNING = "aihwkit-lightning"
RATE, WEIGHT_NOISE, ADC_RANGE, OUT_NOISE = 0.05, 0.05, 10.0, 0.04
"""As on the other side: of descent; relative to the largest weight; in largest products, the largest code and the noise."""


COLLECT = 5
"""Steps in which Brevitas collects statistics, with another and slower program."""


def torch_step(convolutions: bool, x: np.ndarray, y: np.ndarray, threads: int, convert: Any = None) -> Callable[[], Any]:
    """A step of the same network in PyTorch, or of what `convert` makes of it.

    Raises:
      ImportError: without torch.
    """
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = resnet20(torch) if convolutions else perceptron(torch)
    model = (model if convert is None else convert(model)).train()
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    inputs = torch.from_numpy(np.moveaxis(x, -1, 1).copy() if convolutions else x)
    labels = torch.from_numpy(y).long()

    def run() -> Any:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def perceptron(torch: Any) -> Any:
    """784-512-256-10, ReLU."""
    stages: list[Any] = []
    for n_in, n_out in itertools.pairwise((784, 512, 256, 10)):
        stages += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
    return torch.nn.Sequential(*stages[:-1])


def resnet20(torch: Any) -> Any:
    """`imcjax.models.ResNet` with three blocks a stage."""
    nn = torch.nn

    def conv(n_in: int, n_out: int, stride: int) -> Any:
        return nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)

    class Block(nn.Module):
        def __init__(self, n_in: int, n_out: int, stride: int):
            super().__init__()
            self.stride, self.more = stride, n_out - n_in
            self.conv1, self.norm1 = conv(n_in, n_out, stride), nn.BatchNorm2d(n_out)
            self.conv2, self.norm2 = conv(n_out, n_out, 1), nn.BatchNorm2d(n_out)

        def forward(self, x: Any) -> Any:
            y = self.norm2(self.conv2(nn.functional.relu(self.norm1(self.conv1(x)))))
            before = self.more // 2
            shortcut = nn.functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.more - before))
            return nn.functional.relu(y + shortcut)

    stages, n_in = [], 16
    for n_out in (16, 32, 64):
        for _ in range(3):
            stages.append(Block(n_in, n_out, 1 if n_in == n_out else 2))
            n_in = n_out
    first = (conv(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(*first, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def lightning_step(convolutions: bool, x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[], Any]:
    """The same on aihwkit-lightning, input ranges as large as the largest input, as on the other side.

    Raises:
      ImportError: where torch or aihwkit-lightning is missing.
    """
    conversion, configs = (
        importlib.import_module(f"aihwkit_lightning.{name}") for name in ("nn.conversion", "simulator.configs")
    )
    config = configs.TorchInferenceRPUConfig()
    config.forward.inp_res, config.forward.out_res = 1 / 254, 1 / 254
    config.forward.out_bound, config.forward.out_noise = ADC_RANGE, OUT_NOISE
    config.modifier.noise_type, config.modifier.std_dev = configs.WeightNoiseInjectionType.ADD_NORMAL, WEIGHT_NOISE
    config.mapping.max_input_size = 512
    config.pre_post.input_range.enable, config.pre_post.input_range.dynamic = True, True
    return torch_step(convolutions, x, y, threads, lambda model: conversion.convert_to_analog(model, config))


def aihwkit_step(convolutions: bool, x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[], Any]:
    """The same on aihwkit's torch tiles.

    Raises:
      ImportError: where torch or aihwkit is missing.
    """
    conversion, configs, utils = (
        importlib.import_module(f"aihwkit.{name}") for name in ("nn.conversion", "simulator.configs", "simulator.parameters")
    )
    config = configs.TorchInferenceRPUConfig()
    config.forward.inp_res, config.forward.out_res = 1 / 254, 1 / 254
    config.forward.out_bound, config.forward.out_noise = ADC_RANGE, OUT_NOISE
    config.modifier.type, config.modifier.std_dev = utils.enums.WeightModifierType.ADD_NORMAL, WEIGHT_NOISE
    config.mapping.weight_scaling_omega = 1.0
    config.forward.bound_management = utils.enums.BoundManagementType.NONE
    return torch_step(convolutions, x, y, threads, lambda model: conversion.convert_to_analog(model, config))


def brevitas_step(convolutions: bool, x: np.ndarray, y: np.ndarray, threads: int) -> Callable[[], Any]:
    """8-bit weights and inputs in Brevitas, which has neither noise nor arrays, past its collection of statistics.

    Raises:
      ImportError: where torch or brevitas is missing.
    """
    qnn, quant = (importlib.import_module(f"brevitas.{name}") for name in ("nn", "quant"))
    given = {"weight_bit_width": 8, "input_quant": quant.Int8ActPerTensorFloat, "input_collect_stats_steps": COLLECT}

    def quantized(module: Any) -> Any:
        for name, child in module.named_children():
            has_bias = getattr(child, "bias", None) is not None
            if type(child).__name__ == "Conv2d":
                sizes = (child.in_channels, child.out_channels, child.kernel_size, child.stride, child.padding)
                setattr(module, name, qnn.QuantConv2d(*sizes, bias=has_bias, **given))
            elif type(child).__name__ == "Linear":
                setattr(module, name, qnn.QuantLinear(child.in_features, child.out_features, bias=has_bias, **given))
            else:
                quantized(child)
        return module

    run = torch_step(convolutions, x, y, threads, quantized)
    for _ in range(COLLECT + 1):
        run()
    return run


PEERS: dict[str, Callable[[bool, np.ndarray, np.ndarray, int], Callable[[], Any]]] = {
    "plain PyTorch": torch_step,
    LIGHTNING: lightning_step,
    "aihwkit": aihwkit_step,
    "brevitas, no noise": brevitas_step,
}
