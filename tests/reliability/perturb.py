"""Perturbations of arguments: kinds of arguments, their documented domains, and the cases generated from them.

A case is a value with its expectation: whether it lies in the documented domain, and whether it equals a plain value in
another form, so that the answers must agree.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import ml_dtypes
import numpy as np

BFLOAT16 = ml_dtypes.bfloat16
SUBNORMAL = 1e-40  # in float32


@dataclasses.dataclass(frozen=True)
class Case:
    """`same`: `value` is `plain` in another form. `either`: both refusing and answering are correct."""

    label: str
    value: Any
    admissible: bool
    plain: Any = None
    same: bool = False
    coarse: bool = False  # of 16 bits


@dataclasses.dataclass(frozen=True)
class Interval:
    """A domain such as `(0, 1]`, whose infinite ends are open unless said otherwise."""

    text: str = "(-inf, inf)"

    def holds(self, x: Any) -> bool:
        low, high = map(float, re.split(", *", self.text[1:-1]))
        x = np.asarray(x, dtype=float)
        above = x >= low if self.text[0] == "[" else x > low
        below = x <= high if self.text[-1] == "]" else x < high
        return bool(np.all(above & below))

    def numbers(self) -> list[float]:
        """Test numbers: special values, and the ends of the domain with their neighbours."""
        ends = [x for x in map(float, re.split(", *", self.text[1:-1])) if np.isfinite(x)]
        beside = [e + d for e in ends for d in (-0.25, 0.25)]
        usual = [np.nan, np.inf, -np.inf, 0.0, -1.0, 2.0, 1e30, -1e30, 1e-30, SUBNORMAL]
        return list(dict.fromkeys([*usual, *ends, *beside]))


NOT_NUMBERS: list[tuple[str, Any]] = [
    ("None", None),
    ("a string", "1.0"),
    ("an object", object()),
    ("complex", 1.0 + 0.5j),
    ("a dictionary", {"x": 1.0}),
]


@dataclasses.dataclass(frozen=True)
class Real:
    """One real number. `none`: it may be left out. `vector`, `any_shape`: a vector, an array of them is as good.
    `traced`: it may be."""

    value: Any
    domain: str = "(-inf, inf)"
    none: bool = False
    vector: bool = False
    any_shape: bool = False
    traced: bool = True

    def cases(self) -> list[Case]:
        domain, v = Interval(self.domain), self.value
        found = [Case(f"{x:g}", x, domain.holds(x)) for x in domain.numbers()]
        found += [Case(label, x, x is None and self.none) for label, x in NOT_NUMBERS]
        if v is not None:
            forms = [np.float64(v), np.float32(v), np.asarray(v), jnp.asarray(v), jnp.float32(v)]
            found += [Case(f"as {type(x).__name__}", x, True, v, same=True) for x in forms]
            low = [jnp.asarray(v, jnp.float16), jnp.asarray(v, jnp.bfloat16), np.float16(v), BFLOAT16(v)]
            found += [Case(f"as {x.dtype}", x, True, float(x), same=True, coarse=True) for x in low]
            found += [
                Case("a list of two", [v, v], self.vector or self.any_shape),
                Case("a vector", jnp.array([v, v]), self.vector or self.any_shape),
            ]
            found += [Case("a matrix", np.full((2, 2), v), self.any_shape), Case("empty", np.zeros(0), self.any_shape)]
        found += [
            Case("True", True, domain.holds(1.0), 1.0, same=True),
            Case("1", 1, domain.holds(1.0), 1.0, same=True),
        ]
        return found

    def rows(self) -> list[Case]:
        if not self.traced or self.value is None:
            return []
        domain = Interval(self.domain)
        return [Case(f"{x:g}", x, domain.holds(x)) for x in domain.numbers()]


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole number that is part of the structure."""

    value: int | None
    smallest: int = 1
    most: int | None = None  # tried, for the time that more would take
    largest: int | None = None
    none: bool = False
    valid: Any = None  # a further condition, such as being a power of two

    def holds(self, n: int) -> bool:
        inside = n >= self.smallest and (self.largest is None or n <= self.largest)
        return inside and (self.valid is None or self.valid(n))

    def cases(self) -> list[Case]:
        v, numbers = self.value, [-1, 0, 1, 2, 3, 4, self.smallest - 1, self.smallest]
        numbers += [] if self.most is None else [self.most]
        numbers += [] if self.largest is None else [self.largest, self.largest + 1, 10**6]
        found = [Case(str(n), n, self.holds(n)) for n in dict.fromkeys(numbers)]
        found += [Case(f"{x}", x, False) for x in (np.nan, np.inf, 2.5)]
        found += [Case(label, x, x is None and self.none) for label, x in NOT_NUMBERS]
        found += [Case("a list", [2, 2], False), Case("empty", np.zeros(0, int), False)]
        if v is not None:
            found += [Case(f"as {type(x).__name__}", x, True, v, same=True) for x in (np.int64(v), np.int32(v))]
            found += [Case("as an array", np.asarray(v), True, v, same=True), Case("as float", float(v), True, v, True)]
        found += [Case("True", True, self.holds(1), 1, same=True)]
        return found

    def rows(self) -> list[Case]:
        return []


@dataclasses.dataclass(frozen=True)
class Array:
    """An array of real numbers. `fixed`: the axes whose length other arguments (or the sense) prescribe.

    `low`: whether to try 16-bit types, each of which costs a compilation. `ints`: indices, that floats are not.
    """

    value: Any
    domain: str = "(-inf, inf)"
    fixed: tuple[int, ...] = ()
    none: bool = False
    traced: bool = True
    scalar: bool = False  # one number will do as well
    increasing: bool = False
    constant: bool = True  # equal entries are as good as others
    low: bool = True
    ranks: tuple[int, ...] = ()  # other numbers of axes that are right
    fits: Any = None  # a further condition on the values
    skip: tuple[str, ...] = ()  # labels of cases that mean something else here

    def _holds(self, x: np.ndarray) -> bool:
        x = np.asarray(x, dtype=float)
        if self.increasing and np.any(np.diff(x) <= 0):
            return False
        return Interval(self.domain).holds(x) and (self.fits is None or bool(self.fits(x)))

    def _numbers(self) -> list[tuple[str, np.ndarray]]:
        v = np.asarray(self.value, dtype=np.float32)

        def with_one(x: float) -> np.ndarray:
            changed = v.copy()
            changed.flat[v.size // 2] = x
            return changed

        found = [(f"one entry {x:g}", with_one(x)) for x in Interval(self.domain).numbers()]
        if self.constant:
            found += [(f"all {x:g}", np.full_like(v, x)) for x in (np.nan, 0.0, -1.0, 1e30, 1e-30, SUBNORMAL)]
        return found

    def cases(self) -> list[Case]:
        v = np.asarray(self.value, dtype=np.float32)
        found = [Case(label, jnp.asarray(x), self._holds(x)) for label, x in self._numbers()]
        found += [Case(label, x, x is None and self.none) for label, x in NOT_NUMBERS]
        found += [Case("a number", 1.0, self.scalar), Case("an array of strings", np.full(v.shape, "a"), False)]
        found += [Case("complex entries", v + 0.5j, False), Case("an axis more", v[None], v.ndim + 1 in self.ranks)]
        found += [Case("ragged", [[1.0], [1.0, 2.0]], False), Case("no entries", np.zeros((0,) * v.ndim), False)]
        if v.ndim > 1:
            found += [Case("an axis less", v[0], v.ndim - 1 in self.ranks)]
        for axis in range(v.ndim):
            found += [Case(f"axis {axis} shorter", np.delete(v, -1, axis), axis not in self.fixed)]
            twice = np.concatenate([v, v], axis)
            found += [Case(f"axis {axis} longer", twice, axis not in self.fixed and self._holds(twice))]
        strided = np.repeat(v, 2, axis=-1)[..., ::2]
        forms = {
            "float64": v.astype(float),
            "list": v.tolist(),
            "strided": strided,
            "Fortran order": np.asfortranarray(v),
        }
        if self.low:
            forms |= {"float16": jnp.asarray(v, jnp.float16), "bfloat16": jnp.asarray(v, jnp.bfloat16)}
        if np.all(v == np.rint(v)):
            forms |= {"int32": v.astype(np.int32), "int8": v.astype(np.int8)}
        found += [
            Case(f"as {form}", x, True, jnp.asarray(x, jnp.float32), same=True, coarse="float16" in form)
            for form, x in forms.items()
        ]
        positive = v > 0
        found += [Case("as bool", positive, self._holds(positive), jnp.asarray(positive, jnp.float32), same=True)]
        return [case for case in found if case.label not in self.skip]

    def rows(self) -> list[Case]:
        return [Case(label, x, self._holds(x)) for label, x in self._numbers()] if self.traced else []


@dataclasses.dataclass(frozen=True)
class Indices:
    """An array of whole numbers in [0, stop); `None`: however large."""

    value: Any
    stop: int | None
    fixed: tuple[int, ...] = ()
    any_rank: bool = False

    def cases(self) -> list[Case]:
        v = np.asarray(self.value)
        found = [Case(label, x, x is None and False) for label, x in NOT_NUMBERS]
        for n in (-1, 10**6 if self.stop is None else self.stop, 10**6):
            changed = v.copy()
            changed.flat[v.size // 2] = n
            found.append(Case(f"one entry {n}", changed, n >= 0 and self.stop is None))
        nan = v.astype(float)
        nan.flat[0] = np.nan
        found += [
            Case("one entry nan", nan, False),
            Case("halves", v + 0.5, False),
            Case("an axis more", v[None], self.any_rank),
        ]
        found += [Case(f"axis {a} shorter", np.delete(v, -1, a), a not in self.fixed) for a in range(v.ndim)]
        forms = {"int64": v.astype(np.int64), "jax": jnp.asarray(v), "list": v.tolist(), "float": v.astype(float)}
        found += [Case(f"as {form}", x, True, jnp.asarray(v), same=True) for form, x in forms.items()]
        return found

    def rows(self) -> list[Case]:
        return []


@dataclasses.dataclass(frozen=True)
class Key:
    """A random key; `needed` unless the arguments are such that nothing is random."""

    value: Any = dataclasses.field(default_factory=lambda: jr.key(0))
    needed: bool = True

    def cases(self) -> list[Case]:
        old = jr.PRNGKey(0)
        wrong = {"3": 3, "a string": "key", "an object": object(), "a float vector": jnp.zeros(2), "nan": np.nan}
        wrong |= {
            "two keys": jr.split(jr.key(0)),
            "two old keys": jr.split(old),
            "three words": jnp.zeros(3, jnp.uint32),
        }
        found = [Case(label, x, False) for label, x in wrong.items()]
        found += [Case("None", None, not self.needed), Case("an old key", old, True, jr.key(0), same=True)]
        return [*found, Case("as NumPy", np.asarray(old), True, jr.key(0), same=True)]

    def rows(self) -> list[Case]:
        return []


@dataclasses.dataclass(frozen=True)
class Flag:
    """True or false; Python's rule of what is true applies to anything else, so that only these are tried."""

    value: bool

    def cases(self) -> list[Case]:
        return [
            Case(str(not self.value), not self.value, True),
            Case("as numpy.bool", np.bool_(self.value), True, self.value, same=True),
        ]

    def rows(self) -> list[Case]:
        return []


@dataclasses.dataclass(frozen=True)
class Thing:
    """An object: a model, units, a function. `also`: others that are as right, with their names."""

    value: Any
    none: bool = False
    also: dict[str, Any] = dataclasses.field(default_factory=dict)
    wrong: tuple[str, ...] = ("None", "3.5", "a string", "an object", "an array", "a list")

    def cases(self) -> list[Case]:
        array = jnp.ones((2, 2))
        things = {"None": None, "3.5": 3.5, "a string": "x", "an object": object(), "an array": array, "a list": [1, 2]}
        found = [Case(label, x, x is None and self.none) for label, x in things.items() if label in self.wrong]
        return found + [Case(label, x, True) for label, x in self.also.items()]

    def rows(self) -> list[Case]:
        return []


@dataclasses.dataclass(frozen=True)
class Fixed:
    """An argument that is not perturbed."""

    value: Any

    def cases(self) -> list[Case]:
        return []

    def rows(self) -> list[Case]:
        return []


Kind = Real | Whole | Array | Indices | Key | Flag | Thing | Fixed
DOMAINS = {  # as `hopfield_jax.domain` names them; what "signed" adds is a condition on all of a pattern
    **dict.fromkeys(("finite", "signed"), "(-inf, inf)"),
    **{"positive": "(0, inf)", "nonnegative": "[0, inf)", "duration": "[0, inf]", "mask": "[-inf, inf)"},
    **{"probability": "[0, 1]", "fraction": "(0, 1)", "share": "(0, 1]", "cosine": "[-1, 1]"},
}


def kind_of(name: str, value: Any, declared: Mapping[str, Any]) -> Kind:
    """The kind of an argument of which only the value is given: of all numbers of the declared domain, by its type.

    All axes of an array are fixed, but for the number of patterns.
    """
    if isinstance(value, Kind):
        return value
    if name in ("throw", "progress"):
        return Fixed(value)
    if isinstance(value, bool):
        return Flag(value)
    if isinstance(value, int):
        return Whole(value)
    domain = DOMAINS[declared.get("domain", "finite")]
    if isinstance(value, float):
        return Real(value, domain, vector=1 in declared.get("ndim", ()))
    if isinstance(value, np.ndarray | jax.Array):
        fixed = tuple(range(name == "patterns", value.ndim))
        return Array(value, domain, fixed=fixed, scalar=0 in declared.get("ndim", ()))
    return Thing(value, none=value is None)


def stack(rows: list[Any]) -> jax.Array:
    """Values of one argument, one a row, as the batch of them."""
    return jnp.stack([jnp.asarray(x, jnp.float32) for x in rows])
