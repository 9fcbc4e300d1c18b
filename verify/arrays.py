"""Which array library, dtype and device the ledger computes on."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

import numpy as np

from verify.extras import PACKAGES

LIBRARIES = ("numpy", "cupy", "torch", "jax")
DTYPES = ("float64", "float32")


@dataclass(frozen=True)
class Arrays:
    """Where instances live: a library, a dtype and a device.

    Instances are drawn with NumPy in float64 and then converted, so that every library sees the same numbers.

    Parameters
    ----------
    library
        One of ``numpy``, ``cupy``, ``torch``, ``jax``.
    dtype
        ``float64`` or ``float32``.
    device
        A device in the library's own words (``cpu``, ``cuda:0``, ``mps``); the library's default when None.

    Raises
    ------
    ValueError
        An unknown library or dtype.
    """

    library: str = "numpy"
    dtype: str = "float64"
    device: str | None = None

    def __post_init__(self) -> None:
        if self.library not in LIBRARIES:
            raise ValueError(f"arrays must be one of {', '.join(LIBRARIES)}, got {self.library!r}")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def asarray(self, a: Any) -> Any:
        """A NumPy array in this library, dtype and device; integers and booleans keep their kind."""
        a = np.asarray(a)
        floating = np.issubdtype(a.dtype, np.floating)
        match self.library:
            case "numpy":
                if self.device not in (None, "cpu"):
                    raise ValueError(f"device must be cpu for numpy, got {self.device!r}")
                return a.astype(self.dtype, copy=False) if floating else a
            case "torch":
                import torch

                dtype = getattr(torch, self.dtype) if floating else None
                return torch.asarray(np.ascontiguousarray(a), dtype=dtype, device=self.device, copy=True)
            case "cupy":
                import cupy

                with cupy.cuda.Device(_ordinal(self.device)):
                    return cupy.asarray(a, dtype=self.dtype if floating else None)
            case _:
                import jax

                if self.dtype == "float64":
                    jax.config.update("jax_enable_x64", True)  # off by default: JAX would round to float32
                device = None if self.device is None else _jax_device(jax, self.device)
                return jax.device_put(a.astype(self.dtype) if floating else a, device)

    def probe(self) -> None:
        """Make one array, so that a missing library or device is told before anything runs.

        Raises
        ------
        ValueError
            The library is not installed, or has no such device or dtype there.
        """
        if importlib.util.find_spec(self.library) is None:
            how = f"pip install {PACKAGES.get(self.library, self.library)}"
            raise ValueError(f"arrays must name an installed library, got {self.library}: {how}")
        try:
            to_numpy(self.asarray(np.ones(1)) + 1)
        except ValueError as error:
            if str(error).startswith("device must"):
                raise
            raise self._unavailable(error) from error
        except Exception as error:  # each library has its own kind of device error
            raise self._unavailable(error) from error

    def forget(self) -> None:
        """Drop what JAX has compiled: it keeps each operation for each shape, some 25 MB a second of a run."""
        if self.library == "jax":
            import jax

            jax.clear_caches()

    def _unavailable(self, error: Exception) -> ValueError:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        where = "its default device" if self.device is None else repr(self.device)
        return ValueError(f"device must be one that {self.library} can use in {self.dtype}, got {where}: {first}")


def to_numpy(a: Any) -> np.ndarray:
    """Any array, or number, as a NumPy array on the host; floats as float64 (exact for float32)."""
    if hasattr(a, "detach"):
        a = a.detach().cpu().numpy()
    elif hasattr(a, "get") and hasattr(a, "device"):
        a = a.get()
    a = np.asarray(a)
    return a.astype(np.float64, copy=False) if np.issubdtype(a.dtype, np.floating) else a


def in_float64(a: Any) -> np.ndarray:
    """A float64 NumPy copy of an array of any library: exact for floats of 64 bits and less.

    Complex numbers become pairs along a last axis, ``(...)`` to ``(..., 2)``.
    """
    if hasattr(a, "detach"):
        import torch

        a = torch.view_as_real(a.detach().resolve_conj()) if a.is_complex() else a.detach()
        return a.cpu().double().numpy().copy()
    value = np.asarray(a.get() if hasattr(a, "get") and hasattr(a, "device") else a)
    if np.issubdtype(value.dtype, np.complexfloating):
        return np.stack([value.real, value.imag], axis=-1).astype(np.float64)
    return value.astype(np.float64)


def unit_roundoff(*values: Any) -> float:
    """The coarsest unit roundoff of arrays; Python numbers count as float64."""
    return max(2.0**-24 if "float32" in str(getattr(v, "dtype", "")) else 2.0**-53 for v in values)


def _ordinal(device: str | None) -> int:
    if device is None:
        return 0
    name, _, index = device.partition(":")
    if name not in ("cuda", "gpu") or not (index.isdigit() or not index):
        raise ValueError(f"device must be cuda or cuda:N for cupy, got {device!r}")
    return int(index or 0)


def _jax_device(jax: Any, device: str) -> Any:
    platform, _, index = device.partition(":")
    if not (index.isdigit() or not index):
        raise ValueError(f"device must be PLATFORM or PLATFORM:N for jax, got {device!r}")
    return jax.devices(platform)[int(index or 0)]
