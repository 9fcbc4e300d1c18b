"""The coding rate as losses have it, whose ε is the precision in one code and its square in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class CodingRate(Form):
    """½ log det(I + d/(n ε²) ZᵀZ) of tokens ``(n, d)``."""

    eps: Literal["eps^2", "eps", "1/eps^2"] = "eps^2"
    constant: Literal["d/n", "1/n", "1", "d/(n + 1)", "n/d"] = "d/n"
    half: Literal["1/2", "1"] = "1/2"
    logarithm: Literal["natural", "base 2"] = "natural"
    sign: Literal["+", "-"] = "+"
    tokens: Literal["as they are", "of norm 1", "less their mean"] = "as they are"

    WORDS: ClassVar = {
        "eps": {
            "eps^2": "the precision is squared",
            "eps": "the precision is not squared: its eps is the eps^2 of the papers",
            "1/eps^2": "the precision multiplies",
        },
        "constant": {
            "d/n": "the Gram matrix has the factor d/n",
            "1/n": "the factor d is missing",
            "1": "the factor d/n is missing",
            "d/(n + 1)": "the factor is d/(n + 1)",
            "n/d": "n and d have changed places",
        },
        "half": {"1/2": "with the factor 1/2", "1": "without the factor 1/2"},
        "logarithm": {"natural": "in nats", "base 2": "in bits"},
        "sign": {"+": "with sign +", "-": "with sign -"},
        "tokens": {
            "as they are": "tokens enter as they are",
            "of norm 1": "each token is first brought to norm 1",
            "less their mean": "the mean token is first taken off",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (tokens,) = reads
        Z, p = tokens.value, tokens.precision
        if self.tokens == "of norm 1":
            Z = Z / np.linalg.norm(Z, axis=-1, keepdims=True)
        elif self.tokens == "less their mean":
            Z = Z - Z.mean(-2, keepdims=True)
        n, d = Z.shape[-2:]
        eps = float(constants["eps"])
        precision = {"eps^2": eps**2, "eps": eps, "1/eps^2": eps**-2}[self.eps]
        factor = {"d/n": d / n, "1/n": 1 / n, "1": 1.0, "d/(n + 1)": d / (n + 1), "n/d": n / d}[self.constant]
        spectrum = np.linalg.svd(Z, compute_uv=False) ** 2 * (factor / precision)
        value = np.log1p(spectrum).sum(-1)
        # A matrix of norm s that is factorised in this precision is one that is off by γ s; I + … is at least I.
        q = spectrum.shape[-1]
        off = np.minimum(2 * p.gamma(n + d + 2 * q + 8) * (1 + spectrum.max(-1)), 0.5)
        error = np.where(off < 0.5, np.sqrt(d) * off / (1 - off) * np.sqrt(d), np.inf) + 8 * p.roundoff * (value + q)
        result = Bounded(value, error, p)
        result = result * 0.5 if self.half == "1/2" else result
        result = result / float(np.log(2)) if self.logarithm == "base 2" else result
        return -result if self.sign == "-" else result


FORMS = (
    Named(
        "rate.coding-rate", "the coding rate as in the papers", "Yu et al. 2020 (arXiv 2006.08558), eq. 1", CodingRate()
    ),
    Named(
        "rate.coding-rate-of-codes",
        "the coding rate as in the codes of MCR2 and ReduNet, whose eps is eps^2",
        "ryanchankh/mcr2, loss.py; ReduNet",
        CodingRate(eps="eps"),
    ),
)
PAPER = FORMS[0]
