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
    "codesign/test_network.py::test_accuracy_counts_every_sample_once_whatever_the_batch": ("64",),
    "codesign/test_network.py::test_chips_computed_one_by_one_and_vmapped_are_the_same": ("",),
    "codesign/test_network.py::test_conversions_of_a_judged_chip_are_noisy_where_their_circuits_are": ("",),
    "codesign/test_network.py::test_signs_and_paths_are_those_of_the_layers": ("",),
    "converters/test_calibration.py::test_drawn_converters_are_calibrated_with_their_flaws": ("",),
    "converters/test_circuits.py::test_each_adc_of_each_chip_is_drawn_for_itself": ("sign_magnitude", "uniform", "sar, binary"),
    "converters/test_ranges.py::test_phases_and_slices_that_are_not_in_use_do_not_count": ("max", "percentile"),
    "converters/test_ranges.py::test_what_has_an_adc_range_of_its_own": ("slice", "column"),
    "cost/test_mvm.py::test_held_out_error_against_the_nodal_solution": ("",),
    "crossbar/test_accuracy.py::test_a_bad_array_does_not_harm_the_others": ("dense_cg",),
    "crossbar/test_accuracy.py::test_accuracy_of_a_64_by_48_array": ("dense_cg",),
    "crossbar/test_accuracy.py::test_each_input_converges_by_itself": ("dense_cg",),
    "crossbar/test_accuracy.py::test_every_field_matches_the_sparse_solution": ("1-1-", "1-9-"),
    "crossbar/test_accuracy.py::test_looser_tolerance_costs_fewer_iterations_and_is_kept": ("",),
    "crossbar/test_accuracy.py::test_transfer_matrix_in_float32": ("14-20-", "1-5-", "6-1-"),
    "crossbar/test_both_ends.py::test_every_field_matches_the_sparse_solution": ("far1", "far2"),
    "crossbar/test_gradients.py::test_gradient": ("few inputs", "all fields-", "shape7"),
    "crossbar/test_more_arrays.py::test_access_resistance_is_in_series_with_each_cell": ("gate_input",),
    "crossbar/test_more_arrays.py::test_all_cells_are_read_in_one_batch": ("",),
    "crossbar/test_more_arrays.py::test_biased_and_floating_lines_match_the_sparse_solution": ("voltages",),
    "crossbar/test_more_arrays.py::test_gradients": ("",),
    "crossbar/test_more_arrays.py::test_interleaved_pairs_match_the_sparse_solution": ("dense_cg",),
    "crossbar/test_more_arrays.py::test_ngspice_agrees": ("third", "access"),
    "crossbar/test_more_arrays.py::test_sneak_paths_and_what_the_schemes_do_about_them": ("",),
    "crossbar/test_more_arrays.py::test_what_cannot_be_refused_under_jit_is_nan": ("",),
    "crossbar/test_nonlinear.py::test_batches_and_maps_agree": ("",),
    "crossbar/test_nonlinear.py::test_cells_behind_access_resistance_between_biased_lines": ("",),
    "crossbar/test_nonlinear.py::test_every_field_matches_root_finding": ("sinh-dense", "cubic"),
    "crossbar/test_nonlinear.py::test_limits": ("",),
    "crossbar/test_nonlinear.py::test_selectors_darken_half_selected_cells": ("",),
    "crossbar/test_physics.py::test_ideal_wires_give_the_matrix_product": ("dense_cg", "port_merge"),
    "crossbar/test_physics.py::test_some_zero_resistances_among_others": ("dense_cg", "port_merge"),
    "crossbar/test_physics.py::test_wires_only_take_away_and_more_so_when_longer": ("dense_cg", "port_merge"),
    "crossbar/test_transforms.py::test_jit_eager_vmap_and_gradients_agree": ("dense_cg",),
    "devices/effects/test_ageing.py::test_gradients_against_differences": ("",),
    "devices/test_compensation.py::test_uniform_drift_is_undone_exactly": ("",),
    "experiments/test_devices.py::test_it_measures_draws_and_says_how_far_off": ("",),
    "mapping/test_encodings.py::test_a_reference_column_suffers_from_wires_as_the_others_do": ("",),
    "mapping/test_encodings.py::test_gradient_of_the_product_is_that_of_a_matrix_product": ("sided", "column", "digitally"),
    "mapping/test_encodings.py::test_the_reference_column_of_an_array_is_converted_once_for_all_its_outputs": ("readout",),
    "mapping/test_packing.py::test_a_depthwise_convolution_on_one_array": ("",),
    "models/test_larger.py::test_maps_a_batch_to_logits_and_trains": ("",),
    "nn/test_layers.py::test_a_product_on_ideal_hardware_is_the_product": ("batch-axes",),
    "nn/test_layers.py::test_layers_under_scan_vmap_and_remat_are_those_of_the_unrolled_network": ("",),
    "nn/test_layers.py::test_one_weight_in_two_layers_stays_one": ("",),
    "readout/test_voltage.py::test_gradients_where_resistances_are_zero": ("",),
    "readout/test_voltage.py::test_wires_match_the_dense_nodal_solution": ("shape1",),
    "report/test_plots.py::test_save_plots_writes_four_pictures": ("lenet5",),
    "test_cli.py::test_a_budget_below_the_smallest_design_says_what_that_costs": ("0.25",),
    "test_curves.py::test_wired_cells_are_solved_for_each_input": ("",),
    "test_imports.py::test_each_core_module_imports_on_its_own": ("mapping", "readout", "converters", "devices", "quantize"),
    "test_pipeline.py::test_gradients_of_continuous_hardware_are_finite_differences": ("",),
    "test_pipeline.py::test_gradients_to_widths_ask_for_more_where_error_is": ("",),
    "test_transforms.py::test_jit_eager_and_vmap_agree": ("program", "mvm with settings"),
    "training/test_fit.py::test_products_in_one_pass_are_those_of_the_pipeline": ("",),
    "training/test_fit.py::test_straight_through_has_the_digital_gradient_and_exact_the_hardwares": ("",),
    "training/test_fit.py::test_training_learns_keeps_a_mean_and_goes_on_where_it_stopped": ("",),
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
