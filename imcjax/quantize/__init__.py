"""Number -> code: the number formats, with gradients to values, ranges and bit-widths."""

from imcjax.quantize.straight_through import ceil_through as ceil_through
from imcjax.quantize.straight_through import clip_through as clip_through
from imcjax.quantize.straight_through import round_through as round_through
from imcjax.quantize.straight_through import straight_through as straight_through
from imcjax.quantize.uniform import largest_code as largest_code
from imcjax.quantize.uniform import quantize as quantize
