"""Target -> programmed, aged and read conductance: one small file a device family."""

from imcjax.devices import compensation as compensation
from imcjax.devices import effects as effects
from imcjax.devices.base import FAMILIES as FAMILIES
from imcjax.devices.base import Device as Device
from imcjax.devices.base import bends as bends
from imcjax.devices.base import preset as preset
from imcjax.devices.base import presets as presets
from imcjax.devices.cell import Cell as Cell
from imcjax.devices.cell import mean_pulses as mean_pulses
from imcjax.devices.cell import with_faults as with_faults
from imcjax.devices.fefet import Fefet as Fefet
from imcjax.devices.fit import Fit as Fit
from imcjax.devices.fit import fit as fit
from imcjax.devices.generic import Generic as Generic
from imcjax.devices.pcm_hermes import PcmHermes1 as PcmHermes1
from imcjax.devices.pcm_hermes import PcmHermes2 as PcmHermes2
from imcjax.devices.pcm_joshi import PcmJoshi as PcmJoshi
from imcjax.devices.pcm_nandakumar import PcmNandakumar as PcmNandakumar
from imcjax.devices.reram_cmo import ReramCmo as ReramCmo
from imcjax.devices.reram_wan2022 import ReramWan2022 as ReramWan2022
from imcjax.devices.rram_milo import RramMilo as RramMilo
from imcjax.devices.sonos import Sonos as Sonos
from imcjax.devices.sram import Sram as Sram
from imcjax.devices.stt_mram import SttMram as SttMram
from imcjax.devices.table import Table as Table
