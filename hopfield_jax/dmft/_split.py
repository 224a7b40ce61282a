"""Sharding of sample paths and neurons over a mesh of devices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, get_abstract_mesh

from .._checks import fail, is_concrete
from .._types import Array, PyTree


class Split(eqx.Module):
    """Shards the last axis of large arrays (paths or neurons) over the devices of a mesh, if there is one. Formulas use
    global arrays; XLA inserts the sums over devices."""

    mesh: Mesh | None = eqx.field(static=True, default=None)

    @staticmethod
    def of(mesh: Mesh | None, argument: str, size: int) -> "Split":
        """Validates that the mesh has one axis and that its devices divide `size`, the value of `argument`."""
        if mesh is None:
            return ONE_PIECE
        if not isinstance(mesh, Mesh) or len(mesh.axis_names) != 1:
            got = f"axes {mesh.axis_names}" if isinstance(mesh, Mesh) else type(mesh).__name__
            fail("mesh", "a jax.sharding.Mesh of one axis, or None", got)
        if AxisType.Explicit in get_abstract_mesh().axis_types:
            fail("mesh", "a call outside `jax.set_mesh` with explicit axes (give them `AxisType.Auto`)", "one inside")
        if size % mesh.size:
            fail(argument, f"a multiple of the {mesh.size} devices of `mesh`", size)
        return Split(Mesh(mesh.devices, mesh.axis_names))  # with an automatic axis, even if that of `mesh` is explicit

    @property
    def pieces(self) -> int:
        """Number of devices."""
        return 1 if self.mesh is None else self.mesh.size

    def along(self, tree: PyTree) -> PyTree:
        """`tree` with the last axis of every array sharded; shorter ones are unchanged."""

        def one(x: Array) -> Array:
            if self.mesh is None or not x.size or x.shape[-1] % self.pieces:
                return x
            spec = PartitionSpec(*[None] * (x.ndim - 1), self.mesh.axis_names[0])
            return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))

        return jtu.tree_map(one, tree)

    def flat(self, x: Array) -> Array:
        """Merges (strata, samples) into one axis with the sharding of the samples, (strata × samples,)."""
        cut = x.reshape(x.shape[0], self.pieces, -1)
        return self.along(cut.swapaxes(0, 1).reshape(-1))

    def by_strata(self, x: Array, num_strata: int) -> Array:
        """The inverse of `flat`."""
        cut = x.reshape(self.pieces, num_strata, -1)
        return self.along(cut.swapaxes(0, 1).reshape(num_strata, -1))

    def whole(self, tree: PyTree) -> PyTree:
        """`tree` with every array (and its cotangent) replicated."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jtu.tree_map(lambda x: jax.lax.with_sharding_constraint(x, everywhere) if eqx.is_array(x) else x, tree)

    def local(self, tree: PyTree) -> PyTree:
        """Moves replicated arrays to the process's default device, so that each process can combine them with other
        arrays. Tracers are unchanged."""
        if self.mesh is None:
            return tree
        own = lambda x: jnp.asarray(np.asarray(x)) if isinstance(x, jax.Array) and is_concrete(x) else x  # noqa: E731
        return jtu.tree_map(own, tree)


ONE_PIECE = Split()
