import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError
from imcjax.cost import scaling
from imcjax.technology import Technology


def at(node_nm: float, supply_v: float = 0.9) -> Technology:
    return Technology(node_m=node_nm * 1e-9, supply_v=supply_v)


# Stillmaker and Baas, area relative to 180 nm.
AREA = {130: 0.34, 90: 0.15, 65: 0.08, 45: 0.053, 32: 0.025, 20: 0.011, 16: 0.010, 14: 0.0093, 10: 0.0055, 7: 0.0032}


def test_area_is_the_table_at_its_nodes():
    found = [float(scaling.area(at(node), node_m=180e-9)) for node in AREA]
    np.testing.assert_allclose(found, list(AREA.values()), rtol=1e-5)


def test_energy_of_the_papers_corrected_example():
    # 1 pJ at 65 nm and 1.3 V is 0.1755 pJ at 32 nm and 0.9 V (corrigendum to section 4.2.1).
    assert float(scaling.energy(at(32, 0.9), node_m=65e-9, supply_v=1.3)) == pytest.approx(0.1755, rel=5e-4)


@pytest.mark.parametrize(
    "node, supply, energy, delay",
    [
        (130, 1.2, 7.171 * 1.44 - 6.709 * 1.2 + 2.904, -76.65 * 1.728 + 334.9 * 1.44 - 493.4 * 1.2 + 275.8),
        (45, 0.8, 1.018 * 0.64 - 0.3107 * 0.8 + 0.1539, -501.6 * 0.512 + 1567 * 0.64 - 1619 * 0.8 + 566.1),
        (20, 0.8, 0.373 * 0.64 - 0.1582 * 0.8 + 0.04104, 34.63 * 0.64 - 66.37 * 0.8 + 41.15),
        (7, 0.7, 0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447, -28.58 * 0.343 + 76.6 * 0.49 - 70.26 * 0.7 + 24.69),
    ],
)
def test_energy_and_delay_are_the_polynomials_at_the_nodes(node, supply, energy, delay):
    # relative to 180 nm at 1.8 V: 24.64 x 1.8 - 17.98 and 97.09 x 3.24 - 356.7 x 1.8 + 406.5
    with jax.enable_x64(True):
        reference = {"node_m": 180e-9, "supply_v": 1.8}
        assert float(scaling.energy(at(node, supply), **reference)) == pytest.approx(energy / 26.372, rel=1e-9)
        assert float(scaling.delay(at(node, supply), **reference)) == pytest.approx(delay / 79.0116, rel=1e-9)


def test_the_reference_process_scales_by_one():
    tech = Technology()
    assert (float(scaling.energy(tech)), float(scaling.delay(tech)), float(scaling.area(tech))) == (1.0, 1.0, 1.0)


def test_factors_are_positive_and_monotone():
    nodes = jnp.geomspace(7, 180, 200) * 1e-9
    supplies = jnp.linspace(0.4, 3.3, 150)
    tech = Technology(node_m=nodes[:, None], supply_v=supplies[None, :])
    over = jax.vmap(jax.vmap(lambda n, v: [f(Technology(node_m=n, supply_v=v)) for f in (scaling.energy, scaling.delay)]))
    energy, delay = over(*jnp.broadcast_arrays(tech.node_m, tech.supply_v))
    area = jax.vmap(lambda n: scaling.area(Technology(node_m=n)))(nodes)
    assert (np.diff(energy, axis=1) > 0).all()  # with the supply
    assert (np.diff(delay, axis=1) < 2e-3 * delay[:, 1:]).all()  # level, to interpolation, where its fits would turn up
    assert (np.diff(energy[:, :80], axis=0) > 0).all()  # with the node, up to 1.9 V
    assert (np.diff(area) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("factor", [scaling.energy, scaling.delay, scaling.area])
def test_derivatives_are_continuous_and_match_differences(factor):
    with jax.enable_x64(True):
        grad = jax.jit(jax.vmap(jax.grad(lambda point: jnp.log(factor(Technology(node_m=point[0], supply_v=point[1]))))))
        value = jax.jit(jax.vmap(lambda point: jnp.log(factor(Technology(node_m=point[0], supply_v=point[1])))))
        points = np.array([[28e-9, 0.9], [22e-9, 0.8], [100e-9, 1.2], [9e-9, 0.45], [32e-9, 1.1], [60e-9, 2.0]])
        slopes = np.asarray(grad(points))
        for axis in range(2):
            step = np.zeros_like(points)
            step[:, axis] = 1e-6 * points[:, axis]
            differences = (value(points + step) - value(points - step)) / (2 * step[:, axis])
            np.testing.assert_allclose(slopes[:, axis], differences, rtol=1e-5, atol=1e-5 / points[0, axis])
        for knot in (10e-9, 20e-9, 65e-9):  # nodes of the table
            sides = np.asarray(grad(np.array([[knot * (1 - 1e-9), 0.85], [knot * (1 + 1e-9), 0.85]])))
            np.testing.assert_allclose(sides[0], sides[1], rtol=1e-5, atol=1e-6 / knot)
        for node, edge in ((65e-9, 0.8), (45e-9, 1.2), (20e-9, 1.1)):  # ends of supply windows
            sides = np.asarray(grad(np.array([[node, edge - 1e-9], [node, edge + 1e-9]])))
            np.testing.assert_allclose(sides[0], sides[1], rtol=1e-5)


def test_traced_values_beyond_the_table_stay_finite():
    value, slope = jax.value_and_grad(lambda n: scaling.energy(Technology(node_m=n, supply_v=3.3)))(5e-9)
    assert np.isfinite([value, slope]).all()


@pytest.mark.parametrize("node, supply", [(5, 0.7), (250, 1.8), (28, 1.8), (180, 0.9), (7, 1.2), (65, 0.6)])
def test_concrete_values_out_of_range_are_refused(node, supply):
    with pytest.raises(UserError, match="technology"):
        scaling.check(at(node, supply))


@pytest.mark.parametrize("node, supply", [(7, 0.7), (22, 0.8), (28, 0.9), (32, 1.0), (130, 1.3), (180, 1.8)])
def test_usual_supplies_are_accepted(node, supply):
    scaling.check(at(node, supply))
