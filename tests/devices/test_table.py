"""A device from a CSV file: its statistics are the file's, between the points straight lines, and bad files are named."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, UserError, hardware, mvm
from imcjax.devices import Table
from imcjax.hardware import to_dict


GOOD = """\
target_uS,mean_uS,sigma_uS,time_s
0.5,0.6,0.1,1
10,10.2,0.5,1
40,39,1.0,1
0.5,0.7,0.2,10000
10,9,0.8,10000
40,35,2.0,10000
"""
TARGETS = np.array([0.5, 10, 40]) * 1e-6
KEY, READ = jax.random.split(jax.random.key(6))
N = 20_000


@pytest.fixture
def table(tmp_path):
    return load(tmp_path, GOOD)


def load(folder, text):
    (folder / "cell.csv").write_text(text)
    return Table.from_csv(folder / "cell.csv")


@jax.jit
def statistics(table, target, time):
    g = table.read(table.program(jnp.broadcast_to(target, (N, *target.shape)), KEY), None, time)
    return g.mean(0), g.std(0)


def test_mean_and_spread_are_the_files_and_lines_between(table):
    assert (table.g_min, table.g_max) == pytest.approx((0.5e-6, 40e-6))
    # A hundredth is halfway between 1 and 10000 s on a logarithmic scale.
    for time, mean, sigma in (
        (1.0, [0.6, 10.2, 39.0], [0.1, 0.5, 1.0]),
        (0.0, [0.6, 10.2, 39.0], [0.1, 0.5, 1.0]),
        (100.0, [0.65, 9.6, 37.0], [0.15, 0.65, 1.5]),
        (1e4, [0.7, 9.0, 35.0], [0.2, 0.8, 2.0]),
    ):
        found_mean, found_sigma = (
            np.asarray(a, float) * 1e6 for a in statistics(table, jnp.asarray(TARGETS, jnp.float32), time)
        )
        np.testing.assert_allclose(found_mean, mean, atol=4 * np.max(sigma) / np.sqrt(N))
        np.testing.assert_allclose(found_sigma, sigma, rtol=4 / np.sqrt(2 * N))
        target = jnp.array([5.25e-6, 25e-6, 60e-6, 0.0])
        exact = np.array([(mean[0] + mean[1]) / 2, (mean[1] + mean[2]) / 2, mean[2], mean[0]]) * 1e-6
        np.testing.assert_allclose(table.read(table.program(target, None), None, time), exact, rtol=1e-5)


def test_a_device_keeps_its_deviate_and_read_noise_needs_a_key(table):
    state = table.program(jnp.full(1000, 10e-6), KEY)
    deviates = [(np.asarray(table.read(state, None, t)) * 1e6 - m) / s for t, m, s in ((1.0, 10.2, 0.5), (1e4, 9.0, 0.8))]
    np.testing.assert_allclose(deviates[0], deviates[1], atol=1e-4)
    np.testing.assert_array_equal(table.read(state, READ), table.read(state))
    noisy = table.replace(read_sigma=0.02)
    ratio = np.asarray(noisy.read(state, READ)) / np.asarray(table.read(state))
    assert ratio.std() == pytest.approx(0.02, rel=0.1)


def test_times_beyond_the_table(table):
    state = table.program(jnp.full(2, 10e-6), KEY)
    for time in (-1.0, 10001.0):
        with pytest.raises(UserError, match=rf"covers 0 to 10000 s after programming, time is {time} s; choose a time"):
            table.read(state, None, time)
        assert np.isnan(jax.jit(table.read)(state, None, time)).all()
    assert np.isfinite(jax.jit(table.read)(state, None, 1e4)).all()


def test_units_and_order_are_free_and_time_may_be_absent(tmp_path):
    table = load(
        tmp_path,
        " time_h , sigma_S,target_nS,mean_mS\n2, 1e-7,100,1e-4\n2,2e-7,5000,4e-3\n0.5,1e-7,100,1e-4\n0.5,1e-7,5000,5e-3\n",
    )
    np.testing.assert_allclose(table.target, [1e-7, 5e-6])
    np.testing.assert_allclose(table.times, [1800.0, 7200.0])
    np.testing.assert_allclose(table.mean, [[1e-7, 5e-6], [1e-7, 4e-6]])
    np.testing.assert_allclose(table.sigma, [[1e-7, 1e-7], [1e-7, 2e-7]])
    still = load(tmp_path, "target_uS,mean_uS,sigma_uS\n\n1,1.5,0.1\n2,2.5,0.1\n")
    np.testing.assert_allclose(still.read(still.program(jnp.array([1.5e-6]), None)), 2e-6, rtol=1e-6)
    with pytest.raises(UserError, match=r"covers 0 to 0 s after programming, time is 60.0 s"):
        still.read(still.program(jnp.array([1.5e-6]), None), None, 60.0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty; give a header such as target_uS"),
        ("target_uS,mean_uS,sigma_uS\n", "is empty"),
        ("target_uS,mean_uS,sigma_uS\n1,1,0\n2,3,0\n3,2,0\n", r"mean falls from target 2e-06 S to 3e-06 S as programmed"),
        ("target,mean_uS,sigma_uS\n1,1,1\n", r"column 'target', which names no unit .* call it one of target_S, .*target_uS"),
        ("target_V,mean_uS,sigma_uS\n1,1,1\n", r"column 'target_V', which names no unit"),
        (GOOD.replace("time_s", "time_S"), r"column 'time_S', .* call it one of time_s, time_min, time_h, time_d"),
        ("target_uS,mean_uS,sigma_uS,temperature_C\n1,1,1,1\n", r"column 'temperature_C'; give target, mean, sigma, time"),
        ("target_uS,mean_uS\n1,1\n", "has no column of sigma; add it, as sigma_uS"),
        ("target_uS,mean_uS,mean_S,sigma_uS\n1,1,1,1\n", "has 2 columns of mean; keep one"),
        (GOOD.replace("39,", "much,"), r"line 4, mean is 'much'; give a number"),
        (GOOD.replace("39,", "nan,"), r"line 4, mean is nan; give a finite number"),
        (GOOD.replace("39,", ","), r"line 4, mean is ''; give a number"),
        (GOOD.replace("0.5,1\n", "-0.5,1\n"), r"line 3, sigma is -0.5; give a finite number that is not negative"),
        (GOOD.replace("10,9,0.8,10000\n", ""), r"no row for target 1e-05 S at 10000 s; measure it, or leave"),
        (GOOD.replace("10,9,0.8,10000", "11,9,0.8,10000"), r"no row for target 1.1e-05 S at 1 s"),
        (GOOD + "40,35,2.0,10000\n", r"target 4e-05 S at 10000 s twice"),
        (
            GOOD.replace("10,10.2,0.5,1\n40,39,1.0,1", "40,39,1.0,1\n10,10.2,0.5,1"),
            r"target 1e-05 S after 4e-05 S at 1 s; sort",
        ),
        ("target_uS,mean_uS,sigma_uS\n1,1,1\n", r"has 1 target; give at least two"),
        (GOOD.replace("40,39,1.0,1\n", "40,39,1.0\n"), r"line 4 has 3 values; give one for each of the 4 columns"),
        (GOOD.replace(",1\n", ",0\n"), r"times begins at 0 s, which has no logarithm; give the delay of the first read"),
    ],
)
def test_bad_tables_are_refused_with_the_remedy(text, message, tmp_path):
    with pytest.raises(UserError, match=message):
        load(tmp_path, text)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.csv cannot be read \(No such file"):
        Table.from_csv(tmp_path / "absent.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match=r"b.csv is not CSV text"):
        Table.from_csv(tmp_path / "b.csv")


def test_a_table_goes_to_a_hardware_file_and_back(table, tmp_path):
    original = Hardware(device=table.replace(read_sigma=0.01))
    hardware.save(original, tmp_path / "chip.toml")
    again = hardware.load(tmp_path / "chip.toml")
    assert to_dict(again) == to_dict(original)
    assert jax.tree.structure(again) == jax.tree.structure(original)
    for ours, theirs in zip(jax.tree.leaves(again), jax.tree.leaves(original), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    "change, message",
    [
        ("times = [1.0]", r"mean of shape \(2, 2\) and sigma of \(2, 2\); give one row for each of the \(1,\) times"),
        ("target = [2e-6, 1e-6]", r"hardware.device.target does not rise"),
        ("times = [9.0, 3.0]", r"hardware.device.times does not rise"),
        ("target = [1e-6]", r"target of shape \(1,\); give at least two targets"),
        ("target = 1e-6", r"target of shape \(\); give at least two targets"),
        ("sigma = [[1e-7, 1e-7], [-1e-7, 1e-7]]", r"hardware.device.sigma is -1e-07 S; give finite numbers in \[0, 1\] S"),
        (
            "sigma = [[1e-7, 1e-7], [1e-7]]",
            r"hardware.device.sigma is .*; give a list of finite numbers, or one of rows of the",
        ),
        ("sigma = ['a', 'b']", r"hardware.device.sigma is \['a', 'b'\]; give a list of finite numbers"),
        ("sigma = 'a'", r"hardware.device.sigma is 'a'; give a finite number"),
        ("sigma = [[nan, 1e-7], [1e-7, 1e-7]]", r"hardware.device.sigma is .*; give a list of finite numbers"),
        ("read_sigma = [0.1]", r"hardware.device.read_sigma is \[0.1\]; give a finite number"),
    ],
)
def test_bad_tables_in_a_hardware_file_are_refused(change, message, tmp_path):
    lines = {"target": "[1e-6, 2e-6]", "mean": "[[1e-6, 2e-6], [1e-6, 2e-6]]", "sigma": "[[1e-7, 1e-7], [1e-7, 1e-7]]",
             "times": "[1.0, 2.0]"}  # fmt: skip
    name, _, value = change.partition(" = ")
    text = "\n".join(f"{n} = {v}" for n, v in (lines | {name: value}).items())
    (tmp_path / "chip.toml").write_text("[device]\nkind = 'table'\n" + text)
    with pytest.raises(UserError, match=message):
        hardware.load(tmp_path / "chip.toml")


def test_a_table_in_hardware_that_says_nothing_is_refused(tmp_path):
    (tmp_path / "chip.toml").write_text("[device]\nkind = 'table'\n")
    with pytest.raises(UserError, match=r"hardware.device has no target, which has no default"):
        hardware.load(tmp_path / "chip.toml")


@pytest.mark.slow
def test_products_and_gradients_with_a_table(table):
    x = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
    w = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
    exact = table.replace(mean=np.stack([TARGETS, TARGETS]))
    small = Hardware(rows=16, cols=16, device=exact)
    np.testing.assert_allclose(mvm(x, w, small), x @ w, rtol=1e-4, atol=1e-4)
    slopes = jax.jit(jax.grad(lambda h: jnp.sum(mvm(x, w, h, key=KEY) ** 2)))(small.replace(device=table)).device
    for name in ("target", "mean", "sigma", "times"):
        assert np.isfinite(getattr(slopes, name)).all()
    assert np.abs(slopes.mean[0]).min() > 0
    assert np.abs(slopes.sigma[0]).max() > 0


def test_gradients_against_differences(table):
    target = jnp.array([3e-6, 20e-6])

    def read(mean, sigma, time):
        device = table.replace(mean=mean, sigma=sigma)
        return 1e6 * device.read(device.program(target, KEY), None, time)

    with jax.enable_x64(True):
        target = jnp.asarray(target, jnp.float64)
        point = (jnp.asarray(table.mean), jnp.asarray(table.sigma), jnp.float64(50.0))
        along = (jnp.asarray(table.mean) * 0.3, jnp.asarray(table.sigma) * 0.7, jnp.float64(2.0))
        _, slope = jax.jvp(read, point, along)
        ahead, behind = (read(*(p + h * a for p, a in zip(point, along))) for h in (1e-5, -1e-5))
        np.testing.assert_allclose(slope, (ahead - behind) / 2e-5, rtol=1e-6)


def test_a_table_without_its_axis_of_times_is_refused():
    table = Table(target=np.array([1e-6, 2e-6]), mean=np.array([1e-6, 2e-6]), sigma=np.zeros(2), times=0.0)
    with pytest.raises(UserError, match=r"times of shape \(\) and mean of \(2,\); give times \(n,\) and mean \(n, targets\)"):
        mvm(np.ones(2), np.eye(2), Hardware(device=table))
