"""Distorted images: interpolation beside SciPy's, what each kind of distortion does to a blob, draws of an image's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from imcjax.data import affine


NOTHING = {"shift": 0.0, "turn": 0.0, "scale": 0.0, "shear": 0.0, "bend": 0.0}
distort = jax.jit(affine.distort)


def blobs(count, wide=2.0, high=4.0, size=28):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.tile(np.exp(-(x**2) / (2 * wide**2) - y**2 / (2 * high**2))[None, :, :, None], (count, 1, 1, 1)).astype(
        np.float32
    )


def moments(images):
    """Mass, centre (y, x) and covariance of each image."""
    weight = np.asarray(images, float)[..., 0]
    mass = weight.sum((1, 2))
    places = np.stack(np.mgrid[: weight.shape[1], : weight.shape[2]], -1) - (weight.shape[1] - 1) / 2
    centre = np.einsum("bhw,hwi->bi", weight, places) / mass[:, None]
    spread = np.einsum("bhw,hwi,hwj->bij", weight, places, places) / mass[:, None, None]
    return mass, centre, spread - centre[:, :, None] * centre[:, None]


def test_sampling_is_scipys_linear_interpolation():
    rng = np.random.default_rng(0)
    image, places = rng.uniform(size=(9, 7, 2)).astype(np.float32), rng.uniform(-3, 11, (20, 6, 2)).astype(np.float32)
    found = affine._sample(jnp.asarray(image), jnp.asarray(places))
    for channel in range(2):
        truth = ndimage.map_coordinates(image[..., channel], np.moveaxis(places, -1, 0), order=1, mode="grid-constant")
        inside = ((places > -1) & (places < np.array(image.shape[:2]))).all(-1)
        np.testing.assert_allclose(np.asarray(found)[inside, channel], truth[inside], atol=3e-3)
        assert np.abs(np.asarray(found)[~inside]).max() < 3e-3


def test_without_distortion_images_stay():
    x = blobs(3)
    np.testing.assert_allclose(distort(jax.random.key(0), x, **NOTHING), x, atol=1e-5)


def test_shifts_move_the_centre_and_nothing_else():
    mass, centre, spread = moments(distort(jax.random.key(0), blobs(200), **(NOTHING | {"shift": 2.0})))
    np.testing.assert_allclose(mass, moments(blobs(1))[0][0], rtol=3e-3)
    assert np.abs(centre).max() <= 2.001
    np.testing.assert_allclose(centre.std(0), 2 / np.sqrt(3), rtol=0.12)
    np.testing.assert_allclose(spread[:, 0, 0], 16, rtol=0.03)


def test_turns_and_scales_are_those_of_the_covariance():
    turned = moments(distort(jax.random.key(1), blobs(200), **(NOTHING | {"turn": 0.3})))[2]
    angle = 0.5 * np.arctan2(2 * turned[:, 0, 1], turned[:, 0, 0] - turned[:, 1, 1])
    assert np.abs(angle).max() <= 0.302
    np.testing.assert_allclose(angle.std(), 0.3 / np.sqrt(3), rtol=0.12)
    scaled = moments(distort(jax.random.key(2), blobs(200), **(NOTHING | {"scale": 0.2})))[2]
    for axis, sigma in ((0, 4.0), (1, 2.0)):
        # What is seen at 1 + s times the distance from the centre is smaller by as much.
        factor = sigma / np.sqrt(scaled[:, axis, axis])
        assert factor.min() >= 0.77
        assert factor.max() <= 1.21
        assert factor.std() == pytest.approx(0.2 / np.sqrt(3), rel=0.15)


def test_images_have_draws_of_their_own_and_keys_repeat():
    x = blobs(4)
    first = np.asarray(distort(jax.random.key(3), x))
    np.testing.assert_array_equal(first, distort(jax.random.key(3), x))
    assert min(np.abs(first[i] - first[j]).max() for i in range(4) for j in range(i)) > 0.05
