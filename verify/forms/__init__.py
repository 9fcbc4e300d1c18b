"""Every known form of every operator: as papers print it, as published code has it, and what is close to these."""

from __future__ import annotations

from dataclasses import dataclass

from verify.forms import (
    attention,
    cbsa,
    coding_rate,
    cross_attention,
    ista,
    layer_norm,
    linear,
    overcomplete,
    passed_on,
    rate_reduction,
    redunet,
    redunet_fourier,
    skip,
    standard,
    subspace_rate,
    tssa,
)
from verify.forms.form import Form, Named

__all__ = ["KINDS", "Form", "Kind", "Named", "named"]


@dataclass(frozen=True)
class Kind:
    """An operator: what it is called, its named forms, the one that theory derives or the nearest to it, a remark."""

    title: str
    named: tuple[Named, ...]
    theory: Named | None = None
    remark: str = ""


KINDS = {
    "attention": Kind("subspace self-attention", attention.FORMS, attention.PAPER),
    "cross_attention": Kind("subspace cross-attention", cross_attention.FORMS),
    "ista": Kind("ISTA", ista.FORMS, ista.PAPER),
    "skip": Kind("the skip", skip.FORMS, skip.PAPER),
    "layer_norm": Kind("LayerNorm", layer_norm.FORMS, remark="the theory has none"),
    "overcomplete": Kind("ISTA in a wide dictionary", overcomplete.FORMS, overcomplete.PAPER),
    "linear": Kind("the linear map of a decoder", linear.FORMS, linear.PAPER),
    "tssa": Kind("token statistics self-attention", tssa.FORMS, tssa.PAPER),
    "cbsa": Kind("contract-and-broadcast self-attention", cbsa.FORMS),
    "redunet": Kind("a ReduNet layer", redunet.FORMS, redunet.PAPER),
    "redunet_fourier": Kind("a layer of shift-invariant ReduNet", redunet_fourier.FORMS, redunet_fourier.PAPER),
    "coding_rate": Kind("the coding rate", coding_rate.FORMS, coding_rate.PAPER),
    "subspace_rate": Kind("the coding rate against subspaces", subspace_rate.FORMS, subspace_rate.PAPER),
    "rate_reduction": Kind("rate reduction", rate_reduction.FORMS, rate_reduction.PAPER),
    "qkv_attention": Kind(
        "attention with three projections",
        standard.ATTENTION,
        standard.ATTENTION[2],
        remark="no form of the theory, which has one projection; the nearest has that of the value thrice",
    ),
    "passed_on": Kind("what comes between two submodules", passed_on.FORMS),
    "mlp": Kind("an MLP", standard.MLP, standard.MLP[2], remark="no form of the theory, which has ISTA there"),
}
"""By name."""


def named(slug: str) -> Named:
    """A form by its slug.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    forms = {form.slug: form for kind in KINDS.values() for form in kind.named}
    if slug not in forms:
        raise ValueError(f"form must be one of {', '.join(forms)}, got {slug!r}")
    return forms[slug]
