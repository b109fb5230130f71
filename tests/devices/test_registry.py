"""Devices by name: what is known, what each says of itself, and what wrong names, targets and times are told."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, UserError, devices, hardware


NAMES = {
    "fefet", "generic", "ideal", "pcm_hermes1", "pcm_hermes2", "pcm_joshi", "pcm_nandakumar", "reram_cmo_0.2", "reram_cmo_2",
    "reram_wan2022", "rram_milo", "sonos", "sram", "stt_mram",
}  # fmt: skip
KEY = jax.random.key(1)


def targets(device):
    """A few conductances that the device can be aimed at, exactly."""
    states = getattr(device, "levels", None) or 4
    return jnp.linspace(float(device.g_min), float(device.g_max), states)


def test_presets_are_sorted_and_build():
    names = devices.presets()
    assert names == sorted(names)
    assert set(names) >= NAMES


@pytest.mark.parametrize("name", devices.presets())
def test_the_mean_device_as_programmed_is_its_target(name):
    device = devices.preset(name)
    assert 0 <= device.g_min < device.g_max
    np.testing.assert_array_equal(device.read(device.program(targets(device), None)), targets(device))


@pytest.mark.parametrize("name", devices.presets())
def test_read_noise_and_programming_draw_only_from_their_keys(name):
    device = devices.preset(name)
    state = device.program(targets(device), KEY)
    np.testing.assert_array_equal(device.read(state, None), device.read(state, None))
    np.testing.assert_array_equal(device.read(state, KEY), device.read(state, KEY))
    for one, same in zip(jax.tree.leaves(state), jax.tree.leaves(device.program(targets(device), KEY)), strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("name", devices.presets())
def test_targets_outside_the_range_are_refused_where_they_are_known(name):
    device = devices.preset(name)
    low, high = float(device.g_min), float(device.g_max)
    for bad in (high * 1.00001, low - high * 1e-5, float("nan")):
        with pytest.raises(
            UserError, match=rf"{device.kind} is asked for a conductance of .* S, but holds .*; scale the targets"
        ):
            device.program(jnp.array([low, bad, high]), None)
    device.program(jnp.array([low, high * (1 + 5e-7)]), None)  # what rounding does
    assert jax.jit(lambda g: device.read(device.program(g, None)))(jnp.array([high * 2])).shape == (1,)


@pytest.mark.parametrize(
    "device, message",
    [
        (devices.ReramWan2022(g_max=41e-6), r"device.g_max is 4.1e-05 S; give finite numbers in \[1e-09, 4e-05\] S"),
        (devices.PcmNandakumar(g_max=25.1e-6), r"device.g_max is 2.51e-05 S; give .*2.5"),
        (devices.RramMilo(g_min=49e-6), r"device.g_min is 4.9e-05 S; give finite numbers in \[4.99999e-05, "),
        (devices.PcmHermes1(g_max=10.4e-6), r"device.g_max is 1.04e-05 S; give"),
    ],
)
def test_ranges_outside_the_measured_one_are_refused_without_hardware_too(device, message):
    target = jnp.asarray([device.g_max])
    with pytest.raises(UserError, match=message):
        device.program(target, None)
    edge = {"ReramWan2022": 40e-6, "PcmNandakumar": 25e-6, "RramMilo": 225e-6, "PcmHermes1": 10.35e-6}[type(device).__name__]
    type(device)(g_max=edge * (1 + 5e-7)).program(target.at[0].set(edge), None)


@pytest.mark.slow
@pytest.mark.parametrize("name", devices.presets())
def test_the_precision_is_that_of_the_targets(name):
    device = devices.preset(name)
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64):
            state = device.program(targets(device).astype(dtype), KEY)
            assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype(dtype)}
            assert device.read(state, KEY, 100.0).dtype == dtype


@pytest.mark.parametrize("name", devices.presets())
def test_each_says_what_it_models_and_where_from(name):
    device = devices.preset(name)
    assert isinstance(device.source, str)
    assert len(device.source) > 20
    assert device.effects
    assert all(isinstance(effect, str) for effect in device.effects)
    state = device.program(targets(device), KEY)
    if device.covers is None:
        for key in (None, KEY):
            np.testing.assert_array_equal(device.read(state, key, 1e12), device.read(state, key, 0.0))
        return
    first, last = device.covers
    assert first == 0 < last
    read = jax.jit(device.read)
    for time in [-1.0] if np.isinf(last) else [-1.0, last * 1.001]:
        with pytest.raises(UserError, match=re.escape(f"{device.kind} is described from 0 to {last:g} s")):
            device.read(state, None, time)
        assert np.isnan(read(state, None, time)).all()
    assert np.isfinite(read(state, None, min(last, 1e9))).all()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_hardware_files_hold_every_device(name, tmp_path):
    made = Hardware(name=name, device=devices.preset(name))
    hardware.check(made)
    hardware.save(made, tmp_path / f"{name}.toml")
    found = hardware.load(tmp_path / f"{name}.toml")
    assert jax.tree.structure(found) == jax.tree.structure(made)
    assert jax.tree.leaves(found) == jax.tree.leaves(made)


def test_ideal_preset_has_no_errors_and_generic_has_some():
    ideal, generic = devices.preset("ideal"), devices.preset("generic")
    assert (ideal.g_min, ideal.program_sigma, ideal.read_sigma) == (0.0, 0.0, 0.0)
    assert generic.program_sigma > 0
    assert generic.read_sigma > 0


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(UserError, match=r"no device preset 'reram_wan2202' \(nearest: reram_wan2022"):
        devices.preset("reram_wan2202")
    with pytest.raises(UserError, match=r"no device preset '%%' \(known: fefet, generic, ideal"):
        devices.preset("%%")


def test_families_are_what_files_name():
    assert devices.FAMILIES.classes()["generic"] is devices.Generic
    assert devices.FAMILIES.classes()["reram_wan2022"] is devices.ReramWan2022
    assert devices.Generic.kind == "generic"
