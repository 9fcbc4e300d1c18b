"""A layer of shift-invariant ReduNet on spectra, one for each signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from verify.bounded import Bounded
from verify.forms.form import Constants, Named, Weights
from verify.forms.redunet import PAPER as ON_VECTORS
from verify.forms.redunet import ReduNet


@dataclass(frozen=True)
class ReduNetFourier(ReduNet):
    """z + η (E z − Σ_j γ_j π_j C_j z), and back to the sphere, of spectra ``(m, C, *size)``.

    E and C_j are a C × C matrix at each frequency; norms, in π = softmax_j(−λ‖C_j z‖) too, are over channels and
    frequencies. Complex numbers are pairs along a last axis.
    """

    matrices: Literal["E z", "E^T z", "conj(E) z", "E^* z"] = "E z"  # type: ignore[assignment]

    WORDS: ClassVar = {
        **ReduNet.WORDS,
        "matrices": {
            "E z": "the matrices map each spectrum",
            "E^T z": "their transposes map each spectrum",
            "conj(E) z": "their complex conjugates map each spectrum",
            "E^* z": "their conjugate transposes map each spectrum",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        m, channels, *size, _ = Z.shape
        frequencies = math.prod(size)
        by_frequency = Z.shaped(
            lambda a: np.moveaxis(a.reshape(m, channels, frequencies, 2), 2, 0).reshape(frequencies, m, 2 * channels)
        )
        rows, *mapped = (
            part.shaped(lambda a: np.moveaxis(a, 0, 1).reshape(m, -1))
            for part in (by_frequency, *(by_frequency @ self._real(E, frequencies) for E in _maps(weights)))
        )
        moved = self._moved(rows, mapped[0], mapped[1:], weights["shares"], constants)
        return moved.shaped(
            lambda a: np.moveaxis(a.reshape(m, frequencies, channels, 2), 1, 2).reshape(m, channels, *size, 2)
        )

    def _real(self, E: np.ndarray, frequencies: int) -> np.ndarray:
        """What takes rows of pairs to those of E z, ``(frequencies, 2 C, 2 C)``."""
        channels = E.shape[-2]
        real, imaginary = (E[..., part].reshape(frequencies, channels, channels) for part in (0, 1))
        if self.matrices in ("E z", "conj(E) z"):
            real, imaginary = real.swapaxes(-1, -2), imaginary.swapaxes(-1, -2)
        if self.matrices in ("conj(E) z", "E^* z"):
            imaginary = -imaginary
        of_real, of_imaginary = (np.stack(pair, axis=-1) for pair in ((real, imaginary), (-imaginary, real)))
        return np.stack([of_real, of_imaginary], axis=-3).reshape(frequencies, 2 * channels, 2 * channels)


def _maps(weights: Weights) -> list[Any]:
    return [weights["E"], *weights["C"]]


FORMS = (
    Named(
        "redunet.layer-fourier",
        "a layer of shift-invariant ReduNet as in the paper and its code",
        ON_VECTORS.source,
        ReduNetFourier(),
    ),
)
PAPER = FORMS[0]
