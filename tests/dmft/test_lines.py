"""Derivatives of theory by neighbouring paths on lines: against differences, closed forms, and derivatives along paths
where those are right."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from helpers import enable_x64
from hopfield_jax import dmft as D

KEY = jr.key(0)
BASE = {"load": 0.1, "cue": 0.5, "beta": 4.0, "strength": 2.0, "tau": 5.0}


def plain(p: Any, units: Any = hj.LogCosh) -> Any:
    units = units(p["beta"]) if callable(units) else units
    return D.PlasticNetwork(p["load"], units, D.LeakyHebbian(p["strength"], p["tau"])), D.SpinCue(p["cue"])


def derivatives(build, name, steps, derivative, num_keys=4, num_samples=4096, **at):
    """By one parameter: of the overlap at these steps, the mean over keys and its standard error."""

    def value(x, key):
        how: Any = {"num_steps": max(steps), "num_samples": num_samples, "num_shifts": 1, "throw": False}
        out = D.solve(*build(BASE | at | {name: x}), key=key, derivative=derivative, **how)
        return out.overlap.reshape(max(steps) + 1, -1)[jnp.array(steps), 0]

    slope = jax.jit(lambda x, key: jax.jvp(lambda x: value(x, key), (x,), (jnp.ones_like(x),))[1])
    found = np.array([slope(jnp.asarray((BASE | at)[name]), key) for key in jr.split(KEY, num_keys)])
    return found.mean(0), found.std(0, ddof=1) / num_keys**0.5


def test_along_the_paths_the_slope_is_lost_and_on_lines_it_is_found():
    """Strong plasticity, 40 steps; the slope is −.0104(2) by differences (docs/gradients.md)."""
    blind, _ = derivatives(plain, "strength", (40,), D.Along(), num_keys=2)
    slope, error = derivatives(plain, "strength", (40,), D.Lines())
    assert abs(blind[0]) < 1e-4
    # Three joint errors; four keys give their own error to a third, so that it is taken twice.
    assert abs(slope[0] + 0.0104) < 3 * math.hypot(2e-4, 2 * error[0]) and error[0] < 5e-4


# Differences of 24 randomisations of 65536 paths at λ ± h, ± 2h, with their errors.
DIFFERENCES = [
    (hj.LogCosh, "strength", {"strength": 1.0}, (5, 10, 20), (-0.00438, -0.0157, -0.0187), (1e-5, 1e-4, 2e-4)),
    # Outputs settle early here, and some later ones bring new directions still.
    (hj.LogCosh, "strength", {"strength": 0.3}, (10, 20, 40), (0.0006, -0.0070, -0.0071), (1e-4, 2e-4, 4e-4)),
    (hj.Sign(), "strength", {"strength": 1.0}, (5, 10, 19), (-0.0096, -0.0162, -0.0138), (3e-4, 4e-4, 4e-4)),
    (hj.HardTanh, "strength", {"strength": 1.0, "beta": 2.0}, (20,), (-0.0193,), (5e-4,)),
    (hj.LogCosh, "load", {}, (20,), (-1.648,), (4e-3,)),
    (hj.LogCosh, "cue", {}, (20,), (0.412,), (5e-3,)),
    (hj.LogCosh, "beta", {}, (20,), (0.0047,), (2e-4,)),
    (hj.LogCosh, "tau", {}, (20,), (0.0031,), (1e-4,)),
    # Steep units; near the edge of a basin; above the capacity (16 randomisations of 16384 paths).
    (
        hj.LogCosh,
        "strength",
        {"load": 0.08, "cue": 0.4, "beta": 20.0, "strength": 1.5, "tau": 4.0},
        (15,),
        (-0.0172,),
        (7e-4,),
    ),
    (hj.LogCosh, "cue", {"cue": 0.3, "strength": 0.5}, (20,), (2.81,), (0.03,)),
    (hj.LogCosh, "strength", {"load": 0.2, "cue": 0.8}, (20,), (0.0141,), (6e-4,)),
]


@pytest.mark.parametrize(
    "units, name, at, steps, expected, error",
    [x if i in (1, 2) else pytest.param(*x, marks=pytest.mark.slow) for i, x in enumerate(DIFFERENCES)],
)
def test_slopes_are_those_of_differences(units, name, at, steps, expected, error):
    build = functools.partial(plain, units=units)
    slope, own = derivatives(build, name, steps, D.Lines(), num_samples=8192, **at)
    # As above. Of tau the difference is from a wide bandwidth, and 1.5 of its errors off what converged lines give.
    assert np.all(np.abs(slope - expected) < 3 * np.hypot(error, 2 * own)), (slope, own)
    assert np.all(own < 0.05 * np.abs(expected) + 1e-3)


@pytest.mark.parametrize("units", [hj.Sign(), hj.Glauber])
def test_the_first_step_is_known(units):
    r"""$m_1 = \langle\phi(m_0 + \sqrt\alpha z)\rangle$: erf(m_0/√(2α)) for signs, a Gaussian average for spins."""
    z = np.linspace(-9, 9, 3601)
    gauss = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])

    def exact(p):
        if units is hj.Glauber:
            return np.sum(gauss * np.tanh(p["beta"] * (p["cue"] + math.sqrt(p["load"]) * z)))
        return math.erf(p["cue"] / math.sqrt(2 * p["load"]))

    for name in ("load", "cue", "beta"):
        up, down = (exact(BASE | {name: BASE[name] * (1 + h)}) for h in (1e-4, -1e-4))
        slope, _ = derivatives(functools.partial(plain, units=units), name, (1,), D.Lines(), num_samples=2048)
        # Sixteen to 64 lines with randomly placed nodes: 0.5 % was seen.
        np.testing.assert_allclose(slope[0], (up - down) / (2e-4 * BASE[name]), rtol=0.02, atol=1e-6)


def network(p, **kwargs):
    return D.PlasticNetwork(p["load"], hj.LogCosh(p["beta"]), D.LeakyHebbian(p["strength"], p["tau"]), **kwargs)


# Fields, self-couplings and small steps of second order at once; several patterns; a Gaussian cue; units that are not
# odd; dense memory; unlearning.
SETTINGS = {
    "fields": lambda p: (
        network(
            p, pattern_field=0.05, cue_field=0.1, dt=0.4, self_coupling=True, coupling=1.1, scheme=D.AdamsBashforth()
        ),
        D.SpinCue(p["cue"]),
    ),
    "patterns": lambda p: (network(p), D.SpinCue(jnp.stack([p["cue"], jnp.asarray(-0.3)]))),
    "gaussian": lambda p: (network(p), D.GaussianCue(p["cue"], 0.5)),
    "not odd": lambda p: (
        D.PlasticNetwork(
            p["load"], hj.Elementwise(lambda x: jnp.tanh(3 * x) * jnp.exp(-0.3 * (x - 0.1) ** 2)),
            D.LeakyHebbian(p["strength"], p["tau"]),
        ),
        D.SpinCue(p["cue"]),
    ),
    "dense": lambda p: (
        D.DensePlasticNetwork(p["load"] / 2, hj.LogCosh(p["beta"]), kernel=D.LeakyHebbian(p["strength"], p["tau"])),
        D.SpinCue(p["cue"] + 0.2),
    ),
    "unlearning": lambda p: (
        D.PlasticNetwork(p["load"], hj.LogCosh(p["beta"]), D.LeakyHebbian(-p["strength"], p["tau"])),
        D.SpinCue(p["cue"]),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "name", [n if n in ("fields", "patterns") else pytest.param(n, marks=pytest.mark.slow) for n in SETTINGS]
)
def test_where_no_path_jumps_both_rules_agree(name):
    """Weak plasticity, gentle slopes, few steps: by all numbers, of overlap, cue overlap, energy and errors."""
    p = {k: jnp.asarray(v) for k, v in {**BASE, "beta": 3.0, "strength": 0.4, "tau": 4.0}.items()}

    @functools.partial(jax.jit, static_argnums=1)
    def both(key, derivative):
        def value(p):
            how: Any = {"num_steps": 4, "num_samples": 2048, "num_shifts": 1, "throw": False, "derivative": derivative}
            out = D.solve(*SETTINGS[name](p), key=key, **how)
            return jnp.stack([out.overlap.reshape(5, -1)[-1, 0], out.cue_overlap[-1], jnp.nan_to_num(out.energy[-1])])

        return jax.jacfwd(value)(p)

    for parameter in p:
        lines, along = (
            np.array([both(key, rule)[parameter] for key in jr.split(KEY, 6)]) for rule in (D.Lines(64), D.Along())
        )
        error = np.hypot(lines.std(0, ddof=1), along.std(0, ddof=1)) / 6**0.5
        # Student's t of six keys passes 5 errors once in 400; 18 numbers share their keys. Floor: float32.
        np.testing.assert_array_less(np.abs(lines.mean(0) - along.mean(0)), 6 * error + 1e-4)


def test_forward_and_reverse_mode_agree_and_map():
    """By every entry of a kernel's table: one reverse pass against a direction."""
    times = 13

    def last(table, key=KEY):
        model = D.PlasticNetwork(0.1, hj.LogCosh(4.0), D.TableKernel(table))
        how: Any = {"num_steps": times - 1, "num_samples": 512, "num_shifts": 2}
        return D.solve(model, D.SpinCue(0.5), key=key, throw=False, **how).overlap[-1]

    with enable_x64():
        base = jnp.tril(jnp.full((times, times), 0.1), -1)
        direction = jnp.tril(jr.normal(KEY, base.shape), -1)
        reverse = jax.jit(jax.grad(last))(base)
        forward = jax.jit(jax.vmap(lambda t: jax.jvp(last, (t,), (direction,))[1]))(jnp.stack([base, 2 * base]))
    reverse, forward, direction = map(np.asarray, (reverse, forward, direction))
    np.testing.assert_allclose(np.sum(reverse * direction), forward[0], rtol=1e-8)
    assert np.all(reverse[np.triu_indices(times)] == 0) and abs(forward[1] / forward[0] - 1) > 0.01


def test_slopes_say_their_error_and_bias():
    build = lambda p: plain(BASE | p, hj.Sign())  # noqa: E731
    found = D.slopes(build, {"strength": 1.0}, key=KEY, num_steps=5, num_samples=4096)
    trees: Any = found.slope, found.slope_error, found.bias
    slope, error, bias = (tree["strength"] for tree in trees)
    assert found.result == hj.RESULTS.successful and 0 < error < 3e-3 and 0 < abs(bias) < 3e-3
    assert abs(slope + 0.0096) < 3 * math.hypot(3e-4, 2 * error)  # as above
    assert "strength" in str(found) and "bias below" in str(found)


def test_what_has_no_derivative_is_refused_by_name():
    def last(strength, derivative):
        how: Any = {"num_steps": 3, "num_samples": 64, "num_shifts": 1, "throw": False}
        return D.solve(*plain(BASE | {"strength": strength}), key=KEY, derivative=derivative, **how).overlap[-1]

    with pytest.raises(Exception, match="Lines.* gives first derivatives only"):
        jax.jacfwd(jax.jacfwd(last))(1.0, D.Lines())
    assert np.isfinite(jax.jacfwd(jax.jacfwd(last))(1.0, D.Along()))
    with pytest.raises(ValueError, match="`Lines.num_lines`: expected a power of two"):
        D.Lines(100)
    with pytest.raises(ValueError, match="`num_shifts`: expected .* at least 2"):
        D.slopes(plain, BASE, key=KEY, num_steps=3, num_shifts=1)
