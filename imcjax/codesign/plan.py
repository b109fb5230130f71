"""How long each part of a co-design run is: the one place where its schedule is written down."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """Schedule and step sizes.

    Attributes:
      float_steps: steps of the float training.
      search_steps: steps in which weights and bit-widths move together.
      tune_steps: steps with bit-widths frozen, after the search. Designs that are not searched get search_steps + tune_steps.
      batch: batch size of the hardware-aware steps.
      float_batch: batch size of the float training.
      chunk: steps between checkpoints.
      float_rate, rate, bit_rate, range_rate: Adam step sizes of float weights, weights on hardware, bits, log-ranges.
      calibration: samples of the training set from which ranges and input statistics are taken.
      probe, probe_chips: validation samples and chips on which designs are compared without training them.
      exchanges: how often the projection tries to exchange one width against another.
      finalists: how many uniform designs are trained; the best on validation is the baseline.
      judge_batch: inputs computed at a time in the evaluation.
      judge_chips: chips computed together.
    """

    float_steps: int = 1200
    search_steps: int = 300
    tune_steps: int = 400
    batch: int = 64
    float_batch: int = 64
    chunk: int = 25
    float_rate: float = 2e-3
    rate: float = 1e-3
    bit_rate: float = 0.06
    range_rate: float = 0.01
    calibration: int = 256
    probe: int = 512
    probe_chips: int = 4
    exchanges: int = 8
    finalists: int = 2
    judge_batch: int = 180
    judge_chips: int = 4


PLANS = {
    "mlp": Plan(),
    "lenet5": Plan(
        float_steps=3000,
        float_batch=128,
        float_rate=1e-3,
        search_steps=200,
        tune_steps=400,
        batch=64,
        chunk=20,
        calibration=128,
        probe=256,
        probe_chips=1,
        exchanges=2,
        judge_batch=250,
        judge_chips=2,
    ),
}


def plan_for(model: str, *, quick: bool) -> Plan:
    """The schedule of a model; `quick` is a check that everything runs, in a fraction of the time and without good results."""
    plan = PLANS[model]
    if not quick:
        return plan
    return dataclasses.replace(
        plan,
        float_steps=100,
        search_steps=20,
        tune_steps=20,
        batch=32,
        chunk=10,
        calibration=64,
        probe=64,
        probe_chips=1,
        exchanges=1,
        finalists=1,
    )
