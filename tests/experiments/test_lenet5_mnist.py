"""The study of LeNet-5's bit-widths, of a few images: costs by both conventions, the network, and a run killed and resumed."""

import csv
import dataclasses
import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.lenet5_mnist import __main__ as experiment
from experiments.lenet5_mnist import allocations, network, ranges, report, steps
from experiments.lenet5_mnist import bits as widths
from experiments.lenet5_mnist.images import Views
from experiments.lenet5_mnist.schedule import Schedule
from experiments.lenet5_mnist.study import Run, Study
from imcjax import UserError
from imcjax.data import Dataset, Split
from imcjax.models.lenet5 import LeNet5
from imcjax.training import Store


TINY = Schedule(
    samples=96,
    views=2,
    float_epochs=1,
    search_epochs=1,
    tune_epochs=1,
    chosen_epochs=1,
    batch=32,
    probe=32,
    evaluate=32,
    exchanges=1,
    bits_per_search=30,
)


def digits(seed, count):
    """Images of one bright square each, whose place is the class: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 0.2, (count, 28, 28, 1)).astype(np.float32), rng.integers(0, 10, count).astype(np.int32)
    for image, label in zip(x, y):
        image[2 + 5 * (label // 2) : 6 + 5 * (label // 2), 4 + 12 * (label % 2) : 10 + 12 * (label % 2)] = 1
    return Split(x, y)


DATA = Dataset("squares", digits(0, 96), digits(1, 40), digits(2, 50), classes=10, shape=(28, 28, 1))


@pytest.mark.parametrize("name, eight, other", [("uniform W1A2", 0.2586, 0.1953), ("uniform W2A2", 0.5172, 0.3906)])
def test_uniform_designs_cost_what_the_literature_says(name, eight, other):
    bits = allocations.uniform(name)
    assert widths.spent(bits) == pytest.approx(eight, abs=6e-5)
    assert widths.spent_otherwise(bits) == pytest.approx(other, abs=6e-5)
    np.testing.assert_allclose(widths.spent_each(np.stack([bits] * 3)), [widths.spent(bits)] * 3)


def test_pruned_channels_cost_nothing_on_either_side():
    keep = network.nothing_pruned()
    keep = (keep[0].at[:8].set(0), keep[1], keep[2].at[:256].set(0))
    bits = np.array([2.0, 3.0, 1.0, 4.0, 2.0, 3.0, 5.0])
    by_hand = (
        576 * 25 * 24 * 2 * 8 + 64 * 25 * 24 * 64 * 3 * 2 + 1024 * 256 * 1 * 3 + 256 * 10 * 4 * 5
    )  # fmt: skip
    assert widths.spent(bits, keep) == pytest.approx(100 * by_hand / (1024 * 4_267_008), rel=1e-6)


def test_the_strongest_channels_that_a_bound_allows_are_kept():
    params = jax.tree.map(np.array, network.start(0))
    params["conv1"]["kernel"][:, 5] *= 10
    bits = allocations.uniform("uniform W1A2")
    for bound in (0.26, 0.2, 0.1):
        keep = allocations.strongest(params, bits, bound)
        count = int(keep[0].sum())
        assert widths.spent(bits, keep) <= bound
        assert keep[0][5] == 1
        # Of a channel: its products with images of 8 bits, and those of the next layer with its outputs of 2.
        each = 100 * 25 * (576 * 8 + 64 * 64 * 2) / (1024 * 4_267_008)
        assert count == 32 or widths.spent(bits, keep) + each > bound
    with pytest.raises(UserError, match=r"budget is 0\.01"):
        allocations.strongest(params, bits, 0.01)


def test_network_is_lenet5():
    model = LeNet5((28, 28, 1), 10, rngs=nnx.Rngs(3))
    params = network.start(3)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 582_026
    np.testing.assert_allclose(network.forward(params, jnp.asarray(DATA.test.x[:4])), model(DATA.test.x[:4]), atol=2e-5)


@pytest.mark.parametrize("signed", [True, False])
def test_ranges_are_of_least_squared_error(signed):
    values = np.random.default_rng(0).normal(size=4000)
    values = values if signed else np.maximum(values, 0)
    assert ranges.best_range(values, 1, signed=True) == pytest.approx(np.abs(values).mean())
    # Max (1960), tables of optimum uniform quantizers of a Gaussian: three levels at 0 and 1.22 sigma, seven 0.65 sigma apart.
    if signed:
        assert ranges.best_range(values, 2, signed=True) == pytest.approx(1.224, abs=0.08)
        assert ranges.best_range(values, 3, signed=True) == pytest.approx(3 * 0.651, abs=0.12)
    for bits in (2, 4):
        top = 2 ** (bits - 1) - 1 if signed else 2**bits - 1
        best = ranges.best_range(values, bits, signed=signed)
        others = np.array([0.1, 0.2, 0.3, 0.5, 0.8, 1.0]) * np.abs(values).max()
        errors = [np.mean((np.round(np.clip(values, -r, r) * top / r) * r / top - values) ** 2) for r in (best, *others)]
        assert errors[0] <= min(errors) + 1e-12


def seeds_of(parts):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)


def shown(seed, size=4):
    numbers = np.random.default_rng(seed).integers(0, 96, size)
    said = np.random.default_rng(seed).normal(size=(size, 10)).astype(np.float32)
    return steps.Batch(DATA.train.x[numbers], DATA.train.y[numbers], said)


RATES = steps.Rates(jnp.float32(1e-3), jnp.float32(1e-3), jnp.float32(0))
TEACHING = steps.Teaching(jnp.float32(0.7), jnp.float32(2))


def test_one_program_for_all_widths_bounds_and_seeds():
    inner = chex.assert_max_traces(lambda *a: steps.fixed_step.__wrapped__(*a), n=1)
    step = jax.jit(inner)
    table, keep = np.ones((1, 7, 9), np.float32), seeds_of([network.nothing_pruned()])
    seen = set()
    for seed, bits in ((0, np.ones(7)), (1, np.full(7, 2.0)), (1, np.array([1.0, 8, 3, 4, 5, 6, 7]))):
        trained = seeds_of([steps.Trained.start(network.start(seed))])
        batch = seeds_of([shown(0)])
        trained, loss = step(trained, jnp.asarray(bits, jnp.float32)[None], keep, table, RATES, TEACHING, batch)
        seen.add(float(loss[0]))
    assert len(seen) == 3


def test_seeds_together_are_seeds_apart():
    bits, table = jnp.array([[2.0] * 7, [4.0] * 7]), np.ones((2, 7, 9), np.float32)
    keep = seeds_of([network.nothing_pruned()] * 2)

    def after(*seeds):
        trained = seeds_of([steps.Trained.start(network.start(seed)) for seed in seeds])
        chosen = np.array(seeds)
        own = jax.tree.map(lambda leaf: leaf[chosen], keep)
        batch = seeds_of([shown(seed) for seed in seeds])
        return steps.fixed_step(trained, bits[chosen], own, table[chosen], RATES, TEACHING, batch)

    both, losses = after(0, 1)
    for seed in (0, 1):
        alone, loss = after(seed)
        np.testing.assert_allclose(losses[seed], loss[0], rtol=1e-6)
        for one, other in zip(jax.tree.leaves(both), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(one[seed], other[0], rtol=1e-4, atol=1e-6)


def test_the_loss_is_that_of_labels_and_of_a_teacher():
    batch = shown(3)
    logits = np.random.default_rng(4).normal(size=(4, 10)).astype(np.float32)
    weight, temperature = 0.3, 4.0

    def log_softmax(z):
        return z - np.log(np.exp(z).sum(-1, keepdims=True))

    labels = -log_softmax(logits)[np.arange(4), batch.y].mean()
    soft = np.exp(log_softmax(batch.said / temperature))
    taught = -(soft * log_softmax(logits / temperature)).sum(-1).mean() * temperature**2
    found = steps._loss(jnp.asarray(logits), batch, steps.Teaching(jnp.float32(weight), jnp.float32(temperature)))
    assert float(found) == pytest.approx((1 - weight) * labels + weight * taught, rel=1e-5)


def test_views_are_distorted_copies_and_the_same_again():
    views, again = Views(DATA.train, 2), Views(DATA.train, 2)
    chosen = np.array([3, 5])
    np.testing.assert_array_equal(views.take(0, chosen), again.take(2, chosen))
    assert np.abs(views.take(0, chosen) - views.take(1, chosen)).max() > 0.1
    params = network.start(0)
    np.testing.assert_allclose(
        views.logits(params, 1)[chosen], network.forward(params, views.take(1, chosen)), rtol=1e-4, atol=1e-5
    )


def test_the_smallest_cost_that_holds_an_accuracy():
    done = {"status": "done", "bound_percent": None, "bops_other_percent": 0.1, "bits": [1.0] * 7, "pruned": [0, 0, 0]}

    def rows(method, cost, *accuracies):
        return [done | {"method": method, "seed": i, "bops_percent": cost, "test": a} for i, a in enumerate(accuracies)]

    # Three seeds at 99.45 %: 99.45 - 1.645 * 0.074 = 99.328; at 99.40 % 99.273, which is below 99.30.
    assert report.lower_bound([99.45] * 3) == pytest.approx(99.3283, abs=2e-4)
    assert report.lower_bound([99.40] * 3) == pytest.approx(99.2730, abs=2e-4)
    # A spread of 0.1 points over four seeds adds (0.1 / 2)^2 to the variance.
    assert report.lower_bound([99.3, 99.5, 99.3, 99.5]) < report.lower_bound([99.4] * 4) - 0.02
    found = report.cheapest(
        rows("dear", 0.5, 0.996, 0.996) + rows("good", 0.2, 0.9945, 0.9945) + rows("poor", 0.1, 0.994, 0.994)
    )
    assert "0.2000 %, by good" in found
    assert "No method" in report.cheapest(rows("poor", 0.1, 0.99))


def test_table_and_picture_of_runs(tmp_path):
    done = {"status": "done", "validation": 0.9, "bops_percent": 0.39, "bops_other_percent": 0.3, "bits": [1.0] * 7}
    rows = [
        done
        | {"method": "cgmq", "bound_percent": 0.4, "seed": s, "test": 0.98 + 0.002 * s, "reached": True, "pruned": [0, 1, 2]}
        for s in range(2)
    ]
    rows += [done | {"method": "uniform W1A2", "bound_percent": None, "seed": 0, "test": 0.97, "pruned": [0, 0, 0]}]
    rows += [
        {"method": "cgmq", "bound_percent": 0.1, "seed": 0, "status": "infeasible", "cheapest_percent": 0.1715}
        | {"cheapest_bits": [1.0] * 7}
    ]
    report.save(rows, tmp_path, "# Head\n")
    text = (tmp_path / "results.md").read_text()
    assert "| 0.40 | cgmq | 98.10 ± 0.14 | 97.82 | 0.3900 | 0.3000 | 2 of 2 | 2 of 2 | W 1/1/1/1 A 1/1/1 | 0/1/2 |" in text
    assert "infeasible: the cheapest legal design has 0.1715 (W 1/1/1/1 A 1/1/1)" in text
    found = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [row["test"] for row in found] == ["0.98", "0.982", "0.97", ""]
    assert found[0]["pruned"] == "0 1 2"
    assert (tmp_path / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_options_are_refused(tmp_path):
    options = experiment.Options(out=tmp_path)
    with pytest.raises(UserError, match=r"no method 'cgmk' \(nearest: cgmq"):
        experiment.main(dataclasses.replace(options, methods=("cgmk",)))
    with pytest.raises(UserError, match=r"--bounds is 0"):
        experiment.main(dataclasses.replace(options, bounds=(0.0,)))
    assert set(experiment.methods(("all",))) >= {"cgmq", "ours", "bayesian_bits", "hawq", "uniform W1A2"}


def finished(folder, runs, monkeypatch=None, stop_after=None):
    """The runs of a tiny study; `stop_after` checkpoints it is killed."""
    study = Study(DATA, TINY, folder, progress=False)
    if stop_after is not None:
        save, count = Store.save, [0]

        def dying(self, *args):
            save(self, *args)
            count[0] += 1
            if count[0] == stop_after:
                raise KeyboardInterrupt

        monkeypatch.setattr(Store, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            list(map(study.results, runs))
        monkeypatch.undo()
        return None
    return [row for run in runs for row in study.results(run)]


@pytest.mark.slow
def test_study_meets_its_bounds_and_ends_the_same_when_killed(tmp_path, monkeypatch):
    runs = [Run(n, b, (0,)) for n, b in (("cgmq", 0.4), ("ours", 0.4), ("random", 0.4), ("uniform W1A2", None), ("ours", 0.1))]
    rows = finished(tmp_path / "whole", runs)
    for row in rows[:3]:
        assert row["bops_percent"] <= 0.4 * (1 + 1e-6)
        assert 0 <= row["test"] <= 1
    assert rows[0]["searched_percent"] <= 0.4 * (1 + 1e-6)  # CGMQ needs no projection
    assert rows[4]["status"] == "infeasible"
    assert rows[4]["cheapest_percent"] == pytest.approx(0.1715, abs=1e-4)
    for stop_after in (2, 5):
        folder = tmp_path / f"killed-{stop_after}"
        finished(folder, runs, monkeypatch, stop_after)
        again = finished(folder, runs)
        for row, other in zip(rows, again):
            assert {k: v for k, v in row.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    assert json.loads((tmp_path / "whole" / "runs" / "cgmq-0.40-s0.json").read_text()) == rows[0]
    assert not list((tmp_path / "whole" / "checkpoint").glob("cgmq*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in experiment.EVERY if name not in ("cgmq", "ours", "random", "uniform W1A2")])
def test_every_method_ends_within_the_bound(tmp_path, name):
    bound = None if name.startswith("uniform") else 0.6
    row = finished(tmp_path, [Run(name, bound, (0, 1) if name == "ours_pruned" else (0,))])[0]
    assert row["status"] == "done"
    assert bound is None or row["bops_percent"] <= bound * (1 + 1e-6)
