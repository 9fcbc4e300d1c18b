"""Gathering the tokens of each part of a partition, so that a token of weight zero costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import array_api_compat as compat

from srr import _arrays, _autodiff
from srr._arrays import Array


class Parts(NamedTuple):
    """The K parts of a block of token sets, those of about one size together."""

    share: Array
    """n_k / n, ``(b, K)``."""
    groups: Sequence[tuple[Array, Array]]
    """Tokens ``(g, m, d)`` and weights π_jk / n_k ``(g, m)`` of g parts, padded to m by any token with weight zero."""
    join: Callable[..., Array]
    """What the groups say of each part, arrays ``(g, …)``, as one ``(b, K, …)``."""
    collect: Callable[..., Array]
    """Adds up what the parts say of each token, arrays ``(g, m, d)``, by their shares: ``(b, n, d)``."""


def gather(Z: Array, Pi: Array) -> Parts:
    """The parts of tokens ``(b, n, d)`` under memberships ``(b, n, K)``."""
    xp = compat.array_namespace(Z)
    (b, n, d), K = Z.shape, Pi.shape[-1]
    by_part = xp.matrix_transpose(Pi)
    mass = xp.sum(by_part, axis=-1)
    one = xp.ones_like(mass)
    # In two steps, of which the first is a constant to derivatives: 1/n_k² would overflow for a part about to vanish.
    scaled = by_part / xp.where(mass > 0, _arrays.detached(mass), one)[..., None]
    weights = xp.reshape(scaled / xp.where(mass > 0, xp.sum(scaled, axis=-1), one)[..., None], (b * K, n))
    share = mass / n
    if _arrays.is_concrete(Pi) and not _autodiff.tracks(Pi):
        member = by_part > 0
        present = int(xp.count_nonzero(member))
        if present and 2 * present <= b * K * n:
            return _gather_members(Z, share, weights, member)
    everyone = xp.reshape(xp.broadcast_to(Z[:, None, ...], (b, K, n, d)), (b * K, n, d))

    def join(value: Array) -> Array:
        return xp.reshape(value, (b, K, *value.shape[1:]))

    def collect(part: Array) -> Array:
        return xp.sum(share[..., None, None] * xp.reshape(part, (b, K, n, d)), axis=1)

    return Parts(share, [(everyone, weights)], join, collect)


def _gather_members(Z: Array, share: Array, weights: Array, member: Array) -> Parts:
    # A list of all memberships, part after part; then each part is a run of it.
    xp, device = compat.array_namespace(Z), compat.device(Z)
    (b, n, d), K = Z.shape, member.shape[1]
    (entry,) = xp.nonzero(xp.reshape(member, (-1,)))
    part, token = entry // n, entry // (K * n) * n + entry % n
    weight = _rows(xp.reshape(weights, (-1,)), entry)
    size = xp.astype(xp.reshape(xp.count_nonzero(member, axis=-1), (-1,)), entry.dtype)
    first = xp.cumulative_sum(size) - size

    chosen, groups, offsets, padded, most = [], [], [], 0, int(xp.max(size))
    while most > 0:  # those with more than half of the most tokens, and so on; at last those with one or none
        (index,) = xp.nonzero((size <= most) & ((size > most // 2) | (most == 1)))
        if index.shape[0] > 0:
            m = max(1, int(xp.max(_rows(size, index))))
            place, inside = _runs(_rows(first, index), _rows(size, index), m)
            tokens = _rows(xp.reshape(Z, (b * n, d)), _rows(token, place))
            groups.append((tokens, xp.where(inside, _rows(weight, place), 0.0)))
            offsets.append(padded + m * xp.arange(index.shape[0], device=device))
            chosen.append(index)
            padded += m * index.shape[0]
        most //= 2
    back = xp.argsort(xp.concat(chosen))

    def join(*values: Array) -> Array:
        return xp.reshape(_rows(xp.concat(list(values)), back), (b, K, *values[0].shape[1:]))

    def collect(*parts: Array) -> Array:
        # Each token reads its places in the parts it belongs to: one place if all are hard.
        rows = xp.concat([xp.reshape(part, (-1, d)) for part in parts])
        start = _rows(xp.concat(offsets), back) - first
        by_token = xp.argsort(token)
        owner = _rows(part, by_token)
        slot = _rows(start, owner) + by_token
        belongs = xp.astype(xp.reshape(xp.count_nonzero(member, axis=1), (-1,)), entry.dtype)
        place, inside = _runs(xp.cumulative_sum(belongs) - belongs, belongs, int(xp.max(belongs)))
        factor = xp.where(inside, _rows(_rows(xp.reshape(share, (-1,)), owner), place), 0.0)
        return xp.reshape(xp.sum(factor[..., None] * _rows(rows, _rows(slot, place)), axis=-2), (b, n, d))

    return Parts(share, groups, join, collect)


def _runs(first: Array, size: Array, m: int) -> tuple[Array, Array]:
    """Places ``(g, m)`` of runs in a list, and whether they are inside; those that are not are place 0."""
    xp = compat.array_namespace(first)
    step = xp.arange(m, device=compat.device(first))
    inside = step < size[:, None]
    return xp.where(inside, first[:, None] + step, 0), inside


def _rows(a: Array, index: Array) -> Array:
    """Rows of ``a`` by an index of any shape."""
    xp = compat.array_namespace(a)
    return xp.reshape(xp.take(a, xp.reshape(index, (-1,)), axis=0), (*index.shape, *a.shape[1:]))
