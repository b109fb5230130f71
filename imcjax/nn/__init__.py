"""Flax models on hardware: convert, calibrate, summary."""

from imcjax.nn.batchnorm import fold_batchnorm as fold_batchnorm
from imcjax.nn.calibrate import calibrate as calibrate
from imcjax.nn.calibrate import matrices as matrices
from imcjax.nn.calibrate import record_inputs as record_inputs
from imcjax.nn.convert import convert as convert
from imcjax.nn.convert import layers as layers
from imcjax.nn.convert import operators as operators
from imcjax.nn.operator import Operator as Operator
from imcjax.nn.rules import Rule as Rule
from imcjax.nn.summary import summary as summary
from imcjax.nn.variables import Bits as Bits
from imcjax.nn.variables import Chip as Chip
from imcjax.nn.variables import HardwareVariable as HardwareVariable
from imcjax.nn.variables import Noise as Noise
from imcjax.nn.variables import Range as Range
