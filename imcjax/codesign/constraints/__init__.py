"""Bounds on any cost of bit-widths, as Optax transformations; one a file."""

from imcjax.codesign.constraints.augmented import Multiplier as Multiplier
from imcjax.codesign.constraints.augmented import augmented_lagrangian as augmented_lagrangian
from imcjax.codesign.constraints.augmented import lagrangian as lagrangian
from imcjax.codesign.constraints.augmented import raise_multiplier as raise_multiplier
from imcjax.codesign.constraints.base import given as given
from imcjax.codesign.constraints.base import whole as whole
from imcjax.codesign.constraints.base import within as within
from imcjax.codesign.constraints.freeze import freeze_oscillating as freeze_oscillating
from imcjax.codesign.constraints.freeze import hysteresis as hysteresis
from imcjax.codesign.constraints.freeze import lock_settled as lock_settled
from imcjax.codesign.constraints.guided import DIRECTIONS as DIRECTIONS
from imcjax.codesign.constraints.guided import constraint_guided as constraint_guided
from imcjax.codesign.constraints.guided import gate_bits as gate_bits
from imcjax.codesign.constraints.homotopy import homotopy as homotopy
from imcjax.codesign.constraints.homotopy import with_homotopy as with_homotopy
from imcjax.codesign.constraints.penalty import absolute_gap as absolute_gap
from imcjax.codesign.constraints.penalty import fixed_penalty as fixed_penalty
from imcjax.codesign.constraints.penalty import squared_hinge as squared_hinge
from imcjax.codesign.constraints.projected import keep_in_box as keep_in_box
from imcjax.codesign.constraints.projected import keep_in_budget as keep_in_budget
