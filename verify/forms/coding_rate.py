"""The coding rate as losses have it, whose ε is the precision in one code and its square in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded
from verify.forms import rates
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class CodingRate(Form):
    """½ log det(I + d/(n ε²) ZᵀZ) of tokens ``(n, d)``."""

    eps: rates.Eps = "eps^2"
    constant: Literal["d/n", "1/n", "1", "d/(n + 1)", "n/d"] = "d/n"
    half: rates.Half = "1/2"
    logarithm: rates.Logarithm = "natural"
    sign: rates.Sign = "+"
    tokens: Literal["as they are", "of norm 1", "less their mean"] = "as they are"

    WORDS: ClassVar = {
        **rates.WORDS,
        "constant": {
            "d/n": "the Gram matrix has the factor d/n",
            "1/n": "the factor d is missing",
            "1": "the factor d/n is missing",
            "d/(n + 1)": "the factor is d/(n + 1)",
            "n/d": "n and d have changed places",
        },
        "tokens": {
            "as they are": "tokens enter as they are",
            "of norm 1": "each token is first brought to norm 1",
            "less their mean": "the mean token is first taken off",
        },
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        if self.tokens == "of norm 1":
            Z = rates.of_norm_one(Z)
        elif self.tokens == "less their mean":
            Z = Z - Z.mean(-2, keepdims=True)
        n, d = Z.shape[-2:]
        factor = {"d/n": d / n, "1/n": 1 / n, "1": 1.0, "d/(n + 1)": d / (n + 1), "n/d": n / d}[self.constant]
        found = rates.log_det_of(Z, factor / rates.squared(self.eps, float(constants["eps"])))
        return rates.scaled(found, self.half, self.logarithm, self.sign)


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
    Named(
        "rate.normalised",
        "the coding rate of features brought to norm 1, as losses against collapse have it",
        "Wu et al. 2025 (arXiv 2502.10385)",
        CodingRate(tokens="of norm 1"),
    ),
    Named(
        "rate.normalised-of-codes",
        "the coding rate of features brought to norm 1, with an eps that is eps^2",
        "ryanchankh/mcr2, whose networks end in F.normalize",
        CodingRate(eps="eps", tokens="of norm 1"),
    ),
)
PAPER = FORMS[0]
