"""The names and shapes that others write against: see the contract in the design."""

import inspect

import jax
import numpy as np
import pytest

import imcjax
from imcjax import Hardware, Settings, crossbar, devices
from imcjax.crossbar import Wires
from imcjax.pytree import number, record, replace, static


def parameters(function):
    """(positional names, keyword-only names)."""
    found = inspect.signature(function).parameters.values()
    return (
        [p.name for p in found if p.kind is p.POSITIONAL_OR_KEYWORD],
        [p.name for p in found if p.kind is p.KEYWORD_ONLY],
    )


@pytest.mark.parametrize(
    "function, positional, keywords",
    [
        (imcjax.mvm, ["x", "w", "hardware", "settings"], {"key"}),
        (imcjax.program, ["w", "hardware", "settings"], {"key"}),
        (imcjax.read, ["programmed", "x", "hardware", "settings"], {"key", "time"}),
        (crossbar.currents, ["g", "v", "wires"], {"topology"}),
        (crossbar.solve, ["g", "v", "wires"], {"topology", "solver", "rtol"}),
        (crossbar.transfer_matrix, ["g", "wires"], set()),
        (crossbar.to_spice, ["g", "v", "wires"], {"topology"}),
        (Hardware.ideal, [], set()),
        (imcjax.hardware.preset, ["name"], set()),
        (imcjax.hardware.presets, [], set()),
        (imcjax.hardware.load, ["path"], set()),
        (imcjax.hardware.save, ["hardware", "path"], set()),
        (devices.preset, ["name"], set()),
        (devices.presets, [], set()),
        (Wires, ["wordline", "bitline", "driver", "sense", "driver_far", "sense_far", "access"], set()),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_signatures(function, positional, keywords):
    names, only = parameters(function)
    assert names == positional
    assert keywords <= set(only)


@pytest.mark.parametrize("function", [imcjax.mvm, imcjax.program, imcjax.read])
def test_no_key_is_the_default(function):
    defaults = inspect.signature(function).parameters
    assert defaults["key"].default is None
    assert defaults["settings"].default is None


def test_read_is_as_programmed_by_default():
    assert inspect.signature(imcjax.read).parameters["time"].default == 0.0
    for family in devices.FAMILIES.classes().values():
        assert inspect.signature(family.read).parameters["time"].default == 0.0
        assert inspect.signature(family.read).parameters["key"].default is None


def test_the_three_pytrees_are_pytrees():
    chip = imcjax.program(np.eye(3), Hardware.ideal())
    for tree in (Hardware.ideal(), Settings(weight_bits=4), chip):
        leaves, structure = jax.tree.flatten(tree)
        assert leaves
        assert jax.tree.structure(jax.tree.unflatten(structure, leaves)) == structure
    assert jax.tree.leaves(Settings()) == []
    assert jax.tree.leaves(Settings(weight_bits=4, slices=2)) == [4.0]
    with pytest.raises(imcjax.UserError):
        raise imcjax.UserError("is a ValueError")


@pytest.mark.parametrize("name", imcjax.devices.presets())
def test_every_device_keeps_the_protocol(name):
    device = devices.preset(name)
    target = np.linspace(float(device.g_min), float(device.g_max), 6, dtype=np.float32).reshape(2, 3)
    for key in (None, jax.random.key(0)):
        state = device.program(target, key)
        assert all(leaf.shape == (2, 3) for leaf in jax.tree.leaves(state))
        g = device.read(state, key, time=0.0)
        assert g.shape == (2, 3)
        assert g.dtype == np.float32
        assert (g >= 0).all()
    gradient = jax.grad(lambda device: device.read(device.program(target, key), key).sum() * 1e6)(device)
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))


@record
class Example:
    """Static structure beside numbers."""

    size: int = static(default=3, low=1)
    ohm: float = number(default=2.0, low=0.0)
    extra: float | None = number(default=None)


def test_records_hold_static_structure_beside_leaves():
    made = Example(size=4, ohm=5)
    assert jax.tree.leaves(made) == [5.0]
    assert isinstance(made.ohm, float)
    assert replace(made, extra=1).extra == 1.0
    assert jax.tree.structure(made) != jax.tree.structure(replace(made, extra=1))  # an absent stage is another structure
    assert jax.tree.structure(made) != jax.tree.structure(replace(made, size=5))
    assert jax.tree.structure(made) == jax.tree.structure(replace(made, ohm=0))
    assert jax.grad(lambda r: r.ohm**2)(made).ohm == 10.0
    assert jax.vmap(lambda r: r.ohm * r.size)(Example(ohm=np.arange(3.0))).tolist() == [0, 3, 6]
