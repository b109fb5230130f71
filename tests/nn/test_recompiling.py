"""Numbers of hardware, noise and models are arguments of compiled programs: others compile nothing."""

import numpy as np
import optax

import imcjax
from imcjax import Hardware, converters, devices, models
from imcjax.fast_random import fast_key
from imcjax.nn import chips, recording
from imcjax.nn.structure import Structure
from imcjax.ranges import jitted_find_ranges
from imcjax.training import Options, Trainer


X = np.random.default_rng(0).uniform(size=(6, 8, 8, 1)).astype(np.float32)
Y = np.arange(6) % 3


def _model(sigma, seed):
    hardware = Hardware(name="a", rows=32, cols=32, device=devices.Generic(program_sigma=sigma), adc=converters.Adc(bits=8))
    return imcjax.convert(models.build("mlp", (8, 8, 1), 3, seed), hardware)


def test_chips_of_other_numbers():
    found = []
    for sigma, seed in ((0.01, 0), (0.3, 0), (0.01, 1)):
        model = _model(sigma, seed)
        imcjax.calibrate(model, [X], progress=False)
        counts = [recording._run._cache_size(), jitted_find_ranges._cache_size()]
        kept = imcjax.nn.program_chips(model, fast_key(1), 2)
        imcjax.nn.evaluate(model, X, Y, key=fast_key(1), chips=2, progress=False)
        counts += [run(fast_key(1))._cache_size() for run in (chips._judge, chips._program_all)]
        found.append((counts, np.asarray(next(iter(kept.programmed.values())).state.g)))
    assert found[0][0] == found[1][0] == found[2][0]
    assert not np.allclose(found[0][1], found[1][1])
    assert not np.allclose(found[0][1], found[2][1])


def test_a_step_of_other_numbers():
    optimizer = optax.sgd(0.1)
    losses, steps = [], set()
    for sigma, noise in ((0.01, 0.05), (0.3, 0.05), (0.01, 0.5)):
        trainer = Trainer(_model(sigma, 0), optimizer, Options(weight_noise=noise), key=fast_key(2))
        losses.append(float(trainer.step(trainer.start(), X, Y)[1]["loss"]))
        steps.add(trainer._run)
    (step,) = steps
    assert step._cache_size() == 1
    assert len(set(losses)) == 3


def test_a_structure_that_cannot_be_hashed_is_its_own():
    one, same, other = Structure((1, 2)), Structure((1, 2)), Structure((1, 3))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != 3
    odd = Structure([1])
    assert odd == odd
    assert odd != Structure([1])
    assert isinstance(hash(odd), int)
