"""What all coding rates have in common: which ε the code means, and a Gram matrix from either side."""

from __future__ import annotations

from typing import Literal

import numpy as np

from verify.bounded import Bounded, log_det, sqrt

Eps = Literal["eps^2", "eps", "1/eps^2"]
Half = Literal["1/2", "1"]
Logarithm = Literal["natural", "base 2"]
Sign = Literal["+", "-"]

WORDS = {
    "eps": {
        "eps^2": "the precision is squared",
        "eps": "the precision is not squared: its eps is the eps^2 of the papers",
        "1/eps^2": "the precision multiplies",
    },
    "half": {"1/2": "with the factor 1/2", "1": "without the factor 1/2"},
    "logarithm": {"natural": "in nats", "base 2": "in bits"},
    "sign": {"+": "with sign +", "-": "with sign -"},
}


def squared(axis: Eps, eps: float) -> float:
    """What a form divides by, of the number that its code is given."""
    return {"eps^2": eps**2, "eps": eps, "1/eps^2": eps**-2}[axis]


def log_det_of(Y: Bounded, factor: Bounded | float) -> Bounded:
    """log det(I + c YᵀY) of ``(..., n, d)``, with the Gram matrix of the features or of the tokens."""
    n, d = Y.shape[-2:]
    one = log_det((Y.mT @ Y) * factor + np.eye(d))
    other = log_det((Y @ Y.mT) * factor + np.eye(n))
    error = np.maximum(one.error, other.error + np.abs(one.value - other.value))
    return Bounded(one.value, error, Y.precision)


def scaled(value: Bounded, half: Half, logarithm: Logarithm, sign: Sign) -> Bounded:
    """A sum of log dets as a rate."""
    value = value * 0.5 if half == "1/2" else value
    value = value / float(np.log(2)) if logarithm == "base 2" else value
    return -value if sign == "-" else value


def of_norm_one(Z: Bounded) -> Bounded:
    """Each row over its norm."""
    return Z / sqrt((Z**2).sum(-1, keepdims=True))
