"""LAPACK's test ratio: an error beside 30 · size · u · (sum of absolute terms)."""

import numpy as np


def rounded(backend, *arrays):
    """The arrays as the configuration's precision has them, in float64 for a reference."""
    return tuple(np.asarray(a, dtype=backend.dtype).astype(np.float64) for a in arrays)


def assert_close(backend, actual, expected, *, size, scale):
    """``actual`` is an array of the configuration and within 30·size·u·scale of ``expected``."""
    model = backend.array(np.zeros(1))
    assert type(actual) is type(model)
    assert actual.dtype == model.dtype
    assert str(getattr(actual, "device", None)) == str(getattr(model, "device", None))
    near(backend.read(actual), expected, u=np.finfo(backend.dtype).eps / 2, size=size, scale=scale)


def near(actual, expected, *, size, scale, u=2.0**-53):
    """NumPy values within 30·size·u·scale, entry by entry if ``scale`` is an array."""
    assert np.shape(actual) == np.shape(expected)
    error = np.abs(np.asarray(actual, dtype=np.float64) - expected)
    assert np.all(error <= 30 * size * u * np.asarray(scale)), (
        f"ratio {np.max(error / (size * u * np.maximum(scale, 1e-300))):.3g} > 30"
    )
