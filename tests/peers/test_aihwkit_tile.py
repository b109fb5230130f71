"""IBM aihwkit's torch tile, without noise: outputs and input gradients of its converters and input scales."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, Settings, mvm
from imcjax.converters import Adc, Dac
from imcjax.devices import Generic


G_MAX, V_READ = 1e-4, 0.2
UNIT = G_MAX * V_READ  # ampere, of weight one (the largest) and input one

SCALES = {
    "none": lambda x: jnp.ones((len(x), 1)),
    "abs max": lambda x: jnp.max(jnp.abs(x), 1, keepdims=True),
    "constant": lambda x: jnp.full((len(x), 1), 2.0),
    "saturated": lambda x: jnp.minimum(jnp.max(jnp.abs(x), 1, keepdims=True), 1.0),
    "max": lambda x: jnp.max(x, 1, keepdims=True),
}
CASES = {
    # scale of inputs, input bits, output bits, output bound
    "A": ("none", 8, 8, 10.0),
    "B": ("abs max", 8, 8, 10.0),
    "C": ("abs max", 8, 8, 2.0),
    "D": ("constant", 8, 8, 10.0),
    "E": ("saturated", 8, 8, 10.0),
    "F": ("abs max", 4, 6, 5.0),
    "G": ("max", 8, 8, 10.0),
    "H": ("none", None, 24, 3.0),  # they do not round; these steps are too small to see
}


@functools.partial(jax.jit, static_argnames=("scale", "input_bits", "output_bits"))
def tile(x, w, bound, factor, *, scale, input_bits, output_bits):
    """Outputs, and the gradient of sum(y * linspace(-1, 1)) to the inputs."""
    hardware = Hardware(
        dac=Dac(input_bits=input_bits, bits=(input_bits or 2) - 1, v_read=V_READ),
        device=Generic(g_min=0.0, g_max=G_MAX),
        adc=Adc(bits=output_bits),
    )

    def loss(x):
        alpha = factor * SCALES[scale](x)
        largest = jnp.max(jnp.abs(w))
        settings = Settings(weight_range=largest, input_range=alpha, adc_range=bound / largest * UNIT)
        y = mvm(x, w, hardware, settings)
        return jnp.sum(y * jnp.linspace(-1, 1, y.shape[1])), y

    (_, y), slope = jax.value_and_grad(loss, has_aux=True)(x)
    return y, slope


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_agree(reference_dir, case):
    with np.load(reference_dir / "aihwkit_tile_torch.npz", allow_pickle=False) as file:
        reference = dict(file)
    w, x = reference["W"].T.astype(float), reference["X"].astype(float)
    scale, input_bits, output_bits, bound = CASES[case]
    with jax.enable_x64(True):
        run = functools.partial(tile, x, w, bound, scale=scale, input_bits=input_bits, output_bits=output_bits)
        factor = 1.0
        y, slope = run(factor)
        # Case C: their bound management doubles one factor for all rows until nothing clips.
        alpha = np.asarray(SCALES[scale](x))
        while case == "C" and (np.abs(y) >= factor * alpha * bound * (1 - 1e-9)).any():
            factor *= 2
            y, slope = run(factor)
        y, slope = np.asarray(y), np.asarray(slope)
    name = next(name for name in reference if name.startswith(f"{case}_")).rpartition("_")[0]
    theirs, their_slope = reference[f"{name}_y"], reference[f"{name}_gx"]
    output_step = bound / (2 ** (output_bits - 1) - 1)
    assert np.abs(y - theirs).max() < max(1e-4 * output_step, 1e-5) * factor * alpha.max()
    # They clip what is rounded, we round what is clipped: half a step beyond a range their slope is one, ours is zero.
    input_step = 0 if input_bits is None else 1 / (2 ** (input_bits - 1) - 1)
    scaled = x / (factor * alpha)
    sent = np.clip(scaled if input_bits is None else np.round(scaled / input_step) * input_step, -1, 1)
    beyond = [np.abs(scaled) - 1, np.abs(sent @ w) - bound]
    between = [((excess > 0) & (excess <= step / 2)).any(1) for excess, step in zip(beyond, (input_step, output_step))]
    rows = ~(between[0] | between[1])
    assert rows.sum() >= 12
    np.testing.assert_allclose(slope[rows], their_slope[rows], atol=1e-5 * np.abs(their_slope).max())
