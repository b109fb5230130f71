"""Code -> target conductances on tiles: encodings, digits, tiling, unrolled convolutions."""

from imcjax.mapping import slices as slices
from imcjax.mapping.base import ENCODINGS as ENCODINGS
from imcjax.mapping.base import Digits as Digits
from imcjax.mapping.base import Encoding as Encoding
from imcjax.mapping.complementary import Complementary as Complementary
from imcjax.mapping.differential import Differential as Differential
from imcjax.mapping.multi_device import MultiDevice as MultiDevice
from imcjax.mapping.offset import Offset as Offset
from imcjax.mapping.packing import Packing as Packing
from imcjax.mapping.tiling import Tiling as Tiling
from imcjax.mapping.twos_complement import TwosComplement as TwosComplement
from imcjax.mapping.unroll import patches as patches
