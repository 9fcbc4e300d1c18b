"""Gathering the tokens of each part of a partition, so that a token of weight zero costs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import array_api_compat as compat

from srr import _arrays, _autodiff
from srr._arrays import Array


class Parts(NamedTuple):
    """The K parts of a block of token sets, each padded to the m tokens of the largest."""

    share: Array
    """n_k / n, ``(b, K)``."""
    tokens: Array
    """``(b, K, m, d)``; padding is any token, with weight zero."""
    weights: Array
    """π_jk / n_k, ``(b, K, m)``."""
    collect: Callable[[Array], Array]
    """Adds up what the parts say of each token: ``(b, K, m, d)`` to ``(b, n, d)``."""


def gather(Z: Array, Pi: Array) -> Parts:
    """The parts of tokens ``(b, n, d)`` under memberships ``(b, n, K)``."""
    xp = compat.array_namespace(Z)
    n = Z.shape[-2]
    by_part = xp.matrix_transpose(Pi)
    mass = xp.sum(by_part, axis=-1)
    # In two steps, of which the first is a constant to derivatives: 1/n_k² would overflow for a part about to vanish.
    scaled = by_part / xp.where(mass > 0, _arrays.detached(mass), 1.0)[..., None]
    weights = scaled / xp.where(mass > 0, xp.sum(scaled, axis=-1), 1.0)[..., None]
    share = mass / n
    if _arrays.is_concrete(Pi) and not _autodiff.tracks(Pi):
        member = xp.astype(by_part > 0, xp.int8)
        m = max(1, int(xp.max(xp.sum(member, axis=-1, dtype=xp.int32))))
        if 2 * m <= n:
            return _gather_members(Z, share, weights, member, m)
    everyone = xp.broadcast_to(Z[:, None, ...], (*by_part.shape, Z.shape[-1]))
    return Parts(share, everyone, weights, lambda parts: xp.sum(parts, axis=1))


def _gather_members(Z: Array, share: Array, weights: Array, member: Array, m: int) -> Parts:
    xp = compat.array_namespace(Z)
    (b, n, d), K = Z.shape, member.shape[1]
    device = compat.device(Z)

    def rows(a: Array, index: Array) -> Array:
        return xp.reshape(xp.take(a, xp.reshape(index, (-1,)), axis=0), (*index.shape, *a.shape[1:]))

    item = xp.reshape(xp.arange(b, device=device), (b, 1, 1))
    part = xp.reshape(xp.arange(K, device=device), (1, K, 1))
    order = xp.argsort(member, axis=-1, descending=True, stable=True)  # members first, in their own order
    index = order[..., :m]
    tokens = rows(xp.reshape(Z, (b * n, d)), item * n + index)
    kept = rows(xp.reshape(weights, (-1,)), (item * K + part) * n + index)

    def collect(parts: Array) -> Array:
        # Each token reads its place in the parts it belongs to: at most t of them, and t = 1 if all are hard.
        t = int(xp.max(xp.sum(member, axis=1, dtype=xp.int32)))
        place = xp.matrix_transpose(xp.argsort(order, axis=-1, stable=True))
        belongs = xp.matrix_transpose(member)
        own = xp.argsort(belongs, axis=-1, descending=True, stable=True)[..., :t]
        entry = (item * n + xp.reshape(xp.arange(n, device=device), (1, n, 1))) * K + own
        inside = rows(xp.reshape(belongs, (-1,)), entry) > 0
        slot = (item * K + own) * m + rows(xp.reshape(place, (-1,)), entry)
        found = rows(xp.reshape(parts, (b * K * m, d)), xp.where(inside, slot, 0))
        return xp.sum(xp.where(inside[..., None], found, 0.0), axis=-2)

    return Parts(share, tokens, kept, collect)
