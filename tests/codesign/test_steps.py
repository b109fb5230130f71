"""The training steps of search and tuning."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imcjax.codesign.constraints import Multiplier
from imcjax.codesign.steps import SearchState, TuneState, search_chunk, tune_chunk

from .example import HARDWARE, inputs


LOW, HIGH = np.full((1, 3), 2.0), np.full((1, 3), 8.0)
KEY = jax.random.key(0)


class Spy:
    """A network whose loss says at which widths it was computed: log(1 + exp(a)) of `a` = seen(widths) + weight."""

    def __init__(self, seen):
        self.seen = seen

    def apply(self, params, bits, ranges, hardware, x, *, key):
        a = self.seen(bits) + params["w"]
        return jnp.broadcast_to(jnp.stack([jnp.zeros(()), a]), (len(x), 2))


class Price:
    """A bill that rises by 10 % with each bit anywhere, and with a weight that must not learn to be cheap."""

    def energy(self, params, bits, *, hard, ranges):
        assert not hard
        return jnp.exp(0.1 * jnp.sum(bits) + params["w"])


def searched(seen, bits, *, steps, rate=0.0, bit_rate=0.0, multiplier=0.0, log_target=0.0, first=0, key=KEY):
    optimizer, bit_optimizer = optax.sgd(rate), optax.sgd(bit_rate)
    chunk = search_chunk(Spy(seen), Price(), HARDWARE, optimizer, bit_optimizer, LOW, HIGH, 1.0)  # type: ignore[arg-type]
    params, bits = {"w": jnp.zeros(())}, jnp.asarray(bits, jnp.float32)
    bound = Multiplier.zero()._replace(value=jnp.float32(multiplier))
    state = SearchState(params, optimizer.init(params), bits, bit_optimizer.init(bits), bound)
    numbers = jnp.arange(first, first + steps)
    x, y = jnp.zeros((steps, 1, 1)), jnp.zeros((steps, 1), int)
    return chunk(state, {}, jnp.float32(log_target), key, numbers, x, y)


def test_forward_pass_has_whole_widths_whose_mean_is_the_real_one():
    real = np.array([[3.25, 5.0, 6.9]])
    for kind in range(3):
        _, losses = searched(lambda bits, k=kind: bits[0, k], real, steps=400)
        widths = np.log(np.expm1(np.asarray(losses, float)))
        np.testing.assert_allclose(widths, np.round(widths), atol=1e-3)
        assert set(np.round(widths)) == {np.floor(real[0, kind]), np.ceil(real[0, kind])}
        assert widths.mean() == pytest.approx(real[0, kind], abs=0.08)


def test_widths_and_noise_depend_on_the_number_of_the_step_alone():
    seen, real = (lambda bits: bits.sum()), np.array([[3.5, 4.5, 5.5]])
    _, at_once = searched(seen, real, steps=20)
    _, later = searched(seen, real, steps=8, first=12)
    np.testing.assert_array_equal(later, at_once[12:])
    assert len(np.unique(np.asarray(at_once))) > 1


def test_loss_moves_bits_through_the_sampling():
    """d loss / d width = sigmoid(width), passed straight to the real bits."""
    real = np.array([[3.0, 4.0, 5.0]])  # whole, so that nothing is random
    after, _ = searched(lambda bits: bits[0, 1], real, steps=1, bit_rate=0.5, log_target=100.0)
    slope = 1 / (1 + np.exp(-4.0))
    np.testing.assert_allclose(np.asarray(after.bits), [[3, 4 - 0.5 * slope, 5]], rtol=1e-5)


def test_price_moves_bits_only():
    real = np.array([[3.0, 4.0, 5.0]])

    def run(multiplier):
        return searched(lambda bits: 0.0, real, steps=1, rate=1.0, bit_rate=0.5, multiplier=multiplier, log_target=1.3)

    free, bound = run(0.0)[0], run(3.0)[0]  # the price is exp(1.2)
    np.testing.assert_array_equal(free.bits, real)  # within the target, with the multiplier at zero: no force
    np.testing.assert_allclose(bound.bits, real - 0.5 * (3.0 - 0.1) * 0.1, rtol=1e-5)  # (mu + rho c) d log(price) / d bits
    np.testing.assert_array_equal(bound.params["w"], free.params["w"])
    assert float(free.params["w"]) == pytest.approx(-0.5)  # the loss moves it


def test_bits_stay_in_the_menu():
    after, _ = searched(lambda bits: 9 - bits[0, 0] + bits[0, 2], [[7.9, 5.0, 2.1]], steps=5, bit_rate=1.0, log_target=100)
    np.testing.assert_array_equal(after.bits, [[8, 5, 2]])


@pytest.mark.slow
def test_tuning_learns_weights_and_ranges_at_fixed_bits_with_a_new_chip_in_every_step(example):
    bits = jnp.asarray([[5, 3, 5], [3, 2, 4]], jnp.float32)
    small = example.network.trimmed(bits, HARDWARE)
    optimizer = optax.adam(1e-3)
    chunk = tune_chunk(small, HARDWARE, optimizer)
    log_ranges = jax.tree.map(jnp.log, small.trimmed_ranges(example.ranges(bits), HARDWARE))
    start = TuneState(example.params, log_ranges, optimizer.init((example.params, log_ranges)))
    x = jnp.asarray(np.stack([inputs()] * 2))
    y = jnp.asarray(np.argmax(inputs()[:, :3], -1))[None].repeat(2, 0)
    after, losses = chunk(start, bits, KEY, jnp.arange(2), x, y)
    again, same = chunk(start, bits, KEY, jnp.arange(2), x, y)
    _, other = chunk(start, bits, KEY, jnp.arange(2, 4), x, y)
    np.testing.assert_array_equal(same, losses)
    jax.tree.map(np.testing.assert_array_equal, again, after)
    assert len(np.unique(np.concatenate([losses, other]))) == 4
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), (after.params, after.log_ranges), (start.params, log_ranges))
    assert min(jax.tree.leaves(moved)) > 1e-4  # every kernel, bias and range
