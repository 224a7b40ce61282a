"""The verb of the theory: `solve`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
from jax.sharding import Mesh

from .._checks import as_real, at_least, fail, in_domain, is_valid, key_fits, kind
from .._misc import default_float
from .._results import RESULTS, outcome, raise_unless_okay
from .._types import Array, PRNGKey, PyTree, ScalarLike
from ._cue import AbstractCue
from ._network import AbstractPlasticModel
from ._order import OrderParameters, mean_and_error, setting
from ._process import Rows, run_process
from ._response import AbstractResponse, Novikov, default_response
from ._split import Split
from ._units import Glauber, without_gradient


def solve(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    key: PRNGKey,
    num_samples: int = 16384,
    num_shifts: int = 4,
    response: AbstractResponse | None = None,
    jitter: ScalarLike | None = None,
    check: bool = False,
    max_bytes: float = 24 * 2.0**30,
    mesh: Mesh | None = None,
    throw: bool = True,
) -> OrderParameters:
    r"""Solves dynamical mean-field theory of retrieval while the synapses are plastic.

    In the limit of many neurons one site follows

    $$x_{t+1} = (1 - dt)x_t + dt\Big[g m_t\xi + \eta_t + \sum_{s\le t} F_{ts}\phi_s + \lambda\sum_{s<t}
      K_{ts}C_{ts}\phi_s + \theta_t\Big],$$

    with Gaussian $\eta$ of covariance $\alpha g^2 R C R^\top$, $R = (1 - gG)^{-1}$, $F = \alpha g(R - 1)$ (or
    $\alpha g R$ with self-couplings), $m = \langle\xi\phi\rangle$, $C = \langle\phi\phi^\top\rangle$, $G =
    \langle\partial\phi/\partial\theta\rangle$. Causal, so solved in one pass over `num_samples` scrambled-Sobol paths.

    **Main arguments:**

    - `model`: a `PlasticNetwork` or `DensePlasticNetwork`. `cue`: a `SpinCue` or `GaussianCue`.
    - `num_steps`: number of updates.
    - `key`: randomises the paths. With one key the solution is a smooth function of every number of model and cue
      (common random numbers), and `jax.grad`, `jax.jvp` and `jax.vmap` go through it.

    **Other arguments:**

    - `num_samples`: paths of one randomisation, a power of two (others are refused).
    - `num_shifts`: independent randomisations, each solved by itself; the standard errors are their spread. One gives
      infinite errors. Reported means carry a bias of the order of the squared error as well.
    - `response`: estimator of the response; default `Novikov()`, for `Glauber` units `Score()`.
    - `jitter`: added to the diagonal of the noise covariance, relative to it; default 1e-5 in float32, 1e-9 in float64.
    - `check`: whether to compute the self-consistency `residual` (twice the time).
    - `max_bytes`: refuse to start if `memory_needed` exceeds it.
    - `mesh`: devices, along one axis, that share the paths of every randomisation; matrices are on all of them. For
      one solution too large for a single device. The numbers are those without it, but for rounding. With
      `jax.distributed` every process makes the same call and gets the whole result.
    - `throw`: whether an unsuccessful end raises; else its code is in `result`, and numbers are NaN from there on.

    **Returns:** an `OrderParameters`.

    **Raises:** `ValueError` for arguments that do not fit; `EquinoxRuntimeError` for an unsuccessful end if `throw`.

    ```python
    import jax
    import hopfield_jax as hj

    model = hj.dmft.PlasticNetwork(
        load=0.1, units=hj.LogCosh(beta=4.0), kernel=hj.dmft.LeakyHebbian(strength=0.3, tau=5.0)
    )
    theory = hj.dmft.solve(model, hj.dmft.SpinCue(0.5), num_steps=5, num_samples=1024, key=jax.random.key(0))
    assert abs(theory.overlap[1] - 0.8044) < 1e-3
    ```
    """
    key_fits("key", key)
    response = _response(model, cue, num_steps, num_samples, num_shifts, response)
    split = Split.of(mesh, "num_samples", num_samples)
    if check and num_shifts < 2:
        fail("num_shifts", "at least 2 with check=True, which measures in standard errors", num_shifts)
    if jitter is None:
        jitter = 1e-5 if default_float() == jnp.float32 else 1e-9
    jitter = as_real("jitter", jitter)
    in_domain("jitter", jitter, "positive")
    needed = memory_needed(
        model, cue, num_steps=num_steps, num_samples=num_samples, num_shifts=num_shifts, response=response, mesh=mesh
    )
    if needed > max_bytes:
        fail(
            "max_bytes",
            f"room for the predicted {needed / 2**30:.3g} GiB (fewer num_samples, num_shifts or num_steps, or a larger "
            "max_bytes)",
            f"{max_bytes / 2**30:.3g} GiB",
        )
    out = _solve(
        model, cue, response, jitter, key, num_steps=num_steps, num_samples=num_samples, num_shifts=num_shifts,
        check=check, split=split,
    )  # fmt: skip
    out = split.local(out)
    return raise_unless_okay(out, out.result) if throw else out


def memory_needed(
    model: AbstractPlasticModel,
    cue: AbstractCue,
    *,
    num_steps: int,
    num_samples: int = 16384,
    num_shifts: int = 4,
    response: AbstractResponse | None = None,
    mesh: Mesh | None = None,
) -> int:
    """Predicts the bytes that `solve` takes: histories of outputs and noise, tangents of `Pathwise`, matrices.

    **Arguments:** as `solve`. **Returns:** bytes, on each device of `mesh`. Differentiation takes more: about twice as
    much in forward mode and three times in reverse mode, whatever the number of steps.
    """
    response = _response(model, cue, num_steps, num_samples, num_shifts, response)
    times, thermal = num_steps + 1, isinstance(model.units, Glauber)
    dtype = default_float()
    strata = jax.eval_shape(lambda: cue.strata(model.units, jnp.zeros((cue.dims, num_samples), dtype))).weights.size
    tangent, row = jax.eval_shape(lambda: response.begin(times, strata, num_samples, dtype))
    # Noise, points while they are made, outputs twice (rows are copied where a block ends), history, matrices.
    size = times * num_samples * (2 + 2 * thermal + 2 * strata) + tangent.size + 2 * times * row.size
    size = -(-size // Split.of(mesh, "num_samples", num_samples).pieces) + 20 * times**2
    return num_shifts * size * jnp.dtype(dtype).itemsize


def _response(model, cue, num_steps: int, num_samples: int, num_shifts: int, response) -> AbstractResponse:
    """The estimator of the response, unless an argument does not do: then it raises."""
    check_model(model, cue)
    at_least("num_steps", num_steps, 1)
    at_least("num_samples", num_samples, 2)
    at_least("num_shifts", num_shifts, 1)
    response = default_response(model.units) if response is None else response
    if not isinstance(response, AbstractResponse):
        fail("response", "Novikov(), Pathwise() or Score()", kind(response))
    response.fit(model.units, num_samples)
    return response


def check_model(model: AbstractPlasticModel, cue: AbstractCue) -> None:
    """Raises unless model and cue are what they should be."""
    if not isinstance(model, AbstractPlasticModel):
        fail("model", "a PlasticNetwork or DensePlasticNetwork", kind(model))
    if not isinstance(cue, AbstractCue):
        fail("cue", "a SpinCue or GaussianCue", kind(cue))


def prepared(model: AbstractPlasticModel, cue: AbstractCue) -> tuple[AbstractPlasticModel, AbstractCue, Array]:
    """Model and cue in the default float type, closed to gradients where there are none, and whether they are valid."""
    dtype = default_float()
    cast = lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x  # noqa: E731
    model, cue = jtu.tree_map(cast, without_gradient(model.units, (model, cue)))
    valid = is_valid((model, cue)) & (model.dt <= 1)
    if isinstance(model.units, Glauber):
        valid &= model.dt == 1
    tau = getattr(model.kernel, "tau", None)
    if tau is not None:
        valid &= tau >= model.dt
    overlap = getattr(cue, "overlap", None)
    if overlap is not None:
        valid &= jnp.sum(jnp.abs(overlap)) <= 1 + 1e-6
    return model, cue, valid


def keep(tree: PyTree, good: Array) -> PyTree:
    """Rows of the leading axis where `good`, NaN elsewhere."""

    def one(x: Array) -> Array:
        return jnp.where(good.reshape(good.shape + (1,) * (x.ndim - good.ndim)), x, jnp.nan)

    return jtu.tree_map(one, tree)


@eqx.filter_jit
def _solve(model, cue, response, jitter, key, *, num_steps, num_samples, num_shifts, check, split) -> OrderParameters:
    model, cue, valid = prepared(*split.whole((model, cue)))
    response = jtu.tree_map(lambda x: x.astype(default_float()) if eqx.is_inexact_array(x) else x, response)
    jitter = jitter.astype(default_float())
    valid &= is_valid(response) & jnp.isfinite(jitter) & (jitter > 0)
    num_times = num_steps + 1
    options = {"num_times": num_times, "num_samples": num_samples, "split": split}
    keys = jr.split(key, (1 + check) * num_shifts)

    def run(key: PRNGKey, given=None) -> Rows:
        return run_process(model, cue, response, jitter, given, key=key, **options)

    rows = jax.vmap(run)(keys[:num_shifts])
    mean, error = mean_and_error(_measured(rows))
    good = jnp.cumprod(jnp.all(rows.finite, axis=0)).astype(bool) & valid
    residual = None
    if check:
        given = mean["overlap"], mean["correlation"], mean["response"]
        again, again_error = mean_and_error(_measured(jax.vmap(lambda k: run(k, given))(keys[num_shifts:])))
        change = []
        for name in ("overlap", "correlation"):
            # Errors of a few shifts are rough: none is taken for smaller than their root mean square.
            variance = again_error[name] ** 2 + error[name] ** 2
            change.append(jnp.max(jnp.abs(again[name] - mean[name]) / jnp.sqrt(variance + jnp.mean(variance))))
        residual = jnp.maximum(*change)
    lost = jnp.any(rows.pivot <= 0.5 * jitter)  # not where an overflow has made it NaN
    finite = jnp.all(rows.finite)
    result = outcome((~finite, RESULTS.not_finite), (lost, RESULTS.lost_factor), (~valid, RESULTS.invalid_parameter))
    mean, error = keep((mean, error), good)
    squeeze = (lambda x: x[:, 0]) if cue.shape == () else (lambda x: x)
    # Novikov's theorem asks how outputs go with the noise: nothing is seen of noise below the rounding of a field.
    scale = jnp.sqrt(jnp.max(jnp.diagonal(mean["noise_covariance"])))
    drowned = isinstance(response, Novikov) & (scale < jnp.finfo(scale.dtype).eps)
    out = OrderParameters(
        times=jnp.arange(num_times).astype(model.dt.dtype) * model.dt,
        overlap=squeeze(mean["overlap"]),
        overlap_error=squeeze(error["overlap"]),
        cue_overlap=mean["correlation"][:, 0],
        cue_overlap_error=error["correlation"][:, 0],
        correlation=_symmetric(mean["correlation"]),
        correlation_error=_symmetric(error["correlation"]),
        response=jnp.where(drowned, jnp.nan, mean["response"]),
        response_error=jnp.where(drowned, jnp.nan, error["response"]),
        noise_covariance=mean["noise_covariance"],
        crosstalk_feedback=mean["crosstalk_feedback"],
        crosstalk_feedback_error=error["crosstalk_feedback"],
        plastic_feedback=mean["plastic_feedback"],
        energy=mean["energy"],
        energy_error=error["energy"],
        error_fraction=mean["error_fraction"],
        error_fraction_error=error["error_fraction"],
        jitter=jitter,
        smallest_pivot=jnp.where(valid, jnp.min(rows.pivot), jnp.nan),
        residual=None if residual is None else jnp.where(jnp.all(good), residual, jnp.nan),
        setting=setting(f"theory ({num_shifts} x {num_samples} paths, {type(response).__name__})", model, cue),
        result=result,
    )
    return split.whole(out)


def _measured(rows: Rows) -> dict[str, Array]:
    """The measured arrays by name."""
    names = (
        "overlap", "correlation", "response", "noise_covariance", "crosstalk_feedback", "plastic_feedback", "energy",
        "error_fraction",
    )  # fmt: skip
    return {name: getattr(rows, name) for name in names}


def _symmetric(lower: Array) -> Array:
    return jnp.tril(lower) + jnp.tril(lower, -1).T
