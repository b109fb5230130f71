"""What the columns of an array answer with: current, open-circuit voltage, shared charge, or exact digits."""

from imcjax.readout.base import READOUTS as READOUTS
from imcjax.readout.base import Readout as Readout
from imcjax.readout.base import check as check
from imcjax.readout.c2c import C2c as C2c
from imcjax.readout.c2c import ladder_weights as ladder_weights
from imcjax.readout.charge import Charge as Charge
from imcjax.readout.current import Current as Current
from imcjax.readout.digital import Digital as Digital
from imcjax.readout.open_circuit import check_open_circuit as check_open_circuit
from imcjax.readout.open_circuit import open_circuit_matrix as open_circuit_matrix
from imcjax.readout.voltage import Voltage as Voltage
