"""What srr asks of arrays: one library, one dtype, one device, honest shapes, checked factorisations.

Beside ``_autodiff`` this is the only file that names a backend. Nothing here moves, promotes or changes an array.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Any

import array_api_compat as compat
import numpy as np

Array = Any
"""An array of NumPy, CuPy, torch or JAX (or array-api-strict)."""
Namespace = Any
"""The array API namespace of such an array."""


class FactorisationError(ArithmeticError):
    """A Cholesky factor that rounding has spoilt, where the caller asked for no other route."""


class PrecisionWarning(RuntimeWarning):
    """A rate that the working precision does not determine to √u, u the unit roundoff."""


# --- the library, dtype and device of the arguments -------------------------------------------------------------


def namespace(**arrays: Array) -> Namespace:
    """The common namespace of the named arrays, which must share library, dtype (float32 or float64) and device.

    Raises
    ------
    TypeError
        Not an array, an unsupported library or dtype, or a mixture of libraries or dtypes.
    ValueError
        Arrays on different devices.
    """
    for name, a in arrays.items():
        if not _is_supported(a):
            raise TypeError(f"{name} must be an array of NumPy, CuPy, torch or JAX, got {type(a).__name__}")
    first, reference = next(iter(arrays.items()))
    for name, a in arrays.items():
        if compat.array_namespace(a) is not compat.array_namespace(reference):
            raise TypeError(
                f"{name} and {first} must come from one array library, "
                f"got {type(a).__module__}.{type(a).__name__} and "
                f"{type(reference).__module__}.{type(reference).__name__}"
            )
    xp = compat.array_namespace(reference)
    for name, a in arrays.items():
        if a.dtype not in (xp.float32, xp.float64):
            raise TypeError(f"{name} must be float32 or float64, got {a.dtype}")
        if a.dtype != reference.dtype:
            raise TypeError(f"{name} and {first} must have one dtype, got {a.dtype} and {reference.dtype}")
        device, other = compat.device(a), compat.device(reference)
        if device != other and device is not None and other is not None:  # a JAX tracer does not say
            raise ValueError(f"{name} and {first} must be on one device, got {device} and {other}")
    return xp


def _is_supported(a: object) -> bool:
    if not compat.is_array_api_obj(a) or compat.is_dask_array(a) or compat.is_pydata_sparse_array(a):
        return False
    return not isinstance(a, np.generic | np.matrix | np.ma.MaskedArray)


def like(reference: Array) -> dict[str, Any]:
    """Keyword arguments that create an array beside ``reference``."""
    return {"dtype": reference.dtype, "device": compat.device(reference)}


def unit_roundoff(reference: Array) -> float:
    """u, half the spacing of floats at 1, in the dtype of ``reference``."""
    return float(compat.array_namespace(reference).finfo(reference.dtype).eps) / 2


def least_normal(reference: Array) -> float:
    """The least number of full precision, in the dtype of ``reference``: below it digits vanish, or all of them."""
    return float(compat.array_namespace(reference).finfo(reference.dtype).smallest_normal)


def is_concrete(a: Array) -> bool:
    """Whether values can be read: false under ``jax.jit`` and ``vmap``, ``torch.compile`` and fake tensors."""
    if compat.is_torch_array(a):
        torch = sys.modules["torch"]
        if torch.compiler.is_compiling() or a.device.type == "meta":
            return False
        functorch = torch._C._functorch
        while functorch.is_functorch_wrapped_tensor(a):
            if functorch.is_batchedtensor(a):
                return False
            a = functorch.get_unwrapped(a)
        return not isinstance(a, torch._subclasses.FakeTensor)
    if compat.is_jax_array(a):
        try:  # inside jit even what is computed from a constant cannot be read
            bool(a.any())
        except sys.modules["jax"].errors.ConcretizationTypeError:
            return False
    return True


def detached(a: Array) -> Array:
    """``a`` without its derivative history."""
    if compat.is_torch_array(a):
        return a.detach()
    if compat.is_jax_array(a):
        return sys.modules["jax"].lax.stop_gradient(a)
    return a


def quiet() -> AbstractContextManager[Any]:
    """Silence NumPy's overflow warnings where an overflow is caught and answered by another route."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore")


# --- shapes and values ------------------------------------------------------------------------------------------


def require_tokens(Z: Array, name: str = "Z") -> None:
    """``(..., n, d)`` with at least one token and one dimension, all finite."""
    if Z.ndim < 2 or Z.shape[-2] < 1 or Z.shape[-1] < 1:
        raise ValueError(f"{name} must have shape (..., n, d) with n >= 1 and d >= 1, got {tuple(Z.shape)}")
    require_finite(Z, name)


def require_shape(a: Array, shape: tuple[int | str, ...], name: str) -> None:
    """``shape`` holds sizes, letters for any size ≥ 1, and a leading ``"..."`` for batch axes."""
    given = tuple(a.shape)
    core = [s for s in shape if s != "..."]
    tail = given[len(given) - len(core) :]
    batched = shape[0] == "..."
    fits = (len(given) >= len(core) if batched else len(given) == len(core)) and all(map(_fits, core, tail))
    if not fits:
        wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
        raise ValueError(f"{name} must have shape {wanted} with no empty axis, got {given}")


def _fits(wanted: int | str, size: int) -> bool:
    return size >= 1 if isinstance(wanted, str) else size == wanted


def require_bases(U: Array, d: int, name: str = "U") -> None:
    """``(K, d, p)`` with 1 ≤ p ≤ d, all finite; the columns may be any vectors."""
    require_shape(U, ("K", d, "p"), name)
    if U.shape[-1] > d:
        raise ValueError(f"{name} must have shape (K, {d}, p) with p <= {d}, got {tuple(U.shape)}")
    require_finite(U, name)


def require_orthonormal(U: Array, name: str = "U") -> None:
    """Each ``U[k]`` has orthonormal columns, to 100·√p·u·p at most."""
    if not is_concrete(U):
        return
    xp, p = compat.array_namespace(U), U.shape[-1]
    with quiet():
        gram = xp.matmul(xp.matrix_transpose(detached(U)), detached(U))
        defect = float(xp.max(xp.abs(gram - xp.eye(p, **like(U)))))
    limit = 100 * math.sqrt(U.shape[-2]) * unit_roundoff(U)
    if not defect <= limit:
        raise ValueError(
            f"{name} must have orthonormal columns in each subspace "
            f"(max |U_k^T U_k - I| <= {limit:.1e}), got {defect:.3g}"
        )


def require_membership(Pi: Array, n: int, name: str = "Pi") -> None:
    """``(..., n, K)`` with rows on the simplex."""
    require_shape(Pi, ("...", n, "K"), name)
    require_finite(Pi, name)
    if not is_concrete(Pi) or 0 in Pi.shape:
        return
    xp, P = compat.array_namespace(Pi), detached(Pi)
    if float(xp.min(P)) < 0:
        raise ValueError(f"{name} must have entries >= 0, got {float(xp.min(P)):.6g}")
    off = float(xp.max(xp.abs(xp.sum(P, axis=-1) - 1)))
    if off > 100 * P.shape[-1] * unit_roundoff(P):
        raise ValueError(f"{name} must have rows that sum to 1, got a row that is off by {off:.3g}")


def require_broadcast(**arrays: Array) -> None:
    """The batch axes, all but the last two, broadcast."""
    shapes = {name: tuple(a.shape[:-2]) for name, a in arrays.items()}
    try:
        np.broadcast_shapes(*shapes.values())
    except ValueError:
        given = " and ".join(map(str, shapes.values()))
        raise ValueError(f"batch axes of {' and '.join(shapes)} must broadcast, got {given}") from None


def require_finite(a: Array, name: str) -> None:
    """Every entry is finite. Falls away where values cannot be read."""
    if not is_concrete(a):
        return
    xp, a = compat.array_namespace(a), detached(a)
    with quiet():
        if math.isfinite(float(xp.sum(a))):  # one pass and no temporary; a finite set may still sum to infinity
            return
    bad = xp.astype(~xp.isfinite(a), xp.int8)
    if int(xp.max(bad)) == 0:
        return
    flat = int(xp.argmax(xp.reshape(bad, (-1,))))
    index = tuple(int(i) for i in np.unravel_index(flat, tuple(a.shape)))
    raise ValueError(f"{name} must be finite, got {float(a[index])} at index {index}")


def positive(value: object, name: str) -> float:
    """``value`` as a float; it must be a finite number above zero."""
    number = real(value, name)
    if not number > 0:
        raise ValueError(f"{name} must be > 0, got {value!r}")
    return number


def nonnegative(value: object, name: str) -> float:
    """``value`` as a float; it must be a finite number, zero or more."""
    number = real(value, name)
    if not number >= 0:
        raise ValueError(f"{name} must be >= 0, got {value!r}")
    return number


def real(value: object, name: str) -> float:
    """``value`` as a float; it must be a finite real number and no array."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got an integer beyond floating point") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def count(value: object, name: str, least: int = 1) -> int:
    """``value`` as an int, at least ``least``."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name} must be >= {least}, got {number}")
    return number


def choice(value: str, options: tuple[str, ...], name: str) -> str:
    """``value``, which must be one of ``options``."""
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, options))}, got {value!r}")
    return value


# --- functions that the array API lacks -------------------------------------------------------------------------


def erfc(a: Array) -> Array:
    """The complementary error function, 1 − erf, of every entry."""
    if compat.is_torch_array(a):
        return sys.modules["torch"].erfc(a)
    if compat.is_jax_array(a):
        return sys.modules["jax"].lax.erfc(a)
    if compat.is_cupy_array(a):
        return import_module("cupyx.scipy.special").erfc(a)
    xp = compat.array_namespace(a)
    flat = xp.reshape(a, (math.prod(a.shape),))
    values = [math.erfc(float(flat[i])) for i in range(flat.shape[0])]
    return xp.reshape(xp.asarray(values, **like(a)), a.shape)


# --- factorisations and blocks ----------------------------------------------------------------------------------


def cholesky(M: Array) -> Array:
    """Lower Cholesky factors of ``(..., q, q)``; a matrix that has none gets NaN, and the others keep theirs."""
    xp = compat.array_namespace(M)
    if compat.is_torch_array(M):
        L, info = sys.modules["torch"].linalg.cholesky_ex(M)
        return xp.where((info > 0)[..., None, None], math.nan, L)
    flat = xp.reshape(M, (-1, *M.shape[-2:]))
    return xp.reshape(_cholesky_of_stack(flat), M.shape)


def _cholesky_of_stack(M: Array) -> Array:
    # One call for the whole stack. Where a matrix fails JAX gives NaN, and NumPy and CuPy raise: that stack is halved.
    xp = compat.array_namespace(M)
    try:
        with _raising(M):
            return xp.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        if M.shape[0] == 1:
            return xp.full_like(M, math.nan)
        half = M.shape[0] // 2
        return xp.concat([_cholesky_of_stack(M[:half, ...]), _cholesky_of_stack(M[half:, ...])])


def _raising(M: Array) -> AbstractContextManager[Any]:
    if compat.is_cupy_array(M):  # CuPy returns undefined output unless told to raise
        return sys.modules["cupyx"].errstate(linalg="raise")  # type: ignore[no-any-return]
    return nullcontext()


def inverse_of_factored(M: Array, L: Array) -> Array:
    """M⁻¹ of symmetric ``(..., q, q)`` with Cholesky factors L."""
    xp = compat.array_namespace(M)
    if compat.is_torch_array(M):
        return sys.modules["torch"].cholesky_inverse(L)
    if not compat.is_numpy_array(M):
        return xp.linalg.inv(M)
    inverse = inverse_of_triangular(L)
    return np.matmul(np.swapaxes(inverse, -1, -2), inverse)


def inverse_of_triangular(L: Array) -> Array:
    """L⁻¹ of lower triangular NumPy matrices ``(..., q, q)``."""
    # By halves, [[A, 0], [B, C]]⁻¹ = [[A⁻¹, 0], [−C⁻¹BA⁻¹, C⁻¹]]: matrix products for the whole stack, where LAPACK
    # would take one small matrix after the other.
    *_, q = L.shape
    if q <= DIRECTLY_INVERTED:
        return np.linalg.inv(L)
    h = q // 2
    A, C = inverse_of_triangular(L[..., :h, :h]), inverse_of_triangular(L[..., h:, h:])
    inverse = np.zeros_like(L)
    inverse[..., :h, :h], inverse[..., h:, h:] = A, C
    inverse[..., h:, :h] = -C @ (L[..., h:, :h] @ A)
    return inverse


DIRECTLY_INVERTED = 16
"""Size up to which LAPACK inverts one matrix after the other."""


def square_norm(a: Array) -> Array:
    """Σ a² over the last axis."""
    xp = compat.array_namespace(a)
    if compat.is_torch_array(a):
        return xp.sum(a * a, axis=-1)  # its vecdot moves axes, which torch.vmap does not know
    return xp.vecdot(a, a)


BLOCK_BYTES = 2**22
"""Tokens handled at a time on a CPU: about what a core's cache holds beside the projections."""


def map_blocks(f: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    """Apply ``f`` over the common batch axes of ``arrays`` (each ``(..., a, b)``), a cache-sized block at a time.

    ``f`` takes blocks ``(batch, a, b)`` and returns arrays whose first axis is that batch. On a GPU, and where
    values cannot be read, there is one block. torch's autocast is off inside: a rate has the dtype of its tokens.
    """
    with _without_autocast(arrays[0]):
        return _map_blocks(f, *arrays)


def _without_autocast(a: Array) -> AbstractContextManager[Any]:
    if compat.is_torch_array(a):
        torch = sys.modules["torch"]
        if torch.is_autocast_enabled(a.device.type):
            return torch.autocast(a.device.type, enabled=False)  # type: ignore[no-any-return]
    return nullcontext()


def _map_blocks(f: Callable[..., tuple[Array, ...]], *arrays: Array) -> tuple[Array, ...]:
    xp = compat.array_namespace(arrays[0])
    batch = np.broadcast_shapes(*(tuple(a.shape[:-2]) for a in arrays))
    stacks = [xp.reshape(xp.broadcast_to(a, (*batch, *a.shape[-2:])), (-1, *a.shape[-2:])) for a in arrays]
    total = math.prod(batch)
    if total == 0:
        one = (xp.zeros((1, *s.shape[1:]), **like(s)) for s in stacks)
        return tuple(xp.reshape(part[:0, ...], (*batch, *part.shape[1:])) for part in f(*one))
    first = stacks[0]
    size = total
    if is_concrete(first) and _on_cpu(first):
        per_item = math.prod(first.shape[-2:]) * (4 if first.dtype == xp.float32 else 8)
        size = max(1, BLOCK_BYTES // per_item)
    if size >= total:
        parts = f(*stacks)
    else:
        blocks = [f(*(s[i : i + size, ...] for s in stacks)) for i in range(0, total, size)]
        parts = tuple(map(_concatenated, *blocks))
    return tuple(xp.reshape(part, (*batch, *part.shape[1:])) for part in parts)


def _concatenated(*blocks: Array) -> Array:
    return compat.array_namespace(*blocks).concat(list(blocks))


def _on_cpu(a: Array) -> bool:
    if compat.is_torch_array(a):
        return bool(a.device.type == "cpu")
    return not (compat.is_cupy_array(a) or compat.is_jax_array(a))  # XLA schedules its own loops
