"""The pass of mean-field theory: kernels, schemes, error bars, and the lowered program."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import dmft as D
from hopfield_jax.dmft._kernels import kernel_tables

KEY = jr.key(0)
HALF = D.SpinCue(0.5)


def network(kernel: Any, **options: Any) -> Any:
    return D.PlasticNetwork(0.1, hj.LogCosh(beta=4.0), kernel, **options)


def solve(model: Any, cue: Any = HALF, num_steps=6, num_samples=1024, **options: Any) -> Any:
    given: dict[str, Any] = {"key": KEY, "num_shifts": 2} | options
    return D.solve(model, cue, num_steps=num_steps, num_samples=num_samples, **given)


# --- kernels ---


class PowerLaw(D.AbstractPlasticityKernel):
    """A custom kernel whose `tau` is not the time constant of a leak."""

    strength: jax.Array
    tau: jax.Array
    causal: bool = True

    def table(self, num_times, dt, trapezoid):
        lags = jnp.arange(num_times)[:, None] - jnp.arange(num_times)[None, :]
        values = self.strength * dt * (1 + jnp.abs(lags).astype(dt.dtype) / self.tau) ** -1.5
        return jnp.where(lags > 0, values, 0) if self.causal else values


def test_parameters_of_kernels_have_no_magic_names():
    kernel = PowerLaw(jnp.array(0.5), jnp.array(0.2))
    got = solve(network(kernel))
    same = solve(network(D.FunctionKernel(lambda t, s: (1 + (t - s) / 0.2) ** -1.5, 0.5)))
    np.testing.assert_allclose(got.overlap, same.overlap, atol=2e-6)  # rounding of two programs


def test_a_table_that_is_not_causal_is_refused():
    """Regression: it was accepted and gave m = 0.940."""
    with pytest.raises(ValueError, match="`PowerLaw.table`: expected a causal kernel, zero unless s < t"):
        network(PowerLaw(jnp.array(0.5), jnp.array(2.0), causal=False))

    @jax.jit
    def run(strength):
        return solve(network(PowerLaw(strength, jnp.array(2.0), causal=False)), throw=False)

    got = run(0.5)
    assert got.result == hj.RESULTS.invalid_parameter and np.all(np.isnan(got.overlap))
    with pytest.raises(
        ValueError, match=r"`PowerLaw.table`: expected two or three axes of 2 times, got shape \(3, 3\)"
    ):

        class Long(D.AbstractPlasticityKernel):
            def table(self, num_times, dt, trapezoid):
                return jnp.zeros((3, 3))

        Long.__name__ = "PowerLaw"
        network(Long())


def test_kernels_add_up():
    sum_ = solve(
        network(D.LeakyHebbian(0.3, 5.0) + D.AccumulatingHebbian(0.01) + PowerLaw(jnp.array(0.1), jnp.ones(())))
    )
    parts = [k.table(7, jnp.ones(()), False) for k in (D.LeakyHebbian(0.3, 5.0), D.AccumulatingHebbian(0.01))]
    dense = sum(p.dense(7) for p in parts) + PowerLaw(jnp.array(0.1), jnp.ones(())).table(7, jnp.ones(()), False)
    one = solve(network(D.TableKernel(dense)))
    np.testing.assert_allclose(sum_.overlap, one.overlap, atol=5e-6)
    np.testing.assert_allclose(sum_.plastic_feedback, one.plastic_feedback, atol=5e-6)
    with pytest.raises(TypeError):
        D.LeakyHebbian(0.3, 5.0) + 1  # pyright: ignore[reportOperatorIssue, reportUnusedExpression]


@pytest.mark.parametrize("trapezoid", [False, True])
def test_recursions_are_their_tables(trapezoid):
    """An exponential kernel: λK_ts explicitly, and Σ_s λK_ts X_s by its recursion."""
    with enable_x64(True):
        dt, times = jnp.asarray(0.25), 0.25 * np.arange(9)
        lag = times[:, None] - times[None, :]
        leaky = 0.25 / 3 * (np.exp(-lag / 3) if trapezoid else (1 - 0.25 / 3) ** (lag / 0.25 - 1))
        for kernel, rate in ((D.LeakyHebbian(0.6, 3.0), 0.6 * leaky), (D.AccumulatingHebbian(0.6), 0.15 + 0 * lag)):
            expected = np.where(lag > 0, rate, 0)
            if trapezoid:
                expected = np.where(lag >= 0, rate, 0) * (1 - 0.5 * (lag == 0)) * (1 - 0.5 * (times == 0))[None]
                expected[0] = 0
            (table,) = kernel_tables(kernel, 9, dt, trapezoid)
            np.testing.assert_allclose(table.dense(9), expected, atol=1e-12)  # pyright: ignore
            same = D.FunctionKernel(lambda t, s: jnp.exp(-(t - s) / 3) / 3, 0.6).table(9, dt, True)
            if trapezoid and kernel.strength == 0.6 and isinstance(kernel, D.LeakyHebbian):
                np.testing.assert_allclose(same, expected, atol=1e-12)


# --- schemes ---


PLASTIC: dict[str, Any] = {"load": 0.1, "units": hj.LogCosh(beta=3.0), "kernel": D.LeakyHebbian(0.6, 3.0)}


def test_second_order_in_time():
    """m at t = 1, 2, 3, 6 (32768 paths, ± 1.3e-4); the limit of small steps is .8728 .9475 .9704 .9888."""
    cue, at = D.GaussianCue(0.4, 0.5), np.array([4, 8, 12, 24])
    second = D.PlasticNetwork(**PLASTIC, dt=0.25, scheme=D.AdamsBashforth())
    first = D.PlasticNetwork(**PLASTIC, dt=0.25)
    for model, expected in (
        (second, [0.87256, 0.94768, 0.97048, 0.98857]), (first, [0.87046, 0.94422, 0.96827, 0.98784])
    ):  # fmt: skip
        got = solve(model, cue, 24, 8192, num_shifts=4)
        error = np.hypot(np.asarray(got.overlap_error)[at], 1.3e-4)
        assert np.all(np.abs(np.asarray(got.overlap)[at] - expected) < 4 * error)
    assert ("scheme", "AdamsBashforth") in solve(second, num_samples=64).setting.parts


def test_simulation_takes_the_same_steps():
    """Of both orders: the matrix-free network against its matrices, the plasticity by the trapezoid rule."""
    model = D.PlasticNetwork(**PLASTIC, dt=0.25, scheme=D.AdamsBashforth())
    cue = D.SpinCue(0.5)
    got = D.simulate(model, cue, num_steps=12, num_neurons=400, num_trials=1, key=KEY)
    pattern_key, cue_key, _, _ = jr.split(jr.split(KEY, 1)[0], 4)
    patterns = np.asarray(jr.rademacher(pattern_key, (40, 400), jnp.float32), np.float64)
    x, phi = (
        np.asarray(a, np.float64) for a in cue.state(model.units, jnp.asarray(patterns[:1], jnp.float32), key=cue_key)
    )
    stored = patterns.T @ patterns / 400
    stored -= np.diag(np.diag(stored))
    outputs, overlaps, rate = [], [], None
    for t in range(13):
        overlaps.append(patterns[0] @ phi / 400)
        outputs.append(phi)
        weights = 0.6 * 0.25 / 3 * np.exp(-0.25 / 3 * (t - np.arange(t + 1)))
        weights[[0, -1]] *= 0.5
        plastic = sum(w * s * (s @ phi) / 400 for w, s in zip(weights * (t > 0), outputs, strict=True))
        new = stored @ phi + plastic - x
        x, rate = x + 0.25 * (1.5 * new - 0.5 * (new if rate is None else rate)), new
        phi = np.tanh(3 * x)
    np.testing.assert_allclose(got.overlap, overlaps, atol=2e-5)  # float32 over twelve steps
    theory = solve(model, cue, 12, 4096)
    networks = D.simulate(model, cue, num_steps=12, num_neurons=2000, num_trials=24, key=KEY)
    error = 4 * networks.overlap_error + 1e-3  # four standard errors, and finite size, about 2/N
    assert np.all(np.abs(networks.overlap - theory.overlap) < error)


# --- error bars ---


def test_error_bars_are_the_spread_over_keys():
    """Over 64 keys, of overlaps, correlations and sums of feedback. A ratio of 64 spreads to mean errors of four shifts
    scatters by 9 % at one time, and less over several; the test is for a factor."""
    model = network(D.LeakyHebbian(0.5, 5.0))
    run = jax.jit(
        lambda key: _numbers(solve(model, num_steps=12, num_samples=1024, num_shifts=4, key=key, throw=False))
    )
    values, errors = map(np.asarray, jax.lax.map(run, jr.split(KEY, 64)))
    ratio = np.sqrt(np.mean(errors**2, axis=0)) / np.std(values, axis=0, ddof=1)
    assert np.all(np.abs(np.mean(ratio, axis=-1) - 1) < 0.15), ratio


def _numbers(order: Any) -> tuple[jax.Array, jax.Array]:
    at = jnp.array([3, 6, 9, 12])
    value = [order.overlap[at], order.correlation[at, 3], jnp.sum(order.correlation, axis=1)[at]]
    error = [order.overlap_error[at], order.correlation_error[at, 3]]
    rows = order.two_time.rows
    sums = jnp.sum(jax.vmap(lambda r: r @ r.T)(rows.outputs), axis=2)[:, at]
    error.append(jnp.std(sums, axis=0, ddof=1) / 2)
    return jnp.stack(value), jnp.stack(error)


# --- the program ---


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_the_program_of_an_accelerator(platform):
    """Lowered without a device: no callback, no float64, products at full precision, few operations a step."""

    def run(strength, key):
        out = solve(network(D.LeakyHebbian(strength, 5.0)), num_steps=100, max_rank=32, key=key, throw=False)
        return out.overlap, out.result

    text = jax.export.export(jax.jit(run), platforms=[platform])(jnp.float32(0.3), KEY).mlir_module()
    assert "callback" not in text and "f64" not in text
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) > 5 and all("HIGHEST" in line for line in products)
    # 206 operations a step when this was written (834, four times over, in the pass that it replaced).
    assert 100 < _operations_in_loops(text)[-1] < 260


def _operations_in_loops(text: str) -> list[int]:
    """Of every loop, the innermost last, how many operations its body has, in the functions that it calls too."""
    functions: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if match := re.match(r"\s*func\.func \w+ @(\w+)", line):
            functions[name := match[1]] = []
        elif name:
            functions[name].append(line)

    def count(lines: list[str]) -> int:
        calls = [match[1] for line in lines if (match := re.search(r"call @(\w+)", line))]
        own = [line for line in lines if "= stablehlo." in line and "stablehlo.constant" not in line]
        return len(own) + sum(count(functions[call]) for call in calls)

    sizes = []
    for lines in functions.values():
        for i, line in enumerate(lines):
            if "stablehlo.while" in line:
                start = next(k for k in range(i, len(lines)) if "} do {" in lines[k])
                indent = lines[start][: -len(lines[start].lstrip())]
                end = next(k for k in range(start + 1, len(lines)) if lines[k].startswith(indent + "}"))
                sizes.append(count(lines[start + 1 : end]))
    return sorted(sizes, reverse=True)
