"""The same retrieval in HAMUX, in a process of its own: `python hamux_retrieval.py INPUT.npz OUTPUT.npz`.

Needs `hamux` and `fastcore` (which hamux 0.2.2 imports without declaring it). Compiles, writes its results, and prints
a line of JSON; then runs once more for every line on its standard input, and answers with a line.
"""

import json
import sys
import time
from typing import Any

import hamux  # pyright: ignore[reportMissingImports]
import jax
import jax.numpy as jnp
import numpy as np

given = np.load(sys.argv[1])
patterns, cues = jnp.asarray(given["patterns"]), jnp.asarray(given["cues"])
beta, num_steps = float(given["beta"]), int(given["num_steps"])


class Memories(hamux.core.eqx.Module):
    """The hypersynapse of a dense associative memory: its energy is −(1/β) log Σ exp(β Ξ g)."""

    patterns: jax.Array

    def __call__(self, g: jax.Array) -> jax.Array:
        return -hamux.lagr_softmax(self.patterns @ g, beta=beta)


def retrieve(patterns: jax.Array, cues: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Steps of gradient descent on the energy from every cue, and the energy before each of them and at the end."""
    neurons = {"visible": hamux.NeuronLayer(hamux.lagr_identity, (patterns.shape[1],))}
    network = hamux.HAM(neurons, {"memories": Memories(patterns)}, [(("visible",), "memories")]).vectorize()

    def step(x, _):
        energy, slope = network.dEdact(network.activations(x), x, return_energy=True)
        return {"visible": x["visible"] - slope["visible"]}, energy

    end, energies = jax.lax.scan(step, {"visible": cues}, length=num_steps)
    last = network.energy(network.activations(end), end)
    return end["visible"], jnp.concatenate([energies, last[None]])


began = time.perf_counter()
program = jax.jit(retrieve).lower(patterns, cues).compile()
took = time.perf_counter() - began
state, energy = jax.block_until_ready(program(patterns, cues))
np.savez(sys.argv[2], state=state, energy=energy)
memory: Any = program.memory_analysis()
planned = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
print(json.dumps({"compile": took, "planned": planned, "jax": jax.__version__, "hamux": hamux.__version__}), flush=True)
for _ in sys.stdin:
    jax.block_until_ready(program(patterns, cues))
    print("done", flush=True)
