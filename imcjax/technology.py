"""The silicon around the array: process node, supply and read timing, which the cost model turns into joules and metres."""

from imcjax.pytree import number, record, static


@record
class Technology:
    """Process and timing of one chip; every number is a leaf, so costs have gradients with respect to them.

    Attributes:
      node_m: process node, metre (7 nm to 180 nm).
      supply_v: digital supply, volt.
      read_time_s: how long the read voltage stays on the wordlines for one input phase, second.
      cell_area_f2: area of one cell in squares of the node, F^2.
      adc_energy_scale: multiplies the energy of the ADC model, whose published designs spread over a decade.
      adc_area_scale: multiplies the area of the ADC model.
      leakage_w_m2: what a square metre of silicon leaks while the chip is on, watt; None: not counted (`imcjax.cost.leakage`).
      column_mux: what switches the columns that share an ADC (static): "transmission_gates"; None: not counted.
      activation: the unit that every output passes (static): "relu" or "sigmoid"; None: none (`imcjax.cost.periphery`).
      normalisation: the same before the activation (static): "scale_and_shift"; None: none, as where BatchNorm is folded.
    """

    node_m: float = number(default=28e-9, low=7e-9, high=180e-9, unit="m")
    supply_v: float = number(default=0.9, low=0.4, high=3.3, unit="V")
    read_time_s: float = number(default=10e-9, low=1e-12, high=1e-3, unit="s")
    cell_area_f2: float = number(default=30.0, low=1.0, high=1e5, unit="F^2")
    adc_energy_scale: float = number(default=1.0, low=1e-3, high=1e3)
    adc_area_scale: float = number(default=1.0, low=1e-3, high=1e3)
    leakage_w_m2: float | None = number(default=None, low=0.0, high=1e9, unit="W/m^2")
    column_mux: str | None = static(default=None, options=("transmission_gates",))
    activation: str | None = static(default=None, options=("relu", "sigmoid"))
    normalisation: str | None = static(default=None, options=("scale_and_shift",))
