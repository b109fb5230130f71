"""How long each part of the study is: the one place where it is written down."""

from dataclasses import dataclass


BOUNDS = (0.40, 0.90, 2.00)
ALL_BOUNDS = (0.36, 0.52, 0.90, 1.40, 2.00, 5.00)
LONG_BOUNDS = (0.10, 0.14)
"""Relative BOPs in percent, image counted as 8 bits."""


@dataclass(frozen=True)
class Schedule:
    """Sizes and step sizes; every design gets search_epochs + tune_epochs of quantized training.

    Attributes:
      samples: training images used; 55,000 are all.
      views: distorted copies of them (`imcjax.data.affine`); epochs take turns at these.
      float_epochs: of the float network of each seed, from which all its designs start, and which teaches them.
      search_epochs: epochs in which widths move; designs with fixed widths train at these instead.
      tune_epochs: epochs with widths fixed, after the search.
      chosen_epochs: of the last so many epochs the best end on validation is kept.
      batch: images in a step.
      float_rate, rate, range_rate: Adam step sizes of the float network, of quantized weights, of log ranges; on a cosine to 0.
      taught: weight of the teacher's probabilities in the loss; the labels have the rest.
      temperature: at which probabilities are compared (Hinton et al., arXiv 1503.02531).
      bits_per_search: how far Adam could move a width in the whole search.
      probe: validation images by which the projection compares designs.
      evaluate: images in a batch of the evaluation.
      exchanges: how often the projection tries to exchange one width against another.
    """

    samples: int = 55_000
    views: int = 8
    float_epochs: int = 8
    search_epochs: int = 1
    tune_epochs: int = 1
    chosen_epochs: int = 1
    batch: int = 64
    float_rate: float = 1e-3
    rate: float = 1e-3
    range_rate: float = 3e-3
    taught: float = 0.7
    temperature: float = 2.0
    bits_per_search: float = 20.0
    probe: int = 1000
    evaluate: int = 1000
    exchanges: int = 4

    @property
    def epoch(self) -> int:
        """Steps in an epoch."""
        return max(1, self.samples // self.batch)


FULL = Schedule()
LONG = Schedule(search_epochs=2, tune_epochs=6, chosen_epochs=2)
"""For the smallest cost at which an accuracy is still reached."""
QUICK = Schedule(samples=6400, views=2, float_epochs=4, probe=500, exchanges=1)
"""A check that everything runs, in minutes and without good results."""
