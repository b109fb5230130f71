"""Tiling: a partition of the matrix, as even as it can be, that cut and join undo."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imcjax.mapping import Tiling


SIZES = st.integers(1, 40)


@given(SIZES, SIZES, SIZES, SIZES)
def test_partition_is_even_and_no_larger_than_the_arrays(n_in, n_out, rows, cols):
    layout = Tiling(n_in, n_out, rows, cols)
    for n, most, tiles, size in (
        (n_in, rows, layout.row_tiles, layout.tile_rows),
        (n_out, cols, layout.col_tiles, layout.tile_cols),
    ):
        assert size <= most
        assert tiles == -(-n // most)  # no more arrays than it takes
        assert 0 <= tiles * size - n < min(tiles, size)  # less than a cell of padding per tile, and no tile empty
    assert layout.utilisation == pytest.approx(n_in * n_out / (layout.row_tiles * layout.col_tiles * rows * cols))
    assert 0 < layout.utilisation <= 1


@pytest.mark.parametrize("sizes", [(7, 5, 3, 2), (1, 1, 8, 8), (12, 9, 4, 9), (10, 11, 10, 3), (13, 7, 5, 4)])
def test_tiles_hold_the_blocks_and_join_gives_the_columns_back(sizes):
    layout = Tiling(*sizes)
    matrix = np.arange(2.0 * layout.n_in * layout.n_out).reshape(2, layout.n_in, layout.n_out) + 1
    tiles = layout.cut(matrix)
    r, c = layout.tile_rows, layout.tile_cols
    assert tiles.shape == (2, layout.row_tiles, layout.col_tiles, r, c)
    for i in range(layout.row_tiles):
        for j in range(layout.col_tiles):
            block = matrix[:, i * r : (i + 1) * r, j * c : (j + 1) * c]
            np.testing.assert_array_equal(tiles[:, i, j, : block.shape[1], : block.shape[2]], block)
            assert np.sum(tiles[:, i, j]) == block.sum()  # the rest is zero
    joined = np.asarray(layout.join_columns(tiles))
    assert joined.shape == (2, layout.row_tiles, r, layout.n_out)
    np.testing.assert_array_equal(joined.reshape(2, -1, layout.n_out)[:, : layout.n_in], matrix)


@pytest.mark.parametrize("sizes", [(7, 5, 3, 2), (13, 7, 5, 4), (4, 3, 8, 8)])
def test_inputs_meet_their_rows(sizes):
    layout = Tiling(*sizes)
    rng = np.random.default_rng(0)
    matrix, x = rng.integers(-9, 9, (layout.n_in, layout.n_out)), rng.integers(-9, 9, (3, layout.n_in))
    rows = layout.cut_rows(x.astype(float))
    assert rows.shape == (3, layout.row_tiles, layout.tile_rows)
    columns = layout.join_columns(layout.cut(matrix.astype(float)))
    np.testing.assert_array_equal(np.einsum("btr,trn->bn", rows, columns), x @ matrix)


def test_utilisation_counted_by_hand():
    assert Tiling(100, 30, 64, 16).utilisation == pytest.approx(3000 / (2 * 2 * 64 * 16))
