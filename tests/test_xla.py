"""What the command sets for its process: compiled programs are kept, once, where they can be."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import xla
from imcjax.fast_random import fast_key


PROGRAM = """
import jax, imcjax.xla
imcjax.xla.keep_compiled()
print(jax.jit(lambda x: 3 * x + 1)(2.0))
"""


def run(**environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XDG_"))}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=kept | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


def programs(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*-cache")}


def test_a_second_process_finds_the_programs_of_the_first_and_says_nothing(tmp_path):
    assert run(XDG_CACHE_HOME=str(tmp_path)) == ("7.0", "")
    first = programs(tmp_path)
    assert first
    assert all(path.parent.parent == tmp_path / "imcjax" for path in first)
    assert run(XDG_CACHE_HOME=str(tmp_path)) == ("7.0", "")
    assert programs(tmp_path) == first


def test_a_folder_of_the_users_choice_comes_first(tmp_path):
    assert run(XDG_CACHE_HOME=str(tmp_path / "other"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))[0] == "7.0"
    assert not (tmp_path / "other").exists()


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    assert run(XDG_CACHE_HOME=str(tmp_path / "file"))[0] == "7.0"


def test_each_kind_of_processor_has_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    here = xla.cache_folder()
    assert here == xla.cache_folder()
    monkeypatch.setattr(xla.platform, "processor", lambda: "another one")
    assert here.parent == xla.cache_folder().parent == tmp_path / "imcjax"
    assert here != xla.cache_folder()


def test_flags_of_the_user_stay(monkeypatch):
    monkeypatch.setattr(xla.jax, "__version__", "0.10.1")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=true --xla_dump_to=x")
    xla.choose_flags()
    flags = os.environ["XLA_FLAGS"].split()
    assert flags == ["--xla_cpu_use_fusion_emitters=true", "--xla_dump_to=x", "--xla_cpu_experimental_ynn_fusion_type=-reduce"]
    monkeypatch.setattr(xla.jax, "__version__", "0.12.0")
    xla.choose_flags()
    assert os.environ["XLA_FLAGS"].split() == flags


def test_a_program_compiled_quickly_is_the_same_everywhere():
    def twice(x, *, power):
        return (x * 2) ** power

    quick = xla.jit_quickly(twice, static_argnames="power")
    x = jnp.arange(4.0)
    expected = (2 * x) ** 3
    np.testing.assert_array_equal(quick(x, power=3), expected)
    np.testing.assert_array_equal(jax.jit(lambda x: quick(x, power=3))(x), expected)
    np.testing.assert_array_equal(jax.jit(lambda y: y + quick(x, power=3))(0.0), expected)  # numbers inside another program
    np.testing.assert_array_equal(jax.vmap(lambda x: quick(x, power=3))(x), expected)
    np.testing.assert_allclose(jax.grad(lambda x: quick(x, power=3).sum())(x), 6 * (2 * x) ** 2)
    with pytest.raises(ValueError, match="of its own"):
        xla.jit_quickly(lambda x: (_ for _ in ()).throw(ValueError("of its own")))(x)


@pytest.mark.parametrize("wide", [False, True])
def test_a_program_compiled_by_its_key_is_the_same_everywhere(wide, monkeypatch):
    monkeypatch.setattr(xla, "_wide_vectors", lambda: wide)

    def noisy(x, key, *, times):
        return x + times * jax.random.normal(key, x.shape)

    chosen, x = xla.jit_by_key(noisy, static_argnames="times"), jnp.arange(40.0)
    for key in (jax.random.key(0), fast_key(0)):
        run, expected = chosen(key), noisy(x, key, times=3)
        np.testing.assert_allclose(run(x, key, times=3), expected, rtol=1e-5)
        np.testing.assert_allclose(jax.jit(lambda x, run=run, key=key: run(x, key, times=3))(x), expected, rtol=1e-5)
        np.testing.assert_allclose(jax.vmap(lambda x, run=run, key=key: run(x, key, times=3))(x[None])[0], expected, rtol=1e-5)
        np.testing.assert_array_equal(jax.grad(lambda x, run=run, key=key: run(x, key, times=3).sum())(x), jnp.ones(40))
    known = jax.__version__.startswith("0.10.")
    assert (chosen(fast_key(0)) is chosen(jax.random.key(0))) == (not (wide and known))
    assert chosen(None) is chosen(jax.random.key(0))
