"""Flax models on hardware: convert, calibrate, summary; and quantized in software: fake_quantize and what belongs to it."""

from imcjax.nn.adaround import adaround as adaround
from imcjax.nn.batchnorm import fold_batchnorm as fold_batchnorm
from imcjax.nn.batchnorm_statistics import reestimate_batchnorm as reestimate_batchnorm
from imcjax.nn.bias_correction import correct_bias as correct_bias
from imcjax.nn.calibrate import calibrate as calibrate
from imcjax.nn.calibrate import matrices as matrices
from imcjax.nn.calibrate import record_inputs as record_inputs
from imcjax.nn.convert import convert as convert
from imcjax.nn.convert import layers as layers
from imcjax.nn.convert import operators as operators
from imcjax.nn.fake_quantize import fake_operators as fake_operators
from imcjax.nn.fake_quantize import fake_quantize as fake_quantize
from imcjax.nn.fake_quantize import fit_inputs as fit_inputs
from imcjax.nn.fake_quantize import fit_weights as fit_weights
from imcjax.nn.format_rules import FormatRule as FormatRule
from imcjax.nn.formats import FakeQuantized as FakeQuantized
from imcjax.nn.formats import FormatHolder as FormatHolder
from imcjax.nn.operator import Operator as Operator
from imcjax.nn.rules import Rule as Rule
from imcjax.nn.summary import summary as summary
from imcjax.nn.variables import Bits as Bits
from imcjax.nn.variables import Chip as Chip
from imcjax.nn.variables import HardwareVariable as HardwareVariable
from imcjax.nn.variables import Noise as Noise
from imcjax.nn.variables import Range as Range
