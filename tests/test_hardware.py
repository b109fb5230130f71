"""Hardware as a file and as a pytree: what comes back, what is refused, and that its numbers never recompile."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from imcjax import Hardware, UserError, devices, hardware, mvm
from imcjax.converters import Adc, Dac, Ladder, UniformDac
from imcjax.crossbar import Wires
from imcjax.hardware import check, from_dict, load, preset, presets, save, to_dict
from imcjax.mapping import Complementary, Differential, MultiDevice, Offset
from imcjax.readout import C2c, Digital, Voltage


SMALL = Hardware(
    name="small",
    rows=8,
    cols=8,
    encoding=Differential(weight_bits=4, cell_bits=2),
    dac=Dac(input_bits=4, bits=2),
    device=devices.Generic(g_min=1e-6, g_max=50e-6, program_sigma=0.02, read_sigma=0.01),
    adc=Adc(bits=7),  # enough for an LSB of one unit: no sum is a tie, which rounding errors would decide
)
X = np.random.default_rng(0).normal(size=(3, 10)).astype(np.float32)
W = np.random.default_rng(1).normal(size=(10, 4)).astype(np.float32)
KEY = jax.random.key(0)


@pytest.mark.parametrize("name", presets())
def test_presets_come_back_from_their_files(name, tmp_path):
    original = preset(name)
    assert original.name == name
    save(original, tmp_path / "copy.toml")
    again = load(tmp_path / "copy.toml")
    assert to_dict(again) == to_dict(original)
    assert jax.tree.structure(again) == jax.tree.structure(original)
    assert jax.tree.leaves(again) == jax.tree.leaves(original)


@pytest.mark.parametrize(
    "original",
    [
        Hardware.ideal(),
        SMALL,
        SMALL.replace(wires=Wires(1.0, 2.0, 3.0, 4.0), solver="pade"),
        SMALL.replace(device=devices.preset("reram_wan2022")),
        SMALL.replace(device=devices.Generic(g_max=jnp.float32(3e-5))),
    ],
    ids=["ideal", "small", "wires", "wan", "jax number"],
)
def test_hardware_comes_back_from_a_file_with_absent_stages_absent(original, tmp_path):
    save(original, tmp_path / "a.toml")
    again = load(tmp_path / "a.toml")
    assert to_dict(again) == to_dict(original)
    assert jax.tree.structure(again) == jax.tree.structure(original)
    assert ("wires" in to_dict(original)) == (original.wires is not None)


def test_a_file_may_say_little():
    found = from_dict({"rows": 16, "adc": {"bits": 5}})
    assert (found.rows, found.cols, found.adc.bits, found.adc.share) == (16, 128, 5, 8.0)
    assert found.wires is None
    assert isinstance(found.device, devices.Generic)


def test_a_file_without_a_name_takes_its_own(tmp_path):
    (tmp_path / "my_chip.toml").write_text("rows = 16\n")
    assert load(tmp_path / "my_chip.toml").name == "my_chip"


def test_numbers_are_floats_whatever_the_file_writes(tmp_path):
    (tmp_path / "a.toml").write_text("rows = 64.0\n[adc]\nshare = 4\n[wires]\nwordline = 2\n")
    found = load(tmp_path / "a.toml")
    assert isinstance(found.rows, int)
    for value in jax.tree.leaves(found):
        assert isinstance(value, float)


WRONG = [
    ("colums = 3", r"hardware has no field 'colums' \(nearest: cols"),
    ("[adc]\nbit = 3", r"hardware.adc has no field 'bit' \(nearest: bits\)"),
    ("[device]\nkind = 'generic'\ngmin = 1e-6", r"hardware.device has no field 'gmin' \(nearest: g_min"),
    ("[device]\nkind = 'genric'", r"hardware.device.kind is 'genric' \(nearest: generic\)"),
    ("[device]\ng_min = 1e-6", r"hardware.device.kind is None \(.*generic, .*reram_wan2022"),
    ("device = 3", r"hardware.device is 3; give a table"),
    ("dac = 'fast'", r"hardware.dac is 'fast'; give a table"),
    ("rows = 0", r"hardware.rows is 0; give whole numbers in \[1, 4096\]"),
    ("rows = 2.5", r"hardware.rows is 2.5; give a whole number"),
    ("rows = true", r"hardware.rows is True; give a finite number"),
    ("rows = '64'", r"hardware.rows is '64'; give a finite number"),
    ("rows = [64]", r"hardware.rows is \[64\]; give a finite number"),
    ("name = 7", r"hardware.name is 7; give a string"),
    ("solver = 'pad'", r"hardware.solver is 'pad' \(nearest: pade"),
    ("[adc]\nbits = 25", r"hardware.adc.bits is 25; give whole numbers in \[2, 24\]"),
    ("[adc]\nshare = nan", r"hardware.adc.share is nan; give a finite number"),
    ("[dac]\nv_read = inf", r"hardware.dac.v_read is inf; give a finite number"),
    ("[dac]\nv_read = -0.2", r"hardware.dac.v_read is -0.2 V; give finite numbers in \[1e-06, 5\] V"),
    ("[dac]\ninput_bits = 4\nbits = 8", r"hardware.dac.bits is 8, more than the 4 bits of the widest input"),
    ("[device]\nkind = 'generic'\ng_min = 2e-4", r"hardware.device.g_min is 0.0002 S and g_max 0.0001 S; g_min must be below"),
    ("[device]\nkind = 'reram_wan2022'\ng_max = 5e-5", r"hardware.device.g_max is 5e-05 S; give .* S"),
    ("[technology]\nnode_m = 1e-9", r"hardware.technology.node_m is 1e-09 m; give finite numbers in \[7e-09, 1.8e-07\] m"),
    ("[encoding]\ncell_bits = 9", r"hardware.encoding.cell_bits is 9; give whole numbers in \[1, 8\]"),
    ("rows = \n", r"is not TOML"),
    ("just words", r"is not TOML"),
]


@pytest.mark.parametrize("text, message", WRONG)
def test_what_a_file_says_wrong_is_named(text, message, tmp_path):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent.toml cannot be read \(No such file"):
        load(tmp_path / "absent.toml")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory"):
        load(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"bytes.toml is not TOML"):
        load(tmp_path / "bytes.toml")


def test_unknown_preset_is_told_the_nearest():
    with pytest.raises(UserError, match=r"no hardware preset 'rram_218' \(nearest: .*rram_128"):
        preset("rram_218")


@pytest.mark.parametrize(
    "wrong, message",
    [
        (SMALL.replace(rows=0), r"hardware.rows is 0"),
        (SMALL.replace(rows=None), r"hardware.rows is None, but this number cannot be absent"),
        (SMALL.replace(device=devices.Generic(read_sigma=float("nan"))), r"hardware.device.read_sigma is nan"),
        (SMALL.replace(device=devices.Generic(g_max=np.array([1e-5, 2.0]))), r"hardware.device.g_max is 2 S"),
        (SMALL.replace(dac=Dac(v_read=jnp.float32(9.0))), r"hardware.dac.v_read is 9 V"),
    ],
)
def test_check_names_the_field(wrong, message):
    with pytest.raises(UserError, match=message):
        check(wrong)


def test_check_lets_tracers_pass():
    @jax.jit
    def f(v_read):
        check(SMALL.replace(dac=Dac(v_read=v_read)))
        return v_read

    assert f(-1.0) == -1.0


def test_every_number_is_a_leaf_and_whole_ones_become_floats():
    made = SMALL.replace(adc=Adc(bits=7, share=4), wires=Wires(1, 2, 3, 4))
    assert made.adc.share == 4.0
    leaves = jax.tree.leaves(made)
    assert all(isinstance(leaf, float) for leaf in leaves)
    count = {Differential: 1, Dac: 1, devices.Generic: 4, Wires: 5, Adc: 1, hardware.Technology: 6}
    assert len(leaves) == sum(count.values())
    doubled = jax.tree.map(lambda leaf: 2 * leaf, made)
    assert (doubled.rows, doubled.adc.bits, doubled.wires.sense) == (8, 7, 8.0)


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.rows = 3


def with_numbers(v_read, g_min, g_max, program_sigma, read_sigma):
    device = devices.Generic(g_min=g_min, g_max=g_max, program_sigma=program_sigma, read_sigma=read_sigma)
    return SMALL.replace(dac=Dac(input_bits=4, bits=2, v_read=v_read), device=device)


def test_other_numbers_do_not_compile_again():
    compiled = jax.jit(chex.assert_max_traces(lambda technology: mvm(X, W, technology, key=KEY), n=1))
    found = [
        compiled(with_numbers(*numbers))
        for numbers in ((0.2, 1e-6, 5e-5, 0.02, 0.01), (0.4, 0.0, 9e-5, 0.0, 0.0), (0.1, 5e-6, 2e-5, 0.5, 0.1))
    ]
    assert np.abs(found[0] - found[2]).max() > 1e-3
    with pytest.raises(AssertionError):  # another structure does: the check above can fail
        compiled(SMALL.replace(adc=Adc(bits=5)))


def test_gradient_with_respect_to_a_whole_hardware():
    gradient = jax.jit(jax.grad(lambda technology: jnp.sum(mvm(X, W, technology, key=KEY) ** 2)))(SMALL)
    assert jax.tree.structure(gradient) == jax.tree.structure(SMALL)
    assert all(np.isfinite(leaf) for leaf in jax.tree.leaves(gradient))
    assert gradient.device.program_sigma != 0
    assert gradient.device.read_sigma != 0
    assert gradient.technology.node_m == 0  # the product does not depend on it


def test_vmap_over_a_number_of_the_hardware_is_a_loop():
    sigmas = jnp.array([0.0, 0.02, 0.2])
    compiled = jax.jit(lambda sigma: mvm(X, W, with_numbers(0.2, 1e-6, 5e-5, sigma, 0.0), key=KEY))
    together = jax.jit(jax.vmap(compiled))(sigmas)
    assert together.shape == (3, 3, 4)
    for found, sigma in zip(together, sigmas, strict=True):
        np.testing.assert_allclose(found, compiled(sigma), rtol=1e-4, atol=1e-4)


def test_vmap_over_hardware_that_was_stacked():
    chips = [with_numbers(0.2, 1e-6, g_max, 0.02, 0.0) for g_max in (2e-5, 8e-5)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack([jnp.float32(leaf) for leaf in leaves]), *chips)
    compiled = jax.jit(lambda technology: mvm(X, W, technology, key=KEY))
    together = jax.jit(jax.vmap(compiled))(stacked)
    for found, chip in zip(together, chips, strict=True):
        np.testing.assert_allclose(found, compiled(chip), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"readout": Digital(levels=2), "encoding": Differential(weight_bits=4, cell_bits=2)}, "the cells hold 4 digits"),
        ({"readout": Digital(levels=4), "accumulation": "analog"}, "phase by phase"),
        ({"readout": Digital(levels=2), "encoding": MultiDevice()}, "continuous weights are no digits"),
        ({"readout": Digital(levels=4), "dac": UniformDac()}, "phase by phase"),
        ({"readout": Voltage()}, "cannot be subtracted"),
        (
            {"readout": C2c(bits=2, g_min=0.0), "encoding": Differential(weight_bits=4, common_mode=1.0, subtract="digital")},
            "common_mode puts cells between digits, which ladders of 2 bits round",
        ),
        ({"encoding": Complementary(), "packing": "diagonal"}, "no zero"),
        ({"encoding": Complementary(), "rows": 1}, "too few"),
        ({"encoding": Offset(reference="zero_column"), "cols": 1}, "too few"),
        ({"encoding": Differential(subtract="digital", pairs="interleaved")}, "whose bitline subtracts"),
        ({"encoding": Differential(pairs="beside")}, r"hardware.encoding.pairs is 'beside'"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    encoding = changes.get("encoding", Differential(weight_bits=4, cell_bits=2))
    with pytest.raises(UserError, match=message):
        check(Hardware(**{"device": devices.Generic(g_min=0.0), "encoding": encoding} | changes))


def test_a_ladder_comes_back_from_a_file(tmp_path):
    ladder = Ladder(thresholds=np.array([-0.5, 0.0, 0.5]), outputs=np.array([-0.8, -0.2, 0.2, 0.8]), bits=2)
    save(Hardware(adc=ladder), tmp_path / "ladder.toml")
    np.testing.assert_array_equal(load(tmp_path / "ladder.toml").adc.outputs, ladder.outputs)
