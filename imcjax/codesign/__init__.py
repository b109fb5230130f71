"""Constraints, bit-width search, legal projection: a network and a chip fitted to each other."""

from imcjax.codesign.plan import Plan as Plan
from imcjax.codesign.plan import plan_for as plan_for
from imcjax.codesign.run import BudgetError as BudgetError
from imcjax.codesign.run import Run as Run
from imcjax.codesign.run import Task as Task
