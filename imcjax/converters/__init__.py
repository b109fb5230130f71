"""DAC and ADC circuits, their ranges and calibration."""

from imcjax.converters import accumulate as accumulate
from imcjax.converters.adc import Adc as Adc
from imcjax.converters.adc import full_scale as full_scale
from imcjax.converters.base import ADCS as ADCS
from imcjax.converters.base import DACS as DACS
from imcjax.converters.base import AdcCircuit as AdcCircuit
from imcjax.converters.calibration import best_range as best_range
from imcjax.converters.calibration import check_range as check_range
from imcjax.converters.calibration import csnr as csnr
from imcjax.converters.calibration import csnr_range as csnr_range
from imcjax.converters.calibration import gaussian_range as gaussian_range
from imcjax.converters.calibration import learned_range as learned_range
from imcjax.converters.calibration import max_range as max_range
from imcjax.converters.calibration import percentile_range as percentile_range
from imcjax.converters.dac import Dac as Dac
from imcjax.converters.dac import DacFlaws as DacFlaws
from imcjax.converters.dac import UniformDac as UniformDac
from imcjax.converters.flash import Flash as Flash
from imcjax.converters.flaws import Flaws as Flaws
from imcjax.converters.ladder import Ladder as Ladder
from imcjax.converters.pipelined import Cyclic as Cyclic
from imcjax.converters.pipelined import Pipeline as Pipeline
from imcjax.converters.ramp import Ramp as Ramp
from imcjax.converters.sar import Sar as Sar
from imcjax.converters.sense_amplifier import SenseAmplifier as SenseAmplifier
from imcjax.converters.uniform import Uniform as Uniform
