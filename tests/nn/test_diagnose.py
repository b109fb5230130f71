"""diagnose: numbers that NumPy finds too, and the effect that was put in is the one that is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import UserError, devices
from imcjax.crossbar import Wires
from imcjax.nn.operator import Operator
from imcjax.report.style import png

from .example import QUANTIZED, data, net, run


X = data(64, 10)


def effects(found):
    return {effect.name: effect for effect in found.effects}


def test_layer_figures_are_those_of_numpy():
    layer = nnx.Linear(10, 4, use_bias=False, rngs=nnx.Rngs(0))
    hardware = QUANTIZED.replace(rows=16, adc=QUANTIZED.adc.replace(bits=4))
    model = imcjax.convert(layer, hardware)
    imcjax.calibrate(model, [X])
    operator = model.dot_general
    assert isinstance(operator, Operator)
    operator.set_range("adc_range", 0.5 * operator.adc_range.get_value())  # so that many clip
    found = imcjax.diagnose(model, X)
    exact, y = X @ np.asarray(layer.kernel.get_value()), np.asarray(run(model, X))
    assert found.layers[0].snr_db == pytest.approx(10 * np.log10(np.sum(exact**2) / np.sum((y - exact) ** 2)), abs=0.01)
    assert found.hardware == pytest.approx(found.layers[0].snr_db, abs=0.01)
    # From the codes of weights and inputs: digits, sums of products, one ADC a slice and phase.
    settings = operator.settings()
    codes = [
        np.round(np.clip(np.asarray(a) / float(limit), -1, 1) * 31)
        for a, limit in ((X, settings.input_range), (layer.kernel.get_value(), settings.weight_range))
    ]
    digits = [
        [np.sign(c) * (np.abs(c) // base**k % base) for k in range(count)]
        for c, base, count in ((codes[0], 8, 2), (codes[1], 4, 3))
    ]
    level = 39e-6 / 3 * 0.2 / 7
    limits = np.asarray(settings.adc_range)[:, 0]
    sums = np.stack([[p @ s * level / limits[i] for i, s in enumerate(digits[1])] for p in digits[0]])
    assert 0.05 < np.mean(np.abs(sums) > 1) < 0.95
    assert found.layers[0].clip_rate == pytest.approx(np.mean(np.abs(sums) > 1), abs=0.002)
    used = len(np.unique(np.round(np.clip(sums, -1, 1) * 7)))
    assert found.layers[0].codes_used == pytest.approx(used / 15)
    assert "ADC codes used" in str(found)
    assert png(found.plot()).startswith(b"\x89PNG")


HARMFUL = {
    "device errors": QUANTIZED.replace(device=devices.Generic(1e-6, 40e-6, program_sigma=0.15)),
    "wires": QUANTIZED.replace(wires=Wires(900.0, 900.0, 900.0, 900.0), solver="pade"),
    "ADC": QUANTIZED.replace(adc=QUANTIZED.adc.replace(bits=3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HARMFUL)
def test_the_worst_effect_is_found(name):
    model = imcjax.convert(net(), HARMFUL[name])
    imcjax.calibrate(model, [X])
    labels = np.asarray(net()(X)).argmax(-1)
    found = imcjax.diagnose(model, X, key=jax.random.key(0))
    assert found.effects[0].name == name
    assert found.effects[0].gain > 6
    assert ("wires" in effects(found)) == (name == "wires")
    if name == "ADC":
        scored = imcjax.diagnose(model, X, labels, key=jax.random.key(0))
        assert (scored.metric, scored.digital) == ("accuracy", 1.0)
        assert scored.hardware < effects(scored)["ADC"].score
        for text in ("ADC codes used", "without", "accuracy: 100.00% digital", "first", "weight quantization"):
            assert text in str(scored)
        assert png(scored.plot()) != png(found.plot())


@pytest.mark.slow
def test_switching_off_everything_but_one_gives_the_digital_model():
    model = imcjax.convert(net(), imcjax.Hardware.ideal().replace(wires=Wires(50.0, 50.0, 50.0, 50.0), solver="pade"))
    found = imcjax.diagnose(model, X)
    assert effects(found)["wires"].score > 80 > 40 > found.hardware
    assert found.layers[0].clip_rate is None
    assert "-" in str(found)


def test_wrong_input():
    with pytest.raises(UserError, match="no layer on hardware"):
        imcjax.diagnose(net(), X)
    with pytest.raises(UserError, match=r"labels have shape \(3,\)"):
        imcjax.diagnose(imcjax.convert(net(), QUANTIZED), X, jnp.zeros(3))
