"""imcjax: in-memory-computing hardware for quantized neural networks as one differentiable function."""

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from imcjax import crossbar as crossbar
from imcjax import devices as devices
from imcjax import hardware as hardware
from imcjax.errors import UserError as UserError
from imcjax.hardware import Hardware as Hardware
from imcjax.pipeline import Programmed as Programmed
from imcjax.pipeline import mvm as mvm
from imcjax.pipeline import program as program
from imcjax.pipeline import read as read
from imcjax.ranges import calibrated_settings as calibrated_settings
from imcjax.settings import Settings as Settings


if TYPE_CHECKING:
    from imcjax import codesign as codesign
    from imcjax import cost as cost
    from imcjax import data as data
    from imcjax import models as models
    from imcjax import nn as nn
    from imcjax import training as training
    from imcjax.nn import Rule as Rule
    from imcjax.nn import calibrate as calibrate
    from imcjax.nn import convert as convert
    from imcjax.nn import diagnose as diagnose
    from imcjax.nn import summary as summary

__version__ = _version("imcjax")

# The core needs no Flax; what does is imported on first use.
_PACKAGES = ("codesign", "cost", "data", "models", "nn", "training")
_LAZY = dict.fromkeys(("Rule", "calibrate", "convert", "diagnose", "summary"), "imcjax.nn")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"imcjax.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'imcjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    shown = {name for name in globals() if not name.startswith("_")} | set(_LAZY) | set(_PACKAGES)
    return sorted(shown - {"Any", "TYPE_CHECKING", "importlib"})
