"""The number formats again, in NumPy and from the papers' formulas: values, and gradients for an upstream gradient g.

Each function returns {"values": ..., "x": gradient to x, and the gradient to each number it gives one to}.
"""

import numpy as np


X = np.random.default_rng(0).normal(0, 1.2, (40, 6)).astype(np.float32)
G = np.random.default_rng(1).normal(0, 1, (40, 6)).astype(np.float32)


def affine(x, g, low, high, bits):
    top = 2**bits - 1
    s = (high - low) / top
    z = np.round(-low / s)
    u = x / s
    below, above = u < -z, u > top - z
    inside = ~below & ~above
    code = np.where(below, -z, np.where(above, top - z, np.round(u)))
    of_s = np.where(inside, np.round(u) - u, code)
    of_z = np.where(inside, 0, -s)
    return {
        "values": s * code,
        "x": g * inside,
        "low": (g * (-of_s / top + of_z * (-1 / s - low / s**2 / top))).sum(),
        "high": (g * (of_s / top + of_z * low / s**2 / top)).sum(),
        "bits": (g * (-of_s * s / top - of_z * low / s / top + s * above)).sum() * np.log(2) * (top + 1),
    }


def symmetric(x, g, limit, bits, signed=True):
    top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    s = limit / top
    code = np.clip(np.round(x / s), -top if signed else 0, top)
    inside = (x <= limit) & (x >= (-limit if signed else 0))
    of_s = np.where(inside, code - x / s, code)
    keep = np.ndim(limit) > 0
    return {"values": s * code, "x": g * inside, "limit": (g * of_s).sum(0 if keep else None, keepdims=keep) / top}


def midrise(x, g, limit, bits):
    s = 2 * limit / 2**bits
    level = np.clip(np.floor(x / s) + 0.5, -(2**bits) / 2 + 0.5, 2**bits / 2 - 0.5)
    inside = np.abs(x) <= limit
    return {
        "values": s * level,
        "x": g * inside,
        "limit": (g * np.where(inside, level - x / s, level)).sum() * 2 / 2**bits,
    }


def lsq(x, g, step, bits, signed=True, narrow=False, offset=None):
    qp = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
    qn = (qp if narrow else qp + 1) if signed else 0
    u = (x - (0 if offset is None else offset)) / step
    code = np.clip(np.round(u), -qn, qp)
    inside = (u >= -qn) & (u <= qp)
    keep = np.ndim(step) > 0
    pace = 1 / np.sqrt(qp * (x.size / np.size(step)))
    found = {
        "values": code * step + (0 if offset is None else offset),
        "x": g * inside,
        "step": (g * np.where(inside, code - u, code)).sum(0 if keep else None, keepdims=keep) * pace,
    }
    return found if offset is None else found | {"offset": (g * ~inside).sum() * pace}


def pact(x, g, alpha, bits):
    s = alpha / (2**bits - 1)
    y = np.clip(x, 0, alpha)
    return {"values": np.round(y / s) * s, "x": g * ((x >= 0) & (x < alpha)), "alpha": (g * (x >= alpha)).sum()}


def dorefa(x, g, bits):
    n = 2**bits - 1
    return {"values": np.round(n * np.clip(x, 0, 1)) / n, "x": g * ((x >= 0) & (x <= 1))}


def dorefa_weights(x, g, bits):
    n = 2**bits - 1
    bent = np.tanh(x.astype(float))
    if bits == 1:
        return {"values": np.abs(x).mean() * np.sign(x), "x": g}
    largest = np.abs(bent).max()
    values = 2 * np.round(n * (bent / (2 * largest) + 0.5)) / n - 1
    slope = g * (1 - bent**2) / largest
    # Through the largest |tanh x|, which only one entry has: -sum(g tanh x) / largest^2 times the derivative of that entry.
    where = np.unravel_index(np.abs(bent).argmax(), x.shape)
    slope[where] -= (g * bent).sum() / largest**2 * np.sign(bent[where]) * (1 - bent[where] ** 2)
    return {"values": values, "x": slope}


def bwn(x, g):
    alpha = np.abs(x).mean(0)
    return {"values": alpha * np.sign(x), "x": g * (1 / x.shape[0] + alpha * (np.abs(x) <= 1))}


def sign(x, g):
    return {"values": np.where(x >= 0, 1, -1), "x": g * (np.abs(x) <= 1)}


def twn(x, g):
    size = np.abs(x)
    above = size > 0.7 * size.mean()
    return {"values": size[above].mean() * np.sign(x) * above, "x": g}


def ttq(x, g, up, down, threshold):
    limit = threshold * np.abs(x).max()
    return {
        "values": np.select([x > limit, x < -limit], [up, -down], 0),
        "x": g * np.select([x > limit, x < -limit], [up, down], 1),
        "up": g[x > limit].sum(),
        "down": -g[x < -limit].sum(),
    }


def powers(x, g, limit, levels):
    """The nearest of limit * levels (n,), found by comparing with every one."""
    u = np.clip(x / limit, levels.min(), levels.max())
    level = levels[np.abs(u[..., None] - levels).argmin(-1)]
    inside = np.abs(x / limit - u) == 0
    return {
        "values": limit * level,
        "x": g * inside,
        "limit": (g * np.where(inside, level - x / limit, level)).sum(),
    }


def codebook(x, g, levels, scale):
    u = x / scale
    place = np.abs(u[..., None] - levels).argmin(-1)
    inside = (u >= levels.min()) & (u <= levels.max())
    return {
        "values": scale * levels[place],
        "x": g * inside,
        "levels": np.array([scale * g[place == k].sum() for k in range(len(levels))]),
    }


def ewgs(x, g, low, high, bits, delta):
    top = 2**bits - 1
    u = np.clip((x - low) / (high - low), 0, 1)
    q = np.round(u * top) / top
    inside = (x >= low) & (x <= high)
    up = g * (high - low)  # what reaches q
    to_u = up * (1 + delta * np.sign(up) * (u - q))
    return {"values": low + (high - low) * q, "x": np.where(inside, to_u / (high - low), 0)}
