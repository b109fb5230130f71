"""Groups packed along the diagonal: the same convolution on fewer arrays."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import imcjax
from imcjax import Hardware
from imcjax.mapping import Packing


@pytest.mark.parametrize("groups, together, matrices", [(6, 3, 2), (7, 3, 3), (5, 1, 5), (4, 4, 1)])
def test_packed_products_are_those_of_each_group(groups, together, matrices):
    rng = np.random.default_rng(0)
    w, x = rng.normal(size=(groups, 3, 2)), rng.normal(size=(5, groups, 3))
    packing = Packing(groups, together)
    packed, rows = packing.pack(jnp.asarray(w)), packing.join(jnp.asarray(x))
    assert packed.shape == (matrices, 3 * together, 2 * together)
    found = packing.part(jnp.einsum("bgi,gio->bgo", rows, packed))
    np.testing.assert_allclose(found, np.einsum("bgi,gio->bgo", x, w), rtol=1e-5, atol=1e-6)


def test_as_many_as_fit_spread_evenly():
    assert Packing.of(32, 9, 1, 128, 128) == Packing(32, 11)  # 14 would fit: three arrays of 11, 11 and 10
    assert Packing.of(8, 200, 1, 128, 128) == Packing(8, 1)
    assert Packing.of(4, 9, 1, 128, 128) == Packing(4, 4)


def test_a_depthwise_convolution_on_one_array():
    layer = nnx.Conv(6, 6, (3, 3), feature_group_count=6, rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 5, 5, 6)), jnp.float32)
    arrays = {}
    for packing in ("apart", "diagonal"):
        model = imcjax.convert(layer, Hardware(rows=64, cols=64, packing=packing))
        np.testing.assert_allclose(model(x), layer(x), atol=1e-4)
        arrays[packing] = imcjax.summary(model).layers[0]
    assert (arrays["apart"].arrays, arrays["diagonal"].arrays) == (12, 2)
    assert arrays["diagonal"].utilisation > 5 * arrays["apart"].utilisation
