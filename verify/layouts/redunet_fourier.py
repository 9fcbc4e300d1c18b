"""Shift-invariant ReduNet, 1-D and 2-D: ``redunet`` of the code of Chan et al. 2022 (arXiv 2105.10446).

What its layers pass on are spectra ``(m, C, *size)``. Of real signals they are srr's, transformed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from srr import layers
from verify.layouts.description import describe
from verify.layouts.layout import Layout, State, Tap
from verify.layouts.redunet import by_class, require_classes
from verify.layouts.stack import Half, Stack


@dataclass(frozen=True, eq=False)
class Spectral(layers.AttentionOnly):
    """srr's layer between a unitary Fourier transform and its inverse."""

    layer: layers.ShiftInvariantReduNet

    def compress(self, Z: Any) -> Any:
        """Both halves, of spectra ``(m, C, *size)``."""
        import torch

        axes = tuple(range(2, Z.ndim))
        signals = torch.fft.ifftn(Z, dim=axes, norm="ortho").real
        return torch.fft.fftn(self.layer(signals), dim=axes, norm="ortho")


def _by_frequency(weight: Any) -> Any:
    """W* at each frequency, ``(*size, C, C)``."""
    return weight.movedim((0, 1), (-2, -1)).mT.conj().resolve_conj()


def _weights(w: Mapping[str, Any]) -> dict[str, Any]:
    import torch

    C = torch.stack([_by_frequency(weight) for weight in by_class(w)])
    return {"E": _by_frequency(w["E.weight"]), "C": C, "shares": w["gam"]}


def _layer(c: Mapping[str, Any], s: Mapping[str, Any]) -> layers.Layer:
    *size, _, _ = c["E"].shape
    half = size[-1] // 2 + 1  # all that a real signal does not leave to complex conjugation
    E, C = c["E"][..., :half, :, :], c["C"][..., :half, :, :]
    memberships = c["shares"][None]
    return Spectral(
        layers.ShiftInvariantReduNet(E, C, c["shares"], memberships, tuple(size), "official", c["eta"], c["lam"])
    )


def _described(name: str, size: str) -> Layout:
    letters = size.split()

    def build(state: State, sizes: Mapping[str, int], constants: Mapping[str, Any]) -> Any:
        from verify.models.redunet_fourier import ReduNetFourier

        return ReduNetFourier(
            size=tuple(sizes[letter] for letter in letters),
            channels=sizes["C"],
            classes=sizes["k"],
            depth=sizes["depth"],
            kernel=tuple(state["0.kernel"].shape[1:]) if "0.kernel" in state else None,
            eta=constants["eta"],
            lmbda=constants["lmbda"],
        )

    return describe(
        name,
        Stack(
            "{i}.",
            (
                Half(
                    "compress",
                    "redunet_fourier",
                    Tap("", "input"),
                    "",
                    _weights,
                    {"eta": "eta", "lam": "lmbda"},
                    skip=False,
                    form="redunet.layer-fourier",
                ),
            ),
            layer=_layer,
        ),
        source="Chan et al. 2022 (arXiv 2105.10446), redunet of its code",
        sheet=f"""
            0.kernel?          C a {" ".join("s" for _ in letters)}
            {{i}}.gam            k
            {{i}}.E.weight       C C {size}
            {{i}}.Cs.{{k}}.weight  C C {size}
        """,
        constants={"eta": 0.5, "lmbda": 500.0},
        build=build,
        bases=lambda parts, constants: None,
        check=require_classes,
        inputs=lambda state, sizes, rng: [
            rng.standard_normal((m, sizes["a"] if "0.kernel" in state else sizes["C"], *(sizes[s] for s in letters)))
            for m in (6, 1)
        ],
    )


REDUNET_FOURIER_1D = _described("redunet_fourier_1d", "T")
REDUNET_FOURIER_2D = _described("redunet_fourier_2d", "H W")
