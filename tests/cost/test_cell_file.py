"""A cell file of the kind that NVSim reads."""

import pytest

from imcjax import UserError
from imcjax.cost import load_cell


TEXT = """\
-MemCellType: memristor
// geometry
-CellArea (F^2): 12
-CellAspectRatio: 1
-ResistanceOn (ohm): 100000
-ResistanceOff (kohm): 1700
-ReadVoltage (V): 0.55
-ResetPulse (ns): 10
-ResetCurrent (uA): 5
-AccessType: CMOS   # one transistor
"""


def test_numbers_come_in_si_units(tmp_path):
    path = tmp_path / "rram.cell"
    path.write_text(TEXT)
    cell = load_cell(path)
    assert cell.kind == "memristor"
    assert cell.words["AccessType"] == "CMOS"
    assert cell.area_f2 == 12
    assert cell.need("ReadVoltage") == 0.55
    assert cell.need("ResetPulse") == pytest.approx(10e-9)
    assert cell.need("ResetCurrent") == pytest.approx(5e-6)
    device = cell.device()
    assert (device.g_min, device.g_max) == pytest.approx((1 / 1.7e6, 1e-5))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-MemCellType: memristor\n", "", "no MemCellType"),
        ("(kohm)", "(parsec)", "Line 6 .* 'parsec'"),
        ("-CellAspectRatio: 1", "CellAspectRatio 1", "Line 4 .* give -Name"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, old, new, message):
    path = tmp_path / "bad.cell"
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_cell(path)


def test_what_the_file_lacks_is_named(tmp_path):
    path = tmp_path / "a.cell"
    path.write_text(TEXT.replace("1700", "17"))
    with pytest.raises(UserError, match="on must be the smaller"):
        load_cell(path).device()
    with pytest.raises(UserError, match=r"no SetVoltage; it has CellArea"):
        load_cell(path).need("SetVoltage")
    with pytest.raises(UserError, match="cannot be read"):
        load_cell(tmp_path / "none.cell")
