"""DAC and ADC circuits, their ranges and calibration."""

from imcjax.converters.adc import Adc as Adc
from imcjax.converters.adc import full_scale as full_scale
from imcjax.converters.calibration import best_range as best_range
from imcjax.converters.dac import Dac as Dac
