"""Published macros as cost models, one file each; experiments/validation/cost has the figures that they are checked against."""

from imcjax.cost.macros.analog_sram import AnalogSram as AnalogSram
from imcjax.cost.macros.c2c22 import C2c22 as C2c22
from imcjax.cost.macros.jia65 import Jia65 as Jia65
from imcjax.cost.macros.neurram130 import Neurram130 as Neurram130
from imcjax.cost.macros.sinangil7 import Sinangil7 as Sinangil7
