"""Flax models on hardware: convert, calibrate, summary, diagnose, chips."""

from imcjax.nn.batchnorm import fold_batchnorm as fold_batchnorm
from imcjax.nn.calibrate import calibrate as calibrate
from imcjax.nn.calibrate import record_inputs as record_inputs
from imcjax.nn.chips import Chips as Chips
from imcjax.nn.chips import evaluate as evaluate
from imcjax.nn.chips import load_chips as load_chips
from imcjax.nn.chips import on_chip as on_chip
from imcjax.nn.chips import program_chips as program_chips
from imcjax.nn.chips import save_chips as save_chips
from imcjax.nn.convert import convert as convert
from imcjax.nn.diagnose import Diagnosis as Diagnosis
from imcjax.nn.diagnose import diagnose as diagnose
from imcjax.nn.hooks import layers as layers
from imcjax.nn.hooks import matrices as matrices
from imcjax.nn.hooks import operators as operators
from imcjax.nn.operator import Operator as Operator
from imcjax.nn.qwix_rules import rules_from_qwix as rules_from_qwix
from imcjax.nn.rules import Rule as Rule
from imcjax.nn.summary import summary as summary
from imcjax.nn.variables import Bits as Bits
from imcjax.nn.variables import Chip as Chip
from imcjax.nn.variables import Correction as Correction
from imcjax.nn.variables import HardwareVariable as HardwareVariable
from imcjax.nn.variables import Noise as Noise
from imcjax.nn.variables import Range as Range
