"""The panel of closed theories: which apply to which model, and the reasons given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj

D = hj.dmft
CUE = D.SpinCue(0.5)


def model(**changes) -> Any:
    return D.PlasticNetwork(**{"load": 0.1, "units": hj.Sign()} | changes)


def applying(panel: Any) -> set[str]:
    return {name for name, p in panel.as_dict().items() if p["applies"]}


ALWAYS = {"stationary", "critical_load"}
TRAJECTORIES = {"first_step", "amari_maginu", "okada"}


@pytest.mark.parametrize(
    "changes, others, expected",
    [
        ({}, {}, ALWAYS | TRAJECTORIES | {"free_energy"}),
        ({}, {"asynchronous": True}, ALWAYS | {"free_energy"}),
        ({"self_coupling": True}, {}, {"first_step", "free_energy"}),
        ({"units": hj.LogCosh(4.0)}, {}, ALWAYS | {"first_step", "origin"}),
        ({"units": hj.LogCosh(4.0), "dt": 0.5}, {}, ALWAYS | {"origin"}),
        ({"kernel": D.LeakyHebbian(0.3, 5.0)}, {}, {"first_step"}),
        (
            {"units": hj.LogCosh(2.0), "load": 0.05, "kernel": D.LeakyHebbian(0.1, 5.0)},
            {},
            ALWAYS | {"first_step", "origin"},
        ),
        ({"kernel": D.LeakyHebbian(0.0, 5.0)}, {}, ALWAYS | TRAJECTORIES | {"free_energy"}),
        ({"kernel": D.AccumulatingHebbian(0.3)}, {}, {"first_step"}),
        ({"units": hj.Glauber(5.0)}, {}, {"first_step"}),
        ({"units": hj.Glauber(5.0)}, {"asynchronous": True}, ALWAYS | {"free_energy"}),
        ({"units": hj.Glauber(5.0), "self_coupling": True}, {"asynchronous": True}, set()),
        ({"cue_field": 0.1}, {}, set()),
        ({"units": hj.Softplus(1.0)}, {}, set()),
        ({"synapses": D.Clipped()}, {}, ALWAYS),
        ({"units": hj.Glauber(5.0), "synapses": D.Clipped()}, {"asynchronous": True}, set()),
    ],
)
def test_which_theories_apply(changes, others, expected):
    panel = D.panel(model(**changes), CUE, num_steps=3, **others)
    assert applying(panel) == expected
    for p in panel.predictions:
        assert p.applies or p.reason
        if p.applies:
            assert np.all(np.isfinite(p.value))
    assert "does not apply: " in str(panel)


def test_numbers_are_those_of_each_theory():
    panel = D.panel(model(), CUE, num_steps=3)
    np.testing.assert_allclose(panel["first_step"].value, 0.8861537, atol=1e-6)  # float32
    np.testing.assert_allclose(panel["other_diagonal"].value, 0.9051895, atol=1e-6)
    np.testing.assert_allclose(panel["amari_maginu"].value, [0.5, 0.8861537, 0.9432597, 0.9803123], atol=1e-6)
    np.testing.assert_allclose(panel["stationary"].value, 0.99799927, atol=1e-6)
    np.testing.assert_allclose(panel["critical_load"].value, 0.1379055665, atol=1e-6)
    assert panel["free_energy"].value > 0  # above α = 0.0518543 retrieval is metastable
    assert D.panel(model(load=0.05), CUE)["free_energy"].value < 0
    kept = D.panel(model(self_coupling=True), CUE)
    np.testing.assert_allclose(kept["first_step"].value, panel["other_diagonal"].value, atol=1e-6)


def test_a_number_of_a_neighbouring_model_says_of_which():
    panel = D.panel(model(kernel=D.LeakyHebbian(0.3, 5.0), self_coupling=True), CUE, num_steps=3)
    assert panel["amari_maginu"].reason == "holds with fixed synapses and self-couplings dropped; approximate"
    np.testing.assert_allclose(panel["amari_maginu"].value[-1], 0.9803123, atol=1e-6)
    beyond = D.panel(model(load=0.2), CUE, num_steps=3)
    assert beyond["stationary"].applies and beyond["stationary"].reason == "no retrieval at this load"
    assert not beyond["free_energy"].applies and np.isnan(beyond["free_energy"].value) and beyond["free_energy"].reason
    # Where the dynamics retrieves (m = .956 at step 60, from a cue of .8) and Maxwell's rule does not.
    plastic = D.panel(model(load=0.16, units=hj.LogCosh(4.0), kernel=D.LeakyHebbian(0.5, 5.0)), CUE, num_steps=3)
    for p in (plastic["stationary"], plastic["critical_load"]):
        assert not p.applies and "Maxwell" in p.reason


def test_the_state_at_rest_is_on_the_side_of_the_cue():
    along, against, neither = (D.panel(model(load=0.05), D.SpinCue(m), num_steps=3) for m in (0.5, -0.5, 0.0))
    np.testing.assert_allclose(
        [along["stationary"].value, against["stationary"].value], [0.99999223, -0.99999223], atol=1e-6
    )
    assert against["stationary"].applies and not neither["stationary"].applies


def test_silence_is_unstable_where_the_whole_spectrum_says_so():
    patterns = np.asarray(hj.random_patterns(100, 1000, key=jax.random.key(0)), np.float64)
    couplings = patterns.T @ patterns / 1000
    for kept in (True, False):
        largest = np.linalg.eigvalsh(couplings - (not kept) * 0.1 * np.eye(1000))[-1]
        found = D.panel(model(units=hj.LogCosh(0.8), self_coupling=kept, dt=0.5), CUE)["origin"].value
        # The edge of the spectrum fluctuates by N^(-2/3) = 0.01 of itself.
        np.testing.assert_allclose(found, 0.5 + 0.5 * 0.8 * largest, rtol=0.03)


def test_other_models_and_cues_are_named():
    dense = D.panel(D.DensePlasticNetwork(load=0.1, units=hj.Sign()), CUE)
    assert applying(dense) == set() and "DensePlasticNetwork" in dense["stationary"].reason
    noisy = D.panel(model(), D.GaussianCue(0.5, 0.1))
    assert applying(noisy) == ALWAYS | {"free_energy"} and "GaussianCue" in noisy["first_step"].reason
    with pytest.raises(ValueError, match="`num_steps`"):
        D.panel(model(), CUE, num_steps=0)
    with pytest.raises(ValueError, match="traced"):
        jax.jit(lambda load: D.panel(model(load=load), CUE)["first_step"].value)(jnp.array(0.1))


def test_a_theory_of_ones_own_stands_in_table_and_data():
    number = lambda case: (np.full(case.num_steps + 1, case.cue.overlap), "a guess")  # noqa: E731
    sure = {"sign units": lambda case: isinstance(case.model.units, hj.Sign)}
    mine = D.Theory("mine", "My theory", "overlap for ever", number, sure, time=0)
    panel = D.panel(model(), CUE, theories=(*D.THEORIES, mine))
    assert panel["mine"].applies and panel["mine"].reason == "a guess" and panel["mine"].value[-1] == 0.5
    assert "My theory" in str(panel) and panel.as_dict()["mine"]["quantity"] == "overlap for ever"
    assert D.panel(model(units=hj.Erf(3.0)), CUE, theories=[mine])["mine"].reason == "holds with sign units; a guess"
    with pytest.raises(Exception, match="theories"):
        D.panel(model(), CUE, theories=[])
