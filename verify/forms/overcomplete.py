"""The second half of CRATE-α and of its relatives: ISTA steps from zero in a wide dictionary, and a way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, exact, relu, shrunk
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class Overcomplete(Form):
    """A⁰ = 0, Aᵗ⁺¹ = relu(Aᵗ + η (Z − Aᵗ Dᵀ) D − ηλ), and A D̂ᵀ."""

    steps: Literal["2", "1", "3"] = "2"
    gradient: Literal["D^T(Z - DA)", "-D^T(Z - DA)"] = "D^T(Z - DA)"
    threshold: Literal["eta lam", "lam", "none", "-eta lam", "2 eta lam"] = "eta lam"
    activation: Literal["relu", "soft", "none"] = "relu"
    decode: Literal["own dictionary", "same dictionary"] = "own dictionary"
    skip: Literal["none", "added"] = "none"

    WORDS: ClassVar = {
        "steps": {"2": "two ISTA steps", "1": "one ISTA step", "3": "three ISTA steps"},
        "gradient": {
            "D^T(Z - DA)": "each step goes along D^T(Z - DA)",
            "-D^T(Z - DA)": "each step goes uphill",
        },
        "threshold": {
            "eta lam": "the threshold is eta lam",
            "lam": "the threshold is lam, without eta",
            "none": "the threshold lam is missing",
            "-eta lam": "the threshold is added, not taken off",
            "2 eta lam": "the threshold is 2 eta lam",
        },
        "activation": {
            "relu": "relu keeps the codes nonnegative",
            "soft": "soft-thresholding keeps their signs",
            "none": "nothing sets entries to zero",
        },
        "decode": {
            "own dictionary": "a second dictionary takes the code back",
            "same dictionary": "the dictionary of the code takes it back",
        },
        "skip": {"none": "no skip", "added": "the tokens are added again"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        D, eta, lam = weights["D"], float(constants["eta"]), float(constants["lam"])
        t = {"eta lam": eta * lam, "lam": lam, "none": 0.0, "-eta lam": -eta * lam, "2 eta lam": 2 * eta * lam}
        A = exact(np.zeros((*Z.shape[:-1], D.shape[1])), Z.precision)
        for _ in range(int(self.steps)):
            up = (Z - A @ D.T) @ D
            A = self._kept(A + eta * (up if self.gradient == "D^T(Z - DA)" else -up), t[self.threshold])
        tied = self.decode == "same dictionary" or "decode" not in weights
        result = A @ (D if tied else weights["decode"]).T
        return result + Z if self.skip == "added" else result

    def _kept(self, A: Bounded, t: float) -> Bounded:
        match self.activation:
            case "relu":
                return relu(A - t)
            case "soft":
                return shrunk(A, t)
            case "none":
                return A - t


_ALPHA = "Yang et al. 2024 (arXiv 2405.20299)"
FORMS = (
    Named(
        "alpha.ista",
        "two ISTA steps and a second dictionary, as in the code of CRATE-alpha",
        f"{_ALPHA}, its code",
        Overcomplete(),
    ),
    Named(
        "alpha.ista-paper",
        "two ISTA steps in one dictionary, as in the paper of CRATE-alpha",
        f"{_ALPHA}, before the second dictionary",
        Overcomplete(decode="same dictionary"),
    ),
)
PAPER = FORMS[1]
