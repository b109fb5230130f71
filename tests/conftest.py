"""What every test needs: the `core` marker by folder, repeatable property tests, figures without a display, shared folders."""

import os
from pathlib import Path

import hypothesis
import jax
import pytest


os.environ.setdefault("MPLBACKEND", "Agg")
# Most of a test is compiling, and most of compiling is LLVM's polish. (Level 0 is faster still, and makes NaN in jax 0.10.1.)
FLAGS = ["--xla_backend_optimization_level=1"]
if jax.__version__.startswith("0.10."):
    FLAGS.append("--xla_cpu_use_fusion_emitters=false")  # a quarter less; other versions may not know it, and stop at it
os.environ.setdefault("XLA_FLAGS", " ".join(FLAGS))  # read when the first computation starts
# Programs from the cache come with a page of false alarms each (imcjax/xla.py), which would bury a failure.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Compiling makes a first example slow whatever it is, and a failure in one run has to come back in the next.
hypothesis.settings.register_profile("imcjax", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("imcjax")

TESTS = Path(__file__).parent
WHOLE = ("test_cli.py", "test_readme.py", "test_notebooks.py", "test_xla.py")
CORE = ("quantize", "mapping", "devices", "converters", "crossbar", "readout", "cost")
# What takes long to compile and has no more to do with the version of Python than its neighbours.
BESIDE = tuple(f"crossbar/test_{name}.py" for name in ("gradients", "nonlinear", "both_ends", "transforms"))
# Cases of long tests that the default run leaves to `-m slow`: what stays beside them shows the same.
LONG = {
    "converters/test_circuits.py::test_each_adc_of_each_chip_is_drawn_for_itself": ("sign_magnitude", "uniform", "sar, binary"),
    "crossbar/test_accuracy.py::test_every_field_matches_the_sparse_solution": ("1-1-", "1-9-"),
    "crossbar/test_accuracy.py::test_transfer_matrix_in_float32": ("14-20-", "1-5-", "6-1-"),
    "crossbar/test_gradients.py::test_gradient": ("few inputs", "all fields-", "shape7"),
    "crossbar/test_more_arrays.py::test_access_resistance_is_in_series_with_each_cell": ("gate_input",),
    "crossbar/test_more_arrays.py::test_biased_and_floating_lines_match_the_sparse_solution": ("voltages",),
    "crossbar/test_more_arrays.py::test_floating_lines_that_hold_each_other_far_better_than_the_selected_ones_hold_them": (
        "1e-10",
    ),
    "crossbar/test_more_arrays.py::test_gradients": ("interleaved",),
    "crossbar/test_nonlinear.py::test_every_field_matches_root_finding": ("sinh-dense", "cubic"),
    "crossbar/test_transforms.py::test_jit_eager_vmap_and_gradients_agree": ("dense_cg",),
    "test_transforms.py::test_jit_eager_and_vmap_agree": ("program", "mvm with settings"),
}


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled programs from run to run, for the subprocesses that tests start too: compiling is most of the time."""
    cache = getattr(config, "cache", None)  # absent with -p no:cacheprovider
    if cache is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.mkdir("xla")))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the long cases, and the core suite, run on every Python: the core's folders and the contract tests beside this."""
    test, _, case = item.nodeid.partition("[")
    if any(part in case for part in LONG.get(test.removeprefix("tests/"), ())):
        item.add_marker("slow")
    folder = item.path.relative_to(TESTS).parts[:-1]
    if item.path.relative_to(TESTS).as_posix() in BESIDE:
        return
    if (not folder and item.path.name not in WHOLE) or (folder and folder[0] in CORE):
        item.add_marker("core")


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: it names the folder with {what}")
    path = Path(value)
    assert path.is_dir(), f"{variable} is {value}, which is not a folder"
    return path


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder that holds mnist/ and cifar-10/ in their official files."""
    return _folder("IMCJAX_DATA_DIR", "mnist/ and cifar-10/ in their official files")


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """The folder with outputs of other simulators, to compare with."""
    return _folder("IMCJAX_REFERENCE_DIR", "outputs of other simulators")
