"""Agreement with what others compute, where they are installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax.quantize import Lsq

from .truth import G, X


@pytest.mark.parametrize("qtype, bits", [("int4", 4), ("int8", 8)])
@pytest.mark.parametrize("axis", [None, 1])
def test_plain_integers_are_qwixs(qtype, bits, axis):
    qwix = pytest.importorskip("qwix")
    found = qwix.quantize(jnp.asarray(X), qtype, channelwise_axes=[] if axis is None else [axis])
    # Its largest code reaches half a step beyond itself, so that max|x| is at 2^(b-1) - 1/2 steps: a tie, decided by the step's
    # last digit, which is taken from it.
    largest = np.abs(X).max() if axis is None else np.abs(X).max(0, keepdims=True)
    np.testing.assert_allclose(
        np.asarray(found.scale), np.reshape(largest / (2 ** (bits - 1) - 0.5), found.scale.shape), rtol=1e-6
    )
    ours = Lsq(bits, jnp.reshape(found.scale, np.shape(largest)), axis=axis)
    np.testing.assert_array_equal(ours.codes(X).codes, np.asarray(found.qvalue, np.float32))
    np.testing.assert_allclose(ours.quantize(X), np.asarray(qwix.dequantize(found)), rtol=1e-6)


@pytest.mark.parametrize("signed, bits", [(True, 4), (False, 2)])
def test_lsq_is_the_papers_code_in_pytorch(signed, bits):
    torch = pytest.importorskip("torch")
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    # The pseudocode of the paper's appendix: round and scale the gradient by detaching.
    v, step = torch.tensor(X, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    pace = 1 / np.sqrt(high * v.numel())
    paced = (step - step * pace).detach() + step * pace
    units = torch.clamp(v / paced, low, high)
    values = ((torch.round(units) - units).detach() + units) * paced
    values.backward(torch.tensor(G))

    found, pull = jax.vjp(lambda fmt, x: fmt.quantize(x), Lsq(bits, 0.3, signed=signed), X)
    numbers, to_x = pull(G)
    np.testing.assert_allclose(found, values.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(to_x, v.grad.numpy(), atol=1e-6)
    assert numbers.step == pytest.approx(float(step.grad), rel=1e-4)
