"""Validation of arguments: one message format, each rule stated once.

A module declares the domain of a parameter, `beta: Parameter[Scalar] = eqx.field(metadata=domain("positive"))`. The
constructor casts it to an array and raises `ValueError` for concrete values outside the domain; `is_valid` evaluates
traced ones. A verb states the rules of its other arguments with `Rules`: concrete values raise, traced ones set
`Rules.valid`, which is passed to the compiled core and gives `RESULTS.invalid_parameter` and NaN.
"""

import contextlib
import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any, NoReturn

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from ._misc import as_inexact, nan_unless
from ._types import Array, ArrayLike, Bool, PyTree

_DOMAINS: dict[str, tuple[str, Callable]] = {  # in operations shared by NumPy and JAX
    "real": ("numbers that are not NaN", lambda x: x == x),
    "finite": ("finite numbers", lambda x: abs(x) < np.inf),
    "positive": ("finite and positive", lambda x: (x > 0) & (x < np.inf)),
    "nonnegative": ("finite and not negative", lambda x: (x >= 0) & (x < np.inf)),
    "mask": ("finite, or -inf", lambda x: x < np.inf),
    "probability": ("within [0, 1]", lambda x: (x >= 0) & (x <= 1)),
    "fraction": ("within (0, 1)", lambda x: (x > 0) & (x < 1)),
    "share": ("within (0, 1]", lambda x: (x > 0) & (x <= 1)),
    "cosine": ("within [-1, 1]", lambda x: abs(x) <= 1 + 4 * jnp.finfo(x.dtype).eps),  # allows for rounding
    "signed": (
        "signs ±1 (of patterns of 0 and 1 take `2 * patterns - 1`, or `hopfield_jax.classical.covariance(patterns, "
        "Bits(mean))` in a network of `coding=Bits(mean)`)",
        lambda x: (abs(x) < np.inf) & ~is_bits(x),
    ),
    "duration": ("not negative, at most infinite", lambda x: x >= 0),
}
_LARGE = 2**16  # larger concrete arrays are checked on their device instead of being copied to the host

_SMALL = 16  # parameters up to this size are checked together

_KINDS = ("a number", "a vector", "a matrix", "an array of three axes")


def fail(argument: str, expected: str, got: object) -> NoReturn:
    """Raises `ValueError` in the common format: the argument, what was expected, what was got."""
    raise ValueError(f"`{argument}`: expected {expected}, got {got}.")


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Context for imports of the libraries of an extra: the error says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        install = f"pip install 'hopfield-jax[{name}]'"
        raise ModuleNotFoundError(f"{missing} is missing; this needs `{install}`.", name=missing) from None


def is_concrete(x: object) -> bool:
    """Whether the values of `x` are concrete (models are also built inside traced code)."""
    return not isinstance(x, jax.core.Tracer)


def describe(x: Any) -> str:
    """Describes a value for an error message: the number, or an array's shape and extremes."""
    values = np.asarray(x)
    if values.size <= 4:
        if jnp.issubdtype(values.dtype, jnp.floating):  # prints 0.1 of float32 as 0.1, not 0.10000000149011612
            values = np.reshape([float(str(number)) for number in values.ravel()], values.shape)
        return str(values.tolist())
    bad = int(np.sum(~np.isfinite(values)))
    seen = f", {bad} of them not finite" if bad else f", from {values.min():g} to {values.max():g}"
    return f"{values.size} numbers of shape {values.shape}{seen}"


def kind(x: Any) -> str:
    """Describes an object of a wrong type for an error message."""
    if isinstance(x, type):
        return f"the class {x.__name__} (an instance of it is made by calling it)"
    return f"an array of shape {jnp.shape(x)}" if eqx.is_array_like(x) and jnp.ndim(x) else type(x).__name__


def as_real(argument: str, value: ArrayLike, dtype: Any = None) -> Array:
    """`as_inexact` with the argument's name in its error; concrete values stay concrete under `jax.jit`."""
    known = not any(isinstance(x, jax.core.Tracer) for x in jtu.tree_leaves(value))
    try:
        with jax.ensure_compile_time_eval() if known else contextlib.nullcontext():
            return as_inexact(value, dtype)
    except (TypeError, ValueError):
        if isinstance(value, jax.Array | np.ndarray | np.generic):
            fail(argument, "real numbers", f"{value.dtype}{list(value.shape)}")
        plain = value is None or isinstance(value, str | complex)
        fail(argument, "real numbers", repr(value) if plain else kind(value))


def takes(argument: str, function: Any, names: str) -> None:
    """Validates that `function` accepts these positional arguments."""
    if not callable(function):
        fail(argument, f"a function of ({names})", kind(function))
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have no signature
        return
    try:
        signature.bind(*names.split(", "))
    except TypeError:
        fail(argument, f"a function of ({names})", f"one of {signature}")


def is_bits(patterns: Array | np.ndarray) -> Any:
    """Whether all entries are 0 or 1, and not all are 1; also of traced ones."""
    return ((patterns == 0) | (patterns == 1)).all() & (patterns == 0).any()


def no_list(argument: str, state: PyTree) -> None:
    """Raises for a state that is a list of numbers, which JAX treats as a pytree of scalars."""
    leaves = jtu.tree_leaves(state)
    if isinstance(state, list) and all(isinstance(x, int | float | np.number) for x in leaves):
        got = f"a list of {len(leaves)} numbers"
        fail(argument, "an array or a pytree of arrays (`jnp.asarray` makes one of a list)", got)


def key_fits(argument: str, key: Any) -> None:
    """Validates that `key` is a single random key."""
    dtype, shape = getattr(key, "dtype", None), jnp.shape(key) if hasattr(key, "shape") else None
    new = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not new and not (dtype == jnp.uint32 and shape in ((2,), (4,))):
        fail(argument, "one key from `jax.random.key`", kind(key) if shape is None else f"{dtype}{shape}")


class Rules:
    """The rules of the arguments of one call, each stated once.

    Rules on concrete values are evaluated by NumPy and raise `ValueError` if broken. Rules on traced values set
    `valid`, for the compiled core. With `each`, `valid` is elementwise over the broadcast arguments, for functions of
    arrays of any shape. Real numbers are cast to `dtype`, if given.
    """

    def __init__(self, *, each: bool = False, dtype: Any = None):
        self._each, self._dtype = each, dtype
        self._traced: list[tuple[Callable, tuple]] = []

    @property
    def valid(self) -> Any:
        """Whether all rules hold, as an array; NumPy's True if nothing is traced."""
        with jax.numpy_dtype_promotion("standard"):
            held = [jnp.asarray(rule(*values)) for rule, values in self._traced]
        held = jnp.broadcast_arrays(*held) if self._each else [jnp.all(x) for x in held]
        return functools.reduce(jnp.logical_and, held) if held else np.True_

    def holds(self, argument: str, rule: Callable, expected: str, *values: Any, got: object = None) -> None:
        """Requires `rule(*values)`, in operations shared by NumPy and JAX, to be true of every entry.

        The message shows the first value, or `got`; `expected` may format all values by position, as in
        `"a time after t0 = {1:g}"`.
        """
        if not all(map(is_concrete, values)):
            self._traced.append((rule, values))
            return
        known = [_on_host(x) for x in values]
        with jax.ensure_compile_time_eval():
            fine = np.all(rule(*map(_as_compiled, known)))
        if not fine:
            fail(argument, expected.format(*known), describe(known[0]) if got is None else got)

    def real(
        self,
        argument: str,
        value: Any,
        domain: str,
        *,
        shape: tuple[int | None, ...] | None = (),
        names: str = "",
        dtype: Any = None,
    ) -> Array:
        """Casts to a real array; validates domain and shape (see `shape_is`; `None` allows any)."""
        value = as_real(argument, value, dtype or self._dtype)
        if shape is not None:
            shape_is(argument, value, shape, names)
        expected, inside = _DOMAINS[domain]
        self.holds(argument, inside, expected, value)
        return value

    def patterns(self, argument: str, value: Any) -> Array:
        """Validates a non-empty, finite matrix of shape (patterns, neurons)."""
        patterns = self.real(argument, value, "finite", shape=(None, None), names="(patterns, neurons)")
        if not patterns.size:
            fail(argument, "at least one pattern and one neuron", f"shape {patterns.shape}")
        return patterns

    def times(self, argument: str, value: Any, *, dtype: Any = None) -> Array:
        """Validates a one-dimensional array of at least one time, finite and strictly increasing."""
        times = self.real(argument, value, "finite", shape=(None,), names="(times,)", dtype=dtype)
        if not times.size:
            fail(argument, "at least one time", "none")
        self.holds(argument, lambda times: times[1:] > times[:-1], "strictly increasing times", times)
        return times

    def index(
        self, argument: str, value: Any, size: int, one: str, *, shape: tuple[int | None, ...] = (), names: str = ""
    ) -> Array:
        """Casts indices from 0 to `size - 1` to int32; `one` names the indexed object in the message."""
        value = value if isinstance(value, jax.Array) else np.asarray(value)
        if not jnp.issubdtype(value.dtype, jnp.integer):
            got = f"{value.dtype} of shape {value.shape}" if value.ndim else value
            fail(argument, "a whole number" if shape == () else "whole numbers", got)
        shape_is(argument, value, shape, names)
        self.holds(argument, lambda i: (i >= 0) & (i < size), f"{one} from 0 to {size - 1}", value)
        with jax.ensure_compile_time_eval() if is_concrete(value) else contextlib.nullcontext():
            return jnp.asarray(value, jnp.int32)


def _on_host(x: Any) -> Any:
    """A concrete value as a NumPy array, unless it is large or distributed over processes."""
    stays = isinstance(x, jax.Array) and (x.size > _LARGE or not x.is_fully_addressable)
    return x if stays else np.asarray(x)


def _as_compiled(x: Any) -> Any:
    """The numbers that a compiled program works with, in which subnormal ones are zero (but those of 16 bits)."""
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.dtype.itemsize < 4:
        return x
    return x * (abs(x) >= np.finfo(x.dtype).tiny)


def sieved(
    argument: str, value: ArrayLike, name: str, shape: tuple[int | None, ...] | None = None, names: str = ""
) -> Array:
    """Validates real numbers for functions without a result code: outside the domain concrete ones raise and traced
    ones become NaN."""
    rules = Rules(each=True)
    value = rules.real(argument, value, name, shape=shape, names=names)
    return value if is_concrete(value) else nan_unless(rules.valid, value)


def shape_is(argument: str, value: Any, expected: tuple[int | None, ...], names: str = "") -> None:
    """Validates the shape; `None` allows any size of an axis. `names` explains the axes in the message."""
    shape = jnp.shape(value if hasattr(value, "shape") else as_real(argument, value))
    if len(shape) != len(expected) or any(e is not None and e != s for e, s in zip(expected, shape, strict=True)):
        wanted = "(" + ", ".join("any" if e is None else str(e) for e in expected) + ("," * (len(expected) == 1)) + ")"
        if names and expected and all(e is None for e in expected):
            wanted, names = names, ""
        wanted = f"shape {wanted}{' ' + names if names else ''}" if expected or names else "a number"
        is_batch = len(shape) == len(expected) + 1 and (expected or wanted == "a number")
        is_batch = is_batch and all(e in (None, s) for e, s in zip(expected, shape[1:], strict=True))
        hint = " (`jax.vmap` maps over a batch)" if is_batch else ""
        fail(argument, wanted, f"shape {shape}{hint}")


def at_least(argument: str, value: object, smallest: int) -> None:
    """Validates that `value` is an integer of at least `smallest`."""
    if not is_concrete(value):
        fail(
            argument,
            "a whole number known before tracing, as shapes of arrays are (a static argument of `jax.jit`; an axis of "
            "choices in a sweep, such as `{'100': 100, '200': 200}`)",
            "a traced one",
        )
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < smallest:
        fail(argument, f"a whole number of at least {smallest}", repr(value))


def signed_patterns(argument: str, patterns: ArrayLike) -> Array:
    """Validates that patterns are not of 0 and 1 where ±1 is required: concrete ones raise, traced ones become NaN."""
    return sieved(argument, Rules().patterns(argument, patterns), "signed")


def domain(name: str, *, ndim: int | tuple[int, ...] = 0) -> dict[str, Any]:
    """Declares a parameter of a module by the domain and the number of axes of its values.

    It is the metadata of a field. The abstract classes of this package cast such a field to a real array and validate
    concrete values at construction; verbs return `RESULTS.invalid_parameter` and NaN if traced values are invalid.

    **Arguments:**

    - `name`: `"real"` (not NaN), `"finite"`, `"positive"`, `"nonnegative"` (both finite), `"mask"` (finite, or -inf),
      `"probability"` ([0, 1]), `"fraction"` ((0, 1)), `"share"` ((0, 1]), `"cosine"` ([-1, 1]), `"signed"` (finite,
      and not all 0 or 1) or `"duration"` (not negative, may be infinite).
    - `ndim`: 0 for a scalar, 1 for a vector; a tuple allows several.

    **Returns:** metadata for `equinox.field`.

    **Raises:** `ValueError` for an unknown name.

    ```python
    import equinox as eqx
    import jax
    import hopfield_jax as hj

    class Leaky(hj.AbstractSeparable):
        slope: hj.Parameter[jax.Array] = eqx.field(metadata=hj.domain("positive"))

        def elementwise(self, x):
            return 0.5 * self.slope * x * x

    assert Leaky(2).slope == 2.0
    ```
    """
    if name not in _DOMAINS:
        fail("name", f"one of {', '.join(_DOMAINS)}", repr(name))
    return {"domain": name, "ndim": (ndim,) if isinstance(ndim, int) else ndim}


class Checked(eqx.Module):
    """A module that validates its parameters, the fields with a `domain`, at construction.

    It may state rules between its parameters in a method `relations(rules)`.
    """

    def __init_subclass__(cls, **kwargs: Any):
        """Gives every parameter a converter that casts it and names it in errors."""
        super().__init_subclass__(**kwargs)
        for name, field in vars(cls).items():
            if isinstance(field, dataclasses.Field) and "domain" in field.metadata:
                converter = functools.partial(as_real, f"{cls.__name__}.{name}")
                field.metadata = MappingProxyType({**field.metadata, "converter": converter})

    def __check_init__(self):
        for field, value in _parameters(self):
            name = f"{type(self).__name__}.{field.name}"
            if jnp.ndim(value) not in field.metadata["ndim"]:
                kinds = " or ".join(_KINDS[n] for n in field.metadata["ndim"])
                fail(name, kinds, f"shape {jnp.shape(value)}")
            Rules().real(name, value, field.metadata["domain"], shape=None)
        _relate(self, Rules())


def is_valid(tree: PyTree) -> Bool[Array, ""]:
    """Whether every parameter of every module in `tree` lies in its domain; also of traced values."""
    # One check per domain and type of small parameters keeps the program small. Large ones are checked by themselves:
    # `jax.vmap` over one would copy those beside it for every member.
    found: dict[tuple[str, Any, int | None], list[Array]] = {}
    rules = Rules()

    def collect(tree: PyTree) -> None:
        for node in jtu.tree_leaves(tree, is_leaf=lambda x: isinstance(x, eqx.Module)):
            if isinstance(node, eqx.Module):
                for field, value in _parameters(node) if isinstance(node, Checked) else ():
                    value = jnp.asarray(value)
                    alone = None if value.size <= _SMALL else len(found)
                    found.setdefault((field.metadata["domain"], value.dtype, alone), []).append(value.reshape(-1))
                collect([getattr(node, f.name, None) for f in dataclasses.fields(node)])
                _relate(node, rules)

    collect(tree)
    checks = [jnp.all(_DOMAINS[name][1](jnp.concatenate(values))) for (name, *_), values in found.items()]
    return functools.reduce(jnp.logical_and, checks, jnp.asarray(rules.valid))


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every number in a pytree is finite."""
    leaves = [x for x in jtu.tree_leaves(tree) if eqx.is_inexact_array(x)]
    return jnp.all(jnp.array([jnp.all(jnp.isfinite(x)) for x in leaves])) if leaves else jnp.array(True)


def _relate(module: eqx.Module, rules: Rules) -> None:
    if isinstance(module, Checked) and hasattr(module, "relations"):
        module.relations(rules)  # pyright: ignore[reportAttributeAccessIssue]


def _parameters(module: eqx.Module):
    return [(f, getattr(module, f.name)) for f in dataclasses.fields(module) if "domain" in f.metadata]
