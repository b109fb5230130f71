"""Energy, latency and area: closed form, differentiable, calibratable; one component a file."""

from imcjax.cost import adc as adc
from imcjax.cost import array as array
from imcjax.cost import bops as bops
from imcjax.cost import buffers as buffers
from imcjax.cost import digital as digital
from imcjax.cost import drivers as drivers
from imcjax.cost import hcm as hcm
from imcjax.cost import memory as memory
from imcjax.cost import scaling as scaling
from imcjax.cost.activity import Activity as Activity
from imcjax.cost.activity import measure as measure
from imcjax.cost.activity import row_conductance as row_conductance
from imcjax.cost.estimate import Estimate as Estimate
from imcjax.cost.estimate import LayerEstimate as LayerEstimate
from imcjax.cost.estimate import estimate as estimate
from imcjax.cost.layer import Cost as Cost
from imcjax.cost.layer import conversions as conversions
from imcjax.cost.layer import counts as counts
from imcjax.cost.layer import layer_cost as layer_cost
from imcjax.cost.layer import total as total
from imcjax.cost.work import Bits as Bits
from imcjax.cost.work import Work as Work
