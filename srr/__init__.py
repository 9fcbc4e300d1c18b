"""Sparse rate reduction: coding rates, their curvature, and the layers built on them.

Tokens are rows, ``(..., n, d)``, in NumPy, CuPy, torch or JAX arrays; rates are in nats.
"""

from srr import (
    aot,
    attention,
    cbsa,
    curvature,
    denoising,
    enclosure,
    flops,
    implicit,
    layers,
    mcr2,
    mixtures,
    objective,
    prox,
    rates,
    redunet,
    redunet_fourier,
    segmentation,
    streaming,
    tost,
)
from srr._arrays import FactorisationError, PrecisionWarning
from srr.layers import HalfStep, Layer, unroll
from srr.objective import SparseRateReduction
from srr.rates import (
    RateReport,
    coding_rate,
    coding_rate_and_gradient,
    partition_coding_rate,
    partition_coding_rate_and_gradient,
    rate_reduction,
    rate_reduction_and_gradient,
    subspace_coding_rate,
    subspace_coding_rate_and_gradient,
)

__all__ = [
    "FactorisationError",
    "HalfStep",
    "Layer",
    "PrecisionWarning",
    "RateReport",
    "SparseRateReduction",
    "aot",
    "attention",
    "cbsa",
    "coding_rate",
    "coding_rate_and_gradient",
    "curvature",
    "denoising",
    "enclosure",
    "flops",
    "implicit",
    "layers",
    "mcr2",
    "mixtures",
    "objective",
    "partition_coding_rate",
    "partition_coding_rate_and_gradient",
    "prox",
    "rate_reduction",
    "rate_reduction_and_gradient",
    "rates",
    "redunet",
    "redunet_fourier",
    "segmentation",
    "streaming",
    "subspace_coding_rate",
    "subspace_coding_rate_and_gradient",
    "tost",
    "unroll",
]
