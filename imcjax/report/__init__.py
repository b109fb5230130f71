"""What a co-design run found, for people: figures, terminal tables, a page, and a table to compute with.

Everything here reads the finished result, a plain dict as result.json holds it, and the rows of the search history.
"""

from imcjax.report.accuracy_plot import accuracy_plot
from imcjax.report.cost_page import cost_page, cost_tables, write_cost_page
from imcjax.report.html import write_html
from imcjax.report.layer_plots import bits_plot, energy_plot
from imcjax.report.plots import save_plots
from imcjax.report.search_plot import search_plot
from imcjax.report.summary import headline
from imcjax.report.tables import layer_table, layers_parquet, summary_table
from imcjax.report.units import si


__all__ = [
    "accuracy_plot",
    "bits_plot",
    "cost_page",
    "cost_tables",
    "energy_plot",
    "headline",
    "layer_table",
    "layers_parquet",
    "save_plots",
    "search_plot",
    "si",
    "summary_table",
    "write_cost_page",
    "write_html",
]
