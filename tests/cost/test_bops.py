"""BOPs, the hardware-aware complexity metric and memory against counts by hand; their slopes; shapes that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import Work, bops, hcm, memory


LENET = (
    Work("conv1", 25, 32, positions=24 * 24),
    Work("conv2", 25 * 32, 64, positions=8 * 8),
    Work("hidden", 1024, 512),
    Work("output", 512, 10),
)
SMALL = Work("small", 3, 4, groups=2, positions=5)


@jax.jit
def relative(weights, inputs):
    return bops.relative_bops(LENET, list(weights), list(inputs))


def test_lenet5_has_the_multiplications_on_which_studies_agree():
    each = [bops.multiplications(work) for work in LENET]
    assert each == [460_800, 3_276_800, 524_288, 5_120]
    assert sum(each) == 4_267_008


@pytest.mark.parametrize(
    "weight, inputs, image, percent",
    [
        (8, 8, 8, 6.2500),
        (4, 4, 4, 1.5625),
        (2, 4, 4, 0.7812),
        (2, 2, 2, 0.3906),
        (1, 2, 2, 0.1953),
        (1, 1, 1, 0.0977),
        # with the image counted as 8 bits
        (2, 2, 8, 0.5172),
        (4, 4, 8, 1.7312),
        (2, 8, 8, 1.5625),
        (2, 32, 8, 5.7438),
    ],
)
def test_relative_bops_of_uniform_lenet5(weight, inputs, image, percent):
    found = 100 * float(relative(jnp.full(4, float(weight)), jnp.array([image, inputs, inputs, inputs], float)))
    assert found == pytest.approx(percent, abs=6e-5)
    exact = np.array([460_800, 3_276_800, 524_288, 5_120]) @ (weight * np.array([image, inputs, inputs, inputs]))
    assert found == pytest.approx(100 * exact / (1024 * 4_267_008), rel=1e-6)


@pytest.mark.parametrize(
    "weights, inputs",
    [((), ()), ((4,), ()), ((3, 4), (3,)), ((2, 3, 4), (2, 3)), ((2, 1, 4), (2, 1)), ((1,), (3,)), ((3, 1), ())],
)
def test_every_shape_of_widths_counts_each_multiplication_once(weights, inputs):
    rng = np.random.default_rng(0)
    w, a = rng.integers(0, 9, weights).astype(float), rng.integers(0, 9, inputs).astype(float)
    whole_w, whole_a = np.broadcast_to(w, (2, 3, 4)), np.broadcast_to(a, (2, 3))
    expected = complexity = stored = 0.0
    for g in range(2):
        for i in range(3):
            for j in range(4):
                expected += 5 * whole_w[g, i, j] * whole_a[g, i]
                complexity += 5 * (
                    whole_w[g, i, j] * whole_a[g, i] + whole_w[g, i, j] + whole_a[g, i] + np.log2(3)
                )  # fmt: skip
                stored += whole_w[g, i, j]
    assert float(bops.layer_bops(SMALL, w, a)) == pytest.approx(expected, rel=1e-6)
    assert float(hcm.layer_complexity(SMALL, w, a)) == pytest.approx(complexity, rel=1e-6)
    assert float(memory.weight_kb([SMALL], [w])) == pytest.approx(stored / 8 / 1024, rel=1e-6)


def test_slopes_are_finite_differences():
    weights, inputs = np.array([3.2, 1.5, 4.0, 7.7]), np.array([8.0, 2.1, 3.3, 1.0])
    with jax.enable_x64(True):
        for cost in (
            lambda w, a: bops.relative_bops(LENET, list(w), list(a)),
            lambda w, a: hcm.complexity(LENET, list(w), list(a)) / 1e9,
            lambda w, a: memory.weight_kb(LENET, list(w)) + memory.activation_kb((784, 4608, 1024, 512), list(a))[0],
        ):
            compiled = jax.jit(cost)
            slopes = jax.jit(jax.grad(cost, argnums=(0, 1)))(weights, inputs)
            for side, found in enumerate(slopes):
                for i in range(4):
                    ends = []
                    for step in (1e-4, -1e-4):
                        moved = [weights.copy(), inputs.copy()]
                        moved[side][i] += step
                        ends.append(float(compiled(*moved)))
                    assert float(found[i]) == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-6, abs=1e-9)


def test_activation_memory_in_all_and_of_the_largest():
    total, largest = memory.activation_kb((784, 4608), [jnp.float32(8), jnp.float32(2)])
    assert float(total) == pytest.approx((784 * 8 + 4608 * 2) / 8192)
    assert float(largest) == pytest.approx(4608 * 2 / 8192)


@pytest.mark.parametrize("weights, inputs, says", [((3,), (), "weight bits of shape"), ((), (4,), "input bits of shape")])
def test_widths_that_a_layer_does_not_have_are_refused(weights, inputs, says):
    with pytest.raises(UserError, match=f"'small' has {says}.*broadcasts to"):
        bops.layer_bops(SMALL, np.ones(weights), np.ones(inputs))


def test_processing_elements_are_as_large_as_the_two_published_fits_say():
    """The fit of the area over the width, A = 12.39 b^2 + 86.07 b - 14.02, and the one over BOPS meet from 4 bits on."""
    for b in (4, 6, 8):
        assert float(hcm.element_area_m2(b, b)) * 1e12 == pytest.approx(12.39 * b**2 + 86.07 * b - 14.02, rel=0.08)


def test_roofs_counted_by_hand():
    accelerator = hcm.Accelerator(area_m2=1e-6, frequency_hz=1e9, bandwidth_bit_s=1e10)
    roof = hcm.roof(LENET[1], 2, 4, accelerator, inputs=4608, outputs=4096, output_bits=3)
    element = 1.694 * 9 * (8 + 6 + np.log2(9)) + 153.46
    speed = 1e6 / element * 9 * 1e9
    traffic = 51_200 * 2 + 4608 * 4 + 4096 * 3
    assert float(roof.operations_s) == pytest.approx(speed, rel=1e-5)
    assert float(roof.traffic_bit) == pytest.approx(traffic)
    assert float(roof.intensity) == pytest.approx(3_276_800 / traffic, rel=1e-5)
    assert float(roof.latency_s) == pytest.approx(max(3_276_800 / speed, traffic / 1e10), rel=1e-5)
    assert float(roof.attainable_s) == pytest.approx(min(speed, 1e10 * 3_276_800 / traffic), rel=1e-5)
    assert roof.bound == "memory"
    faster = hcm.Accelerator(area_m2=1e-9, frequency_hz=1e8, bandwidth_bit_s=1e14, conversions_s=1e9)
    assert hcm.roof(LENET[1], 2, 4, faster, inputs=4608, outputs=4096, output_bits=3).bound == "compute"
    slow = hcm.roof(LENET[1], 2, 4, faster, inputs=4608, outputs=4096, output_bits=3, conversions=1e9)
    assert (slow.bound, float(slow.latency_s)) == ("conversion", 1.0)
    with pytest.raises(UserError, match=r"accelerator\.area_m2"):
        hcm.roof(LENET[1], 2, 4, hcm.Accelerator(-1.0, 1.0, 1.0), inputs=1, outputs=1, output_bits=1)
