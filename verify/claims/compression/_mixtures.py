"""Mixtures that the steps are tried on, and what a step makes of their rate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from srr import subspace_coding_rate_and_gradient
from verify import decide
from verify.arrays import to_numpy
from verify.case import Case, Instance
from verify.claims._steps import spectra

SMALL: dict[str, Any] = {"n": (1, 10), "d": (1, 8), "K": (1, 3), "p": (1, 3)}
ORTHOGONAL: dict[str, Any] = {**SMALL, "coherence": ("orthogonal",)}


def rate_gradient(m: Instance) -> Any:
    """∇Rᶜ."""
    return subspace_coding_rate_and_gradient(m.Z, m.U, eps=m.eps)[1]


def change(m: Instance, after: Any) -> decide.Decision:
    """The sign of what a step does to Rᶜ."""
    return decide.subspace_rate_change(m.Z, after, m.U, eps=m.eps)


def mixture_with_spectrum(case: Case, **given: Any) -> Instance:
    """A mixture at the token scale that makes λ_max(β Y_kᵀY_k) the number drawn."""
    m = case.mixture(**given, scale=1.0)
    top = float(spectra(m.Z, m.U, m.eps).max())
    case.assume(top > 1e-12)
    wanted = case.log_uniform("lambda_max", 1e-2, 1e2)
    return Instance(m.Z * math.sqrt(wanted / top), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)


def unit_tokens(case: Case, *, noise: float | tuple[float, float] = (0.0, 1.0), **given: Any) -> Instance:
    """Orthogonal subspaces that span the space, and tokens of norm 1."""
    m = case.mixture(**{"eps": (0.1, 10.0), **given}, d=1, coherence=("orthogonal",), noise=noise, scale=1.0)
    Z = to_numpy(m.Z)
    size = np.linalg.norm(Z, axis=1, keepdims=True)
    case.assume(float(size.min()) > 1e-6)
    return Instance(case.asarray(Z / size), m.U, m.labels, m.eps, m.n, m.d, m.K, m.p)
