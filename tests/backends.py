"""The array libraries and configurations that srr must serve, each of which catches slips that the others let pass.

NumPy float32 and read-only inputs; array-api-strict on a second device and on one without float64; torch float64 while
its default dtype is float32; torch fake tensors on a CUDA device; JAX float32 and float64; CuPy and torch on CUDA.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Backend:
    """One configuration: how to make an array of it, and how to read one back."""

    name: str
    library: str
    dtype: type
    make: Callable[[np.ndarray], Any]
    """From a NumPy array of ``dtype``."""
    device: Callable[[], Any] = lambda: None
    """The device its arrays live on, None for the library's only one."""
    read: Callable[[Any], np.ndarray] = np.asarray
    active: Callable[[], AbstractContextManager] = field(default=nullcontext)
    """The mode in which its arrays are made and used."""
    has_values: bool = True
    missing: str = ""
    """Why it cannot run here; empty if it can."""

    def array(self, a):
        """``a`` as an array of this configuration; only floats take its dtype."""
        a = np.asarray(a)
        return self.make(a.astype(self.dtype) if a.dtype.kind == "f" else a)

    def __str__(self):
        return self.name


def _read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def _strict(device):
    def make(a):
        import array_api_strict

        return array_api_strict.asarray(a, device=array_api_strict.Device(device))

    return make


def _strict_device(name):
    def device():
        import array_api_strict

        return array_api_strict.Device(name)

    return device


def _read_strict(a):
    import array_api_strict

    return np.asarray(a.to_device(array_api_strict.Device("CPU_DEVICE")))


def _torch(device):
    def make(a):
        import torch

        return torch.tensor(a, device=device)  # a copy: torch.from_numpy would share and warn on read-only

    return make


def _torch_device(name):
    def device():
        import torch

        return torch.device(name)

    return device


def _read_torch(t):
    return t.detach().cpu().numpy()


@cache
def _fake_mode():
    import torch
    from torch._subclasses import FakeTensorMode
    from torch.overrides import TorchFunctionMode

    class Indexing(TorchFunctionMode):
        """Indexing a CUDA tensor asks for the driver, which is not there; the shape is all that is wanted."""

        def __torch_function__(self, function, types, arguments=(), options=None):
            if function is torch.Tensor.__getitem__:
                a, index = arguments
                shape = torch.empty(a.shape, device="meta")[index].shape
                return torch.empty(shape, dtype=a.dtype, device=a.device)
            return function(*arguments, **(options or {}))

    return FakeTensorMode(), Indexing


@contextmanager
def _fake_active():
    mode, indexing = _fake_mode()
    with mode, indexing():
        yield


def _fake(a):
    import torch

    return torch.empty(a.shape, dtype=getattr(torch, str(a.dtype)), device="cuda:0")


def _jax(a):
    import jax.numpy

    return jax.numpy.asarray(a)


def _jax_x64(enabled):
    def active():
        import jax

        return jax.enable_x64(enabled)

    return active


def _cupy(a):
    import cupy

    return cupy.asarray(a)


def _read_cupy(a):
    return a.get()


def _missing(library, cuda=False):
    if find_spec(library) is None:
        return f"{library} is not installed"
    if cuda and library == "torch":
        import torch

        return "" if torch.cuda.is_available() else "no CUDA device, or torch built without CUDA"
    if cuda:
        import cupy

        return "" if cupy.cuda.is_available() else "no CUDA device"
    return ""


def _on_demand(library):
    # Importing torch to ask for CUDA costs seconds, so ask only where a driver is.
    from pathlib import Path

    if not Path("/proc/driver/nvidia").exists() and find_spec(library) is not None:
        return "no NVIDIA driver"
    return _missing(library, cuda=True)


NUMPY = Backend("numpy", "numpy", np.float64, np.array)

CPU = (
    Backend("numpy-float32", "numpy", np.float32, np.array),
    Backend("numpy-read-only", "numpy", np.float64, _read_only),
    Backend(
        "strict-device1",
        "array_api_strict",
        np.float64,
        _strict("device1"),
        _strict_device("device1"),
        _read_strict,
        missing=_missing("array_api_strict"),
    ),
    Backend(
        "strict-no-float64",
        "array_api_strict",
        np.float32,
        _strict("no_float64"),
        _strict_device("no_float64"),
        _read_strict,
        missing=_missing("array_api_strict"),
    ),
    Backend(
        "torch-float64",
        "torch",
        np.float64,
        _torch("cpu"),
        _torch_device("cpu"),
        _read_torch,
        missing=_missing("torch"),
    ),
    Backend(
        "torch-float32",
        "torch",
        np.float32,
        _torch("cpu"),
        _torch_device("cpu"),
        _read_torch,
        missing=_missing("torch"),
    ),
    Backend("jax-float32", "jax", np.float32, _jax, active=_jax_x64(False), missing=_missing("jax")),
    Backend("jax-float64", "jax", np.float64, _jax, active=_jax_x64(True), missing=_missing("jax")),
)

FAKE = Backend(
    "torch-fake-cuda",
    "torch",
    np.float64,
    _fake,
    _torch_device("cuda:0"),
    active=_fake_active,
    has_values=False,
    missing=_missing("torch"),
)

GPU = (
    Backend(
        "cupy",
        "cupy",
        np.float64,
        _cupy,
        read=_read_cupy,
        missing=_on_demand("cupy"),
    ),
    Backend(
        "cupy-float32",
        "cupy",
        np.float32,
        _cupy,
        read=_read_cupy,
        missing=_on_demand("cupy"),
    ),
    Backend(
        "torch-cuda",
        "torch",
        np.float64,
        _torch("cuda:0"),
        _torch_device("cuda:0"),
        _read_torch,
        missing=_on_demand("torch"),
    ),
)

ALL = (*CPU, FAKE, *GPU)


def parametrize(*groups, slow=""):
    """``@parametrize(CPU, GPU)``: a test per configuration, the GPU ones behind the ``gpu`` marker.

    One may be left to the slow tests, where JAX, which compiles every call anew, takes most of the time.
    """
    chosen = [b for group in groups for b in (group if isinstance(group, tuple) else (group,))]
    return pytest.mark.parametrize(
        "backend",
        [
            pytest.param(
                b,
                id=b.name,
                marks=[
                    *([pytest.mark.gpu] if b in GPU else []),
                    *([pytest.mark.slow] if b.name == slow else []),
                    *([pytest.mark.skip(reason=f"{b.name}: {b.missing}")] if b.missing else []),
                ],
            )
            for b in chosen
        ],
    )
