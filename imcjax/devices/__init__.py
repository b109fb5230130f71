"""Target -> programmed, aged and read conductance: one small file a device family."""

from imcjax.devices.base import FAMILIES as FAMILIES
from imcjax.devices.base import Device as Device
from imcjax.devices.base import preset as preset
from imcjax.devices.base import presets as presets
from imcjax.devices.generic import Generic as Generic
from imcjax.devices.reram_wan2022 import ReramWan2022 as ReramWan2022
