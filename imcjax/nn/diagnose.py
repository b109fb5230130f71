"""diagnose: which effect of the hardware costs how much, layer by layer and over the whole model."""

import dataclasses
import io
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from imcjax import conversion, layout, pipeline
from imcjax.converters import Adc
from imcjax.devices import Generic
from imcjax.errors import UserError
from imcjax.hardware import Hardware
from imcjax.keys import fold_name
from imcjax.mapping import Differential
from imcjax.nn.calibrate import set_ranges
from imcjax.nn.direct import perfect_device
from imcjax.nn.hooks import hook_name, layers, matrices, members, operators, placed, together
from imcjax.nn.operator import Operator
from imcjax.nn.recording import Recorded, record_inputs
from imcjax.nn.variables import HardwareVariable, Noise
from imcjax.pytree import replace
from imcjax.quantize import largest_code
from imcjax.readout import Current
from imcjax.settings import Settings, complete


@dataclasses.dataclass(frozen=True)
class LayerDiagnosis:
    """One layer on hardware by itself, on the inputs that it has in the digital model.

    Attributes:
      path: where it is in the model.
      snr_db: its exact products over what the hardware adds to them, as powers, dB.
      clip_rate: part of the ADC's conversions that are beyond its range; None without an ADC.
      codes_used: part of the ADC's codes that any conversion of the batch gives; None without an ADC.
    """

    path: str
    snr_db: float
    clip_rate: float | None
    codes_used: float | None


@dataclasses.dataclass(frozen=True)
class EffectDiagnosis:
    """The whole model without one effect.

    Attributes:
      name: of the effect.
      score: of the model when this effect alone is switched off, in all layers.
      gain: by how much that is better than with all effects.
    """

    name: str
    score: float
    gain: float


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What the hardware does to a model.

    Attributes:
      metric: what scores are: "accuracy", or "output SNR, dB" against the digital model.
      digital: score without hardware.
      hardware: score with all effects.
      layers: each by itself.
      effects: those that are present, the costliest first.
    """

    metric: str
    digital: float
    hardware: float
    layers: list[LayerDiagnosis]
    effects: list[EffectDiagnosis]

    def __str__(self) -> str:
        console = Console(width=100, file=io.StringIO(), record=True)
        table = Table(title="Layers by themselves")
        for title in ("layer", "SNR, dB", "ADC clips", "ADC codes used"):
            table.add_column(title)
        for layer in self.layers:
            shares = ("-" if share is None else f"{share:.2%}" for share in (layer.clip_rate, layer.codes_used))
            table.add_row(layer.path or "(the model)", f"{layer.snr_db:.1f}", *shares)
        console.print(table)
        console.print(
            f"{self.metric}: {self.text(self.digital)} digital, {self.text(self.hardware)} on hardware", highlight=False
        )
        table = Table()
        for title in ("without", self.metric, "gain"):
            table.add_column(title)
        for effect in self.effects:
            table.add_row(effect.name, self.text(effect.score), self.text(effect.gain, sign="+"))
        console.print(table)
        return console.export_text()

    def text(self, score: float, sign: str = "") -> str:
        """A score as a person reads it."""
        return f"{score:{sign}.2%}" if self.metric == "accuracy" else f"{score:{sign}.1f}"

    def plot(self) -> Figure:
        """The same as a picture."""
        from imcjax.report.diagnosis_plot import diagnosis_plot  # slow to import

        return diagnosis_plot(self)


def diagnose(model: Any, batch: Any, labels: Any = None, *, key: jax.Array | None = None) -> Diagnosis:
    """What each layer makes of its inputs, and what the whole model gains when each effect alone is switched off.

    An effect is switched off in all layers; ADC ranges that calibration has set are found anew, on this batch, where the effect
    changes what arrives at the ADCs (wires, readout, quantization of inputs and weights). Gains need not add up.

    Args:
      model: a converted model; call its `eval()` first where that matters.
      batch: inputs of the model.
      labels: (batch,) classes; without them the score is the outputs' signal-to-noise ratio against the digital model.
      key: of the chip and its reads, the same in all comparisons; None: the noise-free mean chip.

    Raises:
      UserError: a model without layers on hardware, labels that do not fit the outputs, inputs that are not finite.
    """
    seen = record_inputs(model, [batch])
    batch = jnp.asarray(batch)
    exact = np.asarray(_outputs(_digitally(model), batch))
    if labels is not None and exact.shape[:-1] != np.shape(labels):
        raise UserError(f"labels have shape {np.shape(labels)}, the model's outputs {exact.shape}; give one class an input.")

    def score(variant: Any) -> float:
        outputs = np.asarray(_outputs(_keyed(variant, key), batch))
        return _snr_db(exact, outputs) if labels is None else float(np.mean(outputs.argmax(-1) == np.asarray(labels)))

    all_effects = score(model)
    digital = float("inf") if labels is None else float(np.mean(exact.argmax(-1) == np.asarray(labels)))
    effects = []
    for name, off in EFFECTS.items():
        variant = _without(model, off, seen)
        if variant is not None:
            found = score(variant)
            effects.append(EffectDiagnosis(name, found, found - all_effects))
    found_layers = layers(model)
    rows = [_layer(path, op, found_layers[path], seen[path], key) for path, op in operators(model).items()]
    metric = "output SNR, dB" if labels is None else "accuracy"
    return Diagnosis(metric, digital, all_effects, rows, sorted(effects, key=lambda effect: -effect.gain))


def _adc(hardware: Hardware) -> Hardware | None:
    return None if hardware.adc.bits is None else hardware.replace(adc=Adc())


def _inputs(hardware: Hardware) -> Hardware | None:
    dac = hardware.dac
    if dac.input_bits is None or dac.kind != "sign_magnitude":
        return None
    return hardware.replace(dac=dac.replace(input_bits=None, signs="sign_magnitude", flaws=None), accumulation="digital")


def _weights(hardware: Hardware) -> Hardware | None:
    encoding = hardware.encoding
    if encoding.weight_bits is None or not isinstance(encoding, Differential):
        return None
    return hardware.replace(encoding=replace(encoding, weight_bits=None))


def _device(hardware: Hardware) -> Hardware | None:
    if perfect_device(hardware.device):
        return None
    return hardware.replace(device=Generic(g_min=hardware.device.g_min, g_max=hardware.device.g_max))


def _wires(hardware: Hardware) -> Hardware | None:
    return None if hardware.wires is None else hardware.replace(wires=None)


def _readout(hardware: Hardware) -> Hardware | None:
    return None if hardware.readout.kind == "current" else hardware.replace(readout=Current())


EFFECTS: dict[str, Callable[[Hardware], Hardware | None]] = {
    "ADC": _adc,
    "input quantization and DAC": _inputs,
    "weight quantization": _weights,
    "device errors": _device,
    "wires": _wires,
    "readout": _readout,
}
"""Name -> the hardware without the effect, or None where the effect is absent or cannot be taken away by itself.

Weights are continuous in differential pairs only, inputs behind sign-and-magnitude DACs only.
"""
_REFOUND = (_inputs, _weights, _wires, _readout)


def _without(model: Any, off: Callable[[Hardware], Hardware | None], seen: dict[str, Recorded]) -> Any:
    """The model without an effect; None where no layer has it."""
    variant, changed = nnx.clone(model), False
    for path, module in placed(variant).items():
        operator: Operator = getattr(module, hook_name(module))
        inside = [getattr(layer, hook_name(layer)).technology for _, layer in members(path, module)]
        without = [off(hardware) for hardware in inside]
        if without[0] is None:
            continue
        changed = True
        operator.hardware = HardwareVariable(together(operator.stack, without))
        if off is _adc:
            operator.adc_bits = nnx.data(None)
            operator.adc_range = nnx.data(None)
        if off is _inputs:
            operator.input_bits = nnx.data(None)
            operator.phases = None
        if off is _weights:
            operator.weight_bits = nnx.data(None)
            operator.slices = None
    ranged = [getattr(module, hook_name(module)).adc_range for module in placed(variant).values()]
    if changed and off in _REFOUND and any(value is not None for value in ranged):
        set_ranges(variant, seen, names=("adc_range",))
    return variant if changed else None


def _keyed(model: Any, key: jax.Array | None) -> Any:
    """The model with all of its layers drawing from `key`."""
    keyed = nnx.clone(model)
    for module in placed(keyed).values():
        operator: Operator = getattr(module, hook_name(module))
        noise = key
        if key is not None and operator.stack:
            noise = jax.random.split(fold_name(key, "member"), operator.stack)
        operator.noise = nnx.data(None if noise is None else Noise(noise))
        operator.calls.set_value(jnp.zeros(operator.stack, jnp.uint32))
    return keyed


def _digitally(model: Any) -> Any:
    """The model with exact products in place of its operators."""
    copy = nnx.clone(model)
    for module in placed(copy).values():
        setattr(module, hook_name(module), nnx.static(getattr(module, hook_name(module)).exactly))
    return copy


def _outputs(model: Any, batch: jax.Array) -> jax.Array:
    graph, state = nnx.split(model)
    return jax.jit(lambda state, x: nnx.merge(graph, state, copy=True)(x))(state, batch)


def _layer(path: str, operator: Operator, layer: Any, seen: Recorded, key: jax.Array | None) -> LayerDiagnosis:
    """SNR, clip rate and codes of one layer; groups are taken together."""
    weights, x = matrices(layer), jnp.asarray(seen.inputs)
    hardware, settings = operator.technology, operator.settings()
    exact = np.asarray(jnp.einsum("sgi,gio->sgo", x, weights, precision=jax.lax.Precision.HIGHEST))

    @jax.jit
    def run(w: jax.Array, x: jax.Array) -> Any:
        settled = operator.settle(w, key)

        def one(settled: Any, x: jax.Array) -> tuple[jax.Array, Any]:
            y = pipeline.multiply(settled, x, hardware, settings, key=fold_name(key, "adc"))
            return y, _conversions(settled, x, hardware, complete(settings, hardware))

        return jax.vmap(one, in_axes=(0, 1), out_axes=(1, 0))(settled, x)

    y, converted = jax.device_get(run(weights, x))
    clip = used = None
    if converted is not None:
        level, clips, step, in_use = converted
        codes = np.round(level / np.where(step > 0, step, 1))[in_use > 0]
        whole = complete(settings, hardware)
        clip, used = float(clips[in_use > 0].mean()), len(np.unique(codes)) / (2 ** round(float(whole.adc_bits)) - 1)
    return LayerDiagnosis(path, _snr_db(exact, y), clip, used)


def _conversions(
    settled: pipeline.Settled, x: Float[Array, "B n_in"], hardware: Hardware, settings: Settings
) -> tuple[jax.Array, ...] | None:
    """What nominal ADCs report, whether it is beyond their range, their LSB, and whether the digits are in use."""
    if settings.adc_bits is None:
        return None
    currents, _, _, place = pipeline.column_currents(settled, x, hardware, settings)  # (K, T, P, B, S, N)
    tiling = layout.tiling((settled.n_in, settled.n_out), hardware)
    rows = tiling.tile_rows * hardware.encoding.rows_per_input
    unit = 1.0 if hardware.readout.unit == "V" else conversion.unit_current(hardware)
    levels = currents / unit
    given = settings.adc_range
    limit = conversion.full_scale_levels(hardware, settings, rows) if given is None else given / unit
    if jnp.ndim(limit) == 5 and limit.shape[0] > 1:  # ranges of tiles are the same for all copies of the layer
        limit = jnp.concatenate([limit] * (currents.shape[1] // tiling.row_tiles))
    signed = conversion.signed_currents(hardware, settings)
    reported = conversion.convert(currents, hardware, settings, tiling)
    beyond = (jnp.abs(levels) > limit * (1 + 1e-6)) if signed else ((levels > limit * (1 + 1e-6)) | (levels < 0))
    top = largest_code(jnp.round(settings.adc_bits), signed=True)
    top = jnp.where(top < 1, 1, top)  # one bit: two levels at the ends of the range
    step = jnp.broadcast_to(limit / top * (1.0 if signed else 0.5), levels.shape)
    in_use = (place > 0)[:, None, None, None] & (settled.slice_weights > 0)[:, None]
    return reported, beyond, step, jnp.broadcast_to(in_use, levels.shape)


def _snr_db(exact: np.ndarray, found: np.ndarray) -> float:
    """Power of the exact values over that of the errors, dB."""
    exact, found = np.asarray(exact, float), np.asarray(found, float)
    error = np.mean((found - exact) ** 2)
    return float(10 * np.log10(np.mean(exact**2) / error)) if error > 0 else float("inf")
