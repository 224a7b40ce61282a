"""Layers: attention as one update, masks, both derivatives, and the network behind a layer."""

import os
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

import hopfield_jax as hj
from hopfield_jax import associative as A

QUERIES, MEMORIES = jr.normal(jr.key(1), (5, 8)), jr.normal(jr.key(2), (7, 6))
MASK = jr.bernoulli(jr.key(3), 0.5, (2, 5, 7)).at[..., 0].set(True)
SLOW = ("softmax", pytest.param("entmax", marks=pytest.mark.slow))  # entmax takes long to compile
UNITS = {"softmax": hj.LogSumExp(0.7), "sparsemax": hj.Sparsemax(0.7), "entmax": hj.Entmax(1.5, 0.7)}


def weights_of(layer):
    return layer.query_proj, layer.key_proj, layer.value_proj, layer.output_proj


def layer(**options):
    return A.AssociationLayer(2, 8, memory_size=6, key=jr.key(0), **options)


def with_settle(layer, settle):
    return eqx.tree_at(lambda layer: layer.settle, layer, settle)


@eqx.filter_jit
def answers(layer, *masks, visible=None):
    return [layer(QUERIES, MEMORIES, mask=mask) for mask in masks]


@pytest.mark.parametrize("use_bias", [False, True])
def test_one_update_is_equinoxs_attention_with_the_same_weights(use_bias):
    """To 1e-6: a dozen roundings of numbers of order one."""
    bias = {f"use_{name}_bias": use_bias for name in ("query", "key", "value", "output")}
    attention = eqx.nn.MultiheadAttention(2, 8, 6, 6, 8, **bias, key=jr.key(4))
    same = eqx.tree_at(weights_of, layer(use_bias=use_bias), weights_of(attention))
    masks = None, MASK[0], MASK
    expected = [attention(QUERIES, MEMORIES, MEMORIES, mask) for mask in masks]
    np.testing.assert_allclose(answers(same, *masks), expected, rtol=0, atol=1e-6)


def test_more_updates_are_those_of_the_networks_of_the_heads():
    several = layer(units=hj.Sparsemax(0.7), visible=hj.LayerNorm(), settle=A.Unrolled(3))
    (found,) = answers(several, None)
    heads = []
    for head in range(2):
        network = several.network(MEMORIES, head=head)
        values = jax.vmap(several.value_proj)(MEMORIES)[:, 4 * head : 4 * head + 4]
        for v in several.states(QUERIES)[head]:
            v = network.update(network.update(v))
            p = network.hidden.activation(network.hidden_map(network.visible.activation(v)))
            heads.append(p @ values)
    expected = jnp.stack(heads).reshape(2, 5, 4).swapaxes(0, 1).reshape(5, 8)
    np.testing.assert_allclose(found, jax.vmap(several.output_proj)(expected), atol=1e-6)


@pytest.mark.parametrize("name", ["sparsemax", *SLOW])
def test_a_mask_is_as_if_the_memories_were_not_there(name):
    masked = layer(units=UNITS[name], settle=A.Unrolled(2))
    keep = np.array([True, False, True, True, False, True, True])
    (found,) = answers(masked, jnp.asarray(keep))
    np.testing.assert_allclose(found, masked(QUERIES, MEMORIES[keep]), atol=1e-6)
    p = masked.weights(QUERIES, MEMORIES, mask=jnp.asarray(keep))
    assert p.shape == (2, 5, 7) and not np.any(p[..., ~keep]) and np.allclose(p.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("settle", [A.Unrolled(2), A.Implicit()])
def test_a_query_that_sees_nothing_gets_zeros_and_finite_gradients(settle):
    nothing = MASK.at[:, 2].set(False)

    def total(layer, queries):
        out = layer(queries, MEMORIES, mask=nothing)
        return jnp.sum(jnp.sin(out)), out

    arrays, rest = eqx.partition(layer(units=hj.Sparsemax(), settle=settle), eqx.is_inexact_array)
    run = jax.jit(jax.grad(lambda a, q: total(eqx.combine(a, rest), q), argnums=(0, 1), has_aux=True))
    gradient, out = run(arrays, QUERIES)
    assert not np.any(out[2]) and np.all(np.any(out[:2] != 0, axis=1))
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))
    assert not np.any(gradient[1][2]) and np.all(np.any(gradient[1][:2] != 0, axis=1))


class Long(A.AbstractSettling):
    """Many updates of the network that `Implicit` brings to rest; a class of one's own."""

    drive: jax.Array

    def __call__(self, update, start):
        return jax.lax.scan(lambda v, _: (update(v), None), start, length=300)[0]

    def input(self, start):
        return self.drive * start


@pytest.mark.parametrize("name", SLOW)
def test_the_implicit_derivative_is_that_of_many_updates(name, x64):
    to_64 = lambda tree: jax.tree.map(lambda x: x.astype(jnp.float64) if eqx.is_inexact_array(x) else x, tree)  # noqa: E731
    base, queries, memories = to_64((layer(units=UNITS[name], visible=hj.LayerNorm(0.5)), QUERIES, MEMORIES))
    drive = jnp.array(0.8)

    def slope(settle):
        arrays, rest = eqx.partition(with_settle(base, settle), eqx.is_inexact_array)

        def value(arrays, queries):
            return jnp.sum(jnp.sin(eqx.combine(arrays, rest)(queries, memories, mask=MASK)))

        both = jax.jit(jax.value_and_grad(value, argnums=(0, 1)))(arrays, queries)
        drive = both[1][0].settle.drive
        rest = eqx.tree_at(lambda g: g[0].settle, both[1], None)
        return [both[0], drive, *jax.tree.leaves(rest)]

    implicit, long = slope(A.Implicit(drive)), slope(Long(drive))
    for got, expected in zip(implicit, long, strict=True):
        # The tolerance is 4e-10; the slowest mode contracts by a factor that is not near one.
        np.testing.assert_allclose(got, expected, atol=1e-7 * np.max(np.abs(expected)))
        assert np.any(expected != 0)


def test_states_that_do_not_settle_are_kept_without_a_gradient():
    hasty = layer(settle=A.Implicit(tolerance=1e-6, max_updates=1))
    out, gradient = eqx.filter_value_and_grad(lambda q: jnp.sum(hasty(q, MEMORIES)))(QUERIES)
    assert np.isfinite(out) and not np.any(gradient)


@pytest.mark.parametrize("name", ["sparsemax", *SLOW])
def test_the_network_behind_a_layer_is_taken_by_all_verbs(name):
    trained = layer(units=UNITS[name], head_size=16)
    network: Any = trained.network(MEMORIES, head=1)
    cue = trained.states(QUERIES)[1, 0]
    report = hj.check_descent(network, cue)
    assert report.consistent and report.descends and report.convex and report.differentiable
    run = A.retrieve(network, network.hidden_map.patterns, cue)
    assert run.winner >= 0 and np.max(np.diff(run.energy)) <= 1e-5
    assert hj.linearise(network, run.state).num_dead == 0
    driven = with_settle(trained, A.Implicit(0.5)).network(MEMORIES, head=1, query=QUERIES[0])
    np.testing.assert_allclose(driven.input, 0.5 * cue, rtol=1e-6)
    masked: Any = trained.network(MEMORIES, mask=jnp.arange(7) < 3)
    np.testing.assert_array_equal(jnp.isfinite(masked.hidden_map.bias), np.arange(7) < 3)


def test_pooling_does_not_see_order_nor_padding():
    pool = A.PoolingLayer(3, 8, num_heads=2, memory_size=6, units=hj.Sparsemax(), key=jr.key(0))
    run = eqx.filter_jit(lambda memories, mask: pool(memories, mask=mask))
    expected = pool(MEMORIES[:5])
    order = jr.permutation(jr.key(1), 7)
    np.testing.assert_allclose(run(MEMORIES[order], jnp.arange(7)[order] < 5), expected, atol=1e-6)
    behind: Any = pool.network(MEMORIES)
    assert expected.shape == (3, 8) and behind.hidden_map.patterns.shape == (7, 4)


def test_learned_memories_learn_a_map():
    """Sixteen memories fit what they are shown; all weights take part."""
    memory = A.MemoryLayer(16, 8, num_heads=2, settle=A.Unrolled(2), key=jr.key(0))
    queries, wanted = jr.normal(jr.key(1), (2, 12, 8))

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def loss(memory):
        return jnp.mean(jnp.square(memory(queries) - wanted))

    before, slope = loss(memory)
    assert all(np.any(x != 0) for x in jax.tree.leaves(slope))
    for _ in range(60):
        _, slope = loss(memory)
        memory = eqx.apply_updates(memory, jax.tree.map(lambda d: -0.5 * d, slope))
    assert loss(memory)[0] < 0.5 * before
    behind: Any = memory.network(head=1)
    assert behind.hidden_map.patterns.shape == (16, 4)


def test_sixteen_bits_are_kept():
    small = jax.tree.map(
        lambda x: x.astype(jnp.bfloat16) if eqx.is_inexact_array(x) else x, layer(units=hj.Sparsemax())
    )
    for settle in (A.Unrolled(2), A.Implicit(jnp.array(1.0, jnp.bfloat16))):
        rounded = with_settle(small, settle)
        out = rounded(QUERIES.astype(jnp.bfloat16), MEMORIES.astype(jnp.bfloat16), mask=MASK)
        wide = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_inexact_array(x) else x, rounded)
        assert out.dtype == jnp.bfloat16
        # Several dozen roundings of relative size 2⁻⁸, of numbers of order one.
        np.testing.assert_allclose(out.astype(np.float32), wide(QUERIES, MEMORIES, mask=MASK), atol=0.1)


def test_a_slope_that_training_has_made_negative_gives_nan_and_no_answer():
    broken = eqx.tree_at(lambda layer: layer.units.beta, layer(), jnp.float32(-0.1))
    assert np.all(np.isnan(eqx.filter_jit(broken)(QUERIES, MEMORIES)))


def test_units_that_are_not_silent_take_no_mask():
    graded = layer(units=hj.LogCosh())
    assert np.all(np.isfinite(graded(QUERIES, MEMORIES)))
    with pytest.raises(ValueError, match=r"`mask`.*LogCosh is not silent"):
        graded(QUERIES, MEMORIES, mask=MASK)
    assert np.all(np.isnan(eqx.filter_jit(graded)(QUERIES, MEMORIES, mask=MASK)))


@pytest.mark.parametrize(
    "build, argument",
    [
        (lambda: A.AssociationLayer(3, 8, key=jr.key(0)), r"`num_heads`.*divisor of the query size 8.*3"),
        (lambda: A.AssociationLayer(0, 8, key=jr.key(0)), r"`num_heads`"),
        (lambda: A.AssociationLayer(2, 8, head_size=0, key=jr.key(0)), r"`head_size`"),
        (lambda: A.MemoryLayer(0, 8, key=jr.key(0)), r"`num_memories`"),
        (lambda: A.MemoryLayer(4, 8, memory_size=3, key=jr.key(0)), r"`memory_size`"),
        (lambda: A.PoolingLayer(0, 8, key=jr.key(0)), r"`num_queries`"),
        (lambda: A.Unrolled(0), r"Unrolled\.num_updates"),
        (lambda: A.Implicit(max_updates=0), r"Implicit\.max_updates"),
        (lambda: A.Implicit(tolerance=-1.0), r"Implicit\.tolerance"),
        (
            lambda: layer()(QUERIES, MEMORIES, mask=MASK[:, :, :6]),
            r"`mask`.*\(7,\), \(5, 7\), \(2, 5, 7\).*\(2, 5, 6\)",
        ),
        (lambda: layer().network(MEMORIES, head=2), r"`head`.*2 heads"),
        (lambda: layer().network(MEMORIES, mask=jnp.zeros(7, bool)), r"MemoryMap\.bias.*not masked"),
    ],
)
def test_bad_input_names_the_argument(build: Any, argument: str):
    with pytest.raises(ValueError, match=argument):
        build()


SHARDED = """
import equinox as eqx, jax, jax.numpy as jnp, jax.random as jr
import hopfield_jax as hj

A, spec = hj.associative, jax.sharding.PartitionSpec
mesh = jax.sharding.Mesh(jax.devices(), ("all",))
put = lambda x, *axes: jax.device_put(x, jax.sharding.NamedSharding(mesh, spec(*axes)))
keys = lambda layer: (layer.keys, layer.values)
heads = lambda layer: layer.association.query_proj.weight

@eqx.filter_jit
@eqx.filter_value_and_grad
def loss(layer, x):
    return jnp.mean(jnp.square(jax.vmap(layer)(x)))

assert len(jax.devices()) == 4
x = jr.normal(jr.key(1), (8, 6, 16))
for settle in (A.Unrolled(3), A.Implicit()):
    layer = A.MemoryLayer(16, 16, num_heads=4, units=hj.Sparsemax(), settle=settle, key=jr.key(0))
    expected = jax.tree.leaves(loss(layer, x))
    whole = eqx.filter_shard(layer, jax.sharding.NamedSharding(mesh, spec()))
    memories = eqx.tree_at(keys, whole, tuple(put(leaf, "all") for leaf in keys(layer)))
    split = eqx.tree_at(heads, whole, put(heads(layer), "all"))
    for layer, batch in ((whole, put(x, "all")), (memories, put(x)), (split, put(x))):
        for got, wanted in zip(jax.tree.leaves(loss(layer, batch)), expected, strict=True):
            assert jnp.max(jnp.abs(got - wanted)) < 1e-5
"""


@pytest.mark.slow
def test_batches_memories_or_heads_may_be_sharded():
    """Numbers of order 0.1 agree to rounding of sums, or to the tolerance of `Implicit`."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", SHARDED], env=os.environ | {"XLA_FLAGS": flags}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
