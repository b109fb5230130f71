"""What the first call costs: a fresh process that compiles, and a second one that finds the programs kept by the first.

As a module it is that process: python -m experiments.benchmarks.crossbar.first_call NAME SIZE
"""

import json
import os
import subprocess
import sys
import tempfile
import time


SOLVERS = ("ideal", "pade", "schur_pcg", "dense_cg", "port_merge", "gate_input")
GRADIENTS = tuple(f"gradient of {name}" for name in SOLVERS)


def measure(name: str, size: int) -> dict[str, float]:
    """Seconds of the first call from nothing (`fresh_s`), from kept programs (`kept_s`), and of the second call (`again_s`)."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "JAX_ENABLE_COMPILATION_CACHE": "1",
            "JAX_COMPILATION_CACHE_DIR": folder,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_LOGGING_LEVEL": "CRITICAL",
        }
        command = [sys.executable, "-m", "experiments.benchmarks.crossbar.first_call", name, str(size)]
        fresh, kept = (
            json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
            for _ in range(2)
        )
    return {"fresh_s": fresh["first_s"], "kept_s": kept["first_s"], "again_s": kept["second_s"]}


def main(name: str, size: int) -> None:
    """Print the seconds of two calls of a function, with 64 inputs: of `currents` as it is, of its compiled gradient."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from experiments.benchmarks.crossbar.case import WIRES
    from imcjax import crossbar

    solver = name.removeprefix("gradient of ")
    gated = solver == "gate_input"
    rng = np.random.default_rng(0)
    g = jnp.asarray(rng.uniform(1e-6, 1e-4, (size, size)), jnp.float32)
    v = jnp.asarray(0.2 * (rng.random((64, size)) < 0.5) if gated else rng.uniform(0, 0.2, (64, size)), jnp.float32)

    def currents(g, v, wires):
        if gated:
            return crossbar.currents(g, v, wires, topology="gate_input")
        return crossbar.currents(g, v, wires, solver=solver)

    function = currents
    if solver != name:
        function = jax.jit(jax.grad(lambda *at: jnp.sum(currents(*at) ** 2), (0, 1, 2)))
    # Starting the backend is no solver's doing.
    jax.block_until_ready(g + 1)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        jax.block_until_ready(function(g, v, WIRES))
        times.append(time.perf_counter() - start)
    print(json.dumps({"first_s": times[0], "second_s": times[1]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
