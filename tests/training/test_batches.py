"""Which samples make which batch."""

import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.training import batch_indices, correct, cross_entropy


def test_every_epoch_is_a_permutation_of_its_own():
    rows = batch_indices(24, 6, 0, 12, seed=3)
    assert rows.shape == (12, 6)
    epochs = rows.reshape(3, 24)
    for epoch in epochs:
        assert sorted(epoch) == list(range(24))
    assert not (epochs[0] == epochs[1]).all()
    assert not (epochs[1] == epochs[2]).all()
    assert not (epochs[0] == np.arange(24)).all()


def test_the_rest_of_an_epoch_is_dropped_and_nothing_comes_twice():
    epochs = batch_indices(23, 6, 0, 6, seed=3).reshape(2, 18)
    for epoch in epochs:
        assert len(set(epoch)) == 18
    assert set(epochs[0]) != set(epochs[1])


@pytest.mark.parametrize("cut", [1, 3, 4, 5, 11])
def test_a_resumed_training_sees_the_same_batches(cut):
    whole = batch_indices(23, 6, 0, 12, seed=3)
    np.testing.assert_array_equal(
        np.concatenate([batch_indices(23, 6, 0, cut, seed=3), batch_indices(23, 6, cut, 12, seed=3)]), whole
    )


def test_the_seed_decides():
    assert (batch_indices(100, 10, 0, 10, seed=1) != batch_indices(100, 10, 0, 10, seed=2)).any()


def test_loss_and_answers():
    logits = jnp.log(jnp.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]))
    labels = jnp.array([0, 2])
    assert float(cross_entropy(logits, labels)) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2, rel=1e-6)
    assert float(cross_entropy(logits + 50.0, labels)) == pytest.approx(-(np.log(0.7) + np.log(0.25)) / 2, rel=1e-5)
    np.testing.assert_array_equal(correct(logits, labels), [True, False])
