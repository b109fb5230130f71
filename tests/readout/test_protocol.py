"""What every readout keeps: shapes, units, linearity, static structure beside leaves, and the registry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError, crossbar, readout
from imcjax.crossbar import Wires


KEY = jax.random.key(1)
FAMILIES = sorted(readout.READOUTS.classes())


def made(kind):
    """The family with numbers that matter."""
    numbers = {
        "charge": {"sigma": 0.02, "c_parasitic": 2e-15},
        "c2c": {"bits": 3, "sigma": 0.02, "parasitic": 0.05, "c_parasitic": 2e-15},
        "digital": {"levels": 8},
    }
    return readout.READOUTS.find(kind, "readout")(**numbers.get(kind, {}))


def cells(*shape):
    return jnp.asarray(np.random.default_rng(0).integers(0, 8, shape) / 7 * 100e-6, jnp.float32)


def test_the_registry_knows_all():
    assert FAMILIES == ["c2c", "charge", "current", "digital", "voltage"]
    with pytest.raises(UserError, match=r"readout.kind is 'curent' \(nearest: current"):
        readout.READOUTS.find("curent", "readout")


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_keeps_the_protocol(kind):
    one, g = made(kind), cells(2, 3, 6, 5)
    readout.check(one)
    assert one.unit in ("A", "V")
    assert len(one.source) > 20
    respond = jax.jit(lambda one, g, key: one.respond(g, None, "auto", key))
    found = respond(one, g, KEY)
    assert found.shape == g.shape
    assert found.dtype == g.dtype
    assert (found >= 0).all()
    # The key draws parts, of which only two families have some; without it they are nominal.
    assert np.array_equal(found, respond(one, g, None)) == (kind not in ("charge", "c2c"))
    unit, sigma = one.unit_per_siemens(g), one.noise_sigma(g)
    assert np.shape(unit) in ((), (2, 3, 1, 5))
    assert np.shape(sigma) in ((), (2, 3, 5))
    np.testing.assert_allclose(respond(one, g, None) / unit, g, rtol=0.3 if kind == "c2c" else 1e-5, atol=1e-12)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_batch_is_its_parts(kind):
    one, g = made(kind), cells(4, 6, 5)
    keys = jax.random.split(KEY, 4)

    @jax.jit
    def both(one, g, keys):
        together = jax.vmap(lambda g, key: one.respond(g, None, "auto", key))(g, keys)
        return together[2], one.respond(g[2], None, "auto", keys[2]), one.respond(g, None, "auto")[2]

    one_of_many, alone, nominal = both(one, g, keys)
    np.testing.assert_allclose(one_of_many, alone, rtol=1e-5)
    np.testing.assert_allclose(nominal, jax.jit(lambda one, g: one.respond(g, None, "auto"))(one, g[2]), rtol=1e-5)


@pytest.mark.parametrize("kind", FAMILIES)
def test_gradients_are_finite_where_cells_are_off_and_numbers_zero(kind):
    plain = readout.READOUTS.find(kind, "readout")(**({"bits": 3} if kind == "c2c" else {}))
    g = cells(6, 5).at[:, 2].set(0.0).at[1].set(0.0)

    def loss(one, g):
        values = one.respond(g, None, "auto", KEY), one.unit_per_siemens(g), one.noise_sigma(g)
        return sum(jnp.sum(jnp.asarray(x)) for x in values)

    gradient = jax.jit(jax.grad(loss, (0, 1)))(plain, g)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_current_is_what_the_array_makes_of_it():
    g, wires = cells(6, 5), Wires(2.0, 3.0, 5.0, 7.0)
    one = readout.Current()
    np.testing.assert_array_equal(one.respond(g, None, "auto"), g)
    np.testing.assert_array_equal(one.respond(g, wires, "pade"), crossbar.transfer_matrix(g, wires, solver="pade"))
    found = np.linspace(0, 0.2, 6, dtype=np.float32) @ one.respond(g, wires, "auto")
    np.testing.assert_allclose(found, crossbar.currents(g, np.linspace(0, 0.2, 6), wires), rtol=1e-5)


@pytest.mark.parametrize(
    "wrong, named",
    [
        (readout.Charge(c_unit=-1e-15), r"readout.c_unit is -1e-15 F; give finite numbers in \[1e-18, 1e-09\] F"),
        (readout.Charge(constant_total=2), "readout.constant_total is 2"),
        (readout.Charge(temperature_k=float("nan")), "readout.temperature_k is nan K"),
        (readout.C2c(bits=17), "readout.bits is 17"),
        (readout.Digital(g_min=2e-4), "g_min must be below g_max"),
        (readout.Digital(levels=1.0), "readout.levels is 1"),
        (Wires(), "readout is a Wires; give one of imcjax.readout's C2c, Charge, Current, Digital, Voltage"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_wrong_readouts_are_refused(wrong, named):
    with pytest.raises(UserError, match=named):
        readout.check(wrong)
