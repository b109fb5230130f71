"""Conductances and voltages to currents: the electrical circuit of an array.

          column 0           column 1
             |                  |
V_0 -driver--+------wordline----+----- ...   open        every + joins a cell g[i, j] between
             |                  |                        wordline i and bitline j
          bitline            bitline
             |                  |
V_1 -driver--+------wordline----+----- ...   open
             |                  |
           sense              sense
             |                  |
           0 V, I_0           0 V, I_1

A line can also be driven or sensed at both ends: `Wires` with a `driver_far` (from V_i to the last cell of wordline i) or a
`sense_far` (from the first cell of bitline j to its 0 V; I_j is then the sum of both ends). An `access` resistance is in series
with each cell. In place of voltages a `Bias` says what the lines of a passive array are held at, and which of them float.
"""

from imcjax.crossbar import cells as cells
from imcjax.crossbar.api import currents as currents
from imcjax.crossbar.api import solve as solve
from imcjax.crossbar.api import transfer_matrix as transfer_matrix
from imcjax.crossbar.bias import Bias as Bias
from imcjax.crossbar.bias import select as select
from imcjax.crossbar.solution import Solution as Solution
from imcjax.crossbar.solvers import SOLVERS as SOLVERS
from imcjax.crossbar.spice import read_spice as read_spice
from imcjax.crossbar.spice import to_spice as to_spice
from imcjax.crossbar.wires import Wires as Wires
