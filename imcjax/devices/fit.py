"""A device's numbers from measurements: least squares on mean and spread, by gradients through the device model.

The method of K. Levenberg and D. W. Marquardt (J. SIAM 11, 431 (1963)) with the diagonal scaling of the latter, so that siemens
and seconds need no units of their own. Every evaluation uses the same keys (common random numbers), which makes the sampled
statistics a smooth function of the numbers.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imcjax.errors import UserError, check_record, nearest
from imcjax.keys import fold_name


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a fit found.

    Attributes:
      model: the device with the fitted numbers.
      values: the fitted numbers by name.
      mean_error: (n,) relative error of the mean at each point, model / measurement - 1.
      sigma_error: (n,) relative error of the spread at each point.
    """

    model: Any
    values: dict[str, Any]
    mean_error: np.ndarray
    sigma_error: np.ndarray

    @property
    def rms_mean(self) -> float:
        """Root mean square of `mean_error`."""
        return float(np.sqrt(np.mean(self.mean_error**2)))

    @property
    def rms_sigma(self) -> float:
        """Root mean square of `sigma_error`."""
        return float(np.sqrt(np.mean(self.sigma_error**2)))


def fit(
    model: Any,
    measurements: Any,
    *,
    names: Sequence[str] | None = None,
    key: jax.Array | None = None,
    draws: int = 1000,
    steps: int = 50,
    read_noise: bool = True,
) -> Fit:
    """Fit numbers of a device to measured means and spreads.

    The squared errors of both are summed, that of a mean relative to the larger of measured mean and spread, so that points
    near zero conductance do not rule, that of a spread relative to the measured one. A number that starts at 0.0 starts at 1 %
    of its range instead, since a spread of zero has no slope.

    Args:
      model: a device of any family; the fit starts at its numbers.
      measurements: (n, 4), a row (target, time, mean, sigma) a point: siemens, seconds, siemens, siemens.
      names: what to fit, dotted from the device down ("program_sigma", "drift.nu"); None: all numbers that move the
        statistics, without g_min and g_max, which say what the targets are.
      key: randomness of the simulated devices; None: key 0.
      draws: simulated devices a point.
      steps: most steps of the method.
      read_noise: whether the measured spread holds the read noise of one read.

    Raises:
      UserError: measurements that are none, names that are none, or times that the device does not cover.
    """
    points = np.array(measurements, float)
    if points.ndim != 2 or points.shape[1] != 4 or not len(points):
        raise UserError(f"measurements have shape {points.shape}; give rows of target, time, mean and sigma.")
    if not np.isfinite(points).all() or (points < 0).any():
        raise UserError("measurements hold a number that is negative or not finite; leave that point out.")
    if draws < 2:
        raise UserError(f"draws is {draws}; give at least 2, for a spread.")
    check_record(model, "model")
    known = numbers(model)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise UserError(f"The device has no number {unknown[0]!r}{nearest(unknown[0], known)}.")
    tried = list(names) if names is not None else [n for n in known if n.rpartition(".")[2] not in ("g_min", "g_max")]
    for time in np.unique(points[:, 1]):
        model.read(model.program(jnp.asarray(points[:1, 0], float), None), None, float(time))  # refuses times it does not cover
    key = jax.random.key(0) if key is None else key
    statistics = _statistics(points, key, draws, read_noise)
    mean, sigma = points[:, 2:].T
    unit_mean, unit_sigma = _nonzero(np.maximum(mean, sigma)), _nonzero(sigma)

    def residuals(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        found_mean, found_sigma = statistics(_with(model, tried, vector))
        found = jnp.concatenate([(found_mean - mean) / unit_mean, (found_sigma - sigma) / unit_sigma])
        return found, found

    compiled = jax.jit(jax.jacfwd(residuals, has_aux=True))  # slopes (2 n, numbers) and values (2 n,), in one program
    start, low, high = _start(model, tried)
    free = np.ones(start.shape, bool)
    if names is None:
        slopes = np.asarray(compiled(start)[0])
        moves = np.abs(slopes * np.abs(start)).max(axis=0, initial=0) > 1e-6
        free = np.concatenate([np.zeros(0, bool), *(np.full(own.size, own.any()) for own in _split(model, tried, moves))])
    if not free.any():
        raise UserError("No number of the device moves the measured statistics; name what to fit, or start from other numbers.")
    vector, errors = _least_squares(compiled, start, low, high, free, steps)
    parts = zip(tried, _split(model, tried, vector), _split(model, tried, free), strict=True)
    values = {name: own if own.ndim else float(own) for name, own, fitted in parts if fitted.any()}
    count = len(points)
    return Fit(_replaced(model, values), values, errors[:count] * unit_mean / _nonzero(mean), errors[count:])


def numbers(model: Any) -> dict[str, Any]:
    """The numbers of a record by dotted name."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(model)
    return {".".join(step.name for step in path): leaf for path, leaf in leaves}


def _statistics(
    points: np.ndarray, key: jax.Array, draws: int, read_noise: bool
) -> Callable[[Any], tuple[jax.Array, jax.Array]]:
    """device -> (mean (n,), sigma (n,)), siemens, at the targets and times of `points`, over `draws` devices."""
    times, which = np.unique(points[:, 1], return_inverse=True)
    targets = jnp.asarray(points[:, 0], float)

    def statistics(device: Any) -> tuple[jax.Array, jax.Array]:
        def one(key: jax.Array) -> jax.Array:
            state = device.program(targets, fold_name(key, "program"))
            noise = fold_name(key, "read") if read_noise else None
            reads = jnp.stack([device.read(state, noise, float(time)) for time in times])  # (times, n)
            return reads[which, np.arange(len(points))]

        g = jax.vmap(one)(jax.random.split(key, draws))
        mean = jnp.mean(g, axis=0)
        squares = jnp.sum((g - mean) ** 2, axis=0) / (draws - 1)
        # The inner where keeps the root's infinite slope at zero away where nothing spreads.
        return mean, jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)

    return statistics


def _least_squares(
    residuals: Callable[[Any], tuple[jax.Array, jax.Array]],
    start: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    free: np.ndarray,
    steps: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The vector in [low, high] with the least squares, from `start` down, and its residuals; only `free` numbers move."""
    at, damping = np.clip(start, low, high), 1e-3
    jacobian, error = (np.asarray(a, float) for a in residuals(at))
    for _ in range(steps):
        downhill = -jacobian.T @ error
        # A number at the end of its range that would leave it is held there.
        moving = free & ~(((at <= low) & (downhill < 0)) | ((at >= high) & (downhill > 0)))
        square = (jacobian.T @ jacobian)[np.ix_(moving, moving)]
        if not np.isfinite(square).all():
            raise UserError("The statistics have no finite slope at these numbers; start the fit from others.")
        gained = 0.0
        while damping < 1e9 and moving.any() and not gained:
            step = np.zeros_like(at)
            step[moving] = np.linalg.solve(square + damping * np.diag(np.maximum(np.diag(square), 1e-30)), downhill[moving])
            tried = np.clip(at + step, low, high)
            slopes, found = (np.asarray(a, float) for a in residuals(tried))
            if np.isfinite(found).all() and found @ found < error @ error:
                gained = 1 - (found @ found) / (error @ error)
                at, jacobian, error = tried, slopes, found
                damping = max(damping / 10, 1e-9)
            else:
                damping *= 4
        if gained < 1e-7:
            break
    return at, error


def _start(model: Any, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The named numbers one after the other, and their lowest and highest values."""
    known = numbers(model)
    start, low, high = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for name in names:
        limits = _field(model, name).metadata
        bottom, top = (
            default if limits.get(end) is None else limits[end] for end, default in (("low", -np.inf), ("high", np.inf))
        )
        value = np.ravel(np.asarray(known[name], float))
        nudge = 0.01 * top if np.isfinite(top) else 0.01
        start.append(np.where(value == 0, nudge, value))
        low.append(np.full(value.shape, bottom))
        high.append(np.full(value.shape, top))
    return np.concatenate(start), np.concatenate(low), np.concatenate(high)


def _field(model: Any, name: str) -> dataclasses.Field:
    *parents, last = name.split(".")
    for parent in parents:
        model = getattr(model, parent)
    return next(field for field in dataclasses.fields(model) if field.name == last)


def _split(model: Any, names: Sequence[str], vector: Any) -> list[Any]:
    """The parts of a vector that belong to the named numbers, in their shapes."""
    known, parts, begin = numbers(model), [], 0
    for name in names:
        shape = np.shape(known[name])
        size = int(np.prod(shape))
        parts.append(vector[begin : begin + size].reshape(shape))
        begin += size
    return parts


def _with(model: Any, names: Sequence[str], vector: Any) -> Any:
    """The model with the named numbers taken from a vector."""
    return _replaced(model, dict(zip(names, _split(model, names, vector), strict=True)))


def _replaced(model: Any, values: dict[str, Any]) -> Any:
    leaves, structure = jax.tree_util.tree_flatten_with_path(model)
    return structure.unflatten([values.get(".".join(step.name for step in path), leaf) for path, leaf in leaves])


def _nonzero(values: np.ndarray) -> np.ndarray:
    """What to divide by: the values themselves, the largest of them where one is zero, 1 where all are."""
    return np.where(values > 0, values, values.max() if values.max() > 0 else 1.0)
