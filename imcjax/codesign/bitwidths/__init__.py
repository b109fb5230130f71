"""Ways to choose bit-widths, behind one protocol (`base.Method`); one a file."""

from collections.abc import Callable
from typing import Any

from imcjax.codesign.bitwidths.base import Method as Method
from imcjax.codesign.bitwidths.base import at_width as at_width
from imcjax.codesign.bitwidths.baselines import cut_largest as cut_largest
from imcjax.codesign.bitwidths.baselines import random_legal as random_legal
from imcjax.codesign.bitwidths.baselines import widest_uniform as widest_uniform
from imcjax.codesign.bitwidths.bayesian_bits import BayesianBits as BayesianBits
from imcjax.codesign.bitwidths.fracbits import FracBits as FracBits
from imcjax.codesign.bitwidths.guided import Guided as Guided
from imcjax.codesign.bitwidths.guided import by_gate as by_gate
from imcjax.codesign.bitwidths.guided import gate_shape as gate_shape
from imcjax.codesign.bitwidths.guided import spread_gates as spread_gates
from imcjax.codesign.bitwidths.noise import Noise as Noise
from imcjax.codesign.bitwidths.noise_then_sampled import NoiseThenSampled as NoiseThenSampled
from imcjax.codesign.bitwidths.sampled import Sampled as Sampled
from imcjax.codesign.bitwidths.sensitivity import choose as choose
from imcjax.codesign.bitwidths.sensitivity import hessian_trace as hessian_trace
from imcjax.codesign.bitwidths.sensitivity import perturbation as perturbation
from imcjax.codesign.bitwidths.step_range import StepRange as StepRange


METHODS: dict[str, Callable[..., Any]] = {
    "bayesian_bits": BayesianBits,
    "fracbits": FracBits,
    "guided": Guided,
    "noise": Noise,
    "noise_then_sampled": NoiseThenSampled,
    "sampled": Sampled,
    "step_range": StepRange,
}
"""The learned ones by name; `sensitivity` and `baselines` choose widths without learning them."""
