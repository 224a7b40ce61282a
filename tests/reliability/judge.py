"""Classifies outcomes: a clear or an obscure error, a flag, a verified answer, or a silent wrong answer."""

import dataclasses
import enum
import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

import hopfield_jax as hj

from .perturb import Key, kind_of

SAME = 64.0  # roundings between two forms of the same input: programs may differ in the order of sums
TRACED = 2.0**13  # between an eager call and a member of a compiled batch: 1e-3 in float32, for what amplifies them


class Verdict(enum.StrEnum):
    clear = "clear errors"
    flagged = "flagged"
    verified = "verified answers"
    obscure = "obscure errors"
    refused = "refused though valid"
    silent = "silent wrong answers"


def _is_code(x: Any) -> bool:
    return hasattr(x, "_enumeration")  # an item of an `equinox.Enumeration`


def _is_fine(code: Any) -> np.ndarray:
    if code._enumeration is hj.RESULTS:
        return np.asarray(hj.is_okay(code))
    return np.asarray(code != code._enumeration.invalid)


@dataclasses.dataclass(frozen=True)
class Answer:
    """The arrays of an answer by their paths, and whether all its codes are successful."""

    arrays: dict[str, np.ndarray]
    okay: np.ndarray

    @staticmethod
    def of(out: Any) -> "Answer":
        if hasattr(out, "data_vars"):  # an xarray.Dataset
            out = {name: out[name].values for name in out.variables}
        arrays, okay = {}, np.array(True)
        for path, leaf in jtu.tree_flatten_with_path(out, is_leaf=_is_code)[0]:
            if _is_code(leaf):
                okay = okay & _is_fine(leaf)
            elif isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                arrays[jtu.keystr(path)] = np.asarray(jax.random.key_data(leaf))
            elif isinstance(leaf, jax.Array | np.ndarray | np.generic | bool | int | float | complex):
                arrays[jtu.keystr(path)] = np.asarray(leaf)
        return Answer(arrays, okay)

    def row(self, i: int) -> "Answer":
        """One member of a batch."""
        return Answer({k: x[i] for k, x in self.arrays.items()}, self.okay[i] if self.okay.ndim else self.okay)

    @property
    def floats(self) -> dict[str, np.ndarray]:
        kinds = jnp.inexact
        return {
            k: x.astype(float) for k, x in self.arrays.items() if jnp.issubdtype(x.dtype, kinds) and np.isrealobj(x)
        }

    def flagged(self, ignore: Collection[str] = ()) -> bool:
        """A code that is no success, or no float output without an entry that is not finite."""
        floats = [x for k, x in self.floats.items() if x.size and k not in ignore]
        return not np.all(self.okay) or (bool(floats) and all(not np.all(np.isfinite(x)) for x in floats))

    def spoiled(self, usual: "Answer") -> bool:
        """Whether a number is not finite that is finite in a usual answer."""
        bad = lambda x: not np.all(np.isfinite(x))  # noqa: E731
        known = {k for k, x in usual.floats.items() if bad(x)}
        return any(bad(x) for k, x in self.floats.items() if k not in known)


def precision(answer: Answer) -> float:
    """The spacing of numbers in the coarsest type of an answer."""
    kinds = [x.dtype for x in answer.arrays.values() if jnp.issubdtype(x.dtype, jnp.floating)]
    return max((float(jnp.finfo(d).eps) for d in kinds), default=0.0)


def agree(got: Answer, wanted: Answer, roundings: float) -> str:
    """Empty if two answers are the same up to so many roundings of their largest entries, else where they are not."""
    if got.arrays.keys() != wanted.arrays.keys():
        return f"{sorted(got.arrays.keys() ^ wanted.arrays.keys())} in one answer only"
    eps = max(precision(got), precision(wanted))
    for name, b in wanted.arrays.items():
        a = got.arrays[name]
        if roundings > 64 and re.search("num_(steps|evaluations|accepted|rejected)", name):
            continue  # how many steps a solver takes may hang on rounding
        if a.shape != b.shape:
            return f"{name} has shape {a.shape}, not {b.shape}"
        if a.dtype.kind in "biuSU" or b.dtype.kind in "biuSU":
            if not np.array_equal(a, b):
                return f"{name} is {a.tolist()}, not {b.tolist()}"[:200]
            continue
        x, y = np.asarray(a, complex), np.asarray(b, complex)
        if not np.array_equal(np.isnan(x), np.isnan(y)):
            return f"{name} is NaN in one answer only"
        finite = np.isfinite(y)
        scale = np.max(np.abs(y[finite]), initial=0.0)
        room = roundings * eps * scale + min(roundings, 64) * eps  # the latter for residuals of what is of order one
        if not np.allclose(x, y, rtol=roundings * eps, atol=room, equal_nan=True):
            return f"{name} is off by {np.nanmax(np.abs(x - y)):.3g} of {scale:.3g}"
    return ""


def names_argument(message: str, names: Iterable[str]) -> bool:
    """Whether a message has an argument between backticks (alone or as `Class.argument`)."""
    return any(re.search(rf"`(\w+\.)*{re.escape(name)}[\[`]", message) for name in names)


def of_error(error: BaseException, names: Iterable[str]) -> Verdict:
    """A `ValueError` or `TypeError` that names an argument is clear; an error from `throw=True` is a flag."""
    if isinstance(error, eqx.EquinoxRuntimeError):
        return Verdict.flagged
    plain = isinstance(error, ValueError | TypeError) and not type(error).__module__.startswith("jax")
    return Verdict.clear if plain and names_argument(str(error), names) else Verdict.obscure


@functools.cache
def _shared_declarations() -> dict[str, Any]:
    """What modules declare of their parameters, by name, where all that have one of this name agree on its domain."""
    spaces = (hj, hj.associative, hj.classical, hj.dmft, hj.sequential, hj.theory)
    modules = [x for space in spaces for name in dir(space) if dataclasses.is_dataclass(x := getattr(space, name))]
    found: dict[str, list[Any]] = {}
    for field in (f for module in modules for f in dataclasses.fields(module) if "domain" in f.metadata):
        found.setdefault(field.name, []).append(field.metadata)
    return {name: all_[0] for name, all_ in found.items() if len({m["domain"] for m in all_}) == 1}


def declared(call: Callable[..., Any], name: str) -> Mapping[str, Any]:
    """The declaration of a module's own parameter, or of the one of this name in all modules."""
    own = {f.name: f.metadata for f in dataclasses.fields(call)} if dataclasses.is_dataclass(call) else {}
    return own[name] if "domain" in own.get(name, ()) else _shared_declarations().get(name, {})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A callable with valid arguments, each a kind or a value from whose type and declared domain the kind follows.

    `use` computes numbers from a returned object. `check(arguments, answer)` returns the violated invariant, or an
    empty string. `flag` says whether an answer without codes and NaN is a flag.
    """

    call: Callable[..., Any]
    arguments: Mapping[str, Any]
    use: Callable[[Any], Any] = lambda out: out
    check: Callable[[dict[str, Any], Answer], str] = lambda arguments, answer: ""
    flag: Callable[[Answer], Any] = lambda answer: False
    ignore: tuple[str, ...] = ()  # floats that are finite when the answer is not
    fits: Callable[[dict[str, Any]], bool] = lambda arguments: True  # what arguments must obey together
    title: str = ""
    traced: bool = True
    share: float = 1.0  # of the cases, drawn at random, where each takes a compilation that is long
    roundings: float = TRACED
    beside: float = SAME  # between a member of a batch and the same beside invalid ones

    def __post_init__(self) -> None:
        kinds = {name: kind_of(name, x, declared(self.call, name)) for name, x in self.arguments.items()}
        object.__setattr__(self, "arguments", kinds)

    @staticmethod
    def drawn(share: float, call: Callable[..., Any], arguments: Mapping[str, Any], **rest: Any) -> "Recipe":
        """A recipe of which a share is tried."""
        return Recipe(call, arguments, share=share, **rest)

    @property
    def is_random(self) -> bool:
        """Whether random numbers are drawn, which differ between types."""
        return any(isinstance(kind, Key) for kind in self.arguments.values())

    def defaults(self) -> dict[str, Any]:
        return {name: kind.value for name, kind in self.arguments.items()}

    def answer(self, arguments: dict[str, Any]) -> Answer:
        return Answer.of(self.use(self.call(**arguments)))
