"""Cross-entropy and accuracy of a classifier."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def cross_entropy(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> Float[Array, ""]:
    """Mean cross-entropy, nat."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def correct(logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]) -> jax.Array:
    """(batch,) whether the largest logit is the label's."""
    return jnp.argmax(logits, axis=-1) == labels
