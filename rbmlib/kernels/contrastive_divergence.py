r"""Stochastic gradient ascent on the likelihood by contrastive divergence, plain (CD-k) or persistent (PCD-k).

One update compares the mini-batch with k Gibbs steps away from it (CD, Hinton 2002) or with chains that live
on between updates (PCD, Tieleman 2008). Hidden units enter both phases by their probabilities, so that only
visible states are drawn:

.. math:: \frac{\partial L}{\partial W_{ij}} =
          \langle v_i p(h_j | v) \rangle_{data} - \langle v_i p(h_j | v) \rangle_{chains} .

Sums over a batch run over tiles in order, lane by lane, and then across the sixteen lanes as a fixed tree.
"""

from __future__ import annotations

import numpy as np

from .gibbs import (
    LANES,
    activation_probabilities,
    block_width,
    buffer_size,
    gather_tile,
    gibbs_step,
    layer_fields,
    pack_rows,
    pack_tile,
    unpack_rows,
)
from .lanes import aligned_float32, first_lanes, fused, load, splat, store, tree_sum
from .options import inline, jit
from .philox import STREAM_SHUFFLE, STREAM_TRAINING, philox4x32, split_seed

_ZERO = np.float32(0.0)
_32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@jit
def shuffle(order, epoch, seed):
    """Fisher-Yates: permute ``order`` in place with the words of (seed, epoch)."""
    k0, k1 = split_seed(np.uint64(seed))
    for last in range(order.shape[0] - 1, 0, -1):
        w0, w1, _, _ = philox4x32(
            np.uint64(last), np.uint64(epoch), np.uint64(0), np.uint64(STREAM_SHUFFLE), k0, k1
        )
        # The high 64 bits of a 64-bit word times (last + 1): uniform to within 2**-32 relative.
        n = np.uint64(last + 1)
        other = (w0 * n + ((w1 * n) >> _32)) >> _32
        order[last], order[other] = order[other], order[last]


@inline
def _ascend(
    weights,
    visible_bias,
    hidden_bias,
    mask,
    rate,
    weight_decay,
    visible,
    hidden,
    n_tiles,
    negative_from,
    scale,
):
    """One step up the gradient.

    Tiles below ``negative_from`` are the batch, the others the chains, whose ``hidden`` carry the factor
    -n_batch / n_chains and whose visible states are to be scaled by it: ``scale``. ``rate`` is the learning
    rate, divided by the batch size in ``step``.
    """
    n_visible, n_hidden = weights.shape
    v_stride, h_stride = LANES * n_visible, LANES * n_hidden
    shrink = rate[0] * weight_decay
    step = rate[1]
    zero = splat(_ZERO)
    for i in range(n_visible):
        for j in range(n_hidden):
            if mask[i, j]:
                total = zero
                for tile in range(n_tiles):
                    v = load(visible, tile * v_stride + LANES * i)
                    total = fused(v, load(hidden, tile * h_stride + LANES * j), total)
                weights[i, j] += step * tree_sum(total) - shrink * weights[i, j]
        up, down = zero, zero
        for tile in range(negative_from):
            up = up + load(visible, tile * v_stride + LANES * i)
        for tile in range(negative_from, n_tiles):
            down = down + load(visible, tile * v_stride + LANES * i)
        visible_bias[i] += step * (tree_sum(up) + scale * tree_sum(down))
    for j in range(n_hidden):
        total = zero
        for tile in range(n_tiles):
            total = total + load(hidden, tile * h_stride + LANES * j)
        hidden_bias[j] += step * tree_sum(total)


@jit
def train_epoch(
    data, order, weights, visible_bias, hidden_bias, mask, batch_size, k, rate, weight_decay, chains, persistent,
    first_update, seed,
):  # fmt: skip
    """One pass over the rows ``order`` of ``data`` in mini-batches; parameters and ``chains`` change in
    place.

    ``data`` is packed (:func:`rbmlib.kernels.gibbs.pack_rows`), ``chains`` uint8 (n_chains, n_visible): the
    persistent chains, not read when ``persistent`` is False. ``mask`` is bool: a weight whose mask is False
    is never touched. Returns the number of updates made.
    """
    n_visible, n_hidden = weights.shape
    n_samples = order.shape[0]
    k0, k1 = split_seed(np.uint64(seed))
    widths = (block_width(n_visible), block_width(n_hidden))
    largest_batch = min(batch_size, n_samples)
    n_most = (largest_batch + LANES - 1) // LANES + (
        (chains.shape[0] if persistent else largest_batch) + LANES - 1
    ) // LANES
    # Tiles of the batch first, then tiles of the chains.
    visible = aligned_float32(n_most * LANES * n_visible)
    hidden = aligned_float32(n_most * LANES * n_hidden)
    drawn_hidden = aligned_float32(LANES * n_hidden)
    fields = aligned_float32(buffer_size(n_visible, n_hidden))
    uniforms = aligned_float32(buffer_size(n_visible, n_hidden))
    words = np.empty(LANES, np.uint32)
    packed_chains = np.empty((chains.shape[0], data.shape[1]), np.uint32)
    pack_rows(chains, packed_chains)
    chain_rows = np.arange(chains.shape[0])
    v_size, h_size = LANES * n_visible, LANES * n_hidden

    n_updates = (n_samples + batch_size - 1) // batch_size
    for update in range(n_updates):
        first = update * batch_size
        n_batch = min(batch_size, n_samples - first)
        rows = order[first : first + n_batch]
        batch_tiles = (n_batch + LANES - 1) // LANES
        n_chains = chains.shape[0] if persistent else n_batch
        n_tiles = batch_tiles + (n_chains + LANES - 1) // LANES
        scale = -np.float32(n_batch) / np.float32(n_chains)
        for tile in range(n_tiles):
            at = tile * v_size
            if tile < batch_tiles:
                gather_tile(data, rows, LANES * tile, n_batch, n_visible, words, visible, at)
                factor = first_lanes(n_batch - LANES * tile)
            else:
                chain = LANES * (tile - batch_tiles)
                if persistent:
                    gather_tile(packed_chains, chain_rows, chain, n_chains, n_visible, words, visible, at)
                else:
                    visible[at : at + v_size] = visible[
                        at - batch_tiles * v_size : at - batch_tiles * v_size + v_size
                    ]
                for step in range(k):
                    gibbs_step(
                        weights, visible_bias, hidden_bias, widths, visible, at, drawn_hidden, fields, uniforms,
                        np.uint64((first_update + update) * k + step), np.uint64(chain), np.uint64(STREAM_TRAINING), k0, k1,
                    )  # fmt: skip
                factor = first_lanes(n_chains - chain)
                # Lanes beyond the last chain were drawn along; they must not count.
                for unit in range(n_visible):
                    store(visible, at + LANES * unit, load(visible, at + LANES * unit) * factor)
                if persistent:
                    pack_tile(visible, at, n_visible, packed_chains, chain, n_chains)
                factor = factor * splat(scale)
            layer_fields(
                widths[1], weights, n_hidden, 1, hidden_bias, n_visible, n_hidden, visible, at, fields, 0
            )
            activation_probabilities(fields, 0, n_hidden, factor, hidden, tile * h_size)
        _ascend(
            weights, visible_bias, hidden_bias, mask, (rate, rate / np.float32(n_batch)), weight_decay, visible, hidden,
            n_tiles, batch_tiles, scale,
        )  # fmt: skip
    if persistent:
        unpack_rows(packed_chains, chains)
    return n_updates
