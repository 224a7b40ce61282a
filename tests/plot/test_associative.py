"""Figures of retrieval, learning and spectra: what is drawn is what was given, on the axes that were given."""

import inspect
import subprocess
import sys
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

import hopfield_jax as hj
from hopfield_jax import plot
from plot import drawn

ROWS = np.array([[0.0, 1.0, 1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
TIMES = np.linspace(0.0, 4.0, 5, dtype=np.float32)


@pytest.fixture(scope="module")
def batch() -> hj.associative.results.RetrievalRun:
    """Three retrievals made by hand: each pattern's overlap grows to 0.9 from its own cue, and energies fall."""

    def one(winner):
        overlap = 0.9 * jax.nn.one_hot(winner, 3)[None] * (1 - jnp.exp(-TIMES))[:, None]
        return hj.associative.results.RetrievalRun(
            times=jnp.asarray(TIMES),
            overlap=overlap,
            similarity=overlap / 0.9,
            energy=(winner.astype(jnp.float32) + 1) * jnp.exp(-TIMES),
            winner=winner,
            sign=jnp.array(1),
            output=jnp.zeros(16),
            state=jnp.zeros(16),
            speed=jnp.zeros(()),
            num_steps=jnp.array(7),
            result=cast(Any, hj.RESULTS.successful),
        )

    return jax.vmap(one)(jnp.arange(3))


DRAW: dict[str, Any] = {
    "images": lambda batch, ax: plot.images(ROWS, ROWS, ROWS, (2, 3), ax),
    "energy": lambda batch, ax: plot.energy(one_of(batch, 1), ax=ax),
    "energies": lambda batch, ax: plot.energy(batch, ax=ax),
    "overlaps": lambda batch, ax: plot.overlaps(one_of(batch, 1), ax=ax),
    "scores": lambda batch, ax: plot.scores({"half": {"a": scored(batch), "b": scored(batch)}}, ax=ax),
    "spectrum": lambda batch, ax: plot.spectrum(np.array([0.0, 1.6, 3.0, 9.0]), 0.2, ax=ax),
    "learning": lambda batch, ax: plot.learning(TIMES, np.ones((5, 2)), np.zeros((5, 2)), ax=ax),
}


def one_of(batch, index):
    return jax.tree.map(lambda x: x[index], batch)


def scored(batch, **options):
    return hj.associative.score(batch, jnp.arange(3), **options)


@pytest.mark.parametrize("name", DRAW)
def test_draws_on_the_axes_given_or_on_new_ones(batch, name, tmp_path):
    new = drawn.on_axes_given_or_new(lambda ax: DRAW[name](batch, ax), tmp_path)
    if name == "images":
        assert [label.get_text() for label in new.get_yticklabels()] == ["original", "cue", "retrieved"]
    else:
        assert new.get_xlabel() and new.get_ylabel()


def test_images_are_offset_scaled_and_marked():
    cues = np.where(ROWS == 0, np.nan, ROWS)
    ax = plot.images(
        ROWS, cues, {"good": ROWS, "bad": 1 - ROWS}, (2, 3), offset=np.arange(6.0), scale=np.array([1.0, 2.0])
    )
    shown = [np.ma.filled(image.get_array(), np.nan) for image in ax.get_images()]
    assert len(shown) == 8
    expected = np.arange(6.0) + np.array([[1.0], [2.0]]) * ROWS
    np.testing.assert_array_equal(shown[1], expected[1].reshape(2, 3))
    assert np.array_equal(np.isnan(shown[2]), ROWS[0].reshape(2, 3) == 0)
    assert ax.get_images()[0].get_clim() == (expected.min(), expected.max())
    assert [text.get_text() for text in ax.texts] == ["1.000", "1.000", "0.000", "0.000"]
    colours = {to_hex(text.get_color()) for text in ax.texts[:2]}, {to_hex(text.get_color()) for text in ax.texts[2:]}
    assert len(colours[0]) == len(colours[1]) == 1 and not colours[0] & colours[1]


def test_a_constant_image_and_a_strip_are_drawn():
    ax = plot.images(np.ones((1, 4)), np.zeros((1, 4)), np.zeros((1, 4)), (1, 4))
    assert ax.texts[0].get_text() == "0.000"
    ax.figure.draw_without_rendering()


def test_energy_has_a_thick_median(batch):
    *thin, thick = plot.energy(batch).get_lines()
    assert len(thin) == 3
    for line, curve in zip(thin, batch.energy, strict=True):
        np.testing.assert_allclose(line.get_ydata(), curve, rtol=1e-6)
        assert line.get_linewidth() < thick.get_linewidth()
    np.testing.assert_allclose(thick.get_ydata(), np.median(batch.energy, axis=0), rtol=1e-6)
    np.testing.assert_allclose(thick.get_xdata(), batch.times[0], rtol=1e-6)


def test_a_failed_retrieval_leaves_the_median_alone(batch):
    failed = eqx.tree_at(lambda r: r.energy, batch, batch.energy.at[0].set(jnp.nan))
    thick = plot.energy(failed).get_lines()[-1]
    np.testing.assert_allclose(thick.get_ydata(), np.median(batch.energy[1:], axis=0), rtol=1e-6)
    plot.energy(eqx.tree_at(lambda r: r.energy, batch, jnp.full_like(batch.energy, jnp.nan)))


def test_the_winner_stands_out(batch):
    one = one_of(batch, 2)
    *others, winner = plot.overlaps(one).get_lines()
    assert len(others) == 2
    np.testing.assert_allclose(winner.get_ydata(), one.overlap[:, 2], rtol=1e-6)
    assert winner.get_label() == "pattern 2, the winner"
    assert to_rgba(winner.get_color()) not in {to_rgba(line.get_color()) for line in others}
    inverse = eqx.tree_at(lambda r: r.sign, one, jnp.array(-1))
    assert plot.overlaps(inverse).get_lines()[-1].get_label() == "pattern 2, the winner (its inverse)"
    nobody = eqx.tree_at(lambda r: r.winner, one, jnp.array(-1))
    assert len(plot.overlaps(nobody).get_lines()) == 3


def test_bars_are_fractions_with_their_errors(batch):
    good = scored(batch, threshold=0.9)
    worse = eqx.tree_at(lambda s: s.retrieved, good, jnp.array([True, False, False]))
    ax = plot.scores({"half": {"a": good, "b": worse}, "top": {"b": worse}})
    labelled = {bars.get_label(): bars for bars in ax.containers if bars.get_label() in ("a", "b")}
    assert [bar.get_height() for bar in labelled["a"]] == [100]
    np.testing.assert_allclose([bar.get_height() for bar in labelled["b"]], [100 / 3] * 2, rtol=1e-6)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["half", "top"]
    segments = ax.collections[-1].get_segments()
    reach = 100 * float(worse.fraction_error)
    for segment in segments:
        np.testing.assert_allclose(segment[:, 1], [100 / 3 - reach, 100 / 3 + reach], rtol=1e-5)


def test_spectrum_leaves_zeros_out_and_draws_the_law():
    eigenvalues, load = np.array([0.0, 1e-9, 2.0, 3.0, 5.0, 8.0]), 0.2
    ax = plot.spectrum(eigenvalues, load)
    assert "4 eigenvalues" in drawn.legend(ax)[0]
    law = ax.get_lines()[0]
    # The density goes to zero like a square root at the edges: 400 points integrate it to about 1e-3.
    np.testing.assert_allclose(np.trapezoid(law.get_ydata(), law.get_xdata()), 1, atol=3e-3)
    edges = [line.get_xdata()[0] for line in ax.get_lines()[1:]]
    np.testing.assert_allclose(edges, hj.theory.marchenko_pastur_edges(load), rtol=1e-6)


def test_learning_has_one_colour_a_memory():
    similarity = np.linspace(0.8, 1, 10).reshape(5, 2)
    ax = plot.learning(TIMES, similarity, similarity - 0.01)
    shown = [line for line in ax.get_lines() if len(line.get_xdata())]
    assert len(shown) == 4
    for memory, (simulated, predicted) in enumerate(zip(shown[::2], shown[1::2], strict=True)):
        assert simulated.get_color() == predicted.get_color() == plot.COLOURS[memory]
        assert simulated.get_linestyle() == "-" and predicted.get_linestyle() == "--"
        np.testing.assert_array_equal(predicted.get_ydata(), similarity[:, memory] - 0.01)
    assert len([x for x in plot.learning(TIMES, np.ones((5, 20))).get_lines() if len(x.get_xdata())]) == 20


def test_a_batch_has_no_single_winner(batch):
    with pytest.raises(ValueError, match="`retrieval`: expected one retrieval"):
        plot.overlaps(batch)


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        (plot.images, (ROWS, ROWS[:1], ROWS, (2, 3)), r"`cue`: expected shape \(2, 6\).*\(1, 6\)"),
        (plot.images, (ROWS, ROWS, {"a": ROWS[0]}, (2, 3)), r"`a`: expected an array of 2 axes, got shape \(6,\)"),
        (plot.images, (ROWS, ROWS, ROWS, (2, 2)), r"`shape`: expected \(height, width\) of 6 neurons"),
        (plot.scores, ({},), "`scores`: expected at least one corruption"),
        (plot.spectrum, (np.zeros(3), 0.2), "`eigenvalues`: expected at least one that is not zero"),
        (plot.spectrum, (np.ones(3), -1.0), "`load`: expected finite and positive, got -1"),
        (plot.learning, (TIMES, np.ones((4, 2))), r"`similarity`: expected shape \(5, patterns\)"),
        (plot.learning, (TIMES, np.ones((5, 2)), np.ones((5, 3))), r"`theory`: expected shape \(5, 2\)"),
    ],
)
def test_bad_input_is_named(function, arguments, message):
    # Without the run-time type checks of the test suite, which would see some of these first.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(*arguments)


def test_import_needs_no_matplotlib():
    code = "import sys, hopfield_jax.plot; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
