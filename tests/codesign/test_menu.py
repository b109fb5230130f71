"""Which designs are legal, and the moves between them."""

import numpy as np
import pytest

from imcjax import Hardware, UserError
from imcjax.codesign import menu

from .example import HARDWARE


SIGNED = (False, True, False)
LEGAL = np.array([[5.0, 1.0, 2.0], [2.0, 2.0, 6.0], [3.0, 4.0, 5.0]])


def test_bounds_come_from_the_hardware_and_a_sign_takes_a_bit():
    low, high = menu.bounds(SIGNED, HARDWARE)
    np.testing.assert_array_equal(low, [[2, 1, 2], [2, 2, 2], [2, 1, 2]])
    np.testing.assert_array_equal(high, [[5, 4, 6]] * 3)


def test_a_legal_design_passes():
    menu.require_legal(LEGAL, SIGNED, HARDWARE)


@pytest.mark.parametrize(
    "place, width, says",
    [
        ((0, 0), 4.5, "Layer 0 has 4.5 weight bits; give a whole number from 2 to 5"),
        ((0, 0), 6.0, "Layer 0 has 6 weight bits"),
        ((2, 0), 1.0, "Layer 2 has 1 weight bits"),
        ((0, 1), 0.0, "Layer 0 has 0 input bits"),
        ((1, 1), 1.0, "Layer 1 has 1 input bits; give a whole number from 2 to 4"),
        ((1, 2), 7.0, "Layer 1 has 7 ADC bits; give a whole number from 2 to 6"),
        ((1, 2), np.nan, "Layer 1 has nan ADC bits"),
    ],
)
def test_an_illegal_design_is_refused_by_name(place, width, says):
    bits = LEGAL.copy()
    bits[place] = width
    with pytest.raises(UserError, match=says):
        menu.require_legal(bits, SIGNED, HARDWARE)


def test_hardware_without_widths_has_no_menu():
    with pytest.raises(UserError, match=r"encoding\.weight_bits"):
        menu.bounds(SIGNED, Hardware.ideal())
    with pytest.raises(UserError, match=r"adc\.bits"):
        menu.bounds(SIGNED, HARDWARE.replace(adc=HARDWARE.adc.__class__(bits=None)))


def test_neighbours_differ_in_one_place_and_stay_in_the_menu():
    low, high = menu.bounds(SIGNED, HARDWARE)
    for step in (-2, -1, 1, 2):
        found = menu.neighbours(LEGAL, low, high, step)
        expected = sum(low[p] <= LEGAL[p] + step <= high[p] for p in np.ndindex(LEGAL.shape))
        assert len(found) == len({f.tobytes() for f in found}) == expected
        for moved in found:
            menu.require_legal(moved, SIGNED, HARDWARE)
            assert sorted((moved - LEGAL).ravel()) == sorted([0.0] * 8 + [float(step)])


@pytest.mark.parametrize("signed, inputs", [((False, False), 4), ((False, True), 3)])
def test_uniform_triples_are_all_that_every_layer_can_have(signed, inputs):
    found = menu.uniform_triples(signed, HARDWARE)
    assert found.shape == (4 * inputs * 5, 2, 3)
    assert len({tuple(design[0]) for design in found}) == len(found)
    for design in found:
        np.testing.assert_array_equal(design[0], design[1])
        menu.require_legal(design, signed, HARDWARE)
