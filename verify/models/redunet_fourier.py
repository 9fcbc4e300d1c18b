"""Shift-invariant ReduNet in torch, by Fourier transforms, as the published code computes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from verify.models.redunet import ReduLayer, normalised


class Lift(nn.Module):
    """relu of what fixed filters make of cyclic signals: a correlation, padded behind."""

    def __init__(self, inputs: int, channels: int, *size: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, inputs, *size), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        *_, last = self.kernel.shape
        padding = (0, last - 1) * (z.ndim - 2)
        convolve = F.conv1d if z.ndim == 3 else F.conv2d
        return F.relu(convolve(F.pad(z, padding, mode="circular"), self.kernel))


class Frequencies(nn.Module):
    """W(p)* v(p) at each frequency p, of spectra v ``(m, C, *size)``; ``weight`` is W ``(C, C, *size)``."""

    def __init__(self, channels: int, *size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, *size, dtype=torch.complex64))

    def forward(self, v: Tensor) -> Tensor:
        return torch.einsum("bi...,ih...->bh...", v, self.weight.conj())


class Fourier(ReduLayer):
    """A layer of spectra, E and C_k a matrix at each frequency."""

    def __init__(self, classes: int, channels: int, *size: int, eta: float = 0.5, lmbda: float = 500.0) -> None:
        super().__init__(eta=eta, lmbda=lmbda)
        self.gam = nn.Parameter(torch.full((classes,), 1 / classes), requires_grad=False)
        self.E = Frequencies(channels, *size)
        self.Cs = nn.ModuleList(Frequencies(channels, *size) for _ in range(classes))


class ReduNetFourier(nn.Sequential):
    """Signals ``(m, C, T)`` or ``(m, C, H, W)`` to features.

    Chan et al. 2022 (arXiv 2105.10446), ``redunet`` of its code: filters if there are any, then layers between a
    unitary Fourier transform and its inverse.
    """

    def __init__(
        self,
        *,
        size: tuple[int, ...],
        channels: int,
        classes: int,
        depth: int,
        kernel: tuple[int, ...] | None = None,
        eta: float = 0.5,
        lmbda: float = 500.0,
    ) -> None:
        lift = [] if kernel is None else [Lift(kernel[0], channels, *kernel[1:])]
        super().__init__(*lift, *(Fourier(classes, channels, *size, eta=eta, lmbda=lmbda) for _ in range(depth)))

    def forward(self, z: Tensor) -> Tensor:
        axes = tuple(range(2, z.ndim))
        layers = list(self)
        if isinstance(layers[0], Lift):
            z = layers.pop(0)(z)
        z = torch.fft.fftn(normalised(z), dim=axes, norm="ortho")
        for layer in layers:
            z = layer(z)
        return normalised(torch.fft.ifftn(z, dim=axes, norm="ortho")).real
