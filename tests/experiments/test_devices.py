"""The picture of the devices, of two presets, and the laws that it draws."""

import json

import numpy as np
import pytest
import scipy.stats

from experiments.devices import __main__ as experiment
from experiments.devices import references
from imcjax import UserError


def test_it_measures_draws_and_says_how_far_off(tmp_path):
    out = tmp_path / "new" / "devices.png"
    found = experiment.main(experiment.Options(out=out, presets=("generic", "ideal"), draws=1500, reference_dir=tmp_path))
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_size > 10_000
    assert json.loads(out.with_suffix(".json").read_text())["largest distance, part of g_max"] == found
    assert all(distance < 1e-6 for distance in found["ideal"].values())
    assert 1e-5 < found["generic"]["program"] < 4 * 0.02 / np.sqrt(2 * 1500)
    assert 1e-5 < found["generic"]["read"] < 4 * 0.01 / np.sqrt(2 * 1500)


def test_an_unknown_preset_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no device preset 'generik' \(nearest: generic"):
        experiment.main(experiment.Options(out=tmp_path / "a.png", presets=("generik",)))


def test_moments_of_the_clipped_normal():
    for mean, sigma in ((1.0, 0.5), (0.0, 1.0), (3.0, 0.0)):
        found_mean, found_std = references.clipped(mean, sigma)
        if sigma == 0:
            assert (found_mean, found_std) == (3.0, 0.0)
            continue
        law = scipy.stats.norm(mean, sigma)
        expected = law.expect(lambda g: g, lb=0)
        assert found_mean == pytest.approx(expected)
        assert found_std == pytest.approx(np.sqrt(law.expect(lambda g: g**2, lb=0) - expected**2))


@pytest.mark.parametrize("name", ["pcm_nandakumar", "reram_wan2022"])
def test_laws_agree_with_sampled_points(reference_dir, name):
    sampled, law = references.find(name, reference_dir)
    targets, std = sampled.program(None)
    np.testing.assert_allclose(law.program(targets[1:])[1], std[1:], rtol=0.03)
    vectors = np.load(reference_dir / f"aihwkit_{name}.npz", allow_pickle=False)
    for i in (5, 15, 25):
        times, mean, spread = law.aged(targets[i], vectors["times"].astype(float))
        for k in range(len(times)):
            error = 4 * vectors[f"t{k}_std"][i] / np.sqrt(1e4)
            assert mean[k] * 1e6 == pytest.approx(vectors[f"t{k}_mean"][i], abs=error)
            if name == "reram_wan2022":
                assert spread[k] * 1e6 == pytest.approx(vectors[f"t{k}_std"][i], rel=0.03)
