"""Names and messages of result codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hopfield_jax as hj
from systems import Decay


def test_a_code_prints_its_name_and_its_meaning():
    assert "successful" in str(hj.RESULTS.successful) and "successful" in repr(hj.RESULTS.successful)
    printed = str(hj.RESULTS.not_settled)
    assert "not_settled: No steady state was reached" in printed
    assert hj.RESULTS[hj.RESULTS.not_settled].startswith("not_settled: No steady state")
    path = hj.integrate(Decay(), jnp.ones(1), t1=1.0, max_steps=1, throw=False)
    assert "result: max_steps_reached: The maximum number of solver steps" in str(path)
    seen = []
    jax.jit(lambda result: seen.append(str(result)))(hj.RESULTS.not_settled)
    assert "traced" in seen[0]


def test_the_codes_of_a_store_are_named_in_one_call():
    every = hj.RESULTS[np.arange(len(hj.RESULTS))]
    assert len(set(every)) == len(hj.RESULTS) == len(every)
    codes = [hj.RESULTS.not_finite, hj.RESULTS.successful, hj.RESULTS.invalid_parameter]
    numbers = np.array([[int(code._value) for code in codes]])
    names = hj.RESULTS[numbers]
    assert names.shape == (1, 3)
    assert [text.partition(":")[0] for text in names[0]] == ["not_finite", "successful", "invalid_parameter"]
    assert hj.RESULTS[int(numbers[0, 0])] == names[0, 0] == hj.RESULTS[np.int32(numbers[0, 0])]
    # A store has -1 where a point was not computed, and readers that know fill values make it NaN.
    assert list(hj.RESULTS[np.array([0, -1])]) == list(hj.RESULTS[np.array([0.0, np.nan])]) == ["successful", "missing"]
    batch = jax.vmap(lambda t1: hj.integrate(Decay(), jnp.ones(1), t1=t1, throw=False).result)(jnp.array([1.0, -1.0]))
    assert "invalid_parameter" in str(batch) and "successful" in str(batch)


@pytest.mark.parametrize("code", [-2, 10**6, 1.5, "flat", None])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(ValueError, match=r"RESULTS.*codes from 0 to"):
        hj.RESULTS[code]
