"""Null controls: other updates of the same size, and other bases. What they do too is not the layer's doing."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

RANDOM, CONSTANT, MEAN, SHRINK = "random update", "constant vector", "mean token", "shrink"
UPDATES = (RANDOM, CONSTANT, MEAN, SHRINK)
ORTHONORMAL, ROTATED, OTHER = "random bases", "rotated bases", "another layer's bases"
BASES = (ORTHONORMAL, ROTATED, OTHER)
SAID = {
    RANDOM: "a random update of the same norm",
    CONSTANT: "one random vector of the same norm added to all tokens",
    MEAN: "the mean token added, with the same norm",
    SHRINK: "shrinking all tokens, with the same norm",
    ORTHONORMAL: "random orthonormal bases",
    ROTATED: "the layer's bases, rotated at random",
    OTHER: "another layer's bases",
}
"""Each control in words."""


def updates(Z: Tensor, size: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Updates of tokens Z ``(b, n, d)`` of norm ``size`` ``(b,)``, that know nothing of any bases.

    ``noise`` is Gaussian, ``(b, n + 1, d)``: a direction, and in its last row one vector for all tokens. An update
    whose direction vanishes, as that of the mean token of tokens that sum to zero, is zero.
    """
    directions = {
        RANDOM: noise[:, :-1],
        CONSTANT: noise[:, -1:].expand_as(Z),
        MEAN: Z.mean(1, keepdim=True).expand_as(Z),
        SHRINK: -Z,
    }
    return {name: _of_size(direction, size) for name, direction in directions.items()}


def _of_size(direction: Tensor, size: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(direction, dim=(1, 2))
    return direction * (size / torch.where(norm > 0, norm, 1.0))[:, None, None]


def noise(first: int, count: int, n: int, d: int, *, seed: int, like: Tensor) -> Tensor:
    """``(count, n + 1, d)`` for the samples from ``first`` on: each sample's own, whatever the batches."""
    drawn = [_generator(seed, 1, first + i).standard_normal((n + 1, d), dtype=np.float32) for i in range(count)]
    return torch.from_numpy(np.stack(drawn)).to(like)


def bases(U: Tensor, other: Tensor | None, layer: int, *, seed: int) -> dict[str, Tensor]:
    """Bases in place of U ``(K, d, p)``.

    Random ones, orthonormal in each subspace and from one to the other if there is room; O U_k with a random
    orthogonal O, which have the inner products of the U_k, U_jᵀU_k, all of them; and ``other``, another layer's, if
    there is one.
    """
    K, d, p = U.shape
    rng = _generator(seed, 0, layer)
    if K * p <= d:
        frame = _orthogonal(rng, d)[:, : K * p].reshape(d, K, p).transpose(1, 0, 2)
    else:
        frame = np.stack([_orthogonal(rng, d)[:, :p] for _ in range(K)])
    found = {
        ORTHONORMAL: torch.from_numpy(np.ascontiguousarray(frame)).to(U),
        ROTATED: torch.from_numpy(_orthogonal(rng, d)).to(U) @ U,
    }
    return found if other is None else found | {OTHER: other}


def rotated(D: Tensor, layer: int, *, seed: int) -> Tensor:
    """O D with a random orthogonal O: a dictionary whose atoms have the same inner products."""
    return torch.from_numpy(_orthogonal(_generator(seed, 2, layer), D.shape[0])).to(D) @ D


def chance_alignment(entries: int) -> float:
    """The standard deviation of the cosine between independent random arrays of so many entries."""
    return 1 / math.sqrt(entries)


def _orthogonal(rng: np.random.Generator, d: int) -> np.ndarray:
    Q, R = np.linalg.qr(rng.standard_normal((d, d)))
    return Q * np.sign(np.diag(R))


def _generator(seed: int, purpose: int, index: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, purpose, index))))
