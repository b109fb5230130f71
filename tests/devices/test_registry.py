"""Devices by name: what is known, and what a wrong name is told."""

import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import UserError, devices


def test_presets_are_sorted_and_build():
    names = devices.presets()
    assert names == sorted(names)
    assert {"generic", "ideal", "reram_wan2022"} <= set(names)
    for name in names:
        device = devices.preset(name)
        assert 0 <= device.g_min < device.g_max
        target = jnp.linspace(device.g_min, device.g_max, 4)
        np.testing.assert_array_equal(device.read(device.program(target, None)), target)


def test_ideal_preset_has_no_errors_and_generic_has_some():
    ideal, generic = devices.preset("ideal"), devices.preset("generic")
    assert (ideal.g_min, ideal.program_sigma, ideal.read_sigma) == (0.0, 0.0, 0.0)
    assert generic.program_sigma > 0
    assert generic.read_sigma > 0


def test_unknown_name_is_told_the_nearest():
    with pytest.raises(UserError, match=r"no device preset 'reram_wan2202' \(nearest: reram_wan2022"):
        devices.preset("reram_wan2202")
    with pytest.raises(UserError, match=r"no device preset '%%' \(known: generic, ideal"):
        devices.preset("%%")


def test_families_are_what_files_name():
    assert devices.FAMILIES.classes()["generic"] is devices.Generic
    assert devices.FAMILIES.classes()["reram_wan2022"] is devices.ReramWan2022
    assert devices.Generic.kind == "generic"
