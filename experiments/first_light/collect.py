"""Copy what a finished run says into this folder: python -m experiments.first_light.collect RUN NAME."""

import json
import shutil
import sys
from pathlib import Path


HERE = Path(__file__).parent


def main() -> None:
    """Write NAME.json (without the list of every chip's accuracy) and the pictures NAME-*.png."""
    run, name = Path(sys.argv[1]), sys.argv[2]
    result = json.loads((run / "result.json").read_text())
    (HERE / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    for picture in ("accuracy", "bits", "energy", "search"):
        shutil.copy(run / f"{picture}.png", HERE / f"{name}-{picture}.png")


if __name__ == "__main__":
    main()
