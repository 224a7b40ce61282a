"""The table of docs/gradients.md, "Paths that jump", against what it says: derivatives of runs, and differences."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj

D = hj.dmft
PAGE = Path(__file__).parents[2] / "docs" / "gradients.md"
NUMBER = r"(-?[\d.e-]+)"
STRENGTHS, BANDWIDTHS = jnp.array([0.3, 1.0, 2.0]), jnp.array([0.05, 0.1, 0.1])


def table() -> dict[int, np.ndarray]:
    """steps: (strengths, 6), derivatives of a run along paths and by lines, and the difference, with errors."""
    text = PAGE.read_text(encoding="utf-8").replace("−", "-")
    cell = rf"\| {NUMBER} ± {NUMBER} "
    rows = re.findall(rf"^\| ([\d.]+) \| (\d+) {cell * 3}\|$", text, re.MULTILINE)
    found: dict[int, list] = {}
    for row in rows:
        found.setdefault(int(row[1]), []).append([float(x) for x in row[2:]])
    return {steps: np.array(numbers) for steps, numbers in found.items()}


def overlaps(strength, steps, num_samples, key, derivative: Any = D.Along()):  # noqa: B008
    kernel = D.LeakyHebbian(strength, tau=5.0)
    model = D.PlasticNetwork(load=0.1, units=hj.LogCosh(beta=4.0), kernel=kernel)
    num_steps = max(steps)
    out = D.solve(
        model,
        D.SpinCue(0.5),
        num_steps=num_steps,
        num_samples=num_samples,
        num_shifts=1,
        key=key,
        derivative=derivative,
    )
    return out.overlap[jnp.array(steps)]


def test_the_table_has_its_rows():
    assert table().keys() == {5, 10, 20, 40}


@pytest.mark.parametrize("steps", [(5,), pytest.param((5, 10, 20, 40), marks=pytest.mark.slow)])
def test_differences_of_the_table(steps, key):
    """(4 D(h) − D(2h))/3 with D over λ ± h."""
    at = jax.jit(jax.vmap(lambda strength, key: overlaps(strength, steps, 65536, key), (0, None)))
    found = []
    for one in jr.split(key, 6):
        up, down, up2, down2 = (at(STRENGTHS + i * BANDWIDTHS, one) for i in (1, -1, 2, -2))
        near, far = (up - down) / (2 * BANDWIDTHS[:, None]), (up2 - down2) / (4 * BANDWIDTHS[:, None])
        found.append((4 * near - far) / 3)
    mean, error = np.mean(found, 0).T, np.std(found, 0, ddof=1).T / 6**0.5
    said = np.stack([table()[step] for step in steps])[..., 4:]
    # Six randomisations give the error of their mean to a third only: five joint errors.
    assert np.all(np.abs(mean - said[..., 0]) <= 5 * np.hypot(error, said[..., 1])), (mean, error)
    assert np.all(said[..., 1] <= 4e-4)


@pytest.mark.slow
@pytest.mark.parametrize("rule, column", [(D.Along(), 0), (D.Lines(), 2)])
def test_derivatives_of_the_table(rule, column, key):
    steps = (5, 10, 20, 40)
    slope = jax.jit(jax.vmap(jax.jacfwd(lambda strength, key: overlaps(strength, steps, 4096, key, rule)), (0, None)))
    found = np.array([slope(STRENGTHS, one) for one in jr.split(key, 24)])
    mean, scatter = np.mean(found, 0).T, np.std(found, 0, ddof=1).T
    said = np.stack([table()[step] for step in steps])[..., column : column + 2]
    # The page's numbers are the mean and scatter of 24 (lines: 32) other runs, rounded to 1e-3 or a digit of it.
    assert np.all(np.abs(mean - said[..., 0]) <= 5 * scatter * (2 / 16) ** 0.5 + 5e-4), (mean, scatter)
