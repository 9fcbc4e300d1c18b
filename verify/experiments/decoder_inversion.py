"""Does a decoder that runs the layers backwards return the tokens, and does the encoder denoise them on the way?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np

import srr
from srr import attention
from srr.rates import subspace_coding_rate_and_gradient
from verify.experiments import ranges
from verify.experiments.attention_only import parts
from verify.experiments.experiment import Experiment, Row
from verify.figure import Curve, Figure, Points

FLOWS = ("exact", "attention")


@dataclass(frozen=True)
class Parameters:
    """The flows, and what they start from.

    Attributes
    ----------
    flows : tuple of str
        "exact": along −∇Rᶜ, in units of its smoothness; "attention": along MSSA with ε² = p/n, as layers have it.
    layers : tuple of int
        L layers of size time/L there, and as many back with the other sign.
    time : float
        How far all layers go together, in units of 1/L_c for the exact flow.
    noise : float
    tokens : int
        Of each subspace; fewer than p, where the gradient can denoise.
    K, p : int
        Mutually orthogonal subspaces that fill the space.
    eps : float
        Of the exact flow.
    seed : int
    """

    flows: tuple[str, ...] = FLOWS
    layers: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    time: float = 1.0
    noise: float = 0.1
    tokens: int = 8
    K: int = 4
    p: int = 16
    eps: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        ranges.known(self, flows=FLOWS)
        ranges.above(self, 0, "eps", "time")
        ranges.least(self, 0, "noise")


def run(given: Parameters) -> Iterator[Row]:
    """A row for each flow and number of layers.

    "error" is ‖decoded − Z‖ / ‖Z‖, and "times L" that error times L: constant, if it is halved as the depth is doubled.
    "SNR" is that of the tokens, "SNR encoded" behind the encoder, "SNR decoded" behind the decoder: the ratio of what
    the tokens have in their own subspaces to what they have beside them.
    """
    n, d = given.K * given.tokens, given.K * given.p
    mixture = srr.mixtures.sample(n=n, d=d, K=given.K, p=given.p, noise=given.noise, seed=given.seed)
    Z, U, labels = mixture.Z / sqrt(given.p), mixture.U, mixture.labels
    for flow, layers in product(given.flows, given.layers):
        along = velocity(flow, U, n, eps=given.eps)
        encoded = flowed(Z, along, layers=layers, time=given.time)
        decoded = flowed(encoded, along, layers=layers, time=-given.time)
        error = float(np.linalg.norm(decoded - Z) / np.linalg.norm(Z))
        yield {
            "flow": flow,
            "layers": layers,
            "error": error,
            "times L": error * layers,
            "SNR": _snr(Z, U, labels),
            "SNR encoded": _snr(encoded, U, labels),
            "SNR decoded": _snr(decoded, U, labels),
            "Rc": float(srr.subspace_coding_rate(Z, U, eps=given.eps)),
            "Rc encoded": float(srr.subspace_coding_rate(encoded, U, eps=given.eps)),
        }


def flowed(Z: np.ndarray, along: Callable[[np.ndarray], np.ndarray], *, layers: int, time: float) -> np.ndarray:
    """The tokens after so many layers Z + h·velocity, h = time/layers."""
    for _ in range(layers):
        Z = Z + time / layers * along(Z)
    return Z


def velocity(flow: str, U: np.ndarray, n: int, *, eps: float) -> Callable[[np.ndarray], np.ndarray]:
    """What a layer of the encoder adds to n tokens, in units of its length: −∇Rᶜ/L_c, or MSSA."""
    if flow == "exact":
        unit = srr.curvature.compression_step(U, n, eps=eps)
        return lambda Z: -unit * subspace_coding_rate_and_gradient(Z, U, eps=eps)[1]
    return lambda Z: attention.mssa(Z, U)


def _snr(Z: np.ndarray, U: np.ndarray, labels: np.ndarray) -> float:
    signal, rest = parts(Z, U, labels)
    return signal / rest


def total(given: Parameters) -> int:
    """How many rows."""
    return len(given.flows) * len(given.layers)


def figure(rows: Sequence[Row]) -> Figure:
    """The error of the round trip over the number of layers, beside 1/L through the last point."""
    curves, points = [], []
    for flow in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == flow]
        layers = [row["layers"] for row in mine]
        curves.append(Curve(f"1/L, {flow}", layers, [mine[-1]["times L"] / L for L in layers]))
        points.append(Points(f"{flow} flow", layers, [row["error"] for row in mine]))
    return Figure(
        title="There and back: decoders that run the layers backwards",
        x_label="layers L, of size 1/L",
        y_label="relative error of the round trip",
        curves=tuple(curves),
        points=tuple(points),
        x_log=True,
        y_log=True,
        caption="L layers of the encoder, then L of the decoder with the other sign; lines through the last points.",
    )


def verdict(rows: Sequence[Row]) -> str:
    """Whether the error of the round trip falls as 1/L, and whether the tokens are less noisy in between."""
    said = []
    for flow in dict.fromkeys(row["flow"] for row in rows):
        mine = [row for row in rows if row["flow"] == flow]
        last, before = mine[-1], mine[-2] if len(mine) > 1 else mine[-1]
        ratio = last["times L"] / before["times L"] if before["times L"] else 1.0
        falls = "falls as 1/L" if 0.8 < ratio < 1.25 else "does not fall as 1/L"
        gain = last["SNR encoded"] / last["SNR"]
        word = "less" if gain > 1.01 else "more" if gain < 0.99 else "as"
        said.append(
            f"{flow}: the error of the round trip {falls} ({last['error']:.2g} with {last['layers']} layers); the "
            f"encoder makes the tokens {word} noisy (SNR times {gain:.3g}) and "
            f"{'lowers' if last['Rc encoded'] < last['Rc'] else 'raises'} Rc, and the decoder brings the SNR back to "
            f"{last['SNR decoded'] / last['SNR']:.3f} times what it was"
        )
    return ". ".join(said) + "."


DECODER_INVERSION = Experiment(
    name="decoder-inversion",
    title="Encoder and decoder as a flow there and back",
    question="Does the decoder undo the encoder as layers grow finer, and does the encoder denoise?",
    source="Pai et al. 2024 (arXiv 2404.02446), structured denoising and diffusion",
    parameters=Parameters,
    full={"layers": (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256), "K": 8, "p": 32, "tokens": 16},
    total=total,
    run=run,
    columns=("flow", "layers", "error", "times L", "SNR", "SNR encoded", "SNR decoded", "Rc", "Rc encoded"),
    figure=figure,
    verdict=verdict,
    grid=("flows", "layers"),
)
