"""Numbers in the formulas: Python numbers, or 0-d arrays where they are learned or traced."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from srr._arrays import Array, detached, is_concrete, namespace, positive, real

Scalar = Any
"""A real number, or a 0-d array of the tokens' library, dtype and device."""


def alpha(dimension: int, n: int, eps: float) -> Scalar:
    """dimension / (n ε²): the α of R for dimension d, the β of Rᶜ(Z|U) for dimension p."""
    value = dimension / n / positive(eps, "eps") / eps
    return in_range(value, f"eps must keep {dimension}/({n} eps^2)", f"{eps!r}")


def in_range(value: Scalar, rule: str, given: str) -> Scalar:
    """``value``, which must be above zero, within the range of floats and not so small that digits are lost."""
    least, most = sys.float_info.min, sys.float_info.max
    if isinstance(value, float) and not least <= value <= most:
        raise ValueError(f"{rule} from {least:.1e} to {most:.1e}, got {given}")
    return value


def flag(value: bool, name: str) -> bool:
    """``value``, which must be True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def scalar(value: Scalar, beside: Array, name: str) -> Scalar:
    """``value``, finite: a number, or a 0-d array of the library, dtype and device of ``beside``."""
    if not is_array_api_obj(value) or isinstance(value, np.generic):
        return real(value, name)
    namespace(**{name: value}, Z=beside)
    if value.ndim != 0:
        raise ValueError(f"{name} must be a number or a 0-d array, got shape {tuple(value.shape)}")
    if is_concrete(value):
        real(float(detached(value)), name)
    return value


def positive_scalar(value: Scalar, beside: Array, name: str) -> Scalar:
    """As `scalar`, above zero."""
    value = scalar(value, beside, name)
    if is_concrete(value) and not float(detached(value)) > 0:
        raise ValueError(f"{name} must be > 0, got {float(detached(value))!r}")
    return value


def nonnegative_scalar(value: Scalar, beside: Array, name: str) -> Scalar:
    """As `scalar`, zero or more."""
    value = scalar(value, beside, name)
    if is_concrete(value) and not float(detached(value)) >= 0:
        raise ValueError(f"{name} must be >= 0, got {float(detached(value))!r}")
    return value


def as_array(value: Array) -> Array:
    """``value``, where NumPy made a scalar of a 0-d array."""
    return np.asarray(value) if isinstance(value, np.generic) else value


def spectral_norm(M: Array) -> Scalar:
    """‖M‖₂ of a matrix, as a constant: a float, or a 0-d array where values cannot be read."""
    xp, M = array_namespace(M), detached(M)
    largest = xp.max(xp.abs(M))
    M = M / xp.where(largest > 0, largest, xp.ones_like(largest))  # no entry above 1: its Gram matrix cannot overflow
    M_T = xp.matrix_transpose(M)
    gram = xp.matmul(M_T, M) if M.shape[1] <= M.shape[0] else xp.matmul(M, M_T)
    norm = xp.sqrt(xp.max(xp.linalg.eigvalsh(gram)))  # of zeros, or above one
    return float(norm) * float(largest) if is_concrete(M) else norm * largest
