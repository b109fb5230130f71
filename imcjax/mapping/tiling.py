"""A weight matrix cut into arrays of bounded size."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How an (n_in, n_out) matrix lies on arrays of at most `rows` x `cols` weights.

    Tiles are as equal as can be (partition "even"), or all but the last ones fill their arrays ("full").
    Cells beyond a tile's rows and columns are switched off (1T1R), which makes the array electrically as small as the tile; the
    few cells that pad the last tile stay at the conductance of weight zero.
    """

    n_in: int
    n_out: int
    rows: int
    cols: int
    partition: str = "even"

    @property
    def row_tiles(self) -> int:
        """Tiles along the inputs; their partial sums are added digitally."""
        return -(-self.n_in // self.rows)

    @property
    def col_tiles(self) -> int:
        """Tiles along the outputs."""
        return -(-self.n_out // self.cols)

    @property
    def tile_rows(self) -> int:
        """Rows used of each array."""
        return -(-self.n_in // self.row_tiles) if self.partition == "even" else min(self.n_in, self.rows)

    @property
    def row_sizes(self) -> list[int]:
        """Rows of the matrix that each row tile holds."""
        return [min(self.tile_rows, self.n_in - first) for first in range(0, self.n_in, self.tile_rows)]

    @property
    def tile_cols(self) -> int:
        """Columns used of each array."""
        return -(-self.n_out // self.col_tiles) if self.partition == "even" else min(self.n_out, self.cols)

    @property
    def utilisation(self) -> float:
        """Cells that hold a weight, over all cells of the arrays taken."""
        return self.n_in * self.n_out / (self.row_tiles * self.col_tiles * self.rows * self.cols)

    def cut(self, matrix: Float[Array, "... n_in n_out"]) -> Float[Array, "... row_tiles col_tiles tile_rows tile_cols"]:
        """The matrix as tiles, padded with zeros."""
        lead = matrix.shape[:-2]
        pad_in = self.row_tiles * self.tile_rows - self.n_in
        pad_out = self.col_tiles * self.tile_cols - self.n_out
        padded = jnp.pad(matrix, [(0, 0)] * len(lead) + [(0, pad_in), (0, pad_out)])
        blocks = padded.reshape(*lead, self.row_tiles, self.tile_rows, self.col_tiles, self.tile_cols)
        return jnp.swapaxes(blocks, -3, -2)

    def join_columns(self, tiles: Float[Array, "... t col_tiles rows tile_cols"]) -> Float[Array, "... t rows n_out"]:
        """Tiles, those of t / row_tiles copies, with their columns side by side again, the padding columns dropped."""
        joined = jnp.swapaxes(tiles, -3, -2).reshape(*tiles.shape[:-3], tiles.shape[-2], -1)
        return joined[..., : self.n_out]

    def cut_rows(self, x: Float[Array, "... n_in"]) -> Float[Array, "... row_tiles tile_rows"]:
        """Inputs laid along the rows of the tiles, padded with zeros."""
        pad = self.row_tiles * self.tile_rows - self.n_in
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, pad)])
        return padded.reshape(*x.shape[:-1], self.row_tiles, self.tile_rows)
