"""Gated residuals: each gate doubles the width, and the first one prunes (Bayesian Bits: van Baalen et al., NeurIPS 2020).

    x_q = z2 (x_2 + z4 (e_4 + z8 (e_8 + z16 e_16))),   e_b = s_b round((x - x_2 - ... ) / s_b)
    s_2 = span / 3,  s_4 = s_2 / 5,  s_8 = s_4 / 17,  s_16 = s_8 / 257

Gates are hard-concrete (Louizos et al., ICLR 2018; beta = 2/3, zeta = 1.1, gamma = -0.1 in the authors' code): a logistic draw,
stretched and cut to [0, 1]; P(z > 0) = sigmoid(phi - beta log(-gamma / zeta)). In deployment a gate is open where the chance
of z = 0 is below 0.34. The authors train with draws between 0 and 1; here the forward pass has each draw rounded, so that the
width is whole, and the gradients are those of the draw. Only the widths 0, 2, 4, 8 and 16 exist.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.codesign.bitwidths.base import Variables, clipped
from imcjax.errors import UserError, concrete
from imcjax.keys import fold_index
from imcjax.quantize import round_through, straight_through


BETA, ZETA, GAMMA = 2 / 3, 1.1, -0.1
CLOSED = 0.34
"""The chance of z = 0 from which a gate is closed in deployment."""
OPEN = 6.0
"""phi of a gate that starts open, as the authors start pruning gates."""
OFFSET = BETA * math.log(-GAMMA / ZETA)
LADDER = (2, 4, 8, 16)


def probability(phi: jax.Array) -> jax.Array:
    """Of a gate above 0."""
    return jax.nn.sigmoid(phi - OFFSET)


def draw(phi: jax.Array, key: jax.Array) -> jax.Array:
    """A hard-concrete gate, in [0, 1]."""
    uniform = jax.random.uniform(key, phi.shape, phi.dtype, jnp.finfo(phi.dtype).tiny)
    soft = jax.nn.sigmoid((jnp.log(uniform) - jnp.log1p(-uniform) + phi) / BETA)
    return jnp.clip(soft * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def deployed(phi: jax.Array) -> jax.Array:
    """1 for a gate that is open in deployment, 0 for a closed one."""
    return (jax.nn.sigmoid(OFFSET - phi) < CLOSED).astype(phi.dtype)


def _open(condition: jax.Array) -> jax.Array:
    return jnp.where(condition, jnp.full((), OPEN, float), -OPEN)


@dataclass(frozen=True)
class BayesianBits:
    """Variables are {"prune", "gates"}: phi of z2, in the shape of the widths, and phi of z4, z8, ... along a first axis.

    Without pruning, "prune" is left out.

    widest: 4, 8 or 16.
    pruning: whether there is a gate below 2 bits.
    """

    widest: int = 8
    pruning: bool = False

    @property
    def ladder(self) -> tuple[int, ...]:
        """The widths above 2."""
        return tuple(b for b in LADDER[1:] if b <= self.widest)

    def start(self, bits: jax.Array, value_range: jax.Array) -> Variables:
        """Gates open up to `bits`.

        Raises:
          UserError: widths that the gates cannot make.
        """
        del value_range
        known = (0,) * self.pruning + tuple(b for b in LADDER if b <= self.widest)
        given = concrete(bits)
        if given is not None and not np.isin(given, known).all():
            wrong = given[~np.isin(given, known)].ravel()[0]
            raise UserError(f"bits is {wrong:g}, which gates cannot make; give one of {', '.join(map(str, known))}.")
        bits = jnp.asarray(bits, dtype=float)
        gates = jnp.stack([_open(bits >= width) for width in self.ladder])
        prune = {"prune": _open(bits >= 2)} if self.pruning else {}
        return prune | {"gates": gates}

    def widths(self, variables: Variables) -> jax.Array:
        """The expected width: 2 bits, and as many again for each gate, where all before it are open."""
        return self._total(jax.tree.map(probability, variables))

    def whole(self, variables: Variables) -> jax.Array:
        """The width of the gates in deployment: 0, 2, 4, 8 or 16."""
        return self._total(jax.tree.map(deployed, variables))

    def _total(self, gates: Variables) -> jax.Array:
        extra = jnp.zeros_like(gates["gates"][0])
        for z, width in zip(gates["gates"][::-1], self.ladder[::-1], strict=True):
            extra = z * (width / 2 + extra)
        return gates.get("prune", 1.0) * (2 + extra)

    def quantize(
        self,
        x: jax.Array,
        value_range: jax.Array,
        variables: Variables,
        *,
        signed: bool,
        key: jax.Array | None = None,
        progress: jax.Array | float = 0.0,
    ) -> jax.Array:
        """See `Method`; gates are drawn from `key`."""
        del progress
        if key is None:
            gates = jax.tree.map(deployed, variables)
        else:
            leaves, structure = jax.tree.flatten(variables)
            drawn = [draw(phi, fold_index(key, i)) for i, phi in enumerate(leaves)]
            gates = jax.tree.unflatten(structure, [straight_through(jnp.round(z), z) for z in drawn])
        limit = jnp.asarray(value_range, x.dtype)
        # The end of the range lies between two codes of s_2, and must not round outwards.
        held = clipped(x, limit * (1 - 1e-6), signed=signed)
        step = (2.0 if signed else 1.0) * limit / 3
        found = [round_through(held / step) * step]
        for width in self.ladder:
            step = step / (2.0 ** (width // 2) + 1)
            found.append(round_through((held - sum(found)) / step) * step)
        total = jnp.zeros_like(held)
        for z, residual in zip(gates["gates"][::-1], found[:0:-1], strict=True):
            total = z * (residual + total)
        return gates.get("prune", 1.0) * (found[0] + total)
