"""The sparsification: one ISTA step from the tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded, relu, shrunk
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class Ista(Form):
    """relu(Z + η (Z − Z Dᵀ) D − ηλ): a step on the lasso of the tokens in D, from the tokens."""

    gradient: Literal[
        "D^T(Z - DZ)", "D(Z - D^TZ)", "D(Z - DZ)", "Z - DZ", "D^TZ", "-D^T(Z - DZ)", "D^T(Z + DZ)", "none"
    ] = "D^T(Z - DZ)"
    step: Literal["eta", "eta/2", "2 eta", "1"] = "eta"
    threshold: Literal["eta lam", "lam", "none", "-eta lam", "2 eta lam", "eta lam/2"] = "eta lam"
    activation: Literal["relu", "soft", "none"] = "relu"
    skip: Literal["none", "added"] = "none"

    WORDS: ClassVar = {
        "gradient": {
            "D^T(Z - DZ)": "the residual is Z - DZ and D^T maps it back",
            "D(Z - D^TZ)": "D and its transpose have changed places",
            "D(Z - DZ)": "D stands where its transpose should, in the way back",
            "Z - DZ": "the residual is not mapped back by D^T",
            "D^TZ": "the part -D^T D Z of the gradient is missing",
            "-D^T(Z - DZ)": "the gradient step goes uphill",
            "D^T(Z + DZ)": "the residual is Z + DZ",
            "none": "the gradient is missing",
        },
        "step": {
            "eta": "the step is eta",
            "eta/2": "the step is eta/2",
            "2 eta": "the step is 2 eta",
            "1": "the step eta is missing",
        },
        "threshold": {
            "eta lam": "the threshold is eta lam",
            "lam": "the threshold is lam, without eta",
            "none": "the threshold lam is missing",
            "-eta lam": "the threshold is added, not taken off",
            "2 eta lam": "the threshold is 2 eta lam",
            "eta lam/2": "the threshold is eta lam/2",
        },
        "activation": {
            "relu": "relu keeps the codes nonnegative",
            "soft": "soft-thresholding keeps their signs",
            "none": "nothing sets entries to zero",
        },
        "skip": {"none": "no skip", "added": "the tokens are added again"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        D, eta, lam = weights["D"], float(constants["eta"]), float(constants["lam"])
        match self.gradient:  # in rows: Z Dᵀ is DZ of columns
            case "D^T(Z - DZ)":
                up = (Z - Z @ D.T) @ D
            case "D(Z - D^TZ)":
                up = (Z - Z @ D) @ D.T
            case "D(Z - DZ)":
                up = (Z - Z @ D.T) @ D.T
            case "Z - DZ":
                up = Z - Z @ D.T
            case "D^TZ":
                up = Z @ D
            case "-D^T(Z - DZ)":
                up = -((Z - Z @ D.T) @ D)
            case "D^T(Z + DZ)":
                up = (Z + Z @ D.T) @ D
            case "none":
                up = Z * 0.0
        step = {"eta": eta, "eta/2": eta / 2, "2 eta": 2 * eta, "1": 1.0}[self.step]
        t = {
            "eta lam": eta * lam,
            "lam": lam,
            "none": 0.0,
            "-eta lam": -eta * lam,
            "2 eta lam": 2 * eta * lam,
            "eta lam/2": eta * lam / 2,
        }[self.threshold]
        moved = Z + step * up
        match self.activation:
            case "relu":
                code = relu(moved - t)
            case "soft":
                code = shrunk(moved, t)
            case "none":
                code = moved - t
        return code + Z if self.skip == "added" else code


_CRATE = "Yu et al. 2023 (arXiv 2306.01129)"
FORMS = (
    Named(
        "crate.ista",
        "ISTA as in the paper and the official code",
        f"{_CRATE}, eq. 17, and model/crate.py of its code",
        Ista(),
    ),
)
PAPER = FORMS[0]
