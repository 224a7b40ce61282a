"""Success rates of a batch of retrievals, with standard errors."""

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Int as IntOf

from .._checks import Rules, fail, kind
from .._misc import as_inexact, binomial_error, compiled, in_type, nan_unless
from .._results import card, is_okay, with_error
from .._types import Array, ArrayLike, Bool, Float, Int, Scalar, ScalarLike
from ._retrieve import RetrievalRun


class RetrievalScore(eqx.Module):
    r"""Result of `hopfield_jax.associative.score`: one entry a cue, and their means with standard errors.

    Means and counts are over the last axis, the cues; under `jax.vmap` (over draws of the patterns, for example) there
    is one per draw. A failed solve counts as not retrieved and is left out of the other means.

    **Attributes:**

    - `recognised`: whether the winner is the target, shape (cues,).
    - `retrieved`: whether, in addition, the final similarity with the target reaches `threshold`.
    - `similarity`, `overlap`: final cosine and overlap with the target; NaN where the solve failed.
    - `num_steps`: steps of the solver. `energy_drop`: $E(0) - E(t_1)$. `energy_rise`: the largest rise of the energy
      between two saved times, zero if it always falls.
    - `settled`: whether the network was at rest at the end. `failed`: whether the solve failed.
    - `threshold`: see `score`.
    """

    recognised: Bool[Array, " cues"]
    retrieved: Bool[Array, " cues"]
    similarity: Float[Array, " cues"]
    overlap: Float[Array, " cues"]
    num_steps: Int[Array, " cues"]
    energy_drop: Float[Array, " cues"]
    energy_rise: Float[Array, " cues"]
    settled: Bool[Array, " cues"]
    failed: Bool[Array, " cues"]
    threshold: Scalar

    @property
    def fraction(self) -> Float[Array, "*draws"]:
        """Fraction of the cues that were retrieved."""
        return _mean(self.retrieved)

    @property
    def fraction_error(self) -> Float[Array, "*draws"]:
        r"""Binomial standard error of `fraction` after Wilson, which is never zero: for $k$ successes in $n$ cues,
        $\hat p = k/n$, half of the width of Wilson's interval of one standard deviation,

        $$\frac{\sqrt{\hat p(1 - \hat p)/n + 1/(4n^2)}}{1 + 1/n}.$$

        It assumes independent cues. Cues of the same stored set are correlated: compare with the spread over draws.
        """
        return binomial_error(self.fraction, self.retrieved.shape[-1])

    @property
    def recognised_fraction(self) -> Float[Array, "*draws"]:
        """Fraction of the cues whose winner is the target, whatever the cosine."""
        return _mean(self.recognised)

    @property
    def recognised_error(self) -> Float[Array, "*draws"]:
        """As `fraction_error`, of `recognised_fraction`."""
        return binomial_error(self.recognised_fraction, self.recognised.shape[-1])

    @property
    def mean_similarity(self) -> Float[Array, "*draws"]:
        """Mean final cosine with the target."""
        return _mean(self.similarity, ~self.failed)

    @property
    def similarity_error(self) -> Float[Array, "*draws"]:
        r"""Standard error of the mean, $s/\sqrt n$; infinite for fewer than two cues."""
        return _standard_error(self.similarity, ~self.failed)

    @property
    def mean_overlap(self) -> Float[Array, "*draws"]:
        """Mean final overlap with the target."""
        return _mean(self.overlap, ~self.failed)

    @property
    def overlap_error(self) -> Float[Array, "*draws"]:
        """As `similarity_error`, of `mean_overlap`."""
        return _standard_error(self.overlap, ~self.failed)

    @property
    def mean_steps(self) -> Float[Array, "*draws"]:
        """Mean number of the solver's steps."""
        return _mean(self.num_steps, ~self.failed)

    @property
    def mean_energy_drop(self) -> Float[Array, "*draws"]:
        """Mean fall of the energy, in the network's own unit."""
        return _mean(self.energy_drop, ~self.failed)

    @property
    def num_failed(self) -> Int[Array, "*draws"]:
        """Number of failed solves."""
        return jnp.sum(self.failed, axis=-1)

    @property
    def num_unsettled(self) -> Int[Array, "*draws"]:
        """Number of cues not at rest at the end, without failures."""
        return jnp.sum(~self.settled & ~self.failed, axis=-1)

    def __str__(self) -> str:
        return card(
            self,
            self.num_failed,
            lambda: (
                f"{self.retrieved.size} cues\n"
                f"  retrieved {with_error(self.fraction, self.fraction_error)} (right winner and similarity of at "
                f"least {self.threshold:g}), "
                f"right winner {with_error(self.recognised_fraction, self.recognised_error)}\n"
                f"  similarity {with_error(self.mean_similarity, self.similarity_error)}, "
                f"overlap {with_error(self.mean_overlap, self.overlap_error)}\n"
                f"  {self.mean_steps:.1f} steps, energy drop {self.mean_energy_drop:.4g} "
                f"(largest rise {jnp.nanmax(self.energy_rise):.1e})\n"
                f"  {self.num_unsettled} not at rest, {self.num_failed} failed"
            ),
        )


def score(
    retrieval: RetrievalRun, targets: IntOf[Array, " cues"], *, threshold: ScalarLike = 0.9, rest: ScalarLike = 1e-3
) -> RetrievalScore:
    r"""Evaluates a batch of retrievals: which cues were retrieved, and with which similarity.

    A cue counts as retrieved if the winner is its target, not the target's inverse, and the final cosine with it is at
    least `threshold`. Works under `jax.jit`, and under `jax.vmap` over retrievals of shape (draws, cues).

    **Arguments:**

    - `retrieval`: of `jax.vmap` over `retrieve` with `throw=False`: a leading axis (cues,) on every leaf.
    - `targets`: the index of the pattern that each cue was made from, shape (cues,).
    - `threshold`: smallest cosine that counts, in [-1, 1].
    - `rest`: largest rate of change that counts as rest, relative to the largest entry of the state or to one.

    **Returns:** a `RetrievalScore`.

    **Raises:** `ValueError` if the retrieval does not have exactly one batch axis, or for invalid targets or threshold.

    ```python
    import jax
    import jax.numpy as jnp
    import hopfield_jax as hj

    patterns = hj.random_patterns(3, 100, key=jax.random.key(0))
    cues = jax.vmap(lambda x, key: hj.flip(x, 0.2, key=key))(patterns, jax.random.split(jax.random.key(1), 3))
    network = hj.associative.graded_network(patterns, beta=4.0)
    found = jax.vmap(lambda cue: hj.associative.retrieve(network, patterns, cue, throw=False))(cues)
    assert hj.associative.score(found, jnp.arange(3)).fraction == 1
    ```
    """
    if not isinstance(retrieval, RetrievalRun):
        fail("retrieval", "results of `retrieve`", kind(retrieval))
    if retrieval.winner.ndim != 1:
        fail("retrieval", "a batch with one leading axis (cues,)", f"winners of shape {retrieval.winner.shape}")
    rules, num_patterns = Rules(), retrieval.similarity.shape[-1]
    targets = rules.index("targets", targets, num_patterns, "indices", shape=retrieval.winner.shape, names="(cues,)")
    threshold = rules.real("threshold", threshold, "cosine")
    rest = rules.real("rest", rest, "positive")
    return _score(retrieval, targets, threshold, rest, rules.valid)


@compiled
def _score(
    retrieval: RetrievalRun, targets: Int[Array, " cues"], threshold: Scalar, rest: Scalar, valid: Bool[ArrayLike, ""]
) -> RetrievalScore:
    valid = jnp.asarray(valid)
    failed = ~valid | ~is_okay(retrieval.result) | (retrieval.winner < 0)
    at_target = lambda x: jnp.take_along_axis(x[:, -1], targets[:, None], axis=1)[:, 0]  # noqa: E731
    similarity, overlap = map(at_target, (retrieval.similarity, retrieval.overlap))
    recognised = (retrieval.winner == targets) & (retrieval.sign > 0) & ~failed
    state = in_type(retrieval.state, retrieval.speed.dtype)
    size = [jnp.max(jnp.abs(x).reshape(len(x), -1), axis=1) for x in jtu.tree_leaves(state)]
    scale = jnp.maximum(1, jnp.max(jnp.stack(size), axis=0))
    drop = retrieval.energy[:, 0] - retrieval.energy[:, -1]
    rise = jnp.maximum(0, jnp.max(retrieval.energy[:, 1:] - retrieval.energy[:, :-1], axis=1))
    similarity, overlap, drop, rise = nan_unless(~failed, (similarity, overlap, drop, rise), constant=True)
    return RetrievalScore(
        recognised=recognised,
        retrieved=recognised & (similarity >= threshold.astype(similarity.dtype)),
        similarity=similarity,
        overlap=overlap,
        num_steps=retrieval.num_steps,
        energy_drop=drop,
        energy_rise=rise,
        settled=~failed & (retrieval.speed <= rest.astype(scale.dtype) * scale),
        failed=failed,
        threshold=nan_unless(valid, threshold),
    )


def _mean(x: Array, where: Array | None = None) -> Array:
    return jnp.mean(as_inexact(x), axis=-1, where=where)


def _standard_error(x: Array, where: Array) -> Array:
    n = jnp.sum(where, axis=-1).astype(x.dtype)
    several = jnp.where(n > 1, n, 2)
    squares = jnp.where(where, jnp.square(x - _mean(x, where)[..., None]), 0)
    return jnp.where(n > 1, jnp.sqrt(jnp.sum(squares, axis=-1) / (several - 1) / several), jnp.inf)
