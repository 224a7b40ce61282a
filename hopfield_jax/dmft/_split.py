"""How sample paths and neurons are split over a mesh of devices."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, get_abstract_mesh

from .._checks import fail, is_concrete
from .._types import Array, PyTree


class Split(eqx.Module):
    """The last axis of large arrays, paths or neurons, in equal pieces on the devices of a mesh; without a mesh in one
    piece. XLA makes the sums over devices: the formulas see whole arrays."""

    mesh: Mesh | None = eqx.field(static=True, default=None)

    @staticmethod
    def of(mesh: Mesh | None, argument: str, size: int) -> "Split":
        """Raises unless the mesh has one axis whose devices share `size`, the value of `argument`, evenly."""
        if mesh is None:
            return ONE_PIECE
        if not isinstance(mesh, Mesh) or len(mesh.axis_names) != 1:
            got = f"axes {mesh.axis_names}" if isinstance(mesh, Mesh) else type(mesh).__name__
            fail("mesh", "a jax.sharding.Mesh of one axis, or None", got)
        if AxisType.Explicit in get_abstract_mesh().axis_types:
            fail("mesh", "a call outside `jax.set_mesh` with explicit axes (give them `AxisType.Auto`)", "one inside")
        if size % mesh.size:
            fail(argument, f"a multiple of the {mesh.size} devices of `mesh`", size)
        return Split(Mesh(mesh.devices, mesh.axis_names))  # whose axis is automatic, even if that of `mesh` is explicit

    @property
    def pieces(self) -> int:
        """How many."""
        return 1 if self.mesh is None else self.mesh.size

    def along(self, tree: PyTree) -> PyTree:
        """`tree` with the last axis of every array split; one too short for that stays as it is."""

        def one(x: Array) -> Array:
            if self.mesh is None or not x.size or x.shape[-1] % self.pieces:
                return x
            spec = PartitionSpec(*[None] * (x.ndim - 1), self.mesh.axis_names[0])
            return jax.lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))

        return jtu.tree_map(one, tree)

    def flat(self, x: Array) -> Array:
        """(strata, samples) as one axis that is split as the samples are, (strata × samples,)."""
        cut = x.reshape(x.shape[0], self.pieces, -1)
        return self.along(cut.swapaxes(0, 1).reshape(-1))

    def by_strata(self, x: Array, num_strata: int) -> Array:
        """The inverse of `flat`."""
        cut = x.reshape(self.pieces, num_strata, -1)
        return self.along(cut.swapaxes(0, 1).reshape(num_strata, -1))

    def whole(self, tree: PyTree) -> PyTree:
        """`tree` with every array (and its cotangent) on every device."""
        if self.mesh is None:
            return tree
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jtu.tree_map(lambda x: jax.lax.with_sharding_constraint(x, everywhere) if eqx.is_array(x) else x, tree)

    def local(self, tree: PyTree) -> PyTree:
        """`tree` of arrays on every device as this process's own, on its default device, so that each process may go on
        with them alone and together with other arrays. What is traced stays on the mesh."""
        if self.mesh is None:
            return tree
        own = lambda x: jnp.asarray(np.asarray(x)) if isinstance(x, jax.Array) and is_concrete(x) else x  # noqa: E731
        return jtu.tree_map(own, tree)


ONE_PIECE = Split()
