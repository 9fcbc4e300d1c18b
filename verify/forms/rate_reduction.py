"""Rate reduction of labelled tokens, as papers print it and as losses compute it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, log_det
from verify.forms import rates
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class RateReduction(Form):
    """±(γ₂ ½ log det(I + γ₁ α ZᵀZ) − ½ Σ_k n_k/n log det(I + α_k Zᵀ Diag(π_k) Z)), α = d/(n ε²), α_k = d/(n_k ε²).

    Reads tokens ``(n, d)`` and memberships ``(n, K)``. The constants γ₁ = ``inner`` and γ₂ = ``outer`` are one where
    they are not given, and ``penalty`` is zero.
    """

    eps: rates.Eps = "eps^2"
    half: rates.Half = "1/2"
    logarithm: rates.Logarithm = "natural"
    sign: rates.Sign = "+"
    classes: Literal["d/n_k", "d/n", "1/n_k"] = "d/n_k"
    shares: Literal["n_k/n", "1/K", "none"] = "n_k/n"
    floor: Literal["0", "1e-8"] = "0"
    whole: Literal["less the classes", "alone", "classes alone"] = "less the classes"
    penalty: Literal["none", "added to the loss"] = "none"

    WORDS: ClassVar = {
        **rates.WORDS,
        "sign": {"+": "it is to be raised", "-": "it is a loss, to be lowered"},
        "classes": {
            "d/n_k": "the Gram matrix of a class has the factor d/n_k",
            "d/n": "the Gram matrix of a class has the factor d/n, of all tokens",
            "1/n_k": "the factor d of the classes is missing",
        },
        "shares": {
            "n_k/n": "classes are weighted by their shares",
            "1/K": "classes are averaged",
            "none": "classes are not weighted",
        },
        "floor": {"0": "sizes of classes are as they are", "1e-8": "1e-8 is added to the size of each class"},
        "whole": {
            "less the classes": "the rate of all less that of the classes",
            "alone": "the rate of the classes is missing",
            "classes alone": "the rate of all tokens is missing",
        },
        "penalty": {"none": "no penalty", "added to the loss": "the squared norm is added to the loss"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        Z, Pi = reads
        n, d = Z.shape[-2:]
        eps = rates.squared(self.eps, float(constants["eps"]))
        whole = rates.log_det_of(Z, float(constants.get("inner", 1)) * d / (n * eps)) * float(constants.get("outer", 1))
        within = self._within(Z, Pi, eps)
        found = {"less the classes": lambda: whole - within, "alone": lambda: whole, "classes alone": lambda: -within}
        result = rates.scaled(found[self.whole](), self.half, self.logarithm, self.sign)
        if self.penalty == "none":
            return result
        size = (Z**2).sum(-1).sum(-1) * float(constants["penalty"])
        return result + size if self.sign == "-" else result - size

    def _within(self, Z: Bounded, Pi: Bounded, eps: float) -> Bounded:
        n, d = Z.shape[-2:]
        pi = Pi.mT  # (..., K, n)
        sizes = pi.sum(-1)
        if self.floor == "1e-8":
            sizes = sizes + 1e-8
        each = sizes.shaped(lambda a: a[..., None, None])
        tokens = Z.shaped(lambda a: a[..., None, :, :])
        gram = tokens.mT @ (tokens * pi.shaped(lambda a: a[..., None]))
        factor = {"d/n_k": lambda: d / (each * eps), "d/n": lambda: d / (n * eps), "1/n_k": lambda: 1 / (each * eps)}
        found = log_det(gram * factor[self.classes]() + np.eye(d))
        K = found.shape[-1]
        share = {"n_k/n": lambda: sizes / n, "1/K": lambda: 1 / K, "none": lambda: 1.0}[self.shares]()
        return (found * share).sum(-1)


_MCR2 = "Yu et al. 2020 (arXiv 2006.08558)"
FORMS = (
    Named("mcr2.rate-reduction", "rate reduction as in the paper", f"{_MCR2}, eq. 5", RateReduction()),
    Named(
        "mcr2.loss",
        "the loss of the published code, with an eps that is eps^2 and 1e-8 in the sizes",
        f"{_MCR2}, loss.py of its code",
        RateReduction(eps="eps", sign="-", floor="1e-8"),
    ),
    Named(
        "mcr2.loss-regularised",
        "that loss and a multiple of the squared norm",
        "Wang et al. 2024 (arXiv 2406.01909), its code",
        RateReduction(eps="eps", sign="-", floor="1e-8", penalty="added to the loss"),
    ),
)
PAPER = FORMS[0]
