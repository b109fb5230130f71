"""Constraints, bit-width search, legal projection: a network and a chip fitted to each other."""

from imcjax.codesign import bitwidths as bitwidths
from imcjax.codesign import constraints as constraints
from imcjax.codesign.conversions import conversion_energy as conversion_energy
from imcjax.codesign.legal import BudgetError as BudgetError
from imcjax.codesign.legal import require_legal as require_legal
from imcjax.codesign.plan import Plan as Plan
from imcjax.codesign.plan import plan_for as plan_for
from imcjax.codesign.problem import Task as Task
from imcjax.codesign.realisable import require_realisable as require_realisable
from imcjax.codesign.run import check_budget as check_budget
from imcjax.codesign.run import codesign as codesign
from imcjax.codesign.run import finished_design as finished_design
from imcjax.codesign.searched_adc import SearchedAdc as SearchedAdc
from imcjax.codesign.stages import score as score
