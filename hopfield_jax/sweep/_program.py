"""The function of one point, traced once, and its programs for blocks of points."""

import dataclasses
import functools
import hashlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import jax.random as jr
import jax.tree_util as jtu
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from .._checks import fail
from ._grid import Grid
from ._names import RESERVED

CACHE = 2**19
"""Bytes per point above which a CPU computes points one by one (each in the cache) instead of vectorised."""

Point = Callable[..., Mapping[str, Any]]
"""`point(key, **coordinates)`, or `point(**coordinates)` where the sweep has no key: a dictionary of numbers, arrays
and results (`hopfield_jax.RESULTS` and other enumerations)."""


@dataclasses.dataclass(frozen=True)
class Output:
    """Shape and type of an output, from tracing. `flags`: names of an enumeration's values."""

    shape: tuple[int, ...]
    dtype: np.dtype
    flags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """The function of one point at one choice, traced.

    `jaxpr` takes the key's data (none without key), the tags of the random axes and the numbers of one point. Programs
    with equal function and fingerprint share one compilation.
    """

    point: Point
    jaxpr: Any  # a ClosedJaxpr
    outputs: dict[str, Output]
    has_key: bool
    num_tags: int
    num_numbers: int

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Program) or self.fingerprint != other.fingerprint or "callback" in self.text:
            return False
        return self.point is other.point or (_is_hashable(self.point) and self.point == other.point)

    @functools.cached_property
    def text(self) -> str:
        return re.sub(r"0x[0-9a-fA-F]+", "", str(self.jaxpr.jaxpr))

    @functools.cached_property
    def fingerprint(self) -> str:
        """Checksum of program and constants, independent of names and addresses. Host callbacks are not included."""
        digest = hashlib.sha256(self.text.encode())
        for constant in _constants(self.jaxpr):
            values = _plain(constant)
            digest.update(f"{values.dtype}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    @property
    def bytes_per_point(self) -> int:
        """Upper bound of the bytes alive at once in one point (no fusion), without compiling."""
        return _alive(self.jaxpr.jaxpr)

    def lower(self, block_size: int, devices: tuple[Any, ...]) -> Any:
        """The lowered program for a block on each device, a function of (constants, key data, tags, numbers)."""
        of = lambda x, *lead: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype)  # noqa: E731
        avals = self.jaxpr.in_avals
        fixed = int(self.has_key)
        many = [of(x, len(devices) * block_size) for x in avals[fixed:]]
        return _blocks_on(devices).lower(
            self,
            block_size,
            devices[0].platform == "cpu" and self.bytes_per_point > CACHE,
            [of(x) for x in self.jaxpr.consts],
            [of(x) for x in avals[:fixed]],
            many[: self.num_tags],
            many[self.num_tags :],
        )


@functools.cache
def _blocks_on(devices: tuple[Any, ...]) -> Any:
    """A block on each device, which work independently."""
    mesh, whole, shared = Mesh(np.array(devices), ("device",)), P(), P("device")
    ways = {"in_specs": (whole, whole, shared, shared), "out_specs": shared}

    def blocks(program: Program, block_size: int, in_turn: bool, *arguments):
        block = functools.partial(_block, program, block_size, in_turn)
        return jax.shard_map(block, mesh=mesh, check_vma=False, **ways)(*arguments)

    places = {
        "in_shardings": tuple(NamedSharding(mesh, x) for x in (whole, whole, shared, shared)),
        "out_shardings": NamedSharding(mesh, shared),
    }
    return jax.jit(blocks, static_argnums=(0, 1, 2), **places)


def _block(program: Program, block_size: int, in_turn: bool, constants, key_data, tags, numbers):
    point = jex.jaxpr_as_fun(jex.ClosedJaxpr(program.jaxpr.jaxpr, constants))
    one, varying = lambda varying: point(*key_data, *varying), [*tags, *numbers]
    return jax.lax.map(one, varying) if in_turn and varying else jax.vmap(one, axis_size=block_size)(varying)


def _is_hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True


def trace(point: Point, grid: Grid, choice: Mapping[str, Any], key: Any, random_axes: tuple[str, ...]) -> Program:
    """Traces the function once.

    **Raises:** `ValueError` that names the axis or output, if tracing fails or an output cannot be stored.
    """
    numeric = [axis for axis in grid.axes if not axis.is_choice]
    chosen = "".join(f", at {name} = {label}" for name, label in _labels(grid, choice).items())
    implementation = None if key is None else jr.key_impl(key)
    found: dict[str, Output] = {}

    def one(key_data, tags, numbers):
        folded = [jr.wrap_key_data(x, impl=implementation) for x in key_data]
        for tag in tags:
            folded = [jr.fold_in(x, tag) for x in folded]
        along = dict(zip((axis.name for axis in numeric), numbers, strict=True))
        answer = _call(point, folded, {**choice, **along}, f"JAX can trace in {', '.join(along) or 'its axes'}{chosen}")
        if not isinstance(answer, Mapping) or not answer:
            fail("point", f"a function that returns a dictionary of outputs{chosen}", f"{answer!r:.80}")
        found.clear()
        values = []
        for name in answer:
            if not isinstance(name, str) or not name.isidentifier() or name in RESERVED:
                fail("point", f"outputs named by identifiers other than {', '.join(RESERVED)}", repr(name))
        for name in sorted(answer):  # the same order for every choice
            array, found[name] = _as_output(name, answer[name])
            values.append(array)
        return tuple(values)

    has_key = key is not None
    try:
        inspect.signature(point).bind(*[None] * has_key, **dict.fromkeys(grid.names))
    except TypeError as error:
        wanted = ", ".join(["key"] * has_key + list(grid.names))
        fail("point", f"a function of ({wanted})", f"one of {inspect.signature(point)}: {error}")
    except ValueError:
        pass  # a function without a signature
    data = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in ([jr.key_data(key)] if has_key else [])]
    tags = [jax.ShapeDtypeStruct((), jnp.uint32) for _ in random_axes if has_key]
    numbers = [jax.ShapeDtypeStruct((), axis.values.dtype) for axis in numeric]
    jaxpr = jax.make_jaxpr(one)(data, tags, numbers)
    return Program(point, jaxpr, found, has_key, len(tags), len(numbers))


def _call(point: Point, key: list, coordinates: Mapping[str, Any], wanted: str) -> Any:
    try:
        return point(*key, **coordinates)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        got = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        hint = "`jnp.where` instead of `if`; or an axis of choices, compiled one by one: a dictionary of numbers"
        raise ValueError(f"`point`: expected a function that {wanted} ({hint}), got {got}") from error
    except Exception as error:
        text = next(iter(str(error).splitlines()), "")  # JAX adds remarks on further lines
        raise ValueError(f"`point`: expected a function that {wanted}, got {type(error).__name__}: {text}") from error


def _labels(grid: Grid, choice: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for axis in grid.axes:
        if axis.is_choice:
            at = next(i for i, x in enumerate(axis.values) if x is choice[axis.name])
            found[axis.name] = str(axis.labels[at])
    return found


def _as_output(name: str, value: Any) -> tuple[jax.Array, Output]:
    flags: tuple[str, ...] = ()
    if hasattr(value, "_enumeration"):  # an item of an equinox.Enumeration
        value, flags = value._value, tuple(value._enumeration._name_to_item)
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError):
        fail(name, "a number, an array or a result as an output", f"{type(value).__name__}")
    if jnp.issubdtype(array.dtype, jax.dtypes.extended) or array.dtype.kind not in "biuf":
        fail(name, "an output of real numbers", f"an array of type {array.dtype}")
    return array, Output(tuple(array.shape), np.dtype(array.dtype), flags)


def _plain(constant: Any) -> np.ndarray:
    if isinstance(constant, jax.Array) and jnp.issubdtype(constant.dtype, jax.dtypes.prng_key):
        constant = jr.key_data(constant)
    return np.asarray(constant)


def _constants(closed: Any) -> list[Any]:
    """The constants of a closed jaxpr and of all nested ones, whose text does not contain them."""
    found = list(closed.consts) if isinstance(closed, jex.ClosedJaxpr) else []
    for equation in (closed.jaxpr if isinstance(closed, jex.ClosedJaxpr) else closed).eqns:
        for inner in _inner(equation.params):
            found += _constants(inner)
    return found


def _alive(jaxpr: Any) -> int:
    """Peak memory of the values of a jaxpr, in bytes, without its inputs."""
    last: dict[Any, int] = {}
    for number, equation in enumerate(jaxpr.eqns):
        for x in equation.invars:
            if not isinstance(x, jex.Literal):
                last[x] = number
    for x in jaxpr.outvars:
        if not isinstance(x, jex.Literal):
            last[x] = len(jaxpr.eqns)
    born: set[Any] = set()
    alive = peak = 0
    for number, equation in enumerate(jaxpr.eqns):
        inner = (x.jaxpr if isinstance(x, jex.ClosedJaxpr) else x for x in _inner(equation.params))
        within = max(map(_alive, inner), default=0)
        alive += sum(map(_size, equation.outvars))
        born.update(equation.outvars)
        peak = max(peak, alive + within)
        dead = {x for x in equation.invars if not isinstance(x, jex.Literal) and x in born and last[x] == number}
        alive -= sum(map(_size, dead))
        unused = {x for x in equation.outvars if x not in last}
        alive -= sum(map(_size, unused))
    return peak


def _inner(params: Mapping[str, Any]) -> list[Any]:
    leaves = jtu.tree_leaves(list(params.values()), is_leaf=lambda x: isinstance(x, jex.ClosedJaxpr | jex.Jaxpr))
    return [x for x in leaves if isinstance(x, jex.ClosedJaxpr | jex.Jaxpr)]


def _size(x: Any) -> int:
    shape, dtype = getattr(x.aval, "shape", ()), getattr(x.aval, "dtype", None)
    itemsize = getattr(dtype, "itemsize", 4)
    return int(np.prod(shape, dtype=np.int64)) * itemsize
