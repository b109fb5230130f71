"""The ADC models against their formulas written out again with NumPy, and against each other."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import adc
from imcjax.technology import Technology


COLUMN = adc.Column(128, 9.88e-5, 0.55)
MODELS = [
    adc.Survey(),
    adc.Zigzag28(),
    adc.NeurosimSar(),
    adc.NeurosimFlash(),
    adc.Isaac(),
    adc.Walden(2e-14),
    adc.Schreier(165.0),
]


def regression(bits: int, rate: float, node_nm: float) -> tuple[float, float]:
    """(pJ, um^2) of the plug-in, from its published coefficients."""
    merit = min(213.7806687348118 - 2.8719030399529957 * math.log(rate), 128.3068287398817 + 3.2205115110 * bits)
    joule = 0.5 * 10 ** ((6.0206 * bits + 1.7609 - merit) / 10)
    pj = joule * math.exp(26.0496215686518 - 1.4702022133784405) * node_nm**1.8800369206815004 * bits**-2.8291256050594527
    um2 = math.exp(1.3461916439910742) * node_nm**0.9932794744745022 * rate**0.18071538424508238 * pj**0.29912426192653485
    return pj, um2


def test_the_survey_is_the_plug_ins_at_whole_bits_and_close_to_it_between():
    bits, rates, nodes = np.arange(4, 13), [1e6, 1e8, 1e9, 1e10], [7, 22, 65]
    for hard, limit, area_limit in ((True, 2e-5, 2e-5), (False, 0.04, 0.013)):
        at = jax.jit(
            jax.vmap(
                lambda b, f, t, hard=hard: jnp.stack(
                    [
                        adc.Survey(rate_hz=f).energy_j(b, Technology(node_m=t), hard=hard) * 1e12,
                        adc.Survey(rate_hz=f).area_m2(b, Technology(node_m=t), hard=hard) * 1e12,
                    ]
                )
            )
        )
        b, f, t = (x.ravel() for x in np.meshgrid(bits, rates, nodes, indexing="ij"))
        found = np.asarray(at(b.astype(float), f, t * 1e-9))
        wanted = np.array([regression(int(x), y, z) for x, y, z in zip(b, f, t)])
        error = np.abs(found / wanted - 1).max(0)
        assert error[0] < limit
        assert error[1] < area_limit


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.kind)
def test_energy_rises_with_every_fraction_of_a_bit_and_slopes_are_those_of_differences(model):
    with jax.enable_x64(True):
        b = jnp.linspace(1.0, 14.0, 105)
        log_energy = jax.jit(jax.vmap(lambda x: jnp.log(model.energy_j(x, Technology(node_m=22e-9, supply_v=0.8), COLUMN))))
        slope = np.asarray(jax.jit(jax.vmap(jax.grad(lambda x: log_energy(x[None])[0])))(b))
        assert (slope > 0).all()
        differences = (np.asarray(log_energy(b + 1e-6)) - np.asarray(log_energy(b - 1e-6))) / 2e-6
        corner = np.isin(np.asarray(b), [4.0])  # the survey has a kink of the second derivative there
        np.testing.assert_allclose(slope[~corner], differences[~corner], rtol=1e-4, atol=1e-7)


def test_soft_and_hard_agree_at_whole_bits_where_the_model_has_no_corner():
    for model in MODELS[1:]:
        energy = jax.jit(
            lambda b, m=model: (m.energy_j(b, Technology(), COLUMN, hard=True), m.energy_j(b, Technology(), COLUMN))
        )
        (hard, soft), (rounded, _) = energy(6.0), energy(6.3)
        assert float(hard) == float(soft) == float(rounded)


def test_neurosims_sar_is_its_power_times_its_time():
    # 22 nm: (0.538 b + 4.3753) uW and 0.072341 / R' W for b + 1 ns
    siemens = 0.18 * 128 * (0.5 / 125e3 + 0.5 / 1.725e6)
    for b in (5, 8):
        watt = (0.538 * b + 4.3753) * 1e-6 + 0.072341 * siemens * 1.1
        found = adc.NeurosimSar().energy_j(b, Technology(node_m=22e-9), adc.Column(128, siemens, 0.55))
        assert float(found) == pytest.approx(watt * (b + 1) * 1e-9, rel=1e-3)  # k = 2.303, not ln 10
    without = jax.value_and_grad(lambda s: adc.NeurosimSar().energy_j(5.0, Technology(node_m=22e-9), adc.Column(128, s, 0.55)))
    assert all(np.isfinite(float(x)) for x in without(0.0))


def test_lines_grow_as_their_names_say():
    for model, factor in ((adc.Walden(1e-14), 2.0), (adc.Schreier(160.0), 10**0.60206)):
        ratio = model.energy_j(9.0, Technology()) / model.energy_j(8.0, Technology())
        assert float(ratio) == pytest.approx(factor, rel=1e-4)
    assert float(adc.SenseAmplifier(3e-15).energy_j(1.0, Technology())) == pytest.approx(3e-15)


def test_isaac_at_its_own_point():
    tech = Technology(node_m=32e-9)
    assert float(adc.Isaac().energy_j(8, tech)) == pytest.approx(2e-3 / 1.2e9, rel=5e-3)
    assert float(adc.Isaac().area_m2(8, tech)) == pytest.approx(1200e-12, rel=5e-3)
    assert float(adc.Isaac().time_s(8, tech)) == pytest.approx(1 / 1.2e9, rel=1e-5)


def test_beyond_its_range_a_model_refuses_or_says_so():
    with pytest.raises(UserError, match=r"adc cost survey: rate_hz is 2e\+10 Hz, its range is 1000 to 1e\+10 Hz; stay inside"):
        adc.check(adc.Survey(rate_hz=2e10), 6, Technology())
    with pytest.raises(UserError, match=r"neurosim_flash: bits is 9 bits, its range is 1 to 8"):
        adc.check(adc.NeurosimFlash(), 9, Technology())
    (said,) = adc.check(adc.NeurosimFlash(), 9, Technology(), extrapolate=True)
    assert "bits is 9" in said
    assert adc.check(adc.Survey(), 6, Technology(node_m=7e-9)) == ()
    with pytest.raises(UserError, match=r"energy_scale is -1"):
        adc.check(adc.Survey(energy_scale=-1.0), 6, Technology())
    with pytest.raises(UserError, match=r"is a float; give one of imcjax\.cost\.adc's Isaac"):
        adc.check(1.0, 6, Technology())
