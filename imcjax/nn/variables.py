"""The kinds of state that a converted model has beside its parameters, so that each can be split off, frozen or trained."""

from flax import nnx


class HardwareVariable(nnx.Variable):
    """A `Hardware`, shared by reference between the layers on it: a wire resistance has one gradient."""


class Bits(nnx.Variable):
    """A bit-width of one layer, a real number."""


class Range(nnx.Variable):
    """The range of one layer's weights, inputs or ADCs."""


class Noise(nnx.Variable):
    """The key from which all layers draw, each folded with its path; shared by reference."""


class Calls(nnx.Variable):
    """How often a layer has drawn: the next draw is another one."""


class Chip(nnx.Variable):
    """One chip's state of a layer: `Programmed` devices, or the `Settled` matrix that they answer with."""


class Correction(nnx.Variable):
    """(gain, offset), each (groups, n_out), by which the digital side corrects the outputs of one layer on one chip."""


class WeightNoise(nnx.Variable):
    """Standard deviation of Gaussian noise on one layer's weights while it is trained, relative to its largest weight."""
