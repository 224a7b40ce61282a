"""Every public callable with invalid and unusual arguments: no finite answer without a flag outside its domain."""

import collections
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import hopfield_jax as hj
from reliability.fuzz import fuzz
from reliability.judge import Recipe, Verdict
from reliability.perturb import Array, Real

AREAS = ("hj", "associative", "sequential", "dmft", "theory", "classical", "sweep")
QUICK = (  # callables that hardly compile
    *("hj.flip", "hj.mask", "hj.overlap", "hj.sparse_patterns", "sequential.saliency_map", "classical.palimpsest"),
    *("sequential.follow_transitions", "theory.palimpsest_overlap", "theory.marchenko_pastur_edges"),
)
EXEMPT = {
    "hj": "RESULTS Parameter as_inexact domain Sign",  # for classes of one's own; without arguments
    "associative": "",
    "sequential": "Ending Regime",
    "dmft": "Elementwise Glauber Sign Prediction Theory",  # units of `hj`; made by a theory of one's own
    "theory": "Diluted Hebbian Maxwell Paramagnet Retrieval Sequence SpinGlass Upper",  # without arguments
    "classical": "Synchronous",
    "sweep": "Plan",  # a result
}


def run_alone(folder: Path, *options: str) -> dict[str, list[dict[str, str]]]:
    """The findings of the fuzzer in a separate process, without the strict settings of the tests."""
    out = folder / "findings.json"
    here = Path(__file__).parent.parent
    paths = os.pathsep.join([str(here), str(Path(hj.__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-m", "reliability.fuzz", *options, "--out", str(out)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text())


def counts(findings: dict[str, list[dict[str, str]]]) -> dict[str, dict[str, int]]:
    """Of each area: callables, inputs, and how many of them ended in which way."""
    made = {}
    for area, found in findings.items():
        verdicts = collections.Counter(f["verdict"] for f in found)
        made[area] = {"callables": len({f["callable"] for f in found}), "inputs": len(found), **verdicts}
    return made


def judge(findings: dict[str, list[dict[str, str]]], record_property: Any) -> None:
    record_property("fuzz", counts(findings))
    ours = ("NameError", "UnboundLocalError")  # no input is to blame for these
    every = [f for found in findings.values() for f in found]
    silent = [f for f in every if f["verdict"] == Verdict.silent or f["detail"].startswith(ours)]
    assert not silent, "\n".join(f"{f['callable']}({f['label']}): {f['detail']}" for f in silent)


@pytest.mark.fuzz
@pytest.mark.slow
@pytest.mark.parametrize("area", AREAS)
def test_no_answer_is_silently_wrong(area, tmp_path, record_property):
    judge(run_alone(tmp_path, area), record_property)


def test_no_answer_is_silently_wrong_in_a_sample(tmp_path, record_property):
    judge(run_alone(tmp_path, "--share", "0.2", "--pairs", "1", "--exactly", *QUICK), record_property)


@pytest.mark.parametrize("area", AREAS)
def test_everything_public_is_tried(area):
    source = (Path(__file__).parent / "recipes.py").read_text()
    namespace = hj if area == "hj" else getattr(hj, area)
    for name in dir(namespace):
        thing = getattr(namespace, name)
        if name.startswith(("_", "Abstract")) or inspect.ismodule(thing) or not callable(thing):
            continue
        exempt = name in EXEMPT[area].split()
        assert exempt or f"{area}.{name}," in source or f"{area}.{name})" in source, name


def broken(x: Any, *, weights: Any = (1.0, 2.0)) -> Any:
    """A faulty function: treats NaN as zero, silently."""
    return jnp.nan_to_num(jnp.asarray(x, float), posinf=0.0, neginf=0.0) * jnp.nansum(jnp.asarray(weights, float))


def test_a_broken_callable_is_found_out():
    recipe = Recipe(broken, {"x": Real(0.5, "[0, 1]"), "weights": Array([1.0, 2.0], "(0, inf)")}, title="broken")
    silent = {f.label for f in fuzz(recipe) if f.verdict == Verdict.silent}
    for label in ("x: nan", "x: -1", "x: 2", "traced x: nan", "traced x: inf", "weights: one entry nan"):
        assert label in silent


def clear(x: Any) -> Any:
    if isinstance(x, str):
        raise ValueError("`x`: expected a number, got a word.")
    return jnp.where((jnp.asarray(x) >= 0) & (jnp.asarray(x) <= 1), jnp.asarray(x, float), jnp.nan)


def test_flags_and_errors_are_told_apart():
    found = {f.label: f.verdict for f in fuzz(Recipe(clear, {"x": Real(0.5, "[0, 1]", any_shape=True)}, title="clear"))}
    assert found["x: a string"] == Verdict.clear and found["x: an object"] == Verdict.obscure
    assert found["x: nan"] == found["traced x: 2"] == Verdict.flagged
    assert found["x: as float16"] == found["traced x: 1"] == Verdict.verified
