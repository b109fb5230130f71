"""Cost of ADCs: published models side by side, one a file.

The functions `energy_j`, `area_m2` and `conversion_time_s` are the model that a layer is costed with unless another is given.
"""

from imcjax.cost.adc.base import ADC_COSTS as ADC_COSTS
from imcjax.cost.adc.base import AdcCost as AdcCost
from imcjax.cost.adc.base import Column as Column
from imcjax.cost.adc.base import check as check
from imcjax.cost.adc.isaac import Isaac as Isaac
from imcjax.cost.adc.lines import Schreier as Schreier
from imcjax.cost.adc.lines import SenseAmplifier as SenseAmplifier
from imcjax.cost.adc.lines import Walden as Walden
from imcjax.cost.adc.neurosim import NeurosimFlash as NeurosimFlash
from imcjax.cost.adc.neurosim import NeurosimSar as NeurosimSar
from imcjax.cost.adc.survey import Survey as Survey
from imcjax.cost.adc.zigzag import Zigzag28 as Zigzag28
from imcjax.cost.adc.zigzag import area_m2 as area_m2
from imcjax.cost.adc.zigzag import conversion_time_s as conversion_time_s
from imcjax.cost.adc.zigzag import energy_j as energy_j
