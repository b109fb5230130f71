"""The notebooks run as they are, in order, without a display."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import pytest


NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path):
    scope: dict = {}
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert code
    try:
        for number, source in enumerate(code):
            exec(compile(source, f"{path.name}[{number}]", "exec"), scope)
        assert plt.get_fignums()
    finally:
        plt.close("all")


def test_there_are_notebooks():
    assert NOTEBOOKS
