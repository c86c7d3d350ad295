r"""Annealed importance sampling of restricted Boltzmann machines, sixteen chains at a time.

The path runs at inverse temperature :math:`\beta` from a base of independent visible units (biases
:math:`b^0`, no weights) to the machine,

.. math:: \log p^*_\beta(v) = \bigl((1 - \beta) b^0 + \beta b\bigr) \cdot v
          + \sum_j \log\bigl(1 + e^{\beta x_j}\bigr), \qquad x_j = c_j + \sum_i v_i W_{ij} ,

with the hidden units summed out. From :math:`\beta` to :math:`\beta + \delta` a unit contributes the factor

.. math:: \frac{1 + e^{(\beta + \delta) x}}{1 + e^{\beta x}} = 1 + \frac{e^{\delta x} - 1}{1 + e^{-\beta x}} ,

whose second term is found to a relative error of 1e-6 in float32 however small :math:`\delta` is, so that the
errors of a path add up to those of one step from 0 to 1. Factors are multiplied in float64 and their
logarithm is taken once for many units.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .elementary import exp_negative_f32, log_lanes, softplus
from .gibbs import (
    LANES,
    block_width,
    buffer_size,
    draw_states,
    draw_uniforms,
    gather_tile,
    layer_fields,
    pack_rows,
    pack_tile,
    unpack_rows,
)
from .lanes import (
    aligned_float32,
    clamp,
    f32x16,
    f64x8,
    fused,
    less_than,
    load,
    scale_by_power_of_two,
    splat,
    store,
)
from .options import inline, jit
from .philox import split_seed

_LOG2_E = np.float32(1.4426950408889634)
_MAGIC = np.float32(1.5 * 2.0**23)
_LARGEST_EXPONENT = np.float32(126.0)
_ONE = np.float32(1.0)
# Minimax polynomial of (2**r - 1) / r on |r| <= 1/2, relative error 3e-7.
_P5, _P4, _P3 = (
    np.float32(0.001326472731307149),
    np.float32(0.009671512991189957),
    np.float32(0.05550733581185341),
)
_P2, _P1 = np.float32(0.24022242426872253), np.float32(0.6931470036506653)


@intrinsic
def _widened(typingctx, a):
    """Sixteen float32 lanes as twice eight float64 lanes, exactly."""
    if a is not f32x16:
        return None

    def codegen(context, builder, signature, args):
        halves = []
        for first in (0, 8):
            pattern = ir.Constant(ir.VectorType(ir.IntType(32), 8), list(range(first, first + 8)))
            halves.append(builder.fpext(builder.shuffle_vector(args[0], args[0], pattern), f64x8.llvm))
        return context.make_tuple(builder, signature.return_type, halves)

    return types.UniTuple(f64x8, 2)(a), codegen


@inline
def _exp_minus_one(x):
    """exp(x) - 1 of sixteen float32 lanes, relative error 1e-6 near zero too; the exponential is limited to
    [2**-126, 2**126].
    """
    y = clamp(x * splat(_LOG2_E), splat(-_LARGEST_EXPONENT), splat(_LARGEST_EXPONENT))
    magic = splat(_MAGIC)
    shifted = y + magic
    r = y - (shifted - magic)
    p = fused(splat(_P5), r, splat(_P4))
    p = fused(p, r, splat(_P3))
    p = fused(p, r, splat(_P2))
    p = fused(p, r, splat(_P1))
    power = scale_by_power_of_two(splat(_ONE), shifted)
    return fused(power, p * r, power - splat(_ONE))


@inline
def _weigh_and_draw_hidden(
    fields, n_hidden, lower, delta, to_upper, chunk, uniforms, hidden, log_weights, sign
):
    """Multiply the hidden units' factors from ``lower`` to ``lower + delta`` into the weights (``sign`` 1.0,
    or divide: -1.0) and draw the hidden states at one of the two.
    """
    one = splat(_ONE)
    for first in range(0, n_hidden, chunk):
        low = splat(1.0)
        high = splat(1.0)
        for unit in range(first, min(first + chunk, n_hidden)):
            x = load(fields, LANES * unit)
            u = load(uniforms, LANES * unit)
            e = exp_negative_f32(x * splat(lower))
            growth = _exp_minus_one(x * splat(delta))
            excess = _widened(growth / (one + e))
            low = fused(low, excess[0], low)
            high = fused(high, excess[1], high)
            if to_upper:
                # u < 1 / (1 + e / (1 + growth)) without a division.
                upper = one + growth
                store(hidden, LANES * unit, less_than(u * (upper + e), upper))
            else:
                store(hidden, LANES * unit, less_than(fused(u, e, u), one))
        store(log_weights, 0, fused(splat(sign), log_lanes(low), load(log_weights, 0)))
        store(log_weights, 8, fused(splat(sign), log_lanes(high), load(log_weights, 8)))


@inline
def _weigh_visible(difference, n_visible, visible, step, log_weights):
    """Add ``step * (difference . v)`` to the logarithms of the weights."""
    total = splat(np.float32(0.0))
    for unit in range(n_visible):
        total = fused(splat(difference[unit]), load(visible, LANES * unit), total)
    low, high = _widened(total)
    store(log_weights, 0, fused(splat(step), low, load(log_weights, 0)))
    store(log_weights, 8, fused(splat(step), high, load(log_weights, 8)))


@inline
def _draw_visible(fields, n_visible, base_bias, beta, uniforms, visible):
    """Visible states at one inverse temperature, from the machine's fields."""
    rest = _ONE - beta
    for unit in range(n_visible):
        field = fused(splat(beta), load(fields, LANES * unit), splat(rest * base_bias[unit]))
        store(fields, LANES * unit, field)
    draw_states(fields, 0, n_visible, uniforms, 0, visible, 0)


@jit
def anneal(
    weights,
    visible_bias,
    hidden_bias,
    base_bias,
    difference,
    betas,
    chunk,
    first_chain,
    stream,
    seed,
    states,
    out,
):
    """Take chains along the path in place and add up the logarithms of their weights.

    ``betas`` (float32) rises or falls; at each of its steps a chain is weighed by p*_next(v) / p*_last(v) and
    then moved by one Gibbs step v -> h -> v at the next inverse temperature. ``difference`` is visible_bias -
    base_bias; ``chunk`` is how many hidden units' factors can be multiplied before a logarithm is taken;
    ``states`` is uint8 (n_chains, n_visible), ``out`` float64 (n_chains). Row c is chain ``first_chain + c``,
    whose draws at the step from ``betas[k]`` to ``betas[k + 1]`` are those of step k + 1 of its stream: any
    split of the rows into calls gives the same bits.
    """
    n_visible, n_hidden = weights.shape
    n_chains = states.shape[0]
    k0, k1 = split_seed(np.uint64(seed))
    visible_width, hidden_width = block_width(n_visible), block_width(n_hidden)
    packed = np.empty((n_chains, (n_visible + 31) // 32), np.uint32)
    pack_rows(states, packed)
    words = np.empty(LANES, np.uint32)
    visible = aligned_float32(LANES * n_visible)
    hidden = aligned_float32(LANES * n_hidden)
    fields = aligned_float32(buffer_size(n_visible, n_hidden))
    uniforms = aligned_float32(buffer_size(n_visible, n_hidden))
    of_visible = uniforms[LANES * n_hidden :]
    log_weights = np.empty(LANES)
    rows = np.arange(n_chains)
    for first in range(0, n_chains, LANES):
        gather_tile(packed, rows, first, n_chains, n_visible, words, visible, 0)
        log_weights[:] = 0.0
        chain = np.uint64(first_chain + first)
        for step in range(1, betas.shape[0]):
            last, beta = betas[step - 1], betas[step]
            to_upper = beta > last
            lower, delta = min(last, beta), abs(beta - last)
            sign = 1.0 if to_upper else -1.0
            draw_uniforms(uniforms, n_visible + n_hidden, np.uint64(step), chain, np.uint64(stream), k0, k1)
            _weigh_visible(difference, n_visible, visible, sign * np.float64(delta), log_weights)
            layer_fields(
                hidden_width, weights, n_hidden, 1, hidden_bias, n_visible, n_hidden, visible, 0, fields, 0
            )
            _weigh_and_draw_hidden(
                fields, n_hidden, lower, delta, to_upper, chunk, uniforms, hidden, log_weights, sign
            )
            layer_fields(
                visible_width, weights, 1, n_hidden, visible_bias, n_hidden, n_visible, hidden, 0, fields, 0
            )
            _draw_visible(fields, n_visible, base_bias, beta, of_visible, visible)
        pack_tile(visible, 0, n_visible, packed, first, n_chains)
        for lane in range(min(LANES, n_chains - first)):
            out[first + lane] = log_weights[lane]
    unpack_rows(packed, states)


@jit
def draw_base(base_bias, first_chain, stream, seed, states):
    """Fill ``states`` (uint8, n_chains x n_visible) with draws from the base: step 0 of the chains'
    streams.
    """
    n_chains, n_visible = states.shape
    k0, k1 = split_seed(np.uint64(seed))
    fields = aligned_float32(LANES * n_visible)
    visible = aligned_float32(LANES * n_visible)
    uniforms = aligned_float32(buffer_size(n_visible, 0))
    for unit in range(n_visible):
        store(fields, LANES * unit, splat(base_bias[unit]))
    for first in range(0, n_chains, LANES):
        chain = np.uint64(first_chain + first)
        draw_uniforms(uniforms, n_visible, np.uint64(0), chain, np.uint64(stream), k0, k1)
        draw_states(fields, 0, n_visible, uniforms, 0, visible, 0)
        for lane in range(min(LANES, n_chains - first)):
            for unit in range(n_visible):
                states[first + lane, unit] = np.uint8(visible[LANES * unit + lane])


@jit
def log_partition_of_independent_units(biases):
    """log Z of units without couplings, sum of log(1 + exp(bias)), in the order of the units."""
    total = 0.0
    for unit in range(biases.shape[0]):
        total += softplus(np.float64(biases[unit]))
    return total
