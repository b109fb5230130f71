"""Checkpoints, and stages that end the same whether or not they were killed in between."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from imcjax import UserError
from imcjax.training import Stages, Store


class State(NamedTuple):
    params: Any
    moments: Any


OPTIMIZER = optax.adam(1e-2)
NOTES = {"rows": [{"step": 1, "loss": 0.25, "bits": {"a": [1, 2.5]}, "none": None}], "seconds": 1.5, "name": "Größe"}


def fresh():
    params = {"w": jnp.arange(6.0).reshape(2, 3) / 7, "b": jnp.float32(0.3)}
    return State(params, OPTIMIZER.init(params))


def step(state, number):
    """One step of Adam on a loss that differs from step to step."""
    grads = jax.tree.map(lambda p: jnp.sin(p + number), state.params)
    updates, moments = OPTIMIZER.update(grads, state.moments)
    return State(optax.apply_updates(state.params, updates), moments)


def equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
        assert np.asarray(a).dtype == np.asarray(b).dtype


# --- the store -------------------------------------------------------------------------------------------------------------


def test_an_optimizer_state_and_notes_come_back_to_the_bit(tmp_path):
    state = step(step(fresh(), 1), 2)
    Store(tmp_path / "run").save("search", 20, state, NOTES)
    found = Store(tmp_path / "run").load("search", fresh())
    assert found is not None
    number, loaded, notes = found
    assert (number, notes) == (20, NOTES)
    equal(loaded, state)
    equal(step(loaded, 3), step(state, 3))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int32", "bool"])
def test_numpy_states_keep_their_precision(tmp_path, dtype):
    """Accuracies are NumPy's float64 in the run that computes them, and must be the same in the run that reads them."""
    state = (np.array([[1 / 3, 0.0], [346 / 360, 1.0]]) * (3 if dtype == "int32" else 1)).astype(dtype)
    store = Store(tmp_path)
    store.save("chips", 1, state, {})
    found = store.load("chips", np.zeros_like(state))
    assert found is not None
    equal(found[1], state)


def test_the_latest_step_counts_and_stages_are_apart(tmp_path):
    store = Store(tmp_path)
    for number in (10, 20, 100):
        store.save("a", number, {"x": jnp.float32(number)}, {"n": number})
    store.save("b", 30, {"x": jnp.float32(-1)}, {"n": -1})
    found_a, found_b = store.load("a", {"x": jnp.float32(0)}), store.load("b", {"x": jnp.float32(0)})
    assert found_a is not None
    assert found_b is not None
    assert (found_a[0], float(found_a[1]["x"]), found_a[2]) == (100, 100.0, {"n": 100})
    assert (found_b[0], float(found_b[1]["x"])) == (30, -1.0)


def test_what_was_never_saved_is_none_and_looking_leaves_no_trace(tmp_path):
    assert Store(tmp_path / "run").load("search", fresh()) is None
    assert not (tmp_path / "run").exists()


# --- stages ----------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class Work:
    """Seven steps in chunks of three; may be killed at the beginning of a chunk, and counts what it did."""

    def __init__(self, killed_at=None, nan_at=None):
        self.killed_at, self.nan_at, self.chunks = killed_at, nan_at, []

    def __call__(self, state, first, stop):
        if self.killed_at == first:
            raise Killed
        self.chunks.append((first, stop))
        for number in range(first, stop):
            state = step(state, number)
        loss = float("nan") if first == self.nan_at else float(state.params["b"])
        return state, [{"step": stop, "loss": loss}]

    def run(self, folder, name="search"):
        stages = Stages(Store(folder), progress=False)
        return stages.run(name, 7, 3, fresh, self), stages


@pytest.mark.parametrize("killed_at", [0, 3, 6])
def test_killed_and_started_again_it_ends_the_same(tmp_path, killed_at):
    expected, undisturbed = Work().run(tmp_path / "one")
    with pytest.raises(Killed):
        Work(killed_at).run(tmp_path / "two")
    again = Work()
    state, resumed = again.run(tmp_path / "two")
    equal(state, expected)
    assert again.chunks == [(0, 3), (3, 6), (6, 7)][killed_at // 3 :]
    assert resumed.history == undisturbed.history
    assert [row["step"] for row in resumed.history] == [3, 6, 7]
    assert resumed.seconds["search"] > 0


def test_a_finished_stage_is_not_computed_again(tmp_path):
    expected, first = Work().run(tmp_path)
    work = Work(killed_at=0)
    state, again = work.run(tmp_path)
    equal(state, expected)
    assert work.chunks == []
    assert again.history == first.history
    assert again.seconds == first.seconds


def test_history_runs_through_all_stages_in_order(tmp_path):
    def run():
        stages = Stages(Store(tmp_path), progress=False)
        for name in ("float", "search"):
            stages.run(name, 4, 2, fresh, lambda s, a, b, n=name: (step(s, a), [{"phase": n, "step": b, "loss": 1.0}]))
        return stages

    assert [(row["phase"], row["step"]) for row in run().history] == [("float", 2), ("float", 4), ("search", 2), ("search", 4)]
    assert run().history == run().history


def test_a_loss_that_is_no_number_stops_with_a_sentence_and_keeps_the_last_good_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"nan in stage 'search', step 6.*checkpoint of step 3"):
        Work(nan_at=3).run(tmp_path)
    found = Store(tmp_path).load("search", fresh())
    assert found is not None
    number, state, notes = found
    assert number == 3
    equal(state, step(step(step(fresh(), 0), 1), 2))
    assert len(notes["rows"]) == 1
    after, _ = Work().run(tmp_path)  # and from there it can go on
    equal(after, Work().run(tmp_path / "undisturbed")[0])


def test_an_infinite_loss_stops_too(tmp_path):
    stages = Stages(Store(tmp_path), progress=False)
    with pytest.raises(UserError, match="inf"):
        stages.run("tune", 1, 1, fresh, lambda state, a, b: (state, [{"step": b, "loss": float("inf")}]))


def test_rows_without_a_loss_are_fine(tmp_path):
    stages = Stages(Store(tmp_path), progress=False)
    stages.run("chips", 1, 1, fresh, lambda state, a, b: (state, [{"step": b, "accuracy": 0.5}]))
    assert stages.history == [{"step": 1, "accuracy": 0.5}]


def test_progress_bar_shows_the_stage_and_its_metric(tmp_path, capsys):
    stages = Stages(Store(tmp_path))
    stages.run("search", 7, 3, fresh, Work(), metric=lambda row: f"loss {row['loss']:.3f}")
    shown = capsys.readouterr().out
    assert "search" in shown
    assert "7/7" in shown
    assert f"loss {stages.history[-1]['loss']:.3f}" in shown
