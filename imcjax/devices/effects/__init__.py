"""What can be added to a cell of any family: one small record a file, each absent (None) or present with traced numbers."""

from imcjax.devices.effects.drift import Drift as Drift
from imcjax.devices.effects.endurance import Endurance as Endurance
from imcjax.devices.effects.one_over_f import OneOverF as OneOverF
from imcjax.devices.effects.retention import Retention as Retention
from imcjax.devices.effects.stuck import Stuck as Stuck
from imcjax.devices.effects.telegraph import Telegraph as Telegraph
from imcjax.devices.effects.variation import Variation as Variation
from imcjax.devices.effects.write_verify import WriteVerify as WriteVerify
