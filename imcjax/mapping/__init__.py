"""Code -> target conductances on tiles: encodings, digits, tiling, unrolled convolutions."""

from imcjax.mapping import slices as slices
from imcjax.mapping.differential import Differential as Differential
from imcjax.mapping.tiling import Tiling as Tiling
from imcjax.mapping.unroll import patches as patches
