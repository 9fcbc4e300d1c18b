"""A ReduNet layer on features, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, at_least, concatenated, softmax, sqrt
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class ReduNet(Form):
    """z + η (E z − Σ_j γ_j π_j C_j z), π = softmax_j(−λ‖C_j z‖), and back to the sphere: over max(‖z‖, 1e-8)."""

    memberships: Literal["softmax(-lam|Cz|)", "softmax(lam|Cz|)", "softmax(-lam|Cz|^2)", "hard"] = "softmax(-lam|Cz|)"
    shares: Literal["gamma", "none"] = "gamma"
    expand: Literal["+", "-"] = "+"
    compress: Literal["-", "+", "none"] = "-"
    sphere: Literal["yes", "no"] = "yes"
    matrices: Literal["E z", "E^T z"] = "E z"

    WORDS: ClassVar = {
        "memberships": {
            "softmax(-lam|Cz|)": "memberships are softmax(-lam|C_j z|)",
            "softmax(lam|Cz|)": "memberships are softmax(+lam|C_j z|), the farthest class first",
            "softmax(-lam|Cz|^2)": "memberships are softmax(-lam|C_j z|^2)",
            "hard": "memberships are hard",
        },
        "shares": {"gamma": "classes are weighted by their shares", "none": "classes are not weighted by their shares"},
        "expand": {"+": "the expansion is added", "-": "the expansion is taken off"},
        "compress": {
            "-": "the compression is taken off",
            "+": "the compression is added",
            "none": "the compression is missing",
        },
        "sphere": {"yes": "features come back to the sphere", "no": "features do not come back to the sphere"},
        "matrices": {"E z": "the matrices map each feature", "E^T z": "their transposes map each feature"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        E, C = weights["E"], weights["C"]
        if self.matrices == "E z":
            E, C = E.T, np.swapaxes(C, -1, -2)
        return self._moved(Z, Z @ E, [Z @ c for c in C], weights["shares"], constants)

    def _moved(self, Z: Bounded, up: Bounded, parts: list[Bounded], gamma: np.ndarray, constants: Constants) -> Bounded:
        """Of the rows Z, E z and C_j z."""
        eta, lam = float(constants["eta"]), float(constants["lam"])
        squares = concatenated([(part**2).sum(-1, keepdims=True) for part in parts], -1)
        match self.memberships:
            case "softmax(-lam|Cz|)":
                pi = softmax(sqrt(squares) * -lam)
            case "softmax(lam|Cz|)":
                pi = softmax(sqrt(squares) * lam)
            case "softmax(-lam|Cz|^2)":
                pi = softmax(squares * -lam)
            case "hard":
                pi = _nearest(squares)
        gamma = gamma if self.shares == "gamma" else np.ones(len(parts))
        up = up if self.expand == "+" else -up
        if self.compress != "none":
            down = sum(
                (
                    parts[j] * pi.shaped(lambda a, j=j: a[..., j : j + 1]) * gamma[j : j + 1]
                    for j in range(1, len(parts))
                ),
                parts[0] * pi.shaped(lambda a: a[..., :1]) * gamma[:1],
            )
            up = up - down if self.compress == "-" else up + down
        moved = Z + eta * up
        if self.sphere == "no":
            return moved
        return moved / at_least(sqrt((moved**2).sum(-1, keepdims=True)), 1e-8)


def _nearest(squares: Bounded) -> Bounded:
    """One for the class of the least number, and anything up to one for those that rounding may take for it."""
    least = np.argmin(squares.value, axis=-1)[..., None] == np.arange(squares.shape[-1])
    upper = np.min(squares.value + squares.error, axis=-1, keepdims=True)
    near = squares.value - squares.error <= upper
    open_ = near & (near.sum(-1, keepdims=True) > 1)
    return Bounded(least.astype(float), open_.astype(float), squares.precision)


_REDU = "Chan et al. 2022 (arXiv 2105.10446)"
FORMS = (Named("redunet.layer", "a ReduNet layer as in the paper and its code", f"{_REDU}, and its code", ReduNet()),)
PAPER = FORMS[0]
