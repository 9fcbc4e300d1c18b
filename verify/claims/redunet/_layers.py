"""Layers built one from another's output, and whether each raises the rate reduction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import srr
from srr.redunet import construct, on_sphere
from verify.arrays import to_numpy, unit_roundoff
from verify.case import Case
from verify.decide import partition_rate_reduction_change
from verify.ledger import Outcome
from verify.outcome import THRESHOLD, all_of, decided

Array = Any


def features_by_layer(Z: Array, Pi: Array, **network: Any) -> Array:
    """The features before and after every layer, (L + 1, n, d)."""
    return array_namespace(Z).stack([Z, *(after for _, after in construct(Z, Pi, **network))])


def never_falls(case: Case, Z: Array, Pi: Array, **network: Any) -> Outcome:
    """Every layer decided with proof, but for those near a fixed point, at which rounding may decide.

    From that at which ΔR rises least, or falls most, until one falls.
    """
    eps, (n, d) = network["eps"], Z.shape
    features = features_by_layer(Z, Pi, **network)
    values, gradients = map(to_numpy, srr.rate_reduction_and_gradient(features, Pi=Pi, eps=eps))
    slopes = np.linalg.norm(gradients, axis=(1, 2))[1:]
    seen = np.abs(rises := np.diff(values)) > THRESHOLD * max(n, d) * unit_roundoff(Z) * 2 * math.sqrt(n) * slopes
    case.assume(np.any(seen))
    outcomes = []
    for layer in filter(seen.__getitem__, np.argsort(rises)):
        decision = partition_rate_reduction_change(features[layer, ...], features[layer + 1, ...], Pi, eps=eps)
        outcomes.append(decided(decision, ">=", layer=int(layer) + 1, values=values[layer : layer + 2]))
        if outcomes[-1].holds is False:
            return outcomes[-1]
    return all_of(*outcomes)


def three_clusters(case: Case, m: int, *, sigma: float, skew: bool = False) -> tuple[Array, Array]:
    """Three Gaussian clusters of m tokens on the sphere, their centres orthogonal or not."""
    centres = np.eye(3) + skew * 0.6 * np.eye(3)[0]
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    Z = np.repeat(centres, m, axis=0) + sigma * case.rng().standard_normal((3 * m, 3))
    return on_sphere(case.asarray(Z)), case.asarray(np.repeat(np.eye(3), m, axis=0))
