"""What imcjax asks of XLA: of a program that compiles long, and of a whole process of the command.

A library may not decide the latter for its users, so importing this module changes nothing.
"""

import functools
import os
import platform
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.core

from imcjax.fast_random import FAST_TAG


CACHE_BYTES = 2**30
"""Largest size of the folder of compiled programs; the longest unused go first."""


FLAGS_0_10 = {
    # The fusion with which jax 0.10 computes some reductions wrongly on CPU (jax-ml/jax#39103).
    "xla_cpu_experimental_ynn_fusion_type": "-reduce",
    # The newer of two ways to compile elementwise code takes a third longer, which is a tenth of a small co-design.
    "xla_cpu_use_fusion_emitters": "false",
}
_EMITTERS = "xla_cpu_use_fusion_emitters"
_VECTORS = "xla_cpu_prefer_vector_width"


def jit_quickly(function: Callable, **settings: Any) -> Callable:
    """`jax.jit(function, **settings)` that compiles a large program in two thirds of the time where it is called by itself.

    Inside other programs, and in gradients and batches of it, it is what `jax.jit` makes: they decide about themselves.
    """
    plain = jax.jit(function, **settings)
    if not jax.__version__.startswith("0.10."):
        return plain
    quick = _on_cpu(plain, function, {_EMITTERS: FLAGS_0_10[_EMITTERS] == "true"}, settings)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        traced = any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves((args, kwargs)))
        return (plain if traced else quick)(*args, **kwargs)

    return call


def jit_by_key(function: Callable, **settings: Any) -> Callable[[jax.Array | None], Callable]:
    """Of a random key, or keys, the `jax.jit(function, **settings)` for a program that draws most of its time from it.

    The generator of `imcjax.fast_random` takes two thirds of the time in vectors of 512 bit, which XLA leaves alone on
    processors that have them; `jax.random`'s takes half as long again in them (jax 0.10.1).
    """
    plain = jax.jit(function, **settings)
    if not (jax.__version__.startswith("0.10.") and _wide_vectors()):
        return lambda key: plain
    wide = _on_cpu(plain, function, {_VECTORS: 512}, settings)
    return lambda key: plain if key is None or str(jax.random.key_impl(key)) != FAST_TAG else wide


def _on_cpu(plain: Callable, function: Callable, options: dict[str, Any], settings: dict[str, Any]) -> Callable:
    """The function compiled with these options of XLA; elsewhere than on a CPU, and inside other programs, as `plain` is."""
    chosen = jax.jit(function, **settings, compiler_options=options)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if jax.default_backend() != "cpu":
            return plain(*args, **kwargs)
        try:
            return chosen(*args, **kwargs)
        except ValueError as error:
            if "compiler_options" not in str(error):  # inside another program: nothing tells but trying
                raise
            return plain(*args, **kwargs)

    call._cache_size = chosen._cache_size  # type: ignore[attr-defined]  # as jitted functions have it
    return call


@functools.cache
def _wide_vectors() -> bool:
    return "avx512f" in _cpu_info()


def _cpu_info() -> str:
    info = Path("/proc/cpuinfo")
    return info.read_text() if info.is_file() else ""


def choose_flags() -> None:
    """Set what this version of XLA should do differently on CPU, before its backend starts; flags of the user stay."""
    if jax.__version__.startswith("0.10."):  # another version may not know a flag, and stops at it
        given = os.environ.get("XLA_FLAGS", "")
        ours = [f"--{name}={value}" for name, value in FLAGS_0_10.items() if name not in given]
        os.environ["XLA_FLAGS"] = " ".join([given, *ours]).strip()


def keep_compiled() -> None:
    """Keep compiled programs in the user's cache folder: the next run, or the rest of a killed one, starts at once.

    Most of a small run is compiling. JAX_COMPILATION_CACHE_DIR names another folder, JAX_ENABLE_COMPILATION_CACHE=0 keeps none.
    A folder that cannot be written costs time and nothing else.
    """
    # For every program it loads, XLA reports features as missing that are hints to its compiler and no part of a processor.
    jax.config.update("jax_logging_level", "CRITICAL")
    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
        jax.config.update("jax_compilation_cache_max_size", CACHE_BYTES)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def cache_folder() -> Path:
    """One folder for each kind of processor: a program compiled for another one may not run, and homes are shared."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    features = platform.processor()
    features += "".join(line for line in _cpu_info().splitlines() if line.startswith(("model name", "flags")))
    return Path(root) / "imcjax" / f"xla-{platform.machine()}-{zlib.crc32(features.encode()):08x}"
