"""Which way switches between correlated memories go."""

import jax.numpy as jnp
from jax.scipy.stats import norm

from .._checks import fail, kind, sieved
from .._misc import alike, matmul
from .._types import Array, ArrayLike, Float
from ._network import InputDrivenNetwork


def switch_margins(network: InputDrivenNetwork) -> Float[Array, "patterns patterns"]:
    r"""The margin of each transition: the successor is retrieved where it is positive, and its negative where it is
    negative.

    $$\Gamma_{\nu\mu} + \varepsilon,\qquad \Gamma_{\nu\mu} = \xi^\nu\cdot\xi^\mu/N$$

    While μ is active all neurons are saturated, and the successor ν adds the field $a_\nu(\Gamma_{\nu\mu} +
    \varepsilon)\,\xi^\nu$. When $a_\mu$ has fallen to 1, the neurons leave saturation first where this field opposes
    $\xi^\mu$: where $\xi^\nu \ne \xi^\mu$ if the margin is positive, so that the overlap with ν begins to grow, and
    where $\xi^\nu = \xi^\mu$ if it is negative. About half of the neurons are then free, and the overlap grows at the
    rate $(a_\nu/2 - 1)/\tau_f$.

    For patterns of ±1, one successor for each memory, and units that saturate, with $\tau_f \ll \tau_s$. Other memories
    add a field that differs between neurons, of the size $\varepsilon\kappa\sqrt{P/N}$ for random ones, which is to be
    small. The sign of the margin was that of the first switch in 93 to 100 % of random networks of 128 to 2048 neurons
    and loads P/N up to 1, and in 82 to 91 % of those of 128 neurons and load 2. Most of the others had margins within
    a quarter of $1/\sqrt N$ of zero.

    **Arguments:** `network`, an `InputDrivenNetwork`.

    **Returns:** the margins, shape (patterns, patterns), row = target, column = source; infinite where there is no
    transition.

    **Raises:** `ValueError` for another model.

    ```python
    import hopfield_jax as hj

    S = hj.sequential
    patterns = hj.hadamard_patterns(4, 8).at[1, 0].multiply(-1)  # Γ_10 = Γ_21 = −1/4
    network = S.InputDrivenNetwork(patterns, gain=5.0, transitions=S.cycle(4), input_coupling=0.3)
    assert S.switch_margins(network).min() > 0
    ```
    """
    if not isinstance(network, InputDrivenNetwork):
        fail("network", "an InputDrivenNetwork", kind(network))
    patterns, coupling, transitions = alike(network.patterns, network.input_coupling, network.transitions)
    margins = matmul(patterns, patterns.T) / patterns.shape[1] + coupling
    return jnp.where(transitions > 0, margins, jnp.where(jnp.isnan(transitions), jnp.nan, jnp.inf))


def success_probability(
    num_neurons: ArrayLike, input_coupling: ArrayLike, num_transitions: ArrayLike = 1
) -> Float[Array, "*batch"]:
    r"""The probability that a sequence of random memories makes its first n transitions.

    $$\Phi(\varepsilon\sqrt N)^n$$

    The overlap Γ of two random memories is normal with variance 1/N, and a transition succeeds if $\Gamma + \varepsilon
    > 0$ (see `switch_margins`, also for the assumptions). Overlaps of different pairs are independent; a cycle of P
    memories has only P pairs, so that n is at most P, and a cycle that has made all of them goes on.

    Gain, time constants and load do not enter: crosstalk of the other memories is the same for both signs. What limits
    the number of memories is that all of them succeed: with probability ½ up to $P = \log 2/(1 - \Phi(\varepsilon\sqrt
    N))$, about $e^{\varepsilon^2 N/2}$; and the spread of fields, $\varepsilon\kappa\sqrt{P/N} \ll 1$.

    Overlaps of ±1 patterns are multiples of 2/N, which changes the probability of one transition by up to
    $1/\sqrt{2\pi N}$.

    **Arguments:**

    - `num_neurons`: N > 0.
    - `input_coupling`: ε ≥ 0.
    - `num_transitions`: n > 0, of different pairs.

    Each of any shape, by broadcasting; may be traced.

    **Returns:** the probability; NaN where a traced argument lies outside its domain.

    **Raises:** `ValueError` for arguments outside their domain.

    ```python
    from hopfield_jax import sequential

    assert abs(sequential.success_probability(400, 0.05) - 0.8413) < 1e-4  # one standard deviation
    ```
    """
    n = sieved("num_neurons", num_neurons, "positive")
    coupling = sieved("input_coupling", input_coupling, "nonnegative")
    count = sieved("num_transitions", num_transitions, "positive")
    n, coupling, count = jnp.broadcast_arrays(*alike(n, coupling, count))
    return jnp.exp(count * norm.logcdf(coupling * jnp.sqrt(n)))
