"""What a block adds its result to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from verify.bounded import Bounded
from verify.forms.form import Constants, Form, Named, Weights


@dataclass(frozen=True)
class Skip(Form):
    """Z^{ℓ+½} from the tokens Z, what the block made of them, and the tokens behind LayerNorm; LayerScale is in it."""

    skip: Literal["Z", "none", "LN(Z)", "twice Z"] = "Z"
    sign: Literal["+", "-"] = "+"
    step: Literal["1", "1/2"] = "1"

    WORDS: ClassVar = {
        "skip": {
            "Z": "the skip carries the tokens as they were",
            "none": "there is no skip",
            "LN(Z)": "the skip carries the tokens behind LayerNorm",
            "twice Z": "the tokens are added twice",
        },
        "sign": {"+": "the update is added", "-": "the update is taken off"},
        "step": {"1": "the whole is kept", "1/2": "the whole is halved"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        Z, update, normed = reads
        update = update * weights["scale"] if "scale" in weights else update
        update = update if self.sign == "+" else -update
        carried = {"Z": Z, "none": None, "LN(Z)": normed, "twice Z": Z + Z}[self.skip]
        whole = update if carried is None else carried + update
        return whole * 0.5 if self.step == "1/2" else whole


_CRATE = "Yu et al. 2023 (arXiv 2306.01129)"
FORMS = (
    Named(
        "crate.skip",
        "Z + update, as in the paper and the official code",
        f"{_CRATE}, eq. 18, and model/crate.py of its code",
        Skip(),
    ),
    Named("decoder.skip", "Z - update, as in the decoder", "Pai et al. 2024 (arXiv 2404.02446)", Skip(sign="-")),
    Named(
        "crate.skip-of-norm",
        "LN(Z) + update, as printed for segmentation",
        "Yu et al. 2023 (arXiv 2308.16271), pseudo-code",
        Skip(skip="LN(Z)"),
    ),
    Named(
        "crate.no-skip",
        "no skip, as around the official ISTA",
        f"{_CRATE}, model/crate.py of its code",
        Skip(skip="none"),
    ),
)
PAPER = FORMS[0]
