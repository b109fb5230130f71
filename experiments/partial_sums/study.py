"""One network at coarse partial sums: ranges found after training, weights and ranges trained, widths of ADCs learned."""

import dataclasses
import math
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.flatten_util import ravel_pytree

import imcjax
from imcjax import Hardware, data
from imcjax.codesign import SearchedAdc, conversion_energy
from imcjax.codesign.bitwidths import Sampled
from imcjax.codesign.constraints import augmented_lagrangian, given, keep_in_box
from imcjax.codesign.projection import project
from imcjax.converters import Adc, Dac, SenseAmplifier, Uniform
from imcjax.devices import Generic
from imcjax.files import read_json, write_json
from imcjax.mapping import Differential
from imcjax.models.pool import max_pool_2x2
from imcjax.nn import layers, matrices, operators
from imcjax.training import Options, by_kind, cross_entropy, fit


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Images and steps: `float_steps` without hardware, `start_steps` at lossless partial sums, `tune_steps` a design."""

    samples: int = 12_800
    test: int = 10_000
    batch: int = 64
    calibration: int = 256
    float_steps: int = 400
    start_steps: int = 150
    tune_steps: int = 150
    search_steps: int = 90
    levels: tuple[int, ...] = (2, 3, 4, 8, 16)


QUICK = Schedule(samples=3200, test=1000, float_steps=120, start_steps=30, tune_steps=30, search_steps=20)

CHIP = Hardware(
    name="partial_sums",
    rows=128,
    cols=128,
    encoding=Differential(weight_bits=4, cell_bits=3),
    dac=Dac(input_bits=4, bits=4),
    device=Generic(g_min=0.0, g_max=100e-6),
)
"""W4A4 with one slice of signed pairs and one input phase, so that a column's sum is the dot product itself."""

LEVELS = {2: SenseAmplifier(share=8.0), 3: Adc(bits=2), 4: Uniform(bits=2), 8: Uniform(bits=3), 16: Uniform(bits=4)}
LOSSLESS = Adc(bits=15)
SHARES = {"layer": "tensor", "column": "tile_column"}
SEARCH_BITS = (1.0, 6.0)
BUDGET_BITS = 3.0
"""The learned design may spend what this many bits everywhere take, the eight levels of the others."""
BITS_AT_START = 4.0
GROUP = 8
"""Columns that take turns at one ADC, and so have one width."""


class Net(nnx.Module):
    """16C5-MP2-32C5-MP2-128-10: LeNet-5 with fewer channels, whose matrices take 1, 4, 4 and 1 arrays of 128 rows."""

    def __init__(self, rngs: nnx.Rngs):
        self.conv1 = nnx.Conv(1, 16, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(16, 32, (5, 5), padding="VALID", rngs=rngs)
        self.hidden = nnx.Linear(512, 128, rngs=rngs)
        self.output = nnx.Linear(128, 10, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (batch, 10) of images (batch, 28, 28, 1)."""
        x = max_pool_2x2(jax.nn.relu(self.conv1(jnp.asarray(x))))
        x = max_pool_2x2(jax.nn.relu(self.conv2(x)))
        return self.output(jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1))))


@nnx.jit
def logits(model: Any, x: jax.Array) -> jax.Array:
    """Of a model on hardware, without noise."""
    return model(x)


class Study:
    """All designs of one seed; what is finished is on disk and not done again.

    Attributes:
      folder: for results and checkpoints.
      rows: a result for each finished design.
    """

    def __init__(self, mnist: data.Dataset, sizes: Schedule, seed: int, folder: Path):
        self.sizes, self.seed, self.folder = sizes, seed, folder / f"seed{seed}"
        self.x, self.y = mnist.train.x[: sizes.samples], mnist.train.y[: sizes.samples]
        self.test_x, self.test_y = mnist.test.x[: sizes.test], mnist.test.y[: sizes.test]
        self.rows: list[dict[str, Any]] = []

    def run(self, tell: Any) -> list[dict[str, Any]]:
        """Every design, one after another; `tell` is called with each row."""
        model = self._fit("float", Net(nnx.Rngs(self.seed)), self.sizes.float_steps, 2e-3)
        self._row(tell, {"method": "float"}, lambda: model)
        lossless = imcjax.convert(model, CHIP.replace(adc=LOSSLESS))
        imcjax.calibrate(lossless, [self.x[: self.sizes.calibration]], progress=False)
        _span_everything(lossless)
        start = self._fit("start", lossless, self.sizes.start_steps, 1e-3)
        self._row(tell, {"method": "lossless"}, lambda: start)
        self._row(tell, {"method": "lossless, trained on"}, lambda: self._fit("lossless", start, self.sizes.tune_steps, 5e-4))
        for share, per in SHARES.items():
            for levels in self.sizes.levels:
                facts = {"levels": levels, "ranges": share}
                calibrated = partial(self._calibrated, start, levels, per)
                self._row(tell, {"method": "calibrated", **facts}, calibrated)
                self._row(tell, {"method": "trained", **facts}, partial(self._tuned, f"{levels}-{share}", calibrated))
        self._row(tell, {"method": "learned bits", "ranges": "column"}, lambda: self._learned(start))
        return self.rows

    def _calibrated(self, start: Any, levels: int, per: str) -> tuple[Any, dict[str, Any]]:
        model = self._on(start, LEVELS[levels], per)
        return model, {"energy_j": self._joules(model, math.ceil(math.log2(levels)))}

    def _tuned(self, name: str, calibrated: Any) -> tuple[Any, dict[str, Any]]:
        model, facts = calibrated()
        return self._fit(name, model, self.sizes.tune_steps, 1e-3, ("weights", "adc_range")), facts

    def _fit(
        self, name: str, model: Any, steps: int, rate: float, learn: tuple[str, ...] = ("weights",), bits: Any = None
    ) -> Any:
        optimizer = by_kind(optax.adam(optax.cosine_decay_schedule(rate, steps)), ranges=optax.adam(1e-2), bits=bits)
        sizes, folder = self.sizes, self.folder / name
        options = Options(learn=learn)
        found = fit(
            model, self.x, self.y, optimizer=optimizer, steps=steps, batch=sizes.batch, options=options, seed=self.seed,
            folder=folder, progress=False,
        )  # fmt: skip
        for operator in operators(found.model).values():
            operator.noise = nnx.data(None)
        return found.model

    def _on(self, start: Any, adc: Any, per: str) -> Any:
        """The start's weights behind another ADC, its ranges those of least squared error."""
        model = nnx.clone(start)
        hooks = operators(model)
        next(iter(hooks.values())).hardware.set_value(CHIP.replace(adc=adc))
        found = layers(model)
        for path, operator in hooks.items():
            groups = -(-matrices(found[path]).shape[-1] // GROUP)
            searched = isinstance(adc, SearchedAdc)
            operator.adc_bits.set_value(jnp.full(groups, BITS_AT_START) if searched else jnp.asarray(float(adc.bits)))
            operator.adc_range = nnx.data(None)
        imcjax.calibrate(model, [self.x[: self.sizes.calibration]], rule="csnr", per=per, progress=False)
        return model

    def _learned(self, start: Any) -> tuple[Any, dict[str, Any]]:
        """A width for every group of columns under a bound on the energy of conversions, made whole within it, and tuned."""
        sizes, (low, high) = self.sizes, SEARCH_BITS
        model = self._on(start, SearchedAdc(int(high), Sampled()), SHARES["column"])
        energy = conversion_energy(model, self.x[:8])
        budget = self._joules(model, BUDGET_BITS)
        spent = jax.jit(energy)
        bound = given(augmented_lagrangian(energy, rho=4.0, every=5), budget=budget)
        moves = optax.chain(bound, optax.adam(0.06), keep_in_box(low, high))
        searched = self._fit("search", model, sizes.search_steps, 1e-3, ("weights", "adc_range", "adc_bits"), moves)
        flat, placed = ravel_pytree(nnx.as_pure(nnx.state(searched, _is_width)))
        real = {path: _listed(hook.adc_bits, 2) for path, hook in operators(searched).items()}

        def losses(designs: np.ndarray) -> np.ndarray:
            found = []
            for bits in designs:
                nnx.update(searched, placed(jnp.asarray(bits, flat.dtype)))
                found.append(float(cross_entropy(logits(searched, jnp.asarray(self.x[:256])), jnp.asarray(self.y[:256]))))
            return np.array(found)

        def costs(designs: np.ndarray) -> np.ndarray:
            return np.array([float(spent(placed(jnp.asarray(bits, flat.dtype)))) for bits in designs])

        lowest, highest = np.full(flat.shape, low), np.full(flat.shape, high)
        bits = project(np.asarray(flat), lowest, highest, costs, losses, budget, exchanges=0)
        nnx.update(searched, placed(jnp.asarray(bits, flat.dtype)))
        next(iter(operators(searched).values())).hardware.set_value(CHIP.replace(adc=SearchedAdc(int(high))))
        tuned = self._fit("tune", searched, sizes.tune_steps - sizes.search_steps, 1e-3, ("weights", "adc_range"))
        found = {path: _listed(hook.adc_bits, 0) for path, hook in operators(tuned).items()}
        return tuned, {"bits": found, "searched": real, "energy_j": float(costs(bits[None])[0]), "budget_j": budget}

    def _joules(self, model: Any, bits: float) -> float:
        """What all conversions of an image take at one width."""
        energy = conversion_energy(model, self.x[:8])
        return float(energy(jax.tree.map(lambda leaf: jnp.full_like(leaf, bits), nnx.state(model, _is_width))))

    def _row(self, tell: Any, facts: dict[str, Any], make: Any) -> None:
        words = [str(facts[name]) for name in ("method", "levels", "ranges") if name in facts]
        path = self.folder / f"{'-'.join(words).replace(' ', '_')}.json"
        if not path.exists():
            began = time.perf_counter()
            made = make()
            model, more = made if isinstance(made, tuple) else (made, {})
            spent = time.perf_counter() - began
            row = {"seed": self.seed, **facts, **more, "test": self._accuracy(model), "seconds": round(spent, 1)}
            write_json(path, row)
        self.rows.append(read_json(path))
        tell(self.rows[-1])

    def _accuracy(self, model: Any, batch: int = 500) -> float:
        model.eval()
        parts = [logits(model, jnp.asarray(self.test_x[i : i + batch])) for i in range(0, len(self.test_x), batch)]
        return float(np.mean(np.argmax(np.concatenate(parts), axis=1) == self.test_y))


def _is_width(path: Any, leaf: Any) -> bool:
    del leaf
    return path[-1] == "adc_bits"


def _listed(variable: Any, digits: int) -> list[float]:
    return [round(float(b), digits) for b in variable.get_value()]


def _span_everything(model: Any) -> None:
    """ADC ranges over all that can arrive, with the unit of a digit as step: nothing is lost."""
    for operator in operators(model).values():
        operator.adc_range = nnx.data(None)
