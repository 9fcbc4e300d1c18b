"""What comes between two submodules: nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from verify.bounded import Bounded, exact
from verify.forms.form import Constants, Form, Named, Weights
from verify.forms.layer_norm import LayerNorm


@dataclass(frozen=True)
class PassedOn(Form):
    """z, as it is; or learned tokens, the same beside every set z."""

    norm: Literal["none", "LN"] = "none"

    WORDS: ClassVar = {
        "norm": {"none": "nothing is done to them", "LN": "a LayerNorm is applied to them on the way"},
    }

    def __call__(self, *reads: Bounded, weights: Weights, constants: Constants) -> Bounded:
        (Z,) = reads
        if "learned" in weights:
            tokens = weights["learned"]
            Z = exact(np.broadcast_to(tokens, (*Z.shape[:-2], *tokens.shape[-2:])), Z.precision)
        if self.norm == "none":
            return Z
        return LayerNorm(floor="its own")(Z, weights=weights, constants={"floor": 1e-5, **constants})


FORMS = (Named("network.passed-on", "passed on as it is", "", PassedOn()),)
