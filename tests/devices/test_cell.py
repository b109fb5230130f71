"""The cell around a base: nothing changes without effects, files and transforms work, a chip stays the same chip."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import imcjax
from imcjax import Hardware, UserError, devices, hardware
from imcjax.devices import Cell, Generic, ReramWan2022, effects
from imcjax.devices.fit import numbers


ALL = Cell(
    base=Generic(g_min=1e-6, g_max=80e-6, program_sigma=0.02, read_sigma=0.01),
    write_verify=effects.WriteVerify(tolerance=0.01, pulses=3),
    variation=effects.Variation(device=0.05, cycle=0.02),
    stuck=effects.Stuck(on=0.05, off=0.05, cluster=1.0),
    endurance=effects.Endurance(scale=1e6, shape=1.5, cycles=1e5, on=0.5),
    drift=effects.Drift(nu=0.03, nu_sigma=0.01, t0=20.0),
    retention=effects.Retention(loss=0.01, t0=1e3),
    telegraph=effects.Telegraph(traps=0.3, amplitude=0.05, occupancy=0.4, time_constant=0.1),
    one_over_f=effects.OneOverF(q=0.005),
)
KEY, READ = jax.random.split(jax.random.key(2))
TARGET = jnp.linspace(2.5e-6, 80e-6, 12).reshape(3, 4)


@pytest.mark.parametrize("base", [Generic(program_sigma=0.1, read_sigma=0.1), ReramWan2022()], ids=["generic", "wan"])
def test_without_effects_the_cell_is_its_base(base):
    cell = Cell(base=base)
    target = TARGET * (base.g_max / 100e-6)
    ours, theirs = cell.program(target, KEY), base.program(target, KEY)
    for key, time in ((None, 0.0), (READ, 0.0), (READ, 3600.0)):
        np.testing.assert_array_equal(cell.read(ours, key, time), base.read(theirs, key, time))
    assert (cell.g_min, cell.g_max) == (base.g_min, base.g_max)
    with pytest.raises(UserError, match="before the device was programmed"):
        cell.read(ours, None, -1.0)
    if isinstance(base, ReramWan2022):
        with pytest.raises(UserError, match=r"reram_wan2022 .* 172800 s"):
            cell.read(ours, None, 1e6)


@pytest.mark.parametrize("effect", ["variation", "drift", "telegraph", "endurance"])
def test_devices_that_were_made_without_an_effect_are_refused_by_a_cell_with_it(effect):
    state = ALL.replace(**{effect: None}).program(TARGET, None)
    with pytest.raises(UserError, match=f"programmed by a cell without {effect}; program and read them with the same cell"):
        ALL.read(state, READ)


def test_a_cell_goes_to_a_file_and_back(tmp_path):
    for device in (ALL, Cell(), Cell(base=ReramWan2022(), stuck=effects.Stuck(on=0.1))):
        original = Hardware(device=device)
        hardware.save(original, tmp_path / "cell.toml")
        again = hardware.load(tmp_path / "cell.toml")
        assert jax.tree.structure(again) == jax.tree.structure(original)
        assert jax.tree.leaves(again) == jax.tree.leaves(original)
    text = (tmp_path / "cell.toml").read_text()
    assert "[device.stuck]" in text


def test_a_file_may_say_little(tmp_path):
    path = tmp_path / "cell.toml"
    path.write_text("[device]\nkind = 'cell'\n[device.base]\nkind = 'generic'\n[device.stuck]\non = 0.01\n")
    device = hardware.load(path).device
    assert isinstance(device.base, Generic)
    assert (device.stuck.on, device.stuck.off, device.stuck.cluster) == (0.01, 0.0, 0.0)
    assert device.drift is None


@pytest.mark.parametrize(
    "text, message",
    [
        ("[device.base]\nkind = 'generik'", r"hardware.device.base.kind is 'generik' \(nearest: generic"),
        ("[device.stick]\non = 0.1", r"hardware.device has no field 'stick' \(nearest: stuck"),
        ("[device.stuck]\non = 1.5", r"hardware.device.stuck.on is 1.5; give finite numbers in \[0, 1\]"),
        ("[device.stuck]\non = 0.5\noff = 0.6", r"hardware.device.stuck.on is 0.5 and .* together above 1"),
        ("[device.write_verify]\npulses = 3", r"hardware.device.write_verify has no tolerance, which has no default; add it"),
        ("[device.write_verify]\ntolerance = 0.1\npulses = 0", r"hardware.device.write_verify.pulses is 0; give whole numbers"),
        ("[device.base]\nkind = 'generic'\ng_min = 1e-3", r"hardware.device.g_min is 0.001 S and g_max 0.0001 S"),
    ],
)
def test_what_a_file_says_wrong_is_named(text, message, tmp_path):
    (tmp_path / "wrong.toml").write_text("[device]\nkind = 'cell'\n" + text)
    with pytest.raises(UserError, match=message):
        hardware.load(tmp_path / "wrong.toml")


@pytest.mark.slow
def test_all_effects_at_once_keep_the_protocol():
    @jax.jit
    def chip(target, key, read_key):
        state = ALL.program(target, key)
        return state, ALL.read(state, read_key, 1e4), ALL.read(state)

    for key, read_key in ((None, None), (KEY, READ)):
        state, aged, fresh = chip(TARGET, key, read_key)
        for leaf in (*jax.tree.leaves(state), aged, fresh):
            assert leaf.shape == TARGET.shape
            assert leaf.dtype == np.float32
        assert (aged >= 0).all()
        if key is None:
            np.testing.assert_allclose(fresh, TARGET, rtol=1e-6)
    with jax.enable_x64(True):
        assert {leaf.dtype for leaf in jax.tree.leaves(chip(jnp.asarray(TARGET, jnp.float64), KEY, READ))} == {np.dtype(float)}


def test_numbers_are_traced_and_chips_are_a_vmap():
    traces = []

    def chip(cell, key):
        traces.append(key)
        return cell.read(cell.program(TARGET, key), READ, 1e3)

    chips = jax.jit(jax.vmap(chip, in_axes=(None, 0)))
    keys = jax.random.split(KEY, 3)
    together, other = chips(ALL, keys), chips(jax.tree.map(lambda leaf: 0.9 * leaf, ALL), keys)
    assert len(traces) == 1
    assert np.abs(together - other).max() > 1e-7
    assert np.abs(together[0] - together[1]).max() > 1e-7
    np.testing.assert_allclose(chips(ALL, keys[::-1]), together[::-1], rtol=1e-6)


def test_gradients_with_respect_to_every_number_are_finite():
    @jax.jit
    def slopes(cell):
        return jax.grad(lambda cell: 1e6 * cell.read(cell.program(TARGET, KEY), READ, 1e3).sum())(cell)

    zero = jax.tree.map(lambda leaf: 0.0, ALL)
    zero = zero.replace(
        base=Generic(g_min=0.0), endurance=effects.Endurance(scale=1e6, shape=1.0), drift=effects.Drift(),
        retention=effects.Retention(), telegraph=effects.Telegraph(), one_over_f=effects.OneOverF(),
    )  # fmt: skip
    for cell in (ALL, zero):
        assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(slopes(cell)))
    found = slopes(ALL)
    for name in ("base.program_sigma", "base.read_sigma", "variation.device", "variation.cycle", "drift.nu", "drift.nu_sigma",
                 "retention.loss", "telegraph.amplitude", "one_over_f.q"):  # fmt: skip
        assert numbers(found)[name] != 0, name


def test_a_chip_is_the_same_chip_at_every_read():
    hard = Hardware(rows=8, cols=8, device=ALL)
    w = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    chip = jax.jit(lambda key: imcjax.program(w, hard, key=key))(KEY)
    assert chip.state.made.faults.on.shape[-2:] == (8, 8)
    read = jax.jit(lambda chip, time: imcjax.pipeline.conductances(chip, hard, time=time))
    g = [np.asarray(read(chip, time)) for time in (0.0, 1e3, 1e6)]
    assert np.isfinite(g).all()
    for value in (1e-6, 80e-6):
        stuck = np.isclose(g[2], value, rtol=1e-6)
        assert 0.02 < stuck.mean() < 0.2
        assert (np.isclose(g[1], value, rtol=1e-6) >= stuck).all()
    assert (g[2] < g[1])[np.asarray(chip.state.made.faults.on + chip.state.made.faults.off) == 0].mean() > 0.5
    assert 1 < float(devices.mean_pulses(chip.state)) < 3
    mapped = chip.replace(state=devices.with_faults(chip.state, np.ones((8, 8)), np.zeros((8, 8))))
    np.testing.assert_allclose(imcjax.read(mapped, np.ones(16, np.float32), hard), 0, atol=1e-6)


def test_a_cell_of_cells_is_refused():
    twice = Cell(base=ALL, drift=effects.Drift(nu=0.1))
    for use in (lambda: hardware.check(Hardware(device=twice)), lambda: twice.program(TARGET, KEY)):
        with pytest.raises(UserError, match=r"device.base is a cell with effects itself; give all effects to one cell"):
            use()
