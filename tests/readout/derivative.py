"""Central differences of a loss of a record and an array, with respect to the numbers of one and the entries of the other."""

import dataclasses
import functools

import jax
import numpy as np
import pytest


@functools.cache
def compiled(loss):
    """`loss` and its gradient with respect to both of its arguments, compiled once for all tests of one shape."""
    return jax.jit(loss), jax.jit(jax.grad(loss, (0, 1)))


def difference(moved, step):
    """The slope of `moved(by)` at 0, fourth order."""
    near, far = (float(moved(k * step)) - float(moved(-k * step)) for k in (1, 2))
    return (8 * near - far) / (12 * step)


def check(loss, instance, g, *, names=(), cells=(), cell_step=1e-9, relative=1e-5, steps=None):
    """The gradient of `loss(instance, g)` for the named leaves, moved by 1e-4 of them or by `steps`, and for `cells`."""
    value, gradient = compiled(loss)
    to_leaves, to_g = gradient(instance, g)
    assert np.isfinite(to_g).all()
    for name in names:
        at = float(getattr(instance, name))
        step = (steps or {}).get(name, 1e-4 * abs(at))
        expected = difference(lambda by, name=name, at=at: value(dataclasses.replace(instance, **{name: at + by}), g), step)
        assert expected != 0, name
        assert float(getattr(to_leaves, name)) == pytest.approx(expected, rel=relative), name
    for cell in cells:
        unit = np.zeros_like(g)
        unit[cell] = 1
        expected = difference(lambda by, unit=unit: value(instance, g + by * unit), cell_step)
        assert to_g[cell] == pytest.approx(expected, rel=relative, abs=1e-9 * np.abs(to_g).max()), cell
